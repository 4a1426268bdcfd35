"""The `pocket` diffusion transformer (paper §3.1, §3.2, figure 3).

Each block: self-attention with rotary and projective encoding, cross-attention to the text, feed-forward; shifts,
scales and gates per latent from timestep, discrete action and the gist of the text. What a latent may attend to is not
the network's business: the caller passes a `Mixer`, and training, commit and denoising differ in nothing else. The
network is invariant to the world's origin and to a common shift of time.

Shape letters: B batch, T latents in the call, n tokens of a latent, L = T n, N heads, H channels of a head, D width, S
text tokens, C latent channels, Y X latent grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.attention import attend
from engine.geometry import POCKET_LENS, image_from_camera, rigid_inverse
from engine.prope import Frustums, apply_per_latent, frustums
from engine.rope import RopeConfig, canvas_positions, rope_table, rotate

CANVAS = (6.0, 10.0)
"""Rows and columns of the token canvas that row and column positions are measured on (one unit is a token at 320x192).
"""
_SINUSOID = 256
COVERAGE = 4
"""Channels of the guide beyond those of a latent: how much of each cell every frame has covered."""
STALE = 1
"""One more: how much of each cell is drawn from pictures that are older than the words in force."""
UNIT = 0.25
"""Translations are given to the network in units of four metres."""
GUIDE_VARIANCE = 0.25
"""Mean squared difference of a guide and the truth, of normalised latents, where the context covers a cell."""


def shown_by(guides: Tensor) -> Tensor:
    """How much of each cell guides `[..., C + 5, Y, X]` show, `[..., 1, Y, X]`."""
    return guides[..., -STALE - COVERAGE : -STALE, :, :].mean(-3, keepdim=True)


def known_by(guides: Tensor) -> Tensor:
    """How much of each cell they show as the words in force have it, `[..., 1, Y, X]`: what is stale is to change."""
    return (shown_by(guides) - guides[..., -STALE:, :, :]).clamp(0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PocketConfig:
    """Sizes of the transformer."""

    width: int = 256
    heads: int = 4
    depth: int = 8
    latent_channels: int = 32
    patch: int = 2
    text_width: int = 512
    guided: bool = True
    """Whether the network sees the geometric guide (engine/guide.py): another C + 4 channels beside the latents."""
    camera: Literal["split", "branch"] = "split"
    """`split`: half the channels of every head are rotary, half projective, one attention. `branch`: the paper's second
    attention, its output projection zero-initialised.
    """
    actions: Literal["both", "discrete", "continuous"] = "both"
    """What it is told of an action (paper §3.2 and table 3): the class, the cameras, or both."""

    def __post_init__(self) -> None:
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ValueError(f"width {self.width} needs {self.heads} heads of a multiple of 8 channels")

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        return self.width // self.heads

    @property
    def rope(self) -> RopeConfig:
        """About 3/8 of the rotary channels for time, the rest shared by row and column."""
        rotary = self.head_width // 2 if self.camera == "split" else self.head_width
        space = 2 * (rotary * 5 // 32)
        return RopeConfig(time=rotary - 2 * space, row=space, column=space, theta=100.0)


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the tokens of a call stand: rotary table `[L, K]` (or `[B, L, K]`) and frustums `[B, T, 4, 4]`."""

    table: Tensor
    frustums: Frustums


@dataclass(frozen=True, slots=True)
class QKV:
    """Queries, keys and values `[B, L, N, H]` of one block before any position is applied: what a cache stores."""

    q: Tensor
    k: Tensor
    v: Tensor


@dataclass(frozen=True, slots=True)
class TextCache:
    """Cross-attention keys and values `[B, N, S, H]` of every block, the bias `[B, 1, T or 1, 1, S]` that hides padding
    and the prompts that don't apply to a latent, and the gist of the one that does, `[B, T or 1, D]`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor
    gist: Tensor


Mixer = Callable[[int, QKV], Tensor]
"""(block index, q k v) -> attention output `[B, L, heads', H]` before the output projection."""


class Positions:
    """Rotary and projective encoding of queries, keys, values and outputs, as `PocketConfig.camera` says."""

    def __init__(self, config: PocketConfig) -> None:
        self.split = config.camera == "split"

    def _both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.chunk(2, -1) if self.split else (x, x)  # type: ignore[return-value]

    def _join(self, rotary: Tensor, projective: Tensor) -> Tensor:
        return torch.cat([rotary, projective], -1 if self.split else -2)

    def queries(self, q_BLNH: Tensor, geometry: Geometry) -> Tensor:
        """Positioned queries `[B, L, heads', H]`; `branch` has twice the heads."""
        rotary, projective = self._both(q_BLNH)
        return self._join(rotate(rotary, geometry.table), apply_per_latent(geometry.frustums.queries, projective))

    def keys(self, k_BLNH: Tensor, geometry: Geometry) -> Tensor:
        """Positioned keys `[B, L, heads', H]`."""
        rotary, projective = self._both(k_BLNH)
        return self._join(rotate(rotary, geometry.table), apply_per_latent(geometry.frustums.keys, projective))

    def values(self, v_BLNH: Tensor, geometry: Geometry) -> Tensor:
        """Positioned values `[B, L, heads', H]`; the rotary half stays as it is."""
        plain, projective = self._both(v_BLNH)
        return self._join(plain, apply_per_latent(geometry.frustums.keys, projective))

    def outputs(self, o_BLNH: Tensor, geometry: Geometry) -> Tensor:
        """Attention's outputs `[B, L, heads', H]`, back in the frame of the query's camera."""
        plain, projective = o_BLNH.chunk(2, -1 if self.split else -2)
        return self._join(plain, apply_per_latent(geometry.frustums.outputs, projective))


class ScalarEmbedder(nn.Module):
    """Sinusoid of a number on the 0..1000 scale, then a two-layer perceptron; optionally zero at initialisation."""

    def __init__(self, width: int, zero: bool = False) -> None:
        super().__init__()
        self.inner = nn.Linear(_SINUSOID, width)
        self.outer = nn.Linear(width, width)
        if zero:
            nn.init.zeros_(self.outer.weight)
            nn.init.zeros_(self.outer.bias)

    def forward(self, number: Tensor) -> Tensor:
        """Numbers `[...]` -> `[..., D]`."""
        half = _SINUSOID // 2
        angle = number.float()[..., None] * torch.exp(
            torch.arange(half, device=number.device) * (-math.log(10000.0) / half)
        )
        return self.outer(F.silu(self.inner(torch.cat([angle.cos(), angle.sin()], -1))))


class Block(nn.Module):
    """One transformer block; `modulation` `[B, T, 6, D]` is shared by all blocks, each adds a table of its own."""

    def __init__(self, config: PocketConfig) -> None:
        super().__init__()
        D, self.heads, self.head_width = config.width, config.heads, config.head_width
        streams = 1 if config.camera == "split" else 2
        self.table = nn.Parameter(torch.randn(6, D) * D**-0.5)
        self.qkv = nn.Linear(D, 3 * D)
        self.q_norm, self.k_norm = (nn.LayerNorm(self.head_width, 1e-6, bias=False) for _ in range(2))
        self.out = nn.Linear(streams * D, D)
        self.text_norm = nn.LayerNorm(D, 1e-6)
        self.text_q, self.text_kv, self.text_out = nn.Linear(D, D), nn.Linear(D, 2 * D), nn.Linear(D, D)
        self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        nn.init.zeros_(self.text_out.weight)
        nn.init.zeros_(self.out.weight[:, D:])

    def _heads(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.unflatten(-1, (self.heads, self.head_width))

    def forward(self, x_BTnD: Tensor, modulation: Tensor, index: int, mix: Mixer, text: TextCache) -> Tensor:
        """Tokens `[B, T, n, D]` -> the same shape."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            (modulation + self.table).unsqueeze(-2).unbind(2)
        )  # each [B, T, 1, D]
        D, n = x_BTnD.shape[-1], x_BTnD.shape[2]
        qkv = self.qkv((F.layer_norm(x_BTnD, (D,), eps=1e-6) * (1 + scale1) + shift1).flatten(1, 2))
        q, k, v = (self._heads(part) for part in qkv.chunk(3, -1))
        mixed = self.out(mix(index, QKV(self.q_norm(q), self.k_norm(k), v)).flatten(-2))
        x = x_BTnD + gate1 * mixed.unflatten(1, (-1, n))
        x = x + self._read_text(x, text, index)
        return x + gate2 * self.down(
            F.gelu(self.up(F.layer_norm(x, (D,), eps=1e-6) * (1 + scale2) + shift2), approximate="tanh")
        )

    def _read_text(self, x_BTnD: Tensor, text: TextCache, index: int) -> Tensor:
        n = x_BTnD.shape[2]
        q = self._heads(self.text_q(self.text_norm(x_BTnD)).flatten(1, 2)).transpose(1, 2)
        bias = text.bias.expand(-1, -1, x_BTnD.shape[1], n, -1).flatten(2, 3)
        read = attend(q, text.keys[index], text.values[index], bias)
        return self.text_out(read.transpose(1, 2).flatten(-2)).unflatten(1, (-1, n))


class Pocket(nn.Module):
    """Velocity network: latents, noise levels, actions, geometry and text -> noise minus clean."""

    def __init__(self, config: PocketConfig) -> None:
        super().__init__()
        self.config = config
        self.positions = Positions(config)
        D, features = config.width, config.latent_channels * config.patch**2
        self.patch_in, self.place_in = nn.Linear(features, D), nn.Linear(32, D, bias=False)
        if config.guided:
            self.guide_in = nn.Linear(self.guide_channels * config.patch**2, D, bias=False)
        self.time, self.action = ScalarEmbedder(D), ScalarEmbedder(D, zero=True)
        self.modulation = nn.Linear(D, 6 * D)
        self.text_in = nn.Sequential(
            nn.LayerNorm(config.text_width),
            nn.Linear(config.text_width, D),
            nn.GELU(approximate="tanh"),
            nn.Linear(D, D),
        )
        self.no_text = nn.Parameter(torch.randn(1, D) * 0.02)
        self.text_gist, self.text_condition = nn.Linear(D, 1), nn.Linear(D, D)
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.depth)])
        self.out_modulation = nn.Linear(D, 2 * D)
        self.patch_out = nn.Linear(D, features)
        for layer in (self.text_condition, self.modulation, self.out_modulation, self.patch_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def guide_channels(self) -> int:
        """Channels of a guide."""
        return self.config.latent_channels + COVERAGE + STALE

    def geometry(self, times: Tensor, grid: tuple[int, int], frustums: Frustums) -> Geometry:
        """Geometry of latents with (reframed) time indices `times` `[T]` on a latent grid (Y, X)."""
        rows, columns = (
            canvas_positions(cells // self.config.patch, extent) for cells, extent in zip(grid, CANVAS, strict=True)
        )
        device = self.no_text.device
        if self.config.actions == "discrete":
            frustums = frustums.indistinct()
        return Geometry(rope_table(times, rows, columns, self.config.rope).to(device), frustums.to(device))

    def read_prompt(self, features_BSE: Tensor, lengths_B: Tensor, versions_BT: Tensor | None = None) -> TextCache:
        """Text keys and values of every block.

        features: `[B, S, text_width]`, or `[B, V, S, text_width]` for V prompts a sample of which `versions` `[B, T]`
        says which applies to a latent; lengths `[B]` or `[B, V]`: valid rows (0 for no text). A learned row always
        stands first, so no prompt is an answer too.
        """
        features = features_BSE if features_BSE.ndim == 4 else features_BSE[:, None]
        B, V, S = features.shape[:3]
        lengths = lengths_B.view(B, V)
        tokens = torch.cat([self.no_text.expand(B, V, 1, -1), self.text_in(features)], 2)
        visible = torch.arange(S + 1, device=features.device) < 1 + lengths[..., None]  # [B, V, S + 1]
        weights = self.text_gist(tokens).float().masked_fill(~visible[..., None], -1e9).softmax(2)
        gist = (weights * tokens).sum(2)  # [B, V, D]
        if versions_BT is None:
            allowed = visible.reshape(B, 1, -1)
        else:
            gist = gist[torch.arange(B, device=gist.device)[:, None], versions_BT]
            chosen = torch.arange(V, device=features.device) == versions_BT[..., None]  # [B, T, V]
            allowed = (chosen[..., None] & visible[:, None]).flatten(2)
        bias = torch.zeros(allowed.shape, device=features.device).masked_fill(~allowed, -1e9)[:, None, :, None]
        keys, values = [], []
        for block in self.blocks:
            assert isinstance(block, Block)
            k, v = (
                block.text_kv(tokens.flatten(1, 2))
                .unflatten(-1, (-1, self.config.head_width))
                .transpose(1, 2)
                .chunk(2, 1)
            )
            keys.append(k)
            values.append(v)
        return TextCache(keys, values, bias, gist)

    def forward(
        self,
        latents_BTCYX: Tensor,
        noise_BT: Tensor,
        actions_BT: Tensor,
        text: TextCache,
        mix: Mixer,
        guide: Tensor | None = None,
    ) -> Tensor:
        """Velocity `[B, T, C, Y, X]` in float32.

        `noise` is the level 0 (clean) .. 1 of each latent, `actions` its class 0..80, `guide` `[B, T, C + 5, Y, X]`
        what the context shows there (zeros, as None, for nothing). What the network adds is a correction of the best
        linear guess from noisy latent and guide: an untrained one draws the guide.
        """
        Y, X = latents_BTCYX.shape[-2:]
        x = self.patch_in(patchify(latents_BTCYX, self.config.patch)) + self.place_in(
            _place(Y, X, self.config.patch, latents_BTCYX.device)
        )
        if guide is not None:
            x = x + self.guide_in(patchify(guide, self.config.patch))
        if self.config.actions == "continuous":
            actions_BT = torch.zeros_like(actions_BT)
        condition = F.silu(self.time(1000 * noise_BT) + self.action(actions_BT) + self.text_condition(text.gist))
        modulation = self.modulation(condition).unflatten(-1, (6, -1))
        for index, block in enumerate(self.blocks):
            x = block(x, modulation, index, mix, text)
        shift, scale = self.out_modulation(condition).unsqueeze(-2).chunk(2, -1)
        y = self.patch_out(F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift)
        correction = unpatchify(y.float(), self.config.patch, (Y, X))
        if not self.config.guided:
            return correction
        return correction + linear_velocity(latents_BTCYX.float(), noise_BT, guide)


def pocket_frustums(world_from_camera: NDArray[np.floating], origin: NDArray[np.floating]) -> Frustums:
    """Frustums `[B, T, 4, 4]` of `pocket` cameras `[B, T, 4, 4]`, relative to the camera `origin` `[B, 1, 4, 4]`.

    For one world the batch axis may be left out: cameras `[T, 4, 4]`, origin `[4, 4]`.
    """
    camera_from_origin = rigid_inverse(np.asarray(world_from_camera, dtype=np.float64)) @ np.asarray(
        origin, dtype=np.float64
    )
    batched = torch.from_numpy(camera_from_origin.reshape(-1, *camera_from_origin.shape[-3:]))
    return frustums(batched, torch.from_numpy(image_from_camera(POCKET_LENS)), UNIT)


def linear_velocity(noisy_BTCYX: Tensor, levels_BT: Tensor, guide: Tensor | None) -> Tensor:
    """The velocity that is right on average if clean latents are normal: around the guide with variance
    `GUIDE_VARIANCE` where the context covers a cell, around 0 with variance 1 where it doesn't.
    """
    t = levels_BT[..., None, None, None]
    if guide is None:
        covered, mean = torch.zeros_like(noisy_BTCYX[:, :, :1]), torch.zeros_like(noisy_BTCYX)
    else:
        C = noisy_BTCYX.shape[2]
        covered = shown_by(guide)
        mean = covered * guide[:, :, :C]
    variance = 1 - (1 - GUIDE_VARIANCE) * covered
    return ((t - (1 - t) * variance) * noisy_BTCYX - t * mean) / ((1 - t).square() * variance + t.square())


def patchify(latents_BTCYX: Tensor, patch: int) -> Tensor:
    """`[B, T, C, Y, X]` -> tokens `[B, T, n, C * patch^2]`, features ordered (channel, row, column)."""
    B, T = latents_BTCYX.shape[:2]
    return F.pixel_unshuffle(latents_BTCYX.flatten(0, 1), patch).flatten(2).mT.unflatten(0, (B, T))


def unpatchify(tokens_BTnE: Tensor, patch: int, grid: tuple[int, int]) -> Tensor:
    """The inverse of `patchify`."""
    B, T = tokens_BTnE.shape[:2]
    planes = tokens_BTnE.flatten(0, 1).mT.unflatten(-1, (grid[0] // patch, grid[1] // patch))
    return F.pixel_shuffle(planes, patch).unflatten(0, (B, T))


def _place(Y: int, X: int, patch: int, device: torch.device) -> Tensor:
    """Where a token stands in the picture, sines and cosines `[n, 32]`: the horizon and the ground are not relative."""
    waves = []
    for positions in torch.meshgrid(*(canvas_positions(cells // patch, 1.0) for cells in (Y, X)), indexing="ij"):
        angle = positions.reshape(-1, 1) * math.pi * 2.0 ** torch.arange(-1, 7) / 2
        waves += [angle.sin(), angle.cos()]
    return torch.cat(waves, -1).float().to(device)
