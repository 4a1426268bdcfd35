"""Single latents of many worlds, made from words and from what a guide shows of them.

Clips teach how places move, hardly how they look: most cells of a clip's latents are known from the ones before. A
still costs a fiftieth of a clip and is all invention: without a guide the words alone say what is there; with one of
which half a plane is hidden the network goes on where the picture ends, as when one turns into the unknown. Steps on
stills and on clips take turns (`BaseTraining.stills`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import text
from engine.flow import corrupt, sample_levels
from engine.kv_cache import Context, DenoiseMixer
from engine.precision import autocast
from engine.telling import NEWS
from engine.training.base import BaseTraining, GuidedClips, lines_at, soft_places, worn_guides
from engine.transformer import COVERAGE, STALE, Pocket, pocket_frustums, shown_by
from engine.vae import FRAMES_PER_LATENT

WORDINGS = 2
"""Captions of a clip that are read, in each language: reading takes longer than all else, and there are many clips."""


@dataclass(frozen=True, slots=True)
class Stills:
    """Clean latents `[B, 1, C, Y, X]`, actions `[B, 1]`, cameras `[B, 1, 4, 4]`, text rows `[B, S, 512]` with lengths
    `[B]`, and guides `[B, 1, C + 5, Y, X]`, zeros where a still has none."""

    latents: Tensor
    actions: Tensor
    poses: NDArray[np.float64]
    rows: Tensor
    lengths: Tensor
    guides: Tensor


def settled(about: dict[str, Any], latents: int) -> list[int]:
    """Which latents of a clip show neither an event that is still unfolding nor one that is going away."""
    changes = [e[name] for e in about["events"] for name in ("start_frame", "stop_frame") if e[name]]
    frames = [FRAMES_PER_LATENT * t for t in range(latents)]
    span = NEWS * FRAMES_PER_LATENT
    return [t for t, f in enumerate(frames) if not any(change <= f < change + span for change in changes)]


def across(B: int, grid: tuple[int, int], rng: random.Random) -> Tensor:
    """How far cells lie on one side of a line through the middle, `[B, Y, X]`, 1 at an edge of the picture; most lines
    are nearly upright, as the edge of what is known is when one turns."""
    Y, X = grid
    y, x = torch.linspace(-1, 1, Y)[:, None], torch.linspace(-1, 1, X)
    found = []
    for _ in range(B):
        upright = rng.random() < 0.7
        angle = rng.choice((0.0, math.pi)) + rng.gauss(0, 0.2) if upright else rng.uniform(0, 2 * math.pi)
        found.append(x * math.cos(angle) + y * math.sin(angle))
    return torch.stack(found)


def half_planes(B: int, grid: tuple[int, int], rng: random.Random) -> Tensor:
    """Masks `[B, 1, 1, Y, X]` that are 1 on one side of a line, 0 on the other."""
    edges = torch.tensor([rng.uniform(-0.8, 0.8) for _ in range(B)])
    return (across(B, grid, rng) > edges[:, None, None]).float()[:, None, None]


def read(source: GuidedClips) -> None:
    """Reads the first `WORDINGS` captions of clips, and what happens in them, before they are drawn."""
    last = source.clips.latents.shape[1] - 1
    text.read_ahead(
        lines_at(about, t, language, wording)
        for about in source.clips.about
        for language in about["captions"]
        for wording in range(WORDINGS)
        for t in (0, last)
    )


class StillSampler:
    """Draws single latents of clips with their words; everything random comes from one generator."""

    def __init__(self, source: GuidedClips, config: BaseTraining) -> None:
        self.source, self.config = source, config
        T = source.clips.latents.shape[1]
        settle = [(i, t) for i, about in enumerate(source.clips.about) for t in settled(about, T)]
        read(source)
        self._places = settle or [(i, 0) for i in range(len(source.clips))]

    def draw(self, rng: random.Random) -> Stills:
        """As many stills as half of a batch of clips has latents."""
        return self.of(rng.choices(self._places, k=self.config.batch * self.config.latents), rng)

    def of(self, places: Sequence[tuple[int, int]], rng: random.Random) -> Stills:
        """These latents (clip, latent); where something happens, half of them as if it didn't, if that was drawn."""
        clips, calm = self.source.clips, self.source.calm
        latents, guides, rows = [], [], []
        for i, t in places:
            quiet = calm is not None and i in calm.row and rng.random() < 0.5
            shown, kept, at = (
                (calm.latents, calm.guides, calm.row[i]) if quiet and calm else (clips.latents, self.source.guides, i)
            )
            latents.append(shown[at, t])
            guides.append(self._guide(kept, at, t, rng))
            lines = lines_at(clips.about[i], t, rng.choice(("en", "en", "zh")), rng.randrange(WORDINGS))
            told = rng.random() >= self.config.text_drop
            rows.append(torch.from_numpy(text.encode(lines[: 1 if quiet else None] if told else ())))
        clip, latent = (np.array(each) for each in zip(*places, strict=True))
        clean = torch.stack(latents).float()[:, None]
        masks = half_planes(len(places), self.source.grid, rng)
        whole = torch.tensor([rng.random() < 0.5 for _ in places])[:, None, None, None, None]
        return Stills(
            clean,
            clips.actions[clip, latent][:, None],
            clips.poses[clip, latent][:, None],
            torch.nn.utils.rnn.pad_sequence([*rows], batch_first=True),
            torch.tensor([len(each) for each in rows]),
            torch.stack(guides)[:, None] * torch.where(whole, 1.0, masks),
        )

    def _guide(self, guides: Tensor | None, clip: int, t: int, rng: random.Random) -> Tensor:
        """Guide `[C + 5, Y, X]` of a latent; zeros for half of the stills, and where there is none."""
        _, _, C, Y, X = self.source.clips.latents.shape
        if guides is None or rng.random() < self.config.unguided:
            return torch.zeros(C + COVERAGE + STALE, Y, X)
        return torch.cat([guides[clip, t].float(), torch.zeros(STALE, Y, X)])


def still_loss(
    model: Pocket, batch: Stills, config: BaseTraining, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Mean squared error of the velocity; what the guide shows counts less than what it doesn't, as in `base_loss`."""
    B, grid = len(batch.latents), (batch.latents.shape[-2], batch.latents.shape[-1])
    levels = sample_levels((B, 1), config.shift, generator)
    noise = torch.randn(batch.latents.shape, generator=generator)
    says = batch.guides.abs().amax(2, keepdim=True) > 0
    guides = worn_guides(batch.guides, soft_places(B, grid, config, generator), config, generator) * says
    cameras = pocket_frustums(batch.poses, batch.poses)
    geometry = model.geometry(torch.zeros(1, dtype=torch.float64), grid, cameras)
    with autocast(noise.device):
        words = model.read_prompt(batch.rows, batch.lengths)
        mixer = DenoiseMixer(model.positions, geometry, Context(None, None))
        velocity = model(corrupt(batch.latents, noise, levels), levels, batch.actions, words, mixer, guides)
    error = (velocity - (noise - batch.latents)).square().mean(2, keepdim=True)
    weight = 1 + config.hidden * (1 - shown_by(guides))
    loss = (error * weight).sum() / weight.sum()
    return loss, {"still": float(loss.detach())}
