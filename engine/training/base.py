"""Stages 2 and 3, the base model: actions and memory together, at mixed chunk sizes (paper supplement A).

Every step draws clips and one chunk size for all of them. Clean latents are committed chunk by chunk as in play; every
chunk is also generated from noise, given the context that the streamer's memory selection would give it. 16 latents at
once, with memory, is the bidirectional teacher that distillation needs. The first latent of a clip is given (a start
from a picture) or generated (from text).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine import text
from engine.flow import corrupt, sample_levels
from engine.geometry import rigid_inverse
from engine.memory import MemoryConfig, select_context
from engine.precision import autocast
from engine.telling import NEWS
from engine.training.guides import CHUNK, Calm, has_guides, load_calm, load_guides
from engine.training.latents import LatentClips, batch_of, events_at, load_latents
from engine.training.mixer import Layout, TrainingMixer
from engine.transformer import COVERAGE, STALE, Pocket, PocketConfig, pocket_frustums, shown_by
from engine.vae import FRAMES_PER_LATENT

S = TypeVar("S")
VERSIONS = 2
"""Texts of a clip: before and after something starts or stops."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseTraining:
    """How batches are drawn and what the loss sees."""

    batch: int = 12
    latents: int = 24
    """Window of a clip; a multiple of 4."""
    chunks: tuple[int, ...] = (4, 4, 4, 4, 4, 2, 1, 16)
    """Chunk lengths; each step draws one."""
    shift: float = 2.5
    text_drop: float = 0.1
    given_first: float = 0.8
    """Share of clips whose first latent is given."""
    context_noise: float = 0.15
    """Most noise added to clean context (a level of the path), so that small errors of play don't grow."""
    guide_noise: float = 0.2
    """Most noise added to guides, for the same reason."""
    guide_drop: float = 0.1
    """Share of clips that see no guide; chunks of 16 never do."""
    soft: float = 0.4
    """Share of clips whose context and guides are soft in places, as what was made as haze is when it is seen again."""
    unheard: float = 0.5
    """Share of clips with events whose guides show the calm place, as pictures from before the words do."""
    alone: float = 0.4
    """Share of those whose context shows it too, after the event began as before: the words alone tell what happens."""
    caught_up: float = 0.4
    """Share of the others whose guides show the event once the words are no news."""
    ended: float = 0.15
    """Share of them whose context and guides show the events and whose words and targets don't: all is over."""
    untouched: float = 0.25
    """Share of them in which nothing happens and nothing is said: without words everything stays as it is. So do those
    whose text is dropped."""
    stills: float = 0.15
    """Share of steps that learn from single latents of many worlds (engine/training/stills.py)."""
    turns: float = 0.3
    """Share of steps that learn from their first latents, of which less and less is known (engine/training/turns.py).
    """
    unguided: float = 0.5
    """Share of stills that see no guide."""
    hidden: float = 1.0
    """How much more what the guide doesn't show weighs in the loss than what it does, and how much more often than
    others clips are drawn in which that is as much as on average."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Clean latents `[B, T, C, Y, X]`, actions `[B, T]`, poses `[B, T, 4, 4]`, and texts before and after a change.

    Texts are rows `[B, V, S, 512]` with lengths `[B, V]`; `versions` `[B, T]` says which applies to a latent. `guides`
    `[B, T, C + 5, Y, X]`, or None for a network that sees none. `context` `[B, T, C, Y, X]`: the past as the network
    sees it, where it is not that of `latents`.
    """

    latents: Tensor
    actions: Tensor
    poses: NDArray[np.float64]
    rows: Tensor
    lengths: Tensor
    versions: Tensor
    guides: Tensor | None = None
    context: Tensor | None = None

    @property
    def seen(self) -> Tensor:
        """Latents `[B, T, C, Y, X]` that context is made of."""
        return self.latents if self.context is None else self.context


def lines_at(about: dict[str, Any], latent: int, language: str, wording: int) -> tuple[str, ...]:
    """Caption and the events active at the last frame of a latent, as the streamer composes them."""
    captions, active = about["captions"][language], events_at(about, FRAMES_PER_LATENT * latent)
    return (captions[wording % len(captions)], *(e[f"caption_{language}"] for e in active))


@dataclass(frozen=True, slots=True, eq=False)
class GuidedClips:
    """Clips of one size and their guides half `[n, T, C + 4, Y, X]`, or None for a network that sees none; `calm`, if
    there is any, is how clips with events look without them."""

    clips: LatentClips
    guides: Tensor | None
    calm: Calm | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Latent rows and columns."""
        Y, X = self.clips.latents.shape[-2:]
        return Y, X


def guided_clips(folder: Path, vae_checksum: str) -> GuidedClips:
    """Latents, guides and calm walks of a folder. Raises `WanderError` as `load_latents` and `load_guides`."""
    return GuidedClips(load_latents(folder, vae_checksum), load_guides(folder), load_calm(folder))


def plain_clips(folder: Path, vae_checksum: str) -> GuidedClips:
    """The same of a folder that may have no guides. Raises `WanderError` as `guided_clips`."""
    if has_guides(folder):
        return guided_clips(folder, vae_checksum)
    return GuidedClips(load_latents(folder, vae_checksum), None)


def clips_for(network: PocketConfig, folder: Path, vae_checksum: str) -> GuidedClips:
    """A folder as a network sees it: with guides, or without. Raises `WanderError` as `guided_clips`."""
    if network.guided:
        return guided_clips(folder, vae_checksum)
    return GuidedClips(load_latents(folder, vae_checksum), None)


def samplers(
    sources: Sequence[GuidedClips], config: BaseTraining, sampler: Callable[[GuidedClips, BaseTraining], S]
) -> list[S]:
    """A sampler for each source; `config.batch` clips of the largest size, and as many more of a smaller one as cost
    about the same, at most four times as many."""
    cells = [Y * X for Y, X in (source.grid for source in sources)]
    return [
        sampler(source, replace(config, batch=batch_of(config.batch, count, max(cells))))
        for source, count in zip(sources, cells, strict=True)
    ]


class BatchSampler:
    """Draws windows of clips with their texts; everything random comes from one generator."""

    def __init__(self, source: GuidedClips, config: BaseTraining) -> None:
        self.source, self.config = source, config
        self._chances = [1.0] * len(source.clips)
        if source.guides is not None and config.hidden:
            hidden = torch.stack([(1 - guide[1:, -COVERAGE:].float().mean()).clamp(0, 1) for guide in source.guides])
            self._chances = (1 + config.hidden * hidden / hidden.mean().clamp_min(1e-6)).tolist()

    def draw(self, rng: random.Random) -> Batch:
        """The next batch."""
        return self.of(rng.choices(range(len(self.source.clips)), self._chances, k=self.config.batch), rng)

    def of(self, chosen: Sequence[int], rng: random.Random) -> Batch:
        """The batch of these clips."""
        clips, config, guides, chosen = self.source.clips, self.config, self.source.guides, list(chosen)
        span = slice(0, config.latents)
        told = [rng.random() >= config.text_drop for _ in chosen]
        latents = clips.latents[chosen, span].float()
        context, shown = latents.clone(), None if guides is None else guides[chosen, span].float()
        quiet, dated = [False] * len(chosen), torch.zeros(len(chosen), config.latents, dtype=torch.bool)
        for b, i in enumerate(chosen):
            calm, fate = self.source.calm, rng.random()
            if calm is None or i not in calm.row:
                continue
            without = calm.latents[calm.row[i], span].float()
            untouched = fate >= 1 - config.untouched or not told[b]
            unheard = fate < config.unheard and not untouched
            ended = config.unheard <= fate < config.unheard + config.ended and not untouched
            quiet[b] = untouched or ended
            alone, until = rng.random() < config.alone, config.latents
            if ended:
                dated[b] = True
            elif unheard:
                named = (t for t in range(config.latents) if len(lines_at(clips.about[i], t, "en", 0)) > 1)
                since = next(named, config.latents)
                if not alone and rng.random() < config.caught_up:
                    until = min(CHUNK * math.ceil((since + NEWS) / CHUNK), until)
                dated[b, since:until] = True
            if quiet[b]:
                latents[b] = without
            if untouched or (unheard and alone):
                context[b] = without
            if shown is not None and (unheard or untouched):
                shown[b, :until] = calm.guides[calm.row[i], :until].float()
        texts = [self._texts(clips.about[i], told[b], quiet[b], rng) for b, i in enumerate(chosen)]
        longest = max(len(rows) for both, _ in texts for rows in both)
        rows = torch.zeros(len(chosen), VERSIONS, longest, text.TEXT_WIDTH)
        lengths = torch.zeros(len(chosen), VERSIONS, dtype=torch.long)
        for b, (both, _) in enumerate(texts):
            for v, found in enumerate(both):
                rows[b, v, : len(found)] = torch.from_numpy(found)
                lengths[b, v] = len(found)
        versions = torch.stack([version for _, version in texts])
        if shown is not None:
            shown = torch.cat([shown, _stale(shown, versions, dated)], 2)
        poses, actions = clips.poses[chosen, span], clips.actions[chosen, span]
        return Batch(latents, actions, poses, rows, lengths, versions, shown, context)

    def _texts(
        self, about: dict[str, Any], told: bool, quiet: bool, rng: random.Random
    ) -> tuple[list[NDArray[np.float32]], Tensor]:
        """Rows of the text before and after the first change in the window, and the version of each latent; without
        events where all is `quiet`, none at all where nothing is `told`."""
        T, language, wording = self.config.latents, rng.choice(("en", "en", "zh")), rng.randrange(64)
        lines = [lines_at(about, t, language, wording) for t in range(T)]
        if quiet:
            lines = [line[:1] for line in lines]
        change = next((t for t in range(1, T) if lines[t] != lines[0]), T)
        both = [lines[0], lines[min(change, T - 1)]]
        rows = [text.encode(each) for each in both] if told else [np.zeros((0, text.TEXT_WIDTH), np.float32)] * 2
        return rows, (torch.arange(T) >= change).long()


def _stale(guides: Tensor, versions_BT: Tensor, dated_BT: Tensor) -> Tensor:
    """How much of each cell of guides `[B, T, C + 4, Y, X]` is drawn from pictures older than the words, `[B, T, 1, Y,
    X]`: as in play, those made before `NEWS` latents after the text changed, and all of those that are `dated`.
    """
    time, new = torch.arange(versions_BT.shape[1]), versions_BT > versions_BT[:, :1]
    newest = time // CHUNK * CHUNK - 1
    stale = dated_BT | (new & (newest - NEWS < (~new).sum(1, keepdim=True)))
    return stale[..., None, None, None] * guides[:, :, -COVERAGE:].mean(2, keepdim=True)


def layout_for(poses_BT44: NDArray[np.float64], chunk: int, memory: MemoryConfig, start: int = 0) -> Layout:
    """Targets, committed chunks and retrieved latents of a batch of clips for one chunk length."""
    T = poses_BT44.shape[1]
    firsts = [T - chunk] if chunk > 4 else range(start, T, chunk)
    retrieved: list[Tensor | None] = []
    for first in firsts:
        if first <= memory.context_latents:
            retrieved.append(None)
            continue
        chosen = [
            select_context(rigid_inverse(poses), first, chunk, memory)[: memory.spatial_latents] for poses in poses_BT44
        ]
        retrieved.append(torch.from_numpy(np.stack(chosen)))
    targets = [(first, chunk) for first in firsts]
    return Layout(T, min(chunk, 4), targets, retrieved, memory.temporal_latents, memory.reframes)


def noisy_context(latents: Tensor, config: BaseTraining, generator: torch.Generator) -> Tensor:
    """Clean context `[B, T, ...]` with noise in half of the clips, for each its own level up to `context_noise`."""
    B, T = latents.shape[:2]
    some = torch.rand(B, 1, generator=generator) < 0.5
    levels = some * config.context_noise * torch.rand(B, 1, generator=generator)
    return corrupt(latents, torch.randn(latents.shape, generator=generator), levels.expand(B, T))


def soft_places(B: int, grid: tuple[int, int], config: BaseTraining, generator: torch.Generator) -> Tensor:
    """How soft each cell of each clip is, 0..1 `[B, 1, 1, Y, X]`: smooth patches in a share `soft` of the clips."""
    some = torch.rand(B, 1, 1, 1, generator=generator) < config.soft
    most = torch.rand(B, 1, 1, 1, generator=generator)
    patches = F.interpolate(torch.randn(B, 1, 3, 5, generator=generator), grid, mode="bicubic", align_corners=True)
    return (some * most.sqrt() * torch.sigmoid(4 * patches))[:, None]


def softened(latents: Tensor, places: Tensor) -> Tensor:
    """Latents `[B, T, C, Y, X]` moved towards the means of 3x3 cells, as far as `places` `[B, 1, 1, Y, X]` say.

    That is near to what the encoder makes of a blurred picture, and what few steps end at where much could be there.
    """
    means = F.avg_pool2d(latents.flatten(0, 1), 3, 1, 1, count_include_pad=False).unflatten(0, latents.shape[:2])
    return latents + places * (means - latents)


def worn_guides(guides: Tensor, places: Tensor, config: BaseTraining, generator: torch.Generator) -> Tensor:
    """Guides `[B, T, C + 5, Y, X]` whose drawn part is soft in `places` and noisy, each clip by its own share of
    `guide_noise`."""
    drawn, about = guides.split([guides.shape[2] - COVERAGE - STALE, COVERAGE + STALE], 2)
    level = config.guide_noise * torch.rand(len(guides), 1, 1, 1, 1, generator=generator)
    return torch.cat([softened(drawn, places) + level * torch.randn(drawn.shape, generator=generator), about], 2)


def _guides(
    batch: Batch, chunk: int, given: Tensor, places: Tensor, config: BaseTraining, generator: torch.Generator
) -> Tensor | None:
    """Guides `[B, T + noisy latents, C + 5, Y, X]` of a pass: none for committed latents, some dropped, the others
    worn.

    The first chunk has one only if its first latent is given.
    """
    if batch.guides is None:
        return None
    guides = batch.guides
    B, T = guides.shape[:2]
    if chunk > 4:
        return torch.zeros(B, T + chunk, *guides.shape[2:])
    shown = worn_guides(guides, places, config, generator)
    kept = (torch.rand(B, 1, generator=generator) >= config.guide_drop).repeat(1, T)
    kept[:, :chunk] &= given[:, None]
    shown = shown * kept[:, :, None, None, None]
    return torch.cat([torch.zeros_like(guides), shown], 1)


def base_loss(
    model: Pocket,
    batch: Batch,
    chunk: int,
    config: BaseTraining,
    memory: MemoryConfig,
    generator: torch.Generator,
    mixer_of: type[TrainingMixer] = TrainingMixer,
) -> tuple[Tensor, dict[str, float]]:
    """Mean squared error of the velocity over every generated latent of the batch."""
    B, T = batch.latents.shape[:2]
    layout = layout_for(batch.poses, chunk, memory)
    first = layout.targets[0][0]
    count = len(layout.targets)
    clean = batch.latents[:, first:]
    levels = sample_levels((B, count), config.shift, generator).repeat_interleave(chunk, 1)
    given = torch.rand(B, generator=generator) < config.given_first
    if first == 0:
        levels[:, 0] = levels[:, 0].masked_fill(given, 0.0)
    noise = torch.randn(clean.shape, generator=generator)
    places = soft_places(B, (clean.shape[-2], clean.shape[-1]), config, generator)
    context = noisy_context(softened(batch.seen, places), config, generator)
    cameras = pocket_frustums(batch.poses, batch.poses[:, :1])
    mixer = mixer_of(model, layout, cameras, (clean.shape[-2], clean.shape[-1]))
    refreshed = (
        torch.rand(B, 1, generator=generator) < 0.5
    )  # context re-encoded under the newest text, as after a recache
    context_versions = torch.where(refreshed, batch.versions[:, -1:], batch.versions)
    versions = torch.cat([context_versions, batch.versions[:, first:]], 1)
    noisy = corrupt(clean, noise, levels)
    if first == 0:
        noisy[:, 0] = torch.where(given[:, None, None, None], batch.seen[:, 0], noisy[:, 0])
    guides = _guides(batch, chunk, given, places, config, generator)
    with autocast(clean.device):
        words = model.read_prompt(batch.rows, batch.lengths, versions)
        velocity = model(
            torch.cat([context, noisy], 1),
            torch.cat([torch.zeros(B, T), levels], 1),
            torch.cat([batch.actions, batch.actions[:, first:]], 1),
            words,
            mixer,
            guides,
        )[:, T:]
    error = (velocity - (noise - clean)).square().mean(2)
    weight = torch.ones_like(error)
    if guides is not None:
        weight = 1 + config.hidden * (1 - shown_by(guides[:, T:])[:, :, 0])
    if first == 0:
        weight = torch.cat([weight[:, :1] * ~given[:, None, None, None], weight[:, 1:]], 1)
    loss = (error * weight).sum() / weight.sum()
    return loss, {f"chunk{chunk}": float(loss.detach())} if chunk == 4 else {}
