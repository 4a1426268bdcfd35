"""Distribution matching (paper §3.4, lines 11 to 17 of Algorithm 1): what teacher and fake score say of a rollout.

The real score is the teacher's velocity, frozen; the fake score is that of a network which learns by flow matching what
the student makes. Both look at all that the student made at once, in aligned memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.flow import corrupt
from engine.memory import MemoryConfig
from engine.training.base import Batch
from engine.training.distill import Chance, Distillation, Indices, Network, Rollout, teacher_context
from engine.training.spans import samples_of, seen_of, span_of, started_from


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
    how: Distillation

    def velocity(self, network: Network, noise: Tensor, levels_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The noisy latents, their levels `[B, T]` (0 where known) and the network's velocities."""
        clean, known, first = self.rollout.made.detach(), self.rollout.known, self.rollout.first
        levels = levels_B.to(clean.device)[:, None].expand(known.shape).masked_fill(known, 0.0)
        noisy = span_of(self.batch, first, corrupt(clean, noise, levels))
        if not self.how.teacher_guided:
            noisy = replace(noisy, guides=None)
        elif first == 0:
            noisy = started_from(noisy, known[:, 0], self.how.chunk)
        past = replace(self.batch, latents=self.rollout.history)
        commit = self.how.chunk if self.how.teacher_memory == "aligned" else 1
        return noisy.latents, levels, look(network, noisy, levels, past, first, self.seen, commit)


def scene_of(batch: Batch, rollout: Rollout, config: Distillation, memory: MemoryConfig) -> Scene:
    """Line 11 of Algorithm 1: the memory of teacher and fake score."""
    seen = [teacher_context(poses, rollout.first, config, memory) for poses in batch.poses]
    return Scene(batch, rollout, seen, config)


def true_scene(batch: Batch, first: int, config: Distillation, memory: MemoryConfig, chance: Chance) -> Scene:
    """The clip's own continuation: what the teacher is tuned on."""
    made = batch.latents[:, first : first + config.rolled]
    known = torch.zeros(made.shape[:2], dtype=torch.bool, device=made.device)
    if first == 0:
        known[:, 0] = chance.given(config)
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
