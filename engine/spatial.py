"""A decoder's work shared by rows (paper §3.5, "spatially parallel VAE"): each rank decodes a strip of the picture.

The decoders see 3x3 positions at a time and keep no statistics over space, but they do it so often that a pixel hangs
on many rows of a latent (10 to each side of the 12 of pocket; 13 of 44 and 14 of 30 of the released ones): strips that
overlap by so much would save little. So ranks exchange one row with each neighbour before every 3x3 convolution
(`Strip.pad`), on whatever grid it works; pointwise layers, norms and changes of the grid stay within a latent row. This
is the same arithmetic on the same numbers, nothing is approximated. What sees the whole frame, the attention of the
released decoders on the latent grid, and the few layers before it are computed whole by every rank, before `Strip.cut`.
What a decoder keeps from latent to latent it keeps of its own strip.

A rank that has no rows, since there are more ranks than rows, works on an empty batch: it computes nothing and takes
part in every exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.parallel import Ranks

Fill = Literal["replicate", "zeros"]
"""What a convolution sees beyond the edge of the picture: the nearest position again, or zeros."""


def bordered(x: Tensor, fill: Fill) -> Tensor:
    """`[B, C, ..., Y, X]` with one position more on each side of the picture: `[B, C, ..., Y + 2, X + 2]`."""
    sides = (1, 1, 1, 1) + (0, 0) * (x.ndim - 4)
    return F.pad(x, sides, mode="replicate" if fill == "replicate" else "constant")


@dataclass(frozen=True, slots=True)
class Strip:
    """This rank's rows of pictures that have so many latent `rows`; one picture at a time (B = 1)."""

    ranks: Ranks
    rows: int

    @property
    def working(self) -> int:
        """Ranks that have rows: the first ones."""
        return min(self.ranks.size, self.rows)

    def cut(self, x: Tensor) -> Tensor:
        """This rank's part of `[1, C, ..., Y, X]` on the latent grid; `[0, C, ..., 1, X]` if it has none."""
        if x.shape[0] != 1 or x.shape[-2] != self.rows:
            raise ValueError(f"a strip is cut from 1 picture of {self.rows} rows, got {x.shape[0]} of {x.shape[-2]}")
        if self.ranks.rank >= self.working:
            return x[:0, ..., :1, :]
        return x[..., self.ranks.share(self.rows), :]

    def pad(self, x: Tensor, fill: Fill) -> Tensor:
        """`bordered`, but with the neighbours' rows above and below where there are neighbours.

        One collective; a rank gets at most two rows in it. Raises `RankLost`.
        """
        padded, ranks = bordered(x, fill), self.ranks
        sent = [padded.new_empty(0)] * ranks.size
        heard = list(sent)
        inner, outer = {-1: 1, 1: -2}, {-1: 0, 1: -1}
        beside = [side for side in (-1, 1) if ranks.rank < self.working and 0 <= ranks.rank + side < self.working]
        for side in beside:
            sent[ranks.rank + side] = padded[..., inner[side], :]
            heard[ranks.rank + side] = torch.empty_like(sent[ranks.rank + side], memory_format=torch.contiguous_format)
        row = padded.element_size() * math.prod((*padded.shape[1:-2], padded.shape[-1]))
        ranks.post(sent, heard, 2 * (self.working - 1) * row)
        for side in beside:
            padded[..., outer[side], :] = heard[ranks.rank + side]
        return padded

    def join(self, part: Tensor, axis: int = -2) -> Tensor | None:
        """The whole of what the strips are of, on rank 0; None on the others. `axis` is that of rows, not the first.

        One collective. Raises `RankLost`.
        """
        part, ranks = part.movedim(axis, 1).contiguous(), self.ranks  # [1 | 0, rows, ...]
        counts = [each.stop - each.start for each in (ranks.share(self.rows, rank) for rank in range(ranks.size))]
        scale = part.shape[1] // max(counts[ranks.rank], 1)
        rest = part.shape[2:]
        nothing = part.new_empty(0)
        sent, heard = [nothing] * ranks.size, [nothing] * ranks.size
        if ranks.leads:
            heard[1:] = [part.new_empty((1, scale * count, *rest)) for count in counts[1:]]
        else:
            sent[0] = part
        ranks.post(sent, heard, scale * sum(counts[1:]) * math.prod(rest) * part.element_size())
        return torch.cat([part, *heard[1:]], 1).movedim(1, axis) if ranks.leads else None


def strip_of(ranks: Ranks, rows: int) -> Strip | None:
    """The strip of this rank where ranks share the decoding; None where pictures are decoded whole, by rank 0."""
    return Strip(ranks, rows) if ranks.strips and ranks.size > 1 else None


def convolved(layer: nn.Conv2d, x: Tensor, strip: Strip | None) -> Tensor:
    """A 3x3 convolution with zeros around the picture, of whole pictures or of a strip."""
    return layer(x) if strip is None else F.conv2d(strip.pad(x, "zeros"), layer.weight, layer.bias)
