"""What lies between neighbouring pixels of one surface, when it is seen from so near, or so much more from before, that
they come apart: two triangles, as in any mesh. A wall that one looks along stays a wall when one stands before it.

Four pixels are a cell; a cell is of one surface if disparity grows over it as it does beside it, for on a plane it
grows evenly. Compiled for the CPU; elsewhere cells are divided until their parts are smaller than pixels.
"""

from __future__ import annotations

import torch
from numba import njit
from torch import Tensor

EVEN, EVEN_AT_LEAST = 0.03, 0.0005
"""Neighbours are of one surface if their disparities differ by no more than this share, this number, and twice the
lesser of the differences before and behind them."""
WIDE = 1.5
"""Pixels, across or down, from which on a cell is filled; smaller ones pixels cover themselves."""
_FINEST = 256
"""Most parts that a cell is divided into, across and down."""


@njit(inline="always")
def _even(before, here, there, behind):  # pragma: no cover
    allowed = EVEN * max(here, there) + EVEN_AT_LEAST
    return abs(there - here) <= allowed + 2.0 * min(abs(here - before), abs(behind - there))


@njit(cache=True, nogil=True)
def find_cells(disparity, kept, cells):  # pragma: no cover
    """Which cells `[H - 1, W - 1]` of a picture's disparity, of whose pixels some are kept `[H, W]`, are of one
    surface."""
    H, W = disparity.shape
    for i in range(H - 1):
        for j in range(W - 1):
            cells[i, j] = kept[i, j] and kept[i, j + 1] and kept[i + 1, j] and kept[i + 1, j + 1]
            if not cells[i, j]:
                continue
            left, right, above, below = max(j - 1, 0), min(j + 2, W - 1), max(i - 1, 0), min(i + 2, H - 1)
            even = True
            for k in range(2):
                row, column = disparity[i + k], j + k
                even &= _even(row[left], row[j], row[j + 1], row[right])
                even &= _even(
                    disparity[above, column], disparity[i, column], disparity[i + 1, column], disparity[below, column]
                )
            cells[i, j] = even


@njit(inline="always")
def _triangle(ax, ay, ad, bx, by, bd, cx, cy, cd, out):  # pragma: no cover
    """Disparities of a triangle at the pixels in it, where nothing nearer is."""
    H, W = out.shape
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if abs(area) < 1e-6:
        return
    top, bottom = max(int(max(min(ay, by, cy), -1.0)), 0), min(int(min(max(ay, by, cy), H)), H - 1)
    left, right = max(int(max(min(ax, bx, cx), -1.0)), 0), min(int(min(max(ax, bx, cx), W)), W - 1)
    for row in range(top, bottom + 1):
        for column in range(left, right + 1):
            v = ((column - ax) * (cy - ay) - (row - ay) * (cx - ax)) / area
            w = ((bx - ax) * (row - ay) - (by - ay) * (column - ax)) / area
            if v >= 0 and w >= 0 and v + w <= 1.0001:
                near = ad + v * (bd - ad) + w * (cd - ad)
                if near > out[row, column]:
                    out[row, column] = near


@njit(cache=True, nogil=True)
def fill_cells(places, cells, out):  # pragma: no cover
    """Fills the wide ones of the cells into the disparities of a view, `out` `[H, W]`. `places` `[3, H, W]` are
    columns, rows (0 is the centre of the first) and disparities of the source's pixels there, -1 for those that lie
    behind it or aren't kept."""
    for i in range(cells.shape[0]):
        for j in range(cells.shape[1]):
            if not cells[i, j]:
                continue
            p, q, r, s = places[2, i, j], places[2, i, j + 1], places[2, i + 1, j], places[2, i + 1, j + 1]
            if min(p, q, r, s) < 0:
                continue
            ax, bx, cx, dx = places[0, i, j], places[0, i, j + 1], places[0, i + 1, j], places[0, i + 1, j + 1]
            ay, by, cy, dy = places[1, i, j], places[1, i, j + 1], places[1, i + 1, j], places[1, i + 1, j + 1]
            if max(max(ax, bx, cx, dx) - min(ax, bx, cx, dx), max(ay, by, cy, dy) - min(ay, by, cy, dy)) > WIDE:
                _triangle(ax, ay, p, bx, by, q, cx, cy, r, out)
                _triangle(dx, dy, s, bx, by, q, cx, cy, r, out)


def cells_of(disparity: Tensor, kept: Tensor) -> Tensor:
    """`find_cells` for tensors."""

    def even(along: int) -> Tensor:
        d = disparity.movedim(along, 0)
        step = d.diff(dim=0).abs()
        before, behind = torch.cat([0 * step[:1], step[:-1]]), torch.cat([step[1:], 0 * step[:1]])
        allowed = EVEN * torch.maximum(d[1:], d[:-1]) + EVEN_AT_LEAST + 2 * torch.minimum(before, behind)
        return (step <= allowed).movedim(0, along)

    down, across = even(0), even(1)
    corners = kept[:-1, :-1] & kept[:-1, 1:] & kept[1:, :-1] & kept[1:, 1:]
    return corners & down[:, :-1] & down[:, 1:] & across[:-1] & across[1:]


def points_in(places_3HW: Tensor, cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Points `[3, N]`, columns, rows and disparities, that fill the wide ones of the cells in a view of a size;
    `places` as of `fill_cells`."""
    corners = torch.stack(
        [places_3HW[:, y : y + cells.shape[0], x : x + cells.shape[1]] for y in (0, 1) for x in (0, 1)]
    )
    least, most = corners.amin(0), corners.amax(0)
    reach = (most - least)[:2].amax(0)
    inside = (most[0] > -1) & (least[0] < size[1]) & (most[1] > -1) & (least[1] < size[0])
    wide, found = cells & inside & (least[2] >= 0) & (reach > WIDE), []
    parts = 4
    while (wide & (1.5 * reach > parts / 2)).any() and parts <= _FINEST:
        these = wide & (1.5 * reach <= parts) & ((1.5 * reach > parts / 2) | (parts == 4))
        share = torch.linspace(0, 1, parts + 1, device=reach.device)
        p, q, r, s = corners[:, :, these, None, None]
        above, below = torch.lerp(p, q, share), torch.lerp(r, s, share)
        found.append(torch.lerp(above, below, share[:, None]).flatten(1))
        parts *= 2
    return torch.cat(found, 1) if found else places_3HW.new_zeros(3, 0)
