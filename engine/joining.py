"""`engine.compositor` on a CPU, compiled: its arithmetic on whole pictures, in three passes instead of forty.

The network's own convolutions stay torch's; around them every tensor operation would read and write all pixels of
four frames again, which took as long as the convolutions. Bands of rows are shared by two threads.

Shape letters: F frames, H W picture, h w its cells of `FOLD` pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.drawing import THREADS

FOLD = 4
BANDS = 8
"""Parts that the rows of a picture are shared in."""
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@njit(inline="always")
def _between(place, step, count):  # pragma: no cover
    """The two samples of `count` that pixel `place` lies between, and how near the second is, as
    `torch.nn.functional.interpolate` has it; `step` samples a pixel."""
    at = max((np.float32(place) + np.float32(0.5)) * step - np.float32(0.5), np.float32(0.0))
    first = min(int(at), count - 1)
    return first, min(first + 1, count - 1), at - np.float32(first)


@njit(inline="always")
def _mixed(small, top, bottom, down, left, right, across):  # pragma: no cover
    """A small map between four of its samples."""
    one = np.float32(1.0)
    above = small[top, left] * (one - across) + small[top, right] * across
    below = small[bottom, left] * (one - across) + small[bottom, right] * across
    return above * (one - down) + below * down


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _lacking(decoded, drawn, covered, cell, first, last, lack, known):  # pragma: no cover
    """Sums over cells of `cell` pixels, in rows of cells `first` to `last`: what decoded frames lack of the drawn ones
    where those are covered, `lack` `[F, 3, h, w]`, and covered pixels, `known` `[F, h, w]`."""
    F, w = len(covered), known.shape[2]
    for f in range(F):
        for y in range(first, last):
            for i in range(y * cell, (y + 1) * cell):
                for x in range(w):
                    for j in range(x * cell, (x + 1) * cell):
                        if covered[f, i, j]:
                            known[f, y, x] += np.float32(1.0)
                            for c in range(3):
                                lack[f, c, y, x] += drawn[f, c, i, j] - decoded[f, c, i, j]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _lit(decoded, light, first, last, out):  # pragma: no cover
    """Rows of the frames and of a small map `[F, 3, h, w]`, smoothly enlarged, together."""
    F, _, H, W = decoded.shape
    h, w = light.shape[2:]
    down_step, across_step = np.float32(h) / np.float32(H), np.float32(w) / np.float32(W)
    for f in range(F):
        for c in range(3):
            small = light[f, c]
            for i in range(first, last):
                top, bottom, down = _between(i, down_step, h)
                for j in range(W):
                    left, right, across = _between(j, across_step, w)
                    out[f, c, i, j] = decoded[f, c, i, j] + _mixed(small, top, bottom, down, left, right, across)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _fold(decoded, drawn, covered, first, last, folded, differ):  # pragma: no cover
    """Rows of cells `first` to `last` of what the network sees, `folded` `[h, w, 7 F FOLD^2]` (decoded, difference and
    coverage of each frame, as `pixel_unshuffle` orders them), and mean differences over cells `[F, 3, h, w]`."""
    F, W = len(decoded), decoded.shape[3]
    cells = FOLD * FOLD
    share = np.float32(1.0) / np.float32(cells)
    for y in range(first, last):
        for x in range(W // FOLD):
            for f in range(F):
                for di in range(FOLD):
                    for dj in range(FOLD):
                        i, j, sub = y * FOLD + di, x * FOLD + dj, di * FOLD + dj
                        shown = np.float32(1.0) if covered[f, i, j] else np.float32(0.0)
                        for c in range(3):
                            d = decoded[f, c, i, j]
                            difference = (drawn[f, c, i, j] - d) * shown
                            folded[y, x, (f * 7 + c) * cells + sub] = d
                            folded[y, x, (f * 7 + 3 + c) * cells + sub] = difference
                            differ[f, c, y, x] += difference * share
                        folded[y, x, (f * 7 + 6) * cells + sub] = shown


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _join(told, decoded, drawn, covered, disagree, beyond, trust, first, last, out):  # pragma: no cover
    """Rows of cells `first` to `last` of the composition, from what the network told `[h, w, 4 F FOLD^2]`: where
    covered, between the two frames, and as drawn where they agree; elsewhere with what goes on `beyond` that."""
    F, W = len(decoded), decoded.shape[3]
    h, w = disagree.shape[1:]
    cells = FOLD * FOLD
    one, step = np.float32(1.0), np.float32(1.0) / np.float32(FOLD)
    for y in range(first, last):
        for f in range(F):
            for di in range(FOLD):
                i = y * FOLD + di
                top, bottom, down = _between(i, step, h)
                for j in range(W):
                    x, sub = j // FOLD, di * FOLD + j % FOLD
                    left, right, across = _between(j, step, w)
                    if not covered[f, i, j]:
                        for c in range(3):
                            more = _mixed(beyond[f, c], top, bottom, down, left, right, across)
                            out[f, c, i, j] = decoded[f, c, i, j] + told[y, x, (f * 4 + c) * cells + sub] + more
                        continue
                    apart = _mixed(disagree[f], top, bottom, down, left, right, across)
                    believed = one / (one + np.exp(-(told[y, x, (f * 4 + 3) * cells + sub] + trust)))
                    for c in range(3):
                        d, g = decoded[f, c, i, j], drawn[f, c, i, j]
                        joined = d + believed * (g - d) + told[y, x, (f * 4 + c) * cells + sub]
                        known = max(min(joined, max(d, g)), min(d, g))
                        out[f, c, i, j] = g + apart * (known - g)


def _in_bands(rows: int, work: Callable[[int, int], None]) -> None:
    """Runs `work(first, last)` over bands of so many rows."""
    edges = np.linspace(0, rows, BANDS + 1).astype(int).tolist()
    list(THREADS.map(work, edges[:-1], edges[1:]))


def lacking(decoded: Floats, drawn: Floats, covered: Mask, cell: int) -> tuple[Floats, Floats]:
    """Of frames `[F, 3, H, W]`: means over cells of what the decoded ones lack of the drawn ones where those are
    covered `[F, 3, h, w]`, and the share that is `[F, h, w]`."""
    F, H, W = covered.shape
    lack, known = np.zeros((F, 3, H // cell, W // cell), np.float32), np.zeros((F, H // cell, W // cell), np.float32)
    _in_bands(H // cell, lambda first, last: _lacking(decoded, drawn, covered, cell, first, last, lack, known))
    share = np.float32(1 / cell**2)
    return share * lack, share * known


def lit(decoded: Floats, light: Floats) -> Floats:
    """Frames `[F, 3, H, W]` and a small map `[F, 3, h, w]`, smoothly enlarged, together."""
    out = np.empty_like(decoded)
    _in_bands(decoded.shape[2], lambda first, last: _lit(decoded, light, first, last, out))
    return out


def fold(decoded: Floats, drawn: Floats, covered: Mask) -> tuple[Floats, Floats]:
    """What the network sees `[h, w, 7 F FOLD^2]`, and mean differences over cells `[F, 3, h, w]`."""
    F, H, W = covered.shape
    h, w = H // FOLD, W // FOLD
    folded = np.empty((h, w, 7 * F * FOLD**2), np.float32)
    differ = np.zeros((F, 3, h, w), np.float32)
    _in_bands(h, lambda first, last: _fold(decoded, drawn, covered, first, last, folded, differ))
    return folded, differ


def join(
    told: Floats, decoded: Floats, drawn: Floats, covered: Mask, disagree: Floats, beyond: Floats, trust: float
) -> Floats:
    """The composition `[F, 3, H, W]`; `told` `[h, w, 4 F FOLD^2]` by the network, `disagree` `[F, h, w]`, and what goes
    on `beyond` what is covered `[F, 3, h, w]`."""
    out = np.empty_like(decoded)
    _in_bands(
        len(told),
        lambda first, last: _join(told, decoded, drawn, covered, disagree, beyond, np.float32(trust), first, last, out),
    )
    return out


def warm_up() -> None:
    """Compiles the passes, or reads them from the cache of an earlier start, so that no chunk waits for them."""
    frames, covered = np.zeros((1, 3, FOLD, FOLD), np.float32), np.ones((1, FOLD, FOLD), np.bool_)
    lack, _ = lacking(frames, frames, covered, FOLD)
    folded, _ = fold(lit(frames, lack), frames, covered)
    join(folded[..., : 4 * FOLD**2].copy(), frames, frames, covered, lack[:, 0], lack, 0.0)
