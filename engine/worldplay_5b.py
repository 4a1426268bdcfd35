"""The released WorldPlay 5B, built on Wan 2.2 TI2V (SPEC 4). Module names are those of the checkpoint.

Text is read by cross-attention from a fixed number of rows without a mask: rows after the prompt are zero and take
part. Shape letters: B batch, T latents, C channels, Y X latent grid, n = Y X / 4 tokens, L = T n, N heads, H channels
of a head, D width, S text rows, E width of the text encoder.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.parallel import Ranks
from engine.released import (
    CONTEXT_TIMESTEP,
    Clip,
    ContextCache,
    Keep,
    Layers,
    Perceptron,
    PlainKeys,
    attend_tokens,
    keep,
    modulate,
    per_latent,
    place,
    sinusoid,
    two_branch_attention,
)
from engine.rope import RopeConfig
from engine.transformer import QKV, Geometry


@dataclass(frozen=True, kw_only=True, slots=True)
class Config5B:
    """Sizes of the transformer; the defaults are the released ones."""

    width: int = 3072
    heads: int = 24
    depth: int = 30
    feed_forward: int = 14336
    latent_channels: int = 48
    text_width: int = 4096
    theta: float = 10_000.0

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        return self.width // self.heads

    @property
    def rope(self) -> RopeConfig:
        """Thirds of the head for row and column, rounded down to even, the rest for time."""
        space = 2 * (self.head_width // 6)
        return RopeConfig(time=self.head_width - 2 * space, row=space, column=space, theta=self.theta)


class SelfAttention(nn.Module):
    """Two-branch attention; q and k are normalised over the full width before the heads are split."""

    def __init__(self, config: Config5B, branches: bool = True) -> None:
        super().__init__()
        D, self.heads = config.width, config.heads
        self.to_q, self.to_k, self.to_v = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)
        self.norm_q, self.norm_k = nn.RMSNorm(D, 1e-6), nn.RMSNorm(D, 1e-6)
        self.to_out = nn.ModuleList([nn.Linear(D, D)])
        if branches:
            self.to_out_prope = nn.ModuleList([nn.Linear(D, D)])

    def split(self, x: Tensor) -> Tensor:
        """`[B, L, D]` -> `[B, L, N, H]`."""
        return x.unflatten(-1, (self.heads, -1))

    def keys(self, x_BLD: Tensor) -> PlainKeys:
        """Normalised keys and values of tokens."""
        return PlainKeys(self.split(self.norm_k(self.to_k(x_BLD))), self.split(self.to_v(x_BLD)))

    def qkv(self, x_BLD: Tensor) -> QKV:
        """Normalised queries and keys, and values, of tokens."""
        own = self.keys(x_BLD)
        return QKV(self.split(self.norm_q(self.to_q(x_BLD))), own.keys, own.values)


class Activation(nn.Module):
    """Linear and GELU (tanh)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., inner]`."""
        return nn.functional.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Linear, GELU, linear; `net.0.proj` and `net.2` in the checkpoint."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(Activation(width, inner), nn.Identity(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        return self.net(x)


class Block5B(nn.Module):
    """Self-attention, text cross-attention, feed-forward; modulation per latent."""

    def __init__(self, config: Config5B) -> None:
        super().__init__()
        D = config.width
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, D) * D**-0.5)
        self.attn1, self.attn2 = SelfAttention(config), SelfAttention(config, branches=False)
        self.norm2 = nn.LayerNorm(D, 1e-6)
        self.ffn = FeedForward(D, config.feed_forward)

    def parts(self, modulation_BT6D: Tensor) -> tuple[Tensor, ...]:
        """Shift, scale, gate of attention and of the feed-forward, each `[B, T, 1, D]`."""
        return (self.scale_shift_table + modulation_BT6D).unsqueeze(-2).unbind(2)

    def own(self, x_BTnD: Tensor, modulation_BT6D: Tensor) -> QKV:
        """Queries, keys and values of this call's tokens."""
        shift, scale, *_ = self.parts(modulation_BT6D)
        return self.attn1.qkv(modulate(x_BTnD, shift, scale).flatten(1, 2))

    def forward(self, x_BTnD: Tensor, modulation_BT6D: Tensor, own: QKV, geometry: Geometry, index: int,
                text: PlainKeys, context: ContextCache | None, ranks: Ranks) -> Tensor:
        """The block's output `[B, T, n, D]`; `own` are the call's queries, keys and values of all heads."""
        rotary, projective = two_branch_attention(own, geometry, index, context, ranks=ranks)
        return self.finish(x_BTnD, modulation_BT6D, rotary, projective, text)

    def finish(self, x_BTnD: Tensor, modulation_BT6D: Tensor, rotary: Tensor, projective: Tensor,
               text: PlainKeys) -> Tensor:
        """The block's output after both branches' attention `[B, L, N, H]`: projection, text, feed-forward."""
        _, _, gate1, shift2, scale2, gate2 = self.parts(modulation_BT6D)
        n = x_BTnD.shape[2]
        mixed = self.attn1.to_out[0](rotary.flatten(2)) + self.attn1.to_out_prope[0](projective.flatten(2))
        x = x_BTnD + gate1 * mixed.unflatten(1, (-1, n))
        q = self.attn2.split(self.attn2.norm_q(self.attn2.to_q(self.norm2(x).flatten(1, 2))))
        read = attend_tokens(q, text.keys, text.values)
        x = x + self.attn2.to_out[0](read.flatten(2)).unflatten(1, (-1, n))
        return x + gate2 * self.ffn(modulate(x, shift2, scale2))


class ConditionEmbedder(nn.Module):
    """Time, action and text embeddings."""

    def __init__(self, config: Config5B) -> None:
        super().__init__()
        D = config.width
        self.time_embedder = Perceptron(256, D, nn.SiLU())
        self.action_embedder = Perceptron(256, D, nn.SiLU())
        self.time_proj = nn.Linear(D, 6 * D)
        self.text_embedder = Perceptron(config.text_width, D, nn.GELU(approximate="tanh"))


class WorldPlay5B(nn.Module):
    """Velocity network of the released 5B."""

    def __init__(self, config: Config5B) -> None:
        super().__init__()
        self.config = config
        self.ranks = Ranks()
        """The processes that share the heads; set it before the first call."""
        D = config.width
        self.patch_embedding = nn.Conv3d(config.latent_channels, D, (1, 2, 2), (1, 2, 2))
        self.condition_embedder = ConditionEmbedder(config)
        self.blocks: Layers[Block5B] = Layers([Block5B(config) for _ in range(config.depth)])
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, D) * D**-0.5)
        self.proj_out = nn.Linear(D, 4 * config.latent_channels)

    def tokens(self, grid: tuple[int, int]) -> int:
        """Tokens of a latent of (Y, X)."""
        return grid[0] * grid[1] // 4

    def geometry(self, times: range, grid: tuple[int, int], camera_from_world: Tensor,
                 image_from_camera: Tensor) -> Geometry:
        """Geometry of T latents on a latent grid (Y, X): T time indices, cameras and intrinsics `[T, 4, 4]`."""
        return place(times, (grid[0] // 2, grid[1] // 2), camera_from_world, image_from_camera, self.config.rope)

    def read_prompt(self, text_BSE: Tensor) -> list[PlainKeys]:
        """Cross-attention keys and values of every block from encoder rows, which are zero after the prompt."""
        tokens = self.condition_embedder.text_embedder(text_BSE)
        return [block.attn2.keys(tokens) for block in self.blocks]

    def remember(self, clip: Clip, text: list[PlainKeys], keep: Keep = keep) -> ContextCache:
        """One pass over clean context latents, all of which see each other (SPEC 3.6, 4)."""
        x, _, modulation = self._embed(clip, CONTEXT_TIMESTEP)
        keys, values = [], []
        for index, block in enumerate(self.blocks):
            own = block.own(x, modulation)
            kept = keep(index, self.ranks.mine(own))
            keys.append(kept.keys)
            values.append(kept.values)
            if index + 1 < len(self.blocks):
                x = block(x, modulation, own, clip.geometry, index, text[index], None, self.ranks)
        return ContextCache(keys, values, clip.geometry)

    def velocity(self, clip: Clip, timesteps: float | Tensor, text: list[PlainKeys],
                 context: ContextCache | None) -> Tensor:
        """Velocity `[B, T, C, Y, X]` of noisy latents at one time, or one time per latent, on the 0..1000 scale."""
        x, embedding, modulation = self._embed(clip, timesteps)
        for index, block in enumerate(self.blocks):
            own = block.own(x, modulation)
            x = block(x, modulation, own, clip.geometry, index, text[index], context, self.ranks)
        shift, scale = (self.scale_shift_table + embedding.unsqueeze(-2)).unsqueeze(-2).unbind(2)
        y = self.proj_out(modulate(x, shift, scale)).float()
        Y, X = clip.latents.shape[-2:]
        y = y.unflatten(-1, (2, 2, -1)).unflatten(2, (Y // 2, X // 2))       # [B, T, rows, columns, row, column, C]
        return y.permute(0, 1, 6, 2, 4, 3, 5).reshape(clip.latents.shape)

    def _embed(self, clip: Clip, timesteps: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens `[B, T, n, D]`, embedding `[1, T, D]` and modulation `[1, T, 6, D]` of time and action."""
        condition = self.condition_embedder
        time = condition.time_embedder(sinusoid(per_latent(timesteps, clip)))
        embedding = time + condition.action_embedder(sinusoid(clip.actions))
        modulation = condition.time_proj(nn.functional.silu(embedding)).unflatten(-1, (6, -1))
        tokens = self.patch_embedding(clip.latents.transpose(1, 2))          # [B, D, T, rows, columns]
        return tokens.flatten(3).permute(0, 2, 3, 1), embedding[None], modulation[None]
