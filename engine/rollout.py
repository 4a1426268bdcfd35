"""How the released models make a video, chunk by chunk (SPEC 5, 7, 8, 9), with the memory and the sampler of `pocket`.

Autoregressive: the context is selected, encoded once at t = 14 with time indices 0..N-1, and the chunk is denoised
beside it at N and after. Bidirectional: context and chunk go through the network together at every step. State is
plain: the latents, actions and cameras of a `Track`; the rest is rebuilt for every chunk. Latents stay float32.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import memory
from engine.flow import euler, schedule
from engine.memory import MemoryConfig, Points, aligned_context, select_context
from engine.released import CONTEXT_TIMESTEP, Clip, PlainKeys
from engine.transformer import Geometry
from engine.worldplay_5b import WorldPlay5B
from engine.worldplay_8b import WorldPlay8B
from engine.worldplay_8b_text import Prompt8B

Autoregressive = WorldPlay5B | WorldPlay8B
Field = Callable[[Tensor, Tensor, float], list[Tensor]]
"""(chunk, times per latent, time) -> the velocity under each prompt, the negative one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a chunk is made."""

    memory: MemoryConfig
    levels: tuple[float, ...]
    """Noise levels from 1 to 0; a step leads from each to the next."""
    chunk: int = 4
    """Latents made at once."""
    guidance: float = 1.0
    """Weight of the prompt against the negative prompt; 1 for distilled models, which have no negative prompt."""


def worldplay_5b() -> Recipe:
    """The released 5B, few steps."""
    times = (1000.0, 960.0, 888.8889, 727.2728, 0.0)
    return Recipe(memory=memory.worldplay_5b(), levels=tuple(time / 1000 for time in times))


def worldplay_8b(steps: int = 4, guidance: float = 1.0, shift: float = 5.0) -> Recipe:
    """The released autoregressive 8B: 4 steps as distilled; 50 and guidance 6 before distillation."""
    return Recipe(memory=memory.worldplay_8b(), levels=tuple(schedule(steps, shift).tolist()), guidance=guidance)


def worldplay_8b_bidirectional(steps: int = 50, guidance: float = 6.0, shift: float = 5.0) -> Recipe:
    """The released bidirectional 8B: 16 latents at once."""
    return replace(worldplay_8b(steps, guidance, shift), chunk=16)


@dataclass(frozen=True, slots=True)
class Track:
    """A video that is being made: everything of its latents 0..T-1 that a model reads."""

    latents: Tensor
    """`[1, T, C, Y, X]` float32: finished latents, then noise for those to come."""
    actions: Tensor
    """`[T]`, 0..80."""
    camera_from_world: NDArray[np.float64]
    """`[T, 4, 4]`; the world is the camera of latent 0 (8B)."""
    image_from_camera: NDArray[np.float64]
    """`[T, 4, 4]`."""
    conditions: Tensor | None = None
    """`[1, T, C + 1, Y, X]`: image condition and mask (8B)."""
    given: int = 0
    """Latents at the start that are given, clean, and never changed (5B with an image: 1)."""

    def clip(self, chosen: NDArray[np.int64], latents: Tensor, geometry: Geometry) -> Clip:
        """The chosen latents as a call sees them, with their own condition channels."""
        if self.conditions is not None:
            latents = torch.cat([latents, self.conditions[:, chosen]], 2)
        return Clip(latents, self.actions[chosen], geometry)


def _geometry(model: Autoregressive, track: Track, chosen: NDArray[np.int64], first_time: int) -> Geometry:
    """Geometry of chosen latents at consecutive time indices from `first_time`, whatever their age (SPEC 8)."""
    device = track.latents.device
    cameras = torch.from_numpy(track.camera_from_world[chosen]).to(device)
    lenses = torch.from_numpy(track.image_from_camera[chosen]).to(device)
    times = range(first_time, first_time + len(chosen))
    return model.geometry(times, (track.latents.shape[-2], track.latents.shape[-1]), cameras, lenses)


def cached_field(model: Autoregressive, track: Track, context: NDArray[np.int64], own: NDArray[np.int64],
                 texts: Sequence[list[PlainKeys]]) -> Field:
    """Velocity of an autoregressive chunk: the context is encoded here, once for each prompt (SPEC 9.1, 9.3)."""
    caches = [None for _ in texts]
    if len(context):
        seen = track.clip(context, track.latents[:, context], _geometry(model, track, context, 0))
        caches = [model.remember(seen, text) for text in texts]
    geometry = _geometry(model, track, own, len(context))

    def field(x: Tensor, times: Tensor, _time: float) -> list[Tensor]:
        clip = track.clip(own, x, geometry)
        return [model.velocity(clip, times, text, cache) for text, cache in zip(texts, caches, strict=True)]

    return field


def joint_field(model: WorldPlay8B, track: Track, context: NDArray[np.int64], own: NDArray[np.int64],
                prompts: Sequence[Prompt8B]) -> Field:
    """Velocity of a bidirectional chunk: context and chunk in one call (SPEC 9.2).

    Condition channels are taken by position; position 0 is latent 0, because the sink always holds it.
    """
    both, count = np.concatenate([context, own]), len(context)
    geometry = _geometry(model, track, both, 0)
    seen, actions = track.latents[:, context], track.actions[both]
    conditions = [] if track.conditions is None else [track.conditions[:, : len(both)]]

    def field(x: Tensor, times: Tensor, time: float) -> list[Tensor]:
        clip = Clip(torch.cat([torch.cat([seen, x], 1), *conditions], 2), actions, geometry)
        all_times = torch.cat([times.new_full((count,), CONTEXT_TIMESTEP), times])
        return [model.joint_velocity(clip, all_times, prompt, time)[:, count:] for prompt in prompts]

    return field


def guided(velocities: Sequence[Tensor], guidance: float) -> Tensor:
    """The prompt's velocity, or negative + guidance * (prompt - negative)."""
    if len(velocities) != (1 if guidance == 1.0 else 2):
        raise ValueError(f"guidance {guidance:g} with {len(velocities)} prompts; it takes 1 without guidance, else 2")
    if len(velocities) == 1:
        return velocities[0]
    negative, positive = velocities
    return negative + guidance * (positive - negative)


def denoise(field: Field, noise: Tensor, levels: Sequence[float], guidance: float, given: Tensor) -> Iterator[Tensor]:
    """The chunk `[1, T, C, Y, X]` after every Euler step; latents where `given` `[T]` stay as they are, at t = 14."""
    x = noise.float()
    keep = given[None, :, None, None, None]
    for level, next_level in pairwise(levels):
        times = torch.where(given, CONTEXT_TIMESTEP, 1000 * level)
        velocity = guided(field(x, times, 1000 * level), guidance)
        x = torch.where(keep, x, euler(x, velocity, level, next_level))
        yield x


def choose_context(track: Track, current: int, recipe: Recipe, points: Points | None = None) -> NDArray[np.int64]:
    """Latents that the chunk at `current` sees; longer chunks see what chunks of a clip's length would have seen."""
    choose = select_context if recipe.chunk <= recipe.memory.spatial_latents else aligned_context
    return choose(track.camera_from_world, current, recipe.chunk, recipe.memory, points=points)


def next_chunk(model: Autoregressive, track: Track, current: int, recipe: Recipe, texts: Sequence[list[PlainKeys]],
               points: Points | None = None) -> Iterator[Tensor]:
    """The chunk at latent `current` after every step; `texts` come from `read_prompt`, the negative one first."""
    own = np.arange(current, current + recipe.chunk)
    field = cached_field(model, track, choose_context(track, current, recipe, points), own, texts)
    return _run(field, track, own, recipe)


def next_joint_chunk(model: WorldPlay8B, track: Track, current: int, recipe: Recipe, prompts: Sequence[Prompt8B],
                     points: Points | None = None) -> Iterator[Tensor]:
    """The same with the bidirectional 8B."""
    own = np.arange(current, current + recipe.chunk)
    field = joint_field(model, track, choose_context(track, current, recipe, points), own, prompts)
    return _run(field, track, own, recipe)


def _run(field: Field, track: Track, own: NDArray[np.int64], recipe: Recipe) -> Iterator[Tensor]:
    given = torch.from_numpy(own < track.given).to(track.latents.device)
    return denoise(field, track.latents[:, own], recipe.levels, recipe.guidance, given)
