"""Streaming causal convolution over frames, and its state: what each one has seen last (SPEC 11.1).

The released autoencoders work one latent at a time. Whatever a call needs of earlier calls are the last two frames of
the input of every causal convolution, with its border. A `Tape` hands these out in the order in which layers ask and
collects the new ones, so networks are plain functions of (input, tape) and a state is a tuple of tensors. Shapes are
`[B, C, F, H, W]`.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.spatial import Fill, Strip, bordered

State = tuple[Tensor, ...]
"""What a network keeps from call to call; the empty tuple before the first."""


class Tape:
    """Reads the state of the previous call and writes that of the next, both in the order of the layers.

    Layers ask it for what lies around their input, too: the edge of the picture or, after `cut`, other ranks' rows.
    """

    def __init__(self, state: State) -> None:
        self.first = not state
        self._old, self._new = state, list[Tensor]()
        self._strip: Strip | None = None

    def cut(self, x: Tensor, strip: Strip | None) -> Tensor:
        """The rows of `x` that are this rank's: layers after this one have no others."""
        self._strip = strip
        return x if strip is None else strip.cut(x)

    def pad(self, x: Tensor, fill: Fill) -> Tensor:
        """`[..., Y, X]` -> `[..., Y + 2, X + 2]`."""
        return bordered(x, fill) if self._strip is None else self._strip.pad(x, fill)

    def extend(self, x: Tensor, frames: int = 2) -> Tensor:
        """`x` with up to `frames` frames of the layer's earlier input in front."""
        joined = x if self.first else torch.cat([self._old[len(self._new)], x], 2)
        self._new.append(joined[:, :, -frames:].clone())
        return joined

    @property
    def state(self) -> State:
        """What the next call needs."""
        return tuple(self._new)


def pad_front(x: Tensor, count: int, padding: Fill) -> Tensor:
    """`x` with `count` frames in front: its earliest one repeated, or zeros."""
    if count <= 0:
        return x
    front = x[:, :, :1].expand(-1, -1, count, -1, -1)
    return torch.cat([front if padding == "replicate" else torch.zeros_like(front), x], 2)


class CausalConv(nn.Conv3d):
    """3x3x3 convolution that sees the two frames before each frame; as many frames leave as come in."""

    def __init__(self, width_in: int, width_out: int, padding: Fill) -> None:
        super().__init__(width_in, width_out, 3)
        self.fill: Fill = padding

    def stream(self, x: Tensor, tape: Tape) -> Tensor:
        """New frames and what came before."""
        joined = tape.extend(tape.pad(x, self.fill))
        return self(pad_front(joined, x.shape[2] + 2 - joined.shape[2], self.fill))


class ChannelNorm(nn.Module):
    """x / |x| over channels * sqrt(channels) * gamma, at every position."""

    def __init__(self, width: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, ...]` -> the same shape."""
        return F.normalize(x, dim=1) * x.shape[1] ** 0.5 * self.gamma


def single_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one head of full width over the positions of each frame: `[B, C, F, H, W]` -> the same shape."""
    grid = q.shape[-2:]
    q, k, v = (x.transpose(1, 2).flatten(3).mT for x in (q, k, v))            # [B, F, H W, C]
    return F.scaled_dot_product_attention(q, k, v).mT.transpose(1, 2).unflatten(-1, grid)


def repeat_channels(x: Tensor, width: int) -> Tensor:
    """Each channel repeated, so that there are `width`."""
    return x.repeat_interleave(width // x.shape[1], 1)


def average_channels(x: Tensor, width: int) -> Tensor:
    """Means over consecutive groups of channels, so that there are `width`."""
    return x.unflatten(1, (width, -1)).mean(2)


def in_groups(video: Tensor) -> Sequence[Tensor]:
    """Frame 0, then groups of four: what each latent is made of. `video` is `[B, C, 1 + 4 k, H, W]`."""
    count = video.shape[2]
    if (count - 1) % 4:
        raise ValueError(f"a clip has 4 k + 1 frames, got {count}")
    return [video[:, :, :1], *video[:, :, 1:].split(4, 2)] if count > 1 else [video]


def reach_in_latents(convolutions: Sequence[int]) -> int:
    """How many latents back a decoder sees that has so many convolutions over two earlier frames where a latent is 1,
    2, 4 frames; one latent more for each doubling and one for the first frame, which is coded alone."""
    frames = sum(2 * count / 2**doubling for doubling, count in enumerate(convolutions))
    return math.ceil(frames) + len(convolutions) + 1
