"""Text, quoted text and image tokens of the released 8B: three encoders' states mapped to one width (SPEC 3.2).

Shape letters: S tokens, E width of an encoder, D width of the transformer. Padding is dropped before it gets here.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from engine.released import FeedForward, Perceptron, attend_tokens, sinusoid


@dataclass(frozen=True, slots=True)
class Prompt8B:
    """Encoder states `[1, S, E]` of the valid tokens of one prompt."""

    text: Tensor
    """Qwen2.5-VL, at least one row."""
    quoted: Tensor
    """ByT5 of what stands in quotes; no rows if nothing does."""
    image: Tensor
    """SigLIP of the first image; no rows without an image."""


class ScalarEmbedder(nn.Module):
    """Sinusoid, linear, SiLU, linear; `mlp.0` and `mlp.2` in the checkpoint."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, number: Tensor) -> Tensor:
        """Numbers on the 0..1000 scale -> `[..., D]`."""
        return self.mlp(sinusoid(number))


class RefinerBlock(nn.Module):
    """Gated self-attention and feed-forward over one prompt's text tokens."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.self_attn_qkv, self.self_attn_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = FeedForward(width, mlp_ratio * width, nn.SiLU())
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, y_BSD: Tensor, condition_BD: Tensor) -> Tensor:
        """Tokens and their condition -> `[1, S, D]`."""
        gate1, gate2 = self.adaLN_modulation(condition_BD).unsqueeze(-2).chunk(2, -1)
        q, k, v = self.self_attn_qkv(self.norm1(y_BSD)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        y = y_BSD + gate1 * self.self_attn_proj(attend_tokens(q, k, v).flatten(2))
        return y + gate2 * self.mlp(self.norm2(y))


class RefinerBlocks(nn.Module):
    """The refiner's blocks, one after the other."""

    def __init__(self, blocks: list[RefinerBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, y_BSD: Tensor, condition_BD: Tensor) -> Tensor:
        """`[1, S, D]` -> `[1, S, D]`."""
        for block in self.blocks:
            y_BSD = block(y_BSD, condition_BD)
        return y_BSD


class TextRefiner(nn.Module):
    """Text states -> tokens, conditioned on the text timestep and the mean state (`txt_in`)."""

    def __init__(self, text_width: int, width: int, heads: int, mlp_ratio: int, depth: int) -> None:
        super().__init__()
        self.input_embedder = nn.Linear(text_width, width)
        self.t_embedder, self.c_embedder = ScalarEmbedder(width), Perceptron(text_width, width, nn.SiLU())
        blocks = [RefinerBlock(width, heads, mlp_ratio) for _ in range(depth)]
        self.individual_token_refiner = RefinerBlocks(blocks)

    def forward(self, text_BSE: Tensor, timestep: Tensor) -> Tensor:
        """`[1, S, E]` and a timestep `[1]` -> `[1, S, D]`."""
        condition = self.t_embedder(timestep) + self.c_embedder(text_BSE.mean(1))
        return self.individual_token_refiner(self.input_embedder(text_BSE), condition)


class QuotedText(nn.Module):
    """ByT5 states -> tokens (`byt5_in`)."""

    def __init__(self, byt5_width: int, inner: int, width: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(byt5_width, 1e-5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(byt5_width, inner), nn.Linear(inner, inner), nn.Linear(inner, width)

    def forward(self, quoted_BSE: Tensor) -> Tensor:
        """`[1, S, E]` -> `[1, S, D]`."""
        return self.fc3(F.gelu(self.fc2(F.gelu(self.fc1(self.layernorm(quoted_BSE))))))


class ImageTokens(nn.Module):
    """SigLIP states -> tokens (`vision_in`)."""

    def __init__(self, image_width: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.LayerNorm(image_width, 1e-5), nn.Linear(image_width, image_width), nn.GELU(),
                                  nn.Linear(image_width, width), nn.LayerNorm(width, 1e-5))

    def forward(self, image_BSE: Tensor) -> Tensor:
        """`[1, S, E]` -> `[1, S, D]`."""
        return self.proj(image_BSE)
