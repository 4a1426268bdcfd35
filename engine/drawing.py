"""Known surfaces drawn from other cameras on a CPU, compiled: what `engine.guide.look` does for tensors elsewhere.

A view is drawn source by source, newest first. Each source is splatted into a buffer of disparities, then every pixel
that is still bare and has one looks its colour up in the source, unless another surface stands before it there. Colours
are interpolated with a bicubic kernel kept within the four pixels around: what is drawn from a drawing, chunk after
chunk, stays sharp. Views are independent, so two threads share them (the compiled code holds no lock).

Shape letters: V views, H W picture, S source pixels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.sheets import fill_cells, find_cells

SAME, SAME_AT_LEAST = 0.15, 0.004
"""Two disparities are of one surface if they differ by no more than this share of the greater and this number."""

Floats = NDArray[np.float32]

THREADS = ThreadPoolExecutor(max(os.cpu_count() or 1, 1), thread_name_prefix="drawing")


@njit(inline="always")
def _project(m, i, j, d, H, W, fx, fy, nearest):  # pragma: no cover
    """Where the pixel in row i and column j with disparity d falls in the picture of another camera (pixels from its
    edges), and one over its depth there times d, 0 if it lies behind the camera."""
    half = np.float32(0.5)
    rx, ry = ((j + half) / W - half) / fx, ((i + half) / H - half) / fy
    pz = m[2, 0] * rx + m[2, 1] * ry + m[2, 2] + m[2, 3] * d
    if pz <= nearest * d:
        return half, half, np.float32(0.0)
    inverse = np.float32(1.0) / pz
    x = ((m[0, 0] * rx + m[0, 1] * ry + m[0, 2] + m[0, 3] * d) * inverse * fx + half) * W
    y = ((m[1, 0] * rx + m[1, 1] * ry + m[1, 2] + m[1, 3] * d) * inverse * fy + half) * H
    return x, y, inverse


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _splat(disparity, kept, m, fx, fy, nearest, farthest, reach, magnified, places, out):  # pragma: no cover
    """Greatest disparity of a source's kept pixels at every pixel of a view; -1 where none falls. A pixel reaches as
    much further as what it shows has come nearer. Where they fall goes into `places` (see `engine.sheets`)."""
    H, W = disparity.shape
    half, one = np.float32(0.5), np.float32(1.0)
    out[:] = -1.0
    least = np.float32(1.0) / farthest
    for i in range(H):
        for j in range(W):
            places[2, i, j] = -1.0
            if not kept[i, j]:
                continue
            d = max(disparity[i, j], least)
            x, y, inverse = _project(m, i, j, d, H, W, fx, fy, nearest)
            if inverse <= 0:
                continue
            x -= np.float32(0.5)
            y -= np.float32(0.5)
            near = d * inverse if disparity[i, j] > 0 else np.float32(0.0)
            places[0, i, j], places[1, i, j], places[2, i, j] = x, y, near
            far = reach + half * (max(min(inverse, magnified), one) - one)
            if x < -far or y < -far or x > W - 1 + far or y > H - 1 + far:
                continue
            for row in range(max(int(np.ceil(y - far)), 0), min(int(np.floor(y + far)), H - 1) + 1):
                for column in range(max(int(np.ceil(x - far)), 0), min(int(np.floor(x + far)), W - 1) + 1):
                    if near > out[row, column]:
                        out[row, column] = near


@njit(cache=True, nogil=True)
def _close(buffer, closed):  # pragma: no cover
    """Pixels between those of a surface that came nearer: at least five of their neighbours stand before what they
    show, if that is anything."""
    H, W = buffer.shape
    for i in range(H):
        for j in range(W):
            here = buffer[i, j]
            before = here + np.float32(SAME) * here + np.float32(SAME_AT_LEAST) if here >= 0 else np.float32(0.0)
            most, count = here, 0
            for row in range(max(i - 1, 0), min(i + 2, H)):
                for column in range(max(j - 1, 0), min(j + 2, W)):
                    if buffer[row, column] >= before:
                        count += 1
                        most = max(most, buffer[row, column])
            closed[i, j] = most if count >= 5 else here


_KEYS = -1.4
"""Parameter of the bicubic kernel. Catmull-Rom's -0.5 loses a tenth of the gradient energy each time a picture is drawn
from its drawing; this one is as near to the truth and keeps it (LOG.md)."""


@njit(inline="always")
def _cubic(f):  # pragma: no cover
    """Weights of four neighbours at fraction f between the middle two (Keys' kernel)."""
    a, g, h = np.float32(_KEYS), f * f, f * f * f
    return (a * (h - 2 * g + f), (a + 2) * h - (a + 3) * g + 1, (2 * a + 3) * g - (a + 2) * h - a * f, a * (g - h))


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _look_up(picture, disparity, buffer, m, fx, fy, nearest, farthest, source, out, near, origin):  # pragma: no cover
    """Fills the bare pixels of a view from one source, whose number they get."""
    H, W = disparity.shape
    least = np.float32(1.0) / farthest
    for i in range(H):
        for j in range(W):
            if origin[i, j] >= 0 or buffer[i, j] < 0:
                continue
            d = max(buffer[i, j], least)
            x, y, inverse = _project(m, i, j, d, H, W, fx, fy, nearest)
            if inverse <= 0:
                continue
            if x < 0 or y < 0 or x > W or y > H:
                continue
            x = min(max(x - np.float32(0.5), np.float32(0.0)), np.float32(W - 1))
            y = min(max(y - np.float32(0.5), np.float32(0.0)), np.float32(H - 1))
            x0, y0 = int(x), int(y)
            x1, y1 = min(x0 + 1, W - 1), min(y0 + 1, H - 1)
            fx_, fy_ = x - x0, y - y0
            there = (disparity[y0, x0] * (1 - fx_) + disparity[y0, x1] * fx_) * (1 - fy_) + (
                disparity[y1, x0] * (1 - fx_) + disparity[y1, x1] * fx_
            ) * fy_
            here = d * inverse if buffer[i, j] > 0 else np.float32(0.0)
            if abs(here - there) > np.float32(SAME) * max(here, there) + np.float32(SAME_AT_LEAST):
                continue
            wx, wy = _cubic(fx_), _cubic(fy_)
            for c in range(3):
                value = np.float32(0.0)
                for a in range(4):
                    row = min(max(y0 - 1 + a, 0), H - 1)
                    line = np.float32(0.0)
                    for b in range(4):
                        line += wx[b] * picture[c, row, min(max(x0 - 1 + b, 0), W - 1)]
                    value += wy[a] * line
                p, q, r, s = picture[c, y0, x0], picture[c, y0, x1], picture[c, y1, x0], picture[c, y1, x1]
                out[c, i, j] = min(max(value, min(min(p, q), min(r, s))), max(max(p, q), max(r, s)))
            near[i, j] = buffer[i, j]
            origin[i, j] = source


AROUND, SURROUNDED = 4, 5
"""Covered pixels become bare where fewer of the pixels within `AROUND` rows and columns are covered than beside a
straight edge (`AROUND + 1` of `2 AROUND + 1`): a surface that is stretched so far that it has come apart. Bare ones
with `SURROUNDED` covered neighbours of eight take their mean."""


@njit(inline="always")
def _within(sums, i, j, r):  # pragma: no cover
    """Pixels of the picture within r rows and columns, and how many of them are covered, by their running `sums`."""
    top, bottom = max(i - r, 0), min(i + r + 1, sums.shape[0] - 1)
    left, right = max(j - r, 0), min(j + r + 1, sums.shape[1] - 1)
    covered = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return (bottom - top) * (right - left), covered


@njit(cache=True, nogil=True)
def _tidy(out, near, origin, before, sums):  # pragma: no cover
    """Takes away specks, see `AROUND`, and returns how many pixels are covered then; `before`
    `[H, W]` and `sums` `[H + 1, W + 1]` are room to work in."""
    (H, W), r = origin.shape, AROUND
    before[:] = origin
    sums[0, :] = 0
    for i in range(H):
        line = 0
        sums[i + 1, 0] = 0
        for j in range(W):
            line += before[i, j] >= 0
            sums[i + 1, j + 1] = sums[i, j + 1] + line
    total = sums[H, W]
    for i in range(H):
        for j in range(W):
            if before[i, j] >= 0:
                area, covered = _within(sums, i, j, r)
                if covered * (2 * r + 1) < area * (r + 1):
                    origin[i, j] = -1
                    total -= 1
                continue
            _, count = _within(sums, i, j, 1)
            if count < SURROUNDED:
                continue
            newest = np.int8(127)
            red = green = blue = depth = np.float32(0.0)
            for row in range(max(i - 1, 0), min(i + 2, H)):
                for column in range(max(j - 1, 0), min(j + 2, W)):
                    if before[row, column] >= 0:
                        newest = min(newest, before[row, column])
                        red += out[0, row, column]
                        green += out[1, row, column]
                        blue += out[2, row, column]
                        depth += near[row, column]
            out[0, i, j], out[1, i, j], out[2, i, j] = red / count, green / count, blue / count
            near[i, j], origin[i, j] = depth / count, newest
            total += 1
    return total


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _halve(picture, known, small, seen):  # pragma: no cover
    """Means `small` `[3, h, w]` of the known pixels of 2x2, and where there is one, `seen` `[h, w]`."""
    H, W = known.shape
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            red = green = blue = np.float32(0.0)
            count = 0
            for i in range(2 * y, min(2 * y + 2, H)):
                for j in range(2 * x, min(2 * x + 2, W)):
                    if known[i, j]:
                        red += picture[0, i, j]
                        green += picture[1, i, j]
                        blue += picture[2, i, j]
                        count += 1
            seen[y, x] = count > 0
            most = max(count, 1)
            small[0, y, x], small[1, y, x], small[2, y, x] = red / most, green / most, blue / most


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"})
def _continue(picture, known, small):  # pragma: no cover
    """Gives unknown pixels what a picture of half the size shows there, smoothly enlarged."""
    (H, W), (h, w) = known.shape, small.shape[1:]
    half, one = np.float32(0.5), np.float32(1.0)
    for i in range(H):
        y = max((np.float32(i) + half) * half - half, np.float32(0.0))
        top = int(y)
        bottom, down = min(top + 1, h - 1), y - np.float32(top)
        for j in range(W):
            if known[i, j]:
                continue
            x = max((np.float32(j) + half) * half - half, np.float32(0.0))
            left = int(x)
            right, across = min(left + 1, w - 1), x - np.float32(left)
            for c in range(3):
                above = small[c, top, left] * (one - across) + small[c, top, right] * across
                below = small[c, bottom, left] * (one - across) + small[c, bottom, right] * across
                picture[c, i, j] = above * (one - down) + below * down


def _fill(picture: Floats, known: NDArray[np.bool_]) -> None:
    """Continues the known pixels `[H, W]` of a picture `[3, H, W]` smoothly over the others, in place."""
    H, W = known.shape
    if min(H, W) < 2:
        mean = picture[:, known].mean(1) if known.any() else np.zeros(3, np.float32)
        picture[:, ~known] = mean[:, None]
        return
    small, seen = (
        np.empty((3, (H + 1) // 2, (W + 1) // 2), np.float32),
        np.empty(((H + 1) // 2, (W + 1) // 2), np.bool_),
    )
    _halve(picture, known, small, seen)
    _fill(small, seen)
    _continue(picture, known, small)


def fill(pictures: Floats, known: NDArray[np.bool_]) -> None:
    """Of pictures `[V, 3, H, W]` the unknown pixels (`known` `[V, H, W]` is false) continue the others smoothly, in
    place: `engine.guide.fill`."""
    list(THREADS.map(_fill, pictures, known))


def draw(
    pictures: Sequence[Floats],
    disparities: Sequence[Floats],
    kept: Sequence[NDArray[np.bool_]],
    view_from_source: NDArray[np.floating],
    source_from_view: NDArray[np.floating],
    focal: tuple[float, float],
    *,
    depths: tuple[float, float],
    reach: float,
    magnified: float,
    enough: float,
) -> tuple[Floats, NDArray[np.int8], Floats]:
    """Views `[V, 3, H, W]` of sources, newest first, the number of the source that each pixel is from `[V, H, W]`,
    and the disparity of what it shows `[V, H, W]`; bare pixels are from source -1.

    Pictures `[V, 3, H, W]`, one for each view, disparities and masks of what is splatted `[H, W]`, rigid transforms
    `[sources, V, 4, 4]`, focal lengths in picture widths and heights, the depths between which surfaces are seen, the
    pixels that a source pixel reaches, how many times wider it gets at most, and the share of a view that is enough to
    look no further.
    """
    V, (H, W) = view_from_source.shape[1], disparities[0].shape
    there, back = view_from_source.astype(np.float32), source_from_view.astype(np.float32)
    fx, fy, nearest, farthest, span, widest = (np.float32(x) for x in (*focal, *depths, reach, magnified))
    out, near = np.zeros((V, 3, H, W), np.float32), np.zeros((V, H, W), np.float32)
    origin = np.full((V, H, W), -1, np.int8)

    cells = [np.empty((H - 1, W - 1), np.bool_) for _ in pictures]
    list(THREADS.map(find_cells, disparities, kept, cells))

    def view(v: int) -> None:
        before, sums = np.empty((H, W), np.int8), np.empty((H + 1, W + 1), np.int32)
        (splatted, buffer), places = np.empty((2, H, W), np.float32), np.empty((3, H, W), np.float32)
        for s, (shown, disparity) in enumerate(zip(pictures, disparities, strict=True)):
            _splat(disparity, kept[s], there[s, v], fx, fy, nearest, farthest, span, widest, places, splatted)
            fill_cells(places, cells[s], splatted)
            _close(splatted, buffer)
            _look_up(shown[v], disparity, buffer, back[s, v], fx, fy, nearest, farthest, s, out[v], near[v], origin[v])
            if _tidy(out[v], near[v], origin[v], before, sums) > enough * H * W:
                return

    list(THREADS.map(view, range(V)))
    return out, origin, near


def warm_up() -> None:
    """Compiles what `draw` needs, or reads it from the cache of an earlier start, so that no chunk waits for it."""
    picture, disparity = np.zeros((3, 4, 4), np.float32), np.ones((4, 4), np.float32)
    camera = np.eye(4)[None, None]
    draw([picture[None]], [disparity], [disparity > 0], camera, camera, (1.0, 1.0), depths=(0.1, 10.0), reach=0.5,
         magnified=2.0, enough=1.0)  # fmt: skip
    fill(picture[None], disparity[None] > 0)
