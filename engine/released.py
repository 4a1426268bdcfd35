"""What the two released transformers share: two-branch attention, the context cache, scalar embeddings (SPEC 2).

Shape letters: B batch, T latents in the call, n tokens of a latent, L = T n, N heads, H channels of a head, D width,
K keys, C channels, Y X latent grid.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.attention import attend
from engine.parallel import Ranks
from engine.prope import apply_per_latent, frustums
from engine.rope import RopeConfig, rope_table, rotate
from engine.transformer import QKV, Geometry

Layer = TypeVar("Layer", bound=nn.Module)
CONTEXT_TIMESTEP = 14.0
"""Clean context latents are shown at this time on the 0..1000 scale."""


@dataclass(frozen=True, slots=True)
class Clip:
    """T latents of a call `[B, T, C, Y, X]` (C with the condition channels, if the model has any), their actions `[T]`
    in 0..80 and where they stand."""

    latents: Tensor
    actions: Tensor
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class ContextCache:
    """Keys and values `[B, L, N, H]` of every block before any position is applied, and where their latents stand.

    Stored once and encoded for both branches when read: half the memory of storing both, the same function.
    """

    keys: list[Tensor]
    values: list[Tensor]
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class PlainKeys:
    """Keys and values `[B, S, N, H]` without any position, seen by both branches alike (text)."""

    keys: Tensor
    values: Tensor


Keep = Callable[[int, QKV], PlainKeys]
"""(block, this rank's queries, keys and values) of the context pass -> its keys and values where they are kept."""


def keep(_block: int, own: QKV) -> PlainKeys:
    """Keys and values as they are, of one type."""
    return PlainKeys(own.k.to(own.v.dtype), own.v)  # a norm may leave float32 where the rest is not


@lru_cache(maxsize=8)
def rotary(times: range, grid: tuple[int, int], rope: RopeConfig, device: torch.device) -> Tensor:
    """Rotary table of latents at consecutive times: the same chunk after chunk, since time is reframed."""
    with torch.inference_mode(False):
        times_T = torch.arange(times.start, times.stop, device=device)
        rows, columns = (torch.arange(cells, device=device) for cells in grid)
        return rope_table(times_T, rows, columns, rope)


def place(times: range, grid: tuple[int, int], camera_from_world: Tensor, image_from_camera: Tensor,
          rope: RopeConfig) -> Geometry:
    """Geometry of T latents: (reframed) time indices, token grid, cameras `[T, 4, 4]`, intrinsics `[T, 4, 4]`."""
    return Geometry(rotary(times, grid, rope, camera_from_world.device),
                    frustums(camera_from_world[None], image_from_camera))  # fmt: skip


def branch_keys(k_BLNH: Tensor, geometry: Geometry) -> Tensor:
    """Rotary keys, then projective keys, along the batch: `[2 B, L, N, H]`."""
    return torch.cat([rotate(k_BLNH, geometry.table), apply_per_latent(geometry.frustums.keys, k_BLNH)])


def branch_values(v_BLNH: Tensor, geometry: Geometry) -> Tensor:
    """Plain values, then projective values, along the batch: `[2 B, L, N, H]`."""
    return torch.cat([v_BLNH, apply_per_latent(geometry.frustums.keys, v_BLNH)])


def _branch_queries(q_BLNH: Tensor, geometry: Geometry) -> Tensor:
    return torch.cat([rotate(q_BLNH, geometry.table), apply_per_latent(geometry.frustums.queries, q_BLNH)])


def attend_tokens(q_BLNH: Tensor, k_BKNH: Tensor, v_BKNH: Tensor) -> Tensor:
    """Attention on `[B, tokens, N, H]`, as tokens come out of a projection."""
    return attend(q_BLNH.transpose(1, 2), k_BKNH.transpose(1, 2), v_BKNH.transpose(1, 2)).transpose(1, 2)


def two_branch_attention(own: QKV, geometry: Geometry, index: int, context: ContextCache | None = None,
                         plain: PlainKeys | None = None, ranks: Ranks | None = None) -> tuple[Tensor, Tensor]:
    """Rotary and projective attention of one block over [plain | context | own] keys, each `[B, L, N, H]`.

    `ranks` share the heads; the context then holds this rank's heads alone, all else holds all.
    """
    ranks, heads = ranks or Ranks(), own.q.shape[2]
    own = ranks.mine(own)
    keys, values = [branch_keys(own.k, geometry)], [branch_values(own.v, geometry)]
    if context is not None:
        keys.append(branch_keys(context.keys[index], context.geometry))
        values.append(branch_values(context.values[index], context.geometry))
    if plain is not None:
        mine = ranks.heads(heads)
        keys.append(plain.keys[:, :, mine].repeat(2, 1, 1, 1))
        values.append(plain.values[:, :, mine].repeat(2, 1, 1, 1))
    attended = attend_tokens(_branch_queries(own.q, geometry), torch.cat(keys, 1), torch.cat(values, 1))
    rotary, projective = attended.chunk(2)
    projective = apply_per_latent(geometry.frustums.outputs, projective)
    if ranks.size == 1:
        return rotary, projective
    rotary, projective = ranks.gather(torch.cat([rotary, projective], 2), heads).chunk(2, 2)
    return rotary, projective


def sinusoid(number: Tensor, width: int = 256) -> Tensor:
    """Cosines, then sines of numbers on the 0..1000 scale, `[..., width]` float32."""
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=number.device) * (-math.log(10_000.0) / half))
    angle = number.float()[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


def norm(x: Tensor) -> Tensor:
    """Layer norm over the last axis without affine parameters."""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalised `x`, scaled and shifted."""
    return norm(x) * (1 + scale) + shift


def per_latent(timesteps: float | Tensor, clip: Clip) -> Tensor:
    """One time per latent of the clip, `[T]` float32, from one number or one per latent."""
    return torch.as_tensor(timesteps, dtype=torch.float32, device=clip.latents.device).expand(clip.latents.shape[1])


class Layers(nn.ModuleList, Generic[Layer]):
    """A list of layers that tells a type checker what it holds."""

    if TYPE_CHECKING:
        def __iter__(self) -> Iterator[Layer]: ...


class FeedForward(nn.Module):
    """Linear, activation, linear, under the names of the Hunyuan checkpoints."""

    def __init__(self, width: int, inner: int, activation: nn.Module) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, inner), activation, nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        return self.fc2(self.act(self.fc1(x)))


class Perceptron(nn.Module):
    """Two linear layers around an activation, under the names of the Wan and diffusers checkpoints."""

    def __init__(self, inner: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.linear_1, self.act, self.linear_2 = nn.Linear(inner, width), activation, nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inner]` -> `[..., width]`."""
        return self.linear_2(self.act(self.linear_1(x)))
