"""Rotary position encoding over (time, row, column), and where tokens stand (paper §3.3, temporal reframing).

Positions are real numbers. Rows and columns are given on a fixed canvas, so that the same picture at another resolution
has the same positions. Time is an index *inside the attended set*: the streamer gives context and chunk consecutive
indices whatever their real age, which is temporal reframing; only differences of indices matter, so keys are cached
un-rotated and rotated when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class RopeConfig:
    """Channels turned by time, row and column (even numbers) and the base of their frequencies."""

    time: int
    row: int
    column: int
    theta: float

    @property
    def width(self) -> int:
        """Channels of a head that are rotated."""
        return self.time + self.row + self.column


def _frequencies(width: int, theta: float, device: torch.device) -> Tensor:
    return theta ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / max(width, 1))


def rope_table(times: Tensor, rows: Tensor, columns: Tensor, config: RopeConfig) -> Tensor:
    """Unit complex numbers `[T * rows * columns, width / 2]` (complex64) for tokens ordered (t, row, column).

    All positions are on one device, and so is the table."""
    axes = ((times, config.time), (rows, config.row), (columns, config.column))
    grids = torch.meshgrid(*(positions.double() for positions, _ in axes), indexing="ij")
    angles = [
        grid.reshape(-1, 1) * _frequencies(width, config.theta, grid.device)
        for grid, (_, width) in zip(grids, axes, strict=True)
    ]
    angle = torch.cat(angles, -1)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotate(x_BLND: Tensor, table_LK: Tensor) -> Tensor:
    """Turns channel pairs (2j, 2j+1) of `x` `[B, L, N, 2K]` by the table's angles; computed in float32, dtype kept."""
    pairs = torch.view_as_complex(x_BLND.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * table_LK.unsqueeze(-2)).flatten(-2).type_as(x_BLND)


def canvas_positions(count: int, extent: float) -> Tensor:
    """Centres of `count` equal cells on a canvas that is `extent` long."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (extent / count)
