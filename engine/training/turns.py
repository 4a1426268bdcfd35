"""Turning into the unknown, in many worlds: a few latents of which a guide shows less and less.

Clips with lifted guides are few, and a network that has seen few places answers what it can't know with a haze.
Stills (engine/training/stills.py) teach how places look; here the same worlds teach it as it is needed in play: in the
latents of one chunk, beside what is known, and with the given picture as context. The guide is the truth, worn, on one
side of a line that moves on with every latent.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine.memory import MemoryConfig
from engine.training.base import BaseTraining, Batch, BatchSampler, GuidedClips, base_loss
from engine.training.stills import WORDINGS, across, read
from engine.transformer import COVERAGE, STALE, Pocket

WINDOW = 4
"""Latents of a turn."""
CHUNKS = (4, 4, 4, 2, 1)
"""Chunk lengths; each step draws one."""


def moving_edges(B: int, grid: tuple[int, int], rng: random.Random) -> Tensor:
    """Masks `[B, WINDOW, 1, Y, X]` of what a turning camera knows: 1 on one side of a line that moves on by up to a
    quarter of the picture a latent. Of latent 0, which is given, most or all is known."""
    first = torch.tensor([rng.uniform(-1.2, -0.4) for _ in range(B)])
    speed = torch.tensor([rng.uniform(0.05, 0.5) for _ in range(B)])
    edges = first[:, None] + speed[:, None] * torch.arange(WINDOW)
    return (across(B, grid, rng)[:, None] > edges[..., None, None]).float()[:, :, None]


def _briefly(about: dict[str, Any]) -> dict[str, Any]:
    """What is known of a clip, with the captions that are read."""
    return about | {"captions": {language: every[:WORDINGS] for language, every in about["captions"].items()}}


class TurnSampler:
    """Draws the first latents of clips, as many as a batch of clips has, with such guides."""

    def __init__(self, source: GuidedClips, config: BaseTraining) -> None:
        windows = config.batch * config.latents // WINDOW
        plain = GuidedClips(replace(source.clips, about=[_briefly(about) for about in source.clips.about]), None)
        read(plain)
        self._clips = BatchSampler(plain, replace(config, batch=windows, latents=WINDOW))

    def draw(self, rng: random.Random) -> Batch:
        """The next batch."""
        batch = self._clips.draw(rng)
        latents = batch.latents
        B, T, _, Y, X = latents.shape
        known = moving_edges(B, (Y, X), rng)
        whole = torch.cat([latents, latents.new_ones(B, T, COVERAGE, Y, X)], 2)
        return replace(batch, guides=torch.cat([whole * known, latents.new_zeros(B, T, STALE, Y, X)], 2))


def turn_loss(
    model: Pocket,
    batch: Batch,
    rng: random.Random,
    config: BaseTraining,
    memory: MemoryConfig,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """`base_loss` of a batch of turns at one of `CHUNKS`."""
    loss, _ = base_loss(model, batch, rng.choice(CHUNKS), config, memory, generator)
    return loss, {"turn": float(loss.detach())}
