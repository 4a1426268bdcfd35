"""The released WorldPlay 8B, built on HunyuanVideo 1.5 (SPEC 3): autoregressive and bidirectional.

Vision and text run as two streams. Autoregressive: text attends to text alone, so its keys and values are made once per
prompt; vision reads them beside context and itself. Bidirectional: both streams attend jointly at every step. Module
names are those of the checkpoint but for the dot after `img` and `txt` (`released_name`). Text keys carry no camera, so
the world's frame must be the camera of latent 0. Shape letters: B batch, T latents, C channels, Y X latent grid,
n = Y X tokens, L = T n, N heads, H channels of a head, D width, S text tokens.
"""
from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.parallel import Ranks
from engine.released import (
    CONTEXT_TIMESTEP,
    Clip,
    ContextCache,
    FeedForward,
    Keep,
    Layers,
    PlainKeys,
    attend_tokens,
    keep,
    modulate,
    per_latent,
    place,
    two_branch_attention,
)
from engine.rope import RopeConfig, rotate
from engine.transformer import QKV, Geometry
from engine.worldplay_8b_text import ImageTokens, Prompt8B, QuotedText, ScalarEmbedder, TextRefiner


@dataclass(frozen=True, kw_only=True, slots=True)
class Config8B:
    """Sizes of the transformer; the defaults are the released ones."""

    width: int = 2048
    heads: int = 16
    depth: int = 54
    rope: RopeConfig = field(default_factory=lambda: RopeConfig(time=16, row=56, column=56, theta=256.0))
    latent_channels: int = 32
    text_width: int = 3584
    image_width: int = 1152
    byt5_width: int = 1472
    byt5_inner: int = 2048
    mlp_ratio: int = 4
    refiner_depth: int = 2

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        return self.width // self.heads


def released_name(name: str) -> str:
    """The checkpoint's name of one of this module's tensors."""
    return name.replace(".img.", ".img_").replace(".txt.", ".txt_")


class Modulation(nn.Module):
    """Six shifts, scales and gates from a condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 6 * width)

    def forward(self, condition: Tensor) -> tuple[Tensor, ...]:
        """`[..., D]` -> shift, scale, gate of attention and of the feed-forward, each `[..., D]`."""
        return self.linear(F.silu(condition)).chunk(6, -1)


class Stream(nn.Module):
    """One stream's half of a block: modulation, q k v with per-head norm, output projection, feed-forward."""

    def __init__(self, config: Config8B) -> None:
        super().__init__()
        D, H = config.width, config.head_width
        self.heads, self.mod = config.heads, Modulation(config.width)
        self.attn_q, self.attn_k, self.attn_v, self.attn_proj = (nn.Linear(D, D) for _ in range(4))
        self.attn_q_norm, self.attn_k_norm = nn.RMSNorm(H, 1e-6), nn.RMSNorm(H, 1e-6)
        self.mlp = FeedForward(D, config.mlp_ratio * D, nn.GELU(approximate="tanh"))

    def qkv(self, x_BTnD: Tensor, parts: tuple[Tensor, ...]) -> QKV:
        """Queries, keys and values `[B, L, N, H]`."""
        z = modulate(x_BTnD, parts[0], parts[1]).flatten(1, 2)
        q, k, v = (layer(z).unflatten(-1, (self.heads, -1)) for layer in (self.attn_q, self.attn_k, self.attn_v))
        return QKV(self.attn_q_norm(q), self.attn_k_norm(k), v)

    def finish(self, x_BTnD: Tensor, mixed_BLD: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        """The stream after the projected attention `mixed` and the feed-forward."""
        _, _, gate1, shift2, scale2, gate2 = parts
        x = x_BTnD + gate1 * mixed_BLD.unflatten(1, x_BTnD.shape[1:3])
        return x + gate2 * self.mlp(modulate(x, shift2, scale2))


class VisionStream(Stream):
    """Vision: two output projections, one per branch, added."""

    def __init__(self, config: Config8B) -> None:
        super().__init__(config)
        self.attn_prope_proj = nn.Linear(config.width, config.width)

    def project(self, rotary_BLNH: Tensor, projective_BLNH: Tensor) -> Tensor:
        """Both branches' outputs -> `[B, L, D]`."""
        return self.attn_proj(rotary_BLNH.flatten(2)) + self.attn_prope_proj(projective_BLNH.flatten(2))


class Block8B(nn.Module):
    """A vision and a text stream."""

    def __init__(self, config: Config8B) -> None:
        super().__init__()
        self.img, self.txt = VisionStream(config), Stream(config)


class Output8B(nn.Module):
    """Final modulation and projection."""

    def __init__(self, config: Config8B) -> None:
        super().__init__()
        self.linear = nn.Linear(config.width, config.latent_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, 2 * config.width))

    def forward(self, x_BTnD: Tensor, condition_BT1D: Tensor) -> Tensor:
        """Tokens -> `[B, T, n, C]`."""
        shift, scale = self.adaLN_modulation(condition_BT1D).chunk(2, -1)
        return self.linear(modulate(x_BTnD, shift, scale))


class LatentEmbedder(nn.Module):
    """A 1x1x1 convolution of the input channels (`img_in`)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(channels, width, 1)

    def forward(self, latents_BTCYX: Tensor) -> Tensor:
        """-> `[B, T, n, D]`."""
        return self.proj(latents_BTCYX.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)


class WorldPlay8B(nn.Module):
    """Velocity network of the released 8B. Latents of its clips carry 2 C + 1 channels: noisy, condition, mask."""

    def __init__(self, config: Config8B) -> None:
        super().__init__()
        self.config = config
        self.ranks = Ranks()
        """The processes that share the heads of vision; set it before the first call."""
        D = config.width
        self.img_in = LatentEmbedder(2 * config.latent_channels + 1, D)
        self.time_in, self.action_in = ScalarEmbedder(D), ScalarEmbedder(D)
        self.txt_in = TextRefiner(config.text_width, D, config.heads, config.mlp_ratio, config.refiner_depth)
        self.byt5_in = QuotedText(config.byt5_width, config.byt5_inner, D)
        self.vision_in = ImageTokens(config.image_width, D)
        self.cond_type_embedding = nn.Embedding(3, D)
        self.double_blocks: Layers[Block8B] = Layers([Block8B(config) for _ in range(config.depth)])
        self.final_layer = Output8B(config)

    def tokens(self, grid: tuple[int, int]) -> int:
        """Tokens of a latent of (Y, X)."""
        return grid[0] * grid[1]

    def geometry(self, times: range, grid: tuple[int, int], camera_from_world: Tensor,
                 image_from_camera: Tensor) -> Geometry:
        """Geometry of T latents on a latent grid (Y, X): T time indices, cameras and intrinsics `[T, 4, 4]`."""
        return place(times, grid, camera_from_world, image_from_camera, self.config.rope)

    def text_tokens(self, prompt: Prompt8B, timestep: float | Tensor = 0.0) -> Tensor:
        """Tokens `[1, 1, S, D]` that enter the first block, in the order image, quoted text, text (SPEC 3.2)."""
        time = torch.as_tensor(timestep, dtype=torch.float32, device=prompt.text.device).reshape(1)
        kind = self.cond_type_embedding.weight
        parts = [self.vision_in(prompt.image) + kind[2], self.byt5_in(prompt.quoted) + kind[1],
                 self.txt_in(prompt.text, time) + kind[0]]
        return torch.cat(parts, 1)[:, None]

    def read_prompt(self, prompt: Prompt8B) -> list[PlainKeys]:
        """Text keys and values of every block; text attends to text only, at time 0 (SPEC 3.3)."""
        y = self.text_tokens(prompt)
        condition = self._time(0.0, y)
        cache: list[PlainKeys] = []
        for block in self.double_blocks:
            parts = block.txt.mod(condition)
            own = block.txt.qkv(y, parts)
            cache.append(PlainKeys(own.k, own.v))
            if len(cache) < len(self.double_blocks):
                y = block.txt.finish(y, block.txt.attn_proj(attend_tokens(own.q, own.k, own.v).flatten(2)), parts)
        return cache

    def remember(self, clip: Clip, text: list[PlainKeys], keep: Keep = keep) -> ContextCache:
        """One pass over clean context latents, which see the text and each other (SPEC 3.6)."""
        x, condition = self._embed(clip, CONTEXT_TIMESTEP)
        keys, values = [], []
        for index, block in enumerate(self.double_blocks):
            parts = block.img.mod(condition)
            own = block.img.qkv(x, parts)
            kept = keep(index, self.ranks.mine(own))
            keys.append(kept.keys)
            values.append(kept.values)
            if index + 1 < len(self.double_blocks):
                branches = two_branch_attention(own, clip.geometry, index, None, text[index], self.ranks)
                x = block.img.finish(x, block.img.project(*branches), parts)
        return ContextCache(keys, values, clip.geometry)

    def velocity(self, clip: Clip, timesteps: float | Tensor, text: list[PlainKeys],
                 context: ContextCache | None) -> Tensor:
        """Velocity `[B, T, C, Y, X]` at one time, or one time per latent, on the 0..1000 scale (SPEC 3.4)."""
        x, condition = self._embed(clip, timesteps)
        for index, block in enumerate(self.double_blocks):
            parts = block.img.mod(condition)
            own = block.img.qkv(x, parts)
            branches = two_branch_attention(own, clip.geometry, index, context, text[index], self.ranks)
            x = block.img.finish(x, block.img.project(*branches), parts)
        return self._velocity(x, condition, clip)

    def joint_velocity(self, clip: Clip, timesteps: float | Tensor, prompt: Prompt8B,
                       text_time: float | Tensor) -> Tensor:
        """Velocity in the bidirectional mode: vision and text attend jointly, the text at `text_time` (SPEC 3.7)."""
        x, condition = self._embed(clip, timesteps)
        y = self.text_tokens(prompt, text_time)
        text_condition = self._time(text_time, y)
        for index, block in enumerate(self.double_blocks):
            parts, text_parts = block.img.mod(condition), block.txt.mod(text_condition)
            own, text = block.img.qkv(x, parts), block.txt.qkv(y, text_parts)
            plain = PlainKeys(text.k, text.v)
            branches = two_branch_attention(own, clip.geometry, index, None, plain, self.ranks)
            read = attend_tokens(text.q, torch.cat([rotate(own.k, clip.geometry.table), text.k], 1),
                                 torch.cat([own.v, text.v], 1))
            x = block.img.finish(x, block.img.project(*branches), parts)
            y = block.txt.finish(y, block.txt.attn_proj(read.flatten(2)), text_parts)
        return self._velocity(x, condition, clip)

    def _time(self, timestep: float | Tensor, like: Tensor) -> Tensor:
        """Condition `[1, 1, 1, D]` of the text stream."""
        return self.time_in(torch.as_tensor(timestep, dtype=torch.float32, device=like.device).reshape(1, 1, 1))

    def _embed(self, clip: Clip, timesteps: float | Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, T, n, D]` and condition `[1, T, 1, D]` of time and action."""
        condition = self.time_in(per_latent(timesteps, clip)) + self.action_in(clip.actions)
        return self.img_in(clip.latents), condition[None, :, None]

    def _velocity(self, x_BTnD: Tensor, condition: Tensor, clip: Clip) -> Tensor:
        return self.final_layer(x_BTnD, condition).float().mT.unflatten(-1, clip.latents.shape[-2:])
