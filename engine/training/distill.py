"""Context forcing (paper §3.4, figure 5, Algorithm 1): a few-step student learns from a teacher that sees the same
memory.

The student continues true history by a few chunks of its own, each from the context that play would give it. Teacher
and fake score look at all of them at once, in the context of the student *minus* what it has just made. How far the two
disagree is the gradient: the teacher says where such pictures should be, the fake score where the student's are. Both
are velocity networks; a `Network` is all that this module knows of them.

Shape letters as in engine/transformer.py; j is the first latent that the student makes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import WanderError
from engine.flow import corrupt, euler, schedule, shift_levels
from engine.geometry import Matrix, rigid_inverse
from engine.memory import MemoryConfig, aligned_context, clip_overlaps, field_points, select_context
from engine.training.base import Batch

Indices = NDArray[np.int64]


class Network(Protocol):
    """A velocity network with memory: `pocket` (engine/training/distill_pocket.py), or any larger one."""

    @property
    def module(self) -> nn.Module:
        """What an optimiser trains."""
        ...

    def remember(self, seen: Batch, commit: int) -> Any:
        """What the network keeps of clean latents, ascending; `commit` of them were finished together."""
        ...

    def velocity(self, noisy: Batch, levels_BT: Tensor, memory: Any | None) -> Tensor:
        """Noise minus clean `[B, T, C, Y, X]`, float32, of consecutive latents at their levels; memory stands before
        them, whatever its age. `noisy.guides` is what it is shown, if anything."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Distillation:
    """Algorithm 1 and what [21] (self-forcing) adds to it."""

    chunk: int = 4
    """Latents of a student's chunk."""
    chunks: int = 4
    """Chunks that it makes for one look of the teacher (n)."""
    steps: int = 4
    """Its denoising steps (d); of a chunk in training, a random one is the last."""
    shift: float = 3.0
    """Of its levels, as in play."""
    noise_shift: float = 2.5
    """Of the levels at which teacher and fake score look, as in base training."""
    noise_range: tuple[float, float] = (0.02, 0.98)
    student_every: int = 5
    """The student moves at every so many updates of the fake score."""
    growth: int = 50
    """Steps after which history may be a chunk longer."""
    given_first: float = 0.8
    """Share of clips that start from a given latent, where the student makes the first one."""
    teacher_memory: Literal["aligned", "latents"] = "aligned"
    """`latents` is figure 8a: the teacher's memory is chosen latent by latent, and is not the student's."""
    history: Literal["true", "rolled"] = "true"
    """`rolled` is figure 8b: what came before is the student's own as well."""
    teacher_guided: bool = False
    """Whether teacher and fake score are shown the clip's guides; base training shows chunks of 16 none."""

    def __post_init__(self) -> None:
        if min(self.chunk, self.chunks, self.steps, self.student_every, self.growth) < 1:
            raise ValueError(f"counts must be at least 1: {self}")

    @property
    def rolled(self) -> int:
        """Latents that the student makes for one look of the teacher."""
        return self.chunk * self.chunks

    def longest_history(self, step: int, latents: int) -> int:
        """Most chunks of history at a step, for clips of so many latents (m of Algorithm 1: it grows).

        Raises `WanderError` for clips that are too short.
        """
        if latents < self.rolled:
            raise WanderError(
                f"a rollout takes {self.rolled} latents, the clips have {latents}; encode longer clips or roll out less"
            )
        return min(step // self.growth, (latents - self.rolled) // self.chunk)


class Chance:
    """The randomness of one step: `shared` is the same for every sample and rank, the rest is each sample's own.

    A sample's numbers depend on its place in the whole batch alone, however many ranks share that.
    """

    def __init__(self, seed: int, step: int, samples: range) -> None:
        self.shared = random.Random(f"{seed} {step}")
        words = (np.random.SeedSequence([seed, step, b]).generate_state(1, np.uint64)[0] for b in samples)
        self._own = [torch.Generator().manual_seed(int(word >> 1)) for word in words]

    def noise(self, like: Tensor) -> Tensor:
        """Normal noise of the shape of `like` `[B, ...]`."""
        return torch.stack([torch.randn(like.shape[1:], generator=own) for own in self._own]).to(like.device)

    def uniform(self) -> Tensor:
        """Numbers 0..1, `[B]`."""
        return torch.cat([torch.rand(1, generator=own) for own in self._own])

    def levels(self, config: Distillation) -> Tensor:
        """Levels `[B]` at which scores are compared."""
        low, high = config.noise_range
        return shift_levels(self.uniform(), config.noise_shift).clamp(low, high)


# -- parts of a batch -------------------------------------------------------------------------------------------------


def samples_of(batch: Batch, chosen: slice | Sequence[int]) -> Batch:
    """Some samples of a batch."""
    rows: Any = chosen if isinstance(chosen, slice) else list(chosen)
    return Batch(
        batch.latents[rows],
        batch.actions[rows],
        batch.poses[rows],
        batch.rows[rows],
        batch.lengths[rows],
        batch.versions[rows],
        None if batch.guides is None else batch.guides[rows],
    )


def span_of(batch: Batch, first: int, latents: Tensor) -> Batch:
    """The same clips from latent `first` on, with these latents `[B, T, ...]`."""
    span = slice(first, first + latents.shape[1])
    return replace(
        batch,
        latents=latents,
        actions=batch.actions[:, span],
        poses=batch.poses[:, span],
        versions=batch.versions[:, span],
        guides=None if batch.guides is None else batch.guides[:, span],
    )


def seen_of(batch: Batch, history: Tensor, chosen_BK: Indices, current: int) -> Batch:
    """What is remembered of `history` `[B, T, ...]` for what begins at latent `current`, under the text in force there
    (KV recache)."""
    rows, chosen = torch.arange(len(chosen_BK))[:, None], torch.from_numpy(chosen_BK)
    return replace(
        batch,
        latents=history[rows, chosen],
        actions=batch.actions[rows, chosen],
        poses=np.take_along_axis(batch.poses, chosen_BK[:, :, None, None], 1),
        versions=batch.versions[:, current : current + 1].expand(chosen.shape),
        guides=None,
    )


# -- which latents are seen -------------------------------------------------------------------------------------------


def student_context(poses_BT44: Matrix, current: int, chunk: int, memory: MemoryConfig) -> Indices:
    """Latents `[B, K]` that the student's chunk at `current` sees: exactly those of play."""
    return np.stack([select_context(rigid_inverse(poses), current, chunk, memory) for poses in poses_BT44])


def teacher_context(poses_T44: Matrix, first: int, config: Distillation, memory: MemoryConfig) -> Indices:
    """Latents that teacher and fake score see of one clip: all that the student saw, minus what it made."""
    cameras = rigid_inverse(poses_T44)
    if config.teacher_memory == "latents":
        return _single_latents(cameras, first, config.rolled, memory)
    return aligned_context(cameras, first, config.rolled, memory, config.chunk)


def _single_latents(camera_from_world: Matrix, current: int, length: int, memory: MemoryConfig) -> Indices:
    """As many latents as a clip has, each for itself one of those whose views overlap the new ones most (figure 8a)."""
    single = replace(memory, spatial_latents=1, sink_latents=0)
    every, queries = np.arange(current), np.arange(current, current + length)
    overlaps = clip_overlaps(camera_from_world, queries, every, single, field_points(single))
    return np.sort(np.argsort(-overlaps, kind="stable")[: memory.spatial_latents])


# -- the student ------------------------------------------------------------------------------------------------------


def few_steps(
    student: Network, noisy: Batch, known_BT: Tensor, levels: Sequence[float], memory: Any | None, learns: bool
) -> Tensor:
    """Clean latents after steps at these levels, gradients through the last alone; known latents stay as they are.

    Steps are those of play (Euler), and the last one goes to level 0 from wherever it stands.
    """
    x, keep = noisy.latents, known_BT[..., None, None, None]

    def velocity(level: float) -> Tensor:
        at = torch.full(known_BT.shape, level, device=x.device).masked_fill(known_BT, 0.0)
        return student.velocity(replace(noisy, latents=x), at, memory)

    with torch.no_grad():
        for level, next_level in pairwise(levels):
            x = torch.where(keep, x, euler(x, velocity(level), level, next_level))
    with torch.set_grad_enabled(learns):
        return torch.where(keep, x, euler(x, velocity(levels[-1]), levels[-1], 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """What the student made after `first` latents of history `[B, first, ...]`: latents `[B, n * chunk, ...]`, with
    gradient where it learns; `known` `[B, n * chunk]` were given."""

    first: int
    history: Tensor
    made: Tensor
    known: Tensor


def roll_out(
    student: Network,
    batch: Batch,
    first: int,
    config: Distillation,
    memory: MemoryConfig,
    chance: Chance,
    *,
    learns: bool,
    exits: Sequence[int] | None = None,
) -> Rollout:
    """Lines 5 to 10 of Algorithm 1. `exits` replaces the random number of denoising steps of each chunk."""
    levels = schedule(config.steps, config.shift)[:-1].tolist()
    given = (chance.uniform() < config.given_first).to(batch.latents.device)
    history, parts, knowns = batch.latents[:, :first], [], []
    for i in range(config.chunks):
        current = first + i * config.chunk
        noise = chance.noise(batch.latents[:, current : current + config.chunk])
        known = torch.zeros(noise.shape[:2], dtype=torch.bool, device=noise.device)
        noisy = span_of(batch, current, noise)
        if current == 0:
            known[:, 0] = given
            noise = torch.where(known[..., None, None, None], batch.latents[:, : config.chunk], noise)
            shown = None if noisy.guides is None else noisy.guides * given[:, None, None, None, None]
            noisy = replace(noisy, latents=noise, guides=shown)
        seen = None
        if current:
            chosen = student_context(batch.poses, current, config.chunk, memory)
            with torch.no_grad():
                seen = student.remember(seen_of(batch, history, chosen, current), config.chunk)
        steps = chance.shared.randint(1, config.steps) if exits is None else exits[i]
        made = few_steps(student, noisy, known, levels[:steps], seen, learns)
        history = torch.cat([history, made.detach().half().float()], 1)  # as the journal keeps them
        parts.append(made)
        knowns.append(known)
    return Rollout(first, history[:, :first], torch.cat(parts, 1), torch.cat(knowns, 1))


def rolled_batch(
    student: Network, batch: Batch, first: int, config: Distillation, memory: MemoryConfig, chance: Chance
) -> Batch:
    """Figure 8b: the batch with the student's own history before `first`."""
    if first == 0:
        return batch
    before = replace(config, chunks=first // config.chunk)
    full = [config.steps] * before.chunks
    made = roll_out(student, batch, 0, before, memory, chance, learns=False, exits=full).made
    return replace(batch, latents=torch.cat([made.half().float(), batch.latents[:, first:]], 1))


# -- teacher and fake score -------------------------------------------------------------------------------------------


def look(network: Network, noisy: Batch, levels_BT: Tensor, history: Batch, first: int, seen: list[Indices],
         commit: int) -> Tensor:  # fmt: skip
    """Velocities of latents from `first` on, each sample in its own memory of `history`; memories of one length make
    one call."""
    groups: dict[int, list[int]] = {}
    for b, chosen in enumerate(seen):
        groups.setdefault(len(chosen), []).append(b)
    parts = []
    for length, group in groups.items():
        clips, memory = samples_of(history, group), None
        if length:
            chosen = np.stack([seen[b] for b in group])
            memory = network.remember(seen_of(clips, clips.latents, chosen, first), commit)
        parts.append(network.velocity(samples_of(noisy, group), levels_BT[group], memory))
    order = torch.tensor([b for group in groups.values() for b in group])
    return torch.cat(parts)[order.argsort()]


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A rollout (or a true continuation) as teacher and fake score look at it."""

    batch: Batch
    rollout: Rollout
    seen: list[Indices]
    commit: int
    guided: bool

    def velocity(self, network: Network, noise: Tensor, levels_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The noisy latents, their levels `[B, T]` (0 where known) and the network's velocities."""
        clean, known = self.rollout.made.detach(), self.rollout.known
        levels = levels_B.to(clean.device)[:, None].expand(known.shape).masked_fill(known, 0.0)
        noisy = span_of(self.batch, self.rollout.first, corrupt(clean, noise, levels))
        if not self.guided:
            noisy = replace(noisy, guides=None)
        first = self.rollout.first
        return noisy.latents, levels, look(network, noisy, levels, self._past, first, self.seen, self.commit)

    @property
    def _past(self) -> Batch:
        return replace(self.batch, latents=self.rollout.history)


def scene_of(batch: Batch, rollout: Rollout, config: Distillation, memory: MemoryConfig) -> Scene:
    """Line 11 of Algorithm 1: the memory of teacher and fake score."""
    seen = [teacher_context(poses, rollout.first, config, memory) for poses in batch.poses]
    commit = config.chunk if config.teacher_memory == "aligned" else 1
    return Scene(batch, rollout, seen, commit, config.teacher_guided)


def true_scene(batch: Batch, first: int, config: Distillation, memory: MemoryConfig) -> Scene:
    """The clip's own continuation: what the teacher is tuned on."""
    made = batch.latents[:, first : first + config.rolled]
    known = torch.zeros(made.shape[:2], dtype=torch.bool, device=made.device)
    return scene_of(batch, Rollout(first, batch.latents[:, :first], made, known), config, memory)


def per_sample(error_BTCYX: Tensor, known_BT: Tensor) -> Tensor:
    """Mean `[B]` over the latents that are not known."""
    weight = (~known_BT).float()
    return (error_BTCYX.mean((2, 3, 4)) * weight).sum(1) / weight.sum(1)


def score_loss(network: Network, scene: Scene, config: Distillation, chance: Chance) -> Tensor:
    """Flow matching on what a scene shows (line 17): of a fake score on the student's, of a teacher on true latents."""
    made = scene.rollout.made.detach()
    noise = chance.noise(made)
    _, _, velocity = scene.velocity(network, noise, chance.levels(config))
    return per_sample((velocity - (noise - made)).square(), scene.rollout.known).mean()


def matching_gradient(made: Tensor, real: Tensor, fake: Tensor, known_BT: Tensor) -> Tensor:
    """Gradient of the divergence between student and teacher, from their clean predictions (lines 14 to 16).

    It is the difference of the two scores times t^2 / (1 - t), divided by how far the teacher is from the sample, so
    that all levels and samples weigh alike; 0 where latents are known.
    """
    scale = per_sample((made - real).abs(), known_BT).clamp_min(1e-6)[:, None, None, None, None]
    gradient = torch.nan_to_num((fake - real) / scale)
    return gradient.masked_fill(known_BT[..., None, None, None], 0.0)


def matching_loss(
    real: Network, fake: Network, scene: Scene, config: Distillation, chance: Chance
) -> tuple[Tensor, dict[str, float]]:
    """A loss whose gradient in the student's latents is `matching_gradient`, over their number."""
    made, known = scene.rollout.made, scene.rollout.known
    noise, at = chance.noise(made), chance.levels(config)
    with torch.no_grad():
        noisy, levels, real_velocity = scene.velocity(real, noise, at)
        _, _, fake_velocity = scene.velocity(fake, noise, at)
        t = levels[..., None, None, None]
        gradient = matching_gradient(made, noisy - t * real_velocity, noisy - t * fake_velocity, known)
        target = made - gradient
    loss = per_sample(0.5 * (made - target).square(), known).mean()
    return loss, {"gradient": float(gradient.abs().mean())}
