"""Context forcing (paper §3.4, figure 5, Algorithm 1): a few-step student learns from a teacher that sees the same
memory.

The student continues true history by a few chunks of its own, each from the context that play would give it. Teacher
and fake score look at all of them at once, in the context of the student *minus* what it has just made. How far the two
disagree is the gradient (engine/training/matching.py): the teacher says where such pictures should be, the fake score
where the student's are. All are velocity networks; a `Network` is all that these modules know of them.

Shape letters as in engine/transformer.py; j is the first latent that the student makes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.errors import WanderError
from engine.flow import LEAD, SHIFT, sample, schedule, shift_levels
from engine.geometry import Matrix, rigid_inverse
from engine.memory import MemoryConfig, aligned_context, clip_overlaps, field_points, select_context
from engine.training.base import Batch
from engine.training.spans import seen_of, span_of, started_from
from engine.transformer import known_by

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
    shift: float = SHIFT
    """Of its levels, as in play."""
    lead: float = LEAD
    """Of its estimates, as in play."""
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

    def given(self, config: Distillation) -> Tensor:
        """Which clips `[B]` start from a given latent."""
        return self.uniform() < config.given_first

    def levels(self, config: Distillation) -> Tensor:
        """Levels `[B]` at which scores are compared."""
        low, high = config.noise_range
        return shift_levels(self.uniform(), config.noise_shift).clamp(low, high)


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
    student: Network,
    span: Batch,
    noises: Sequence[Tensor],
    known_BT: Tensor,
    config: Distillation,
    exit_after: int,
    memory: Any | None,
    learns: bool,
) -> Tensor:
    """Clean latents as play makes them, of step `exit_after`, gradients through that step alone; known latents
    of `span` stay as they are."""
    levels, keep = schedule(config.steps, config.shift).tolist(), known_BT[..., None, None, None]

    def velocity(x: Tensor, level: float) -> Tensor:
        at = torch.full(known_BT.shape, level, device=x.device).masked_fill(known_BT, 0.0)
        with torch.set_grad_enabled(learns and level == levels[exit_after - 1]):
            return student.velocity(replace(span, latents=torch.where(keep, span.latents, x)), at, memory)

    renewed = 0.0 if span.guides is None else known_by(span.guides)
    return torch.where(keep, span.latents, sample(velocity, noises, levels, config.lead, renewed, exit_after))


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
    given = chance.given(config).to(batch.latents.device)
    history, parts, knowns = batch.latents[:, :first], [], []
    for i in range(config.chunks):
        current = first + i * config.chunk
        truth = batch.latents[:, current : current + config.chunk]
        noises = [chance.noise(truth) for _ in range(config.steps)]
        known = torch.zeros(truth.shape[:2], dtype=torch.bool, device=truth.device)
        span = span_of(batch, current, truth)
        if current == 0:
            known[:, 0], span = given, started_from(span, given, config.chunk)
        seen = None
        if current:
            chosen = student_context(batch.poses, current, config.chunk, memory)
            with torch.no_grad():
                seen = student.remember(seen_of(batch, history, chosen, current), config.chunk)
        steps = chance.shared.randint(1, config.steps) if exits is None else exits[i]
        made = few_steps(student, span, noises, known, config, steps, seen, learns)
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
