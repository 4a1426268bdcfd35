"""Where drops and flakes are: points that fall through a box which goes with the eye; and which pixels they cover."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.geometry import Lens

NEAREST = 1.2
"""Units along z up to which nothing is drawn: a flake in one's eye would fill the picture."""
_THINNEST = 0.6
"""Half width in pixels of the thinnest ellipse; what is thinner is fainter instead."""


@dataclass(frozen=True, slots=True)
class Falling:
    """Drops or flakes: so many points in a `room` (units) around the eye, which leave it at one side and come in at the
    other; they `fall` (units a second) and sway by their `flutter` (units)."""

    count: int
    room: tuple[float, float, float]
    fall: tuple[float, float, float]
    flutter: float
    size: tuple[float, float]
    """Half width and half length, units. What flutters is long across the picture, other things along their fall."""

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Falling:
        """From a manifest, or the sidecar of a shard."""
        room, fall, size = (tuple(facts[name]) for name in ("room", "fall", "size"))
        return cls(facts["count"], room, fall, facts["flutter"], size)  # type: ignore[arg-type]


def places(
    kind: Falling, seeds_N4: NDArray[np.floating], eye: NDArray[np.floating], time_s: float
) -> NDArray[np.float64]:
    """Where points are at a time, relative to the eye `[3]`, units of the world's axes `[N, 3]`; `seeds` are in 0..1: a
    place in the room, and a phase."""
    room, phase = np.array(kind.room), seeds_N4[:, 3]
    at = seeds_N4[:, :3] * room + np.array(kind.fall) * time_s
    at[:, 0] += kind.flutter * np.sin(1.7 * time_s + 40 * phase)
    at[:, 2] += kind.flutter * np.cos(1.3 * time_s + 60 * phase)
    return np.mod(at - eye, room) - room / 2


def strokes(
    kind: Falling, seeds_N4: NDArray[np.floating], world_from_camera: NDArray, time_s: float, H: int, W: int, lens: Lens
) -> NDArray[np.float32]:
    """How much of each pixel `[H, W]` the points of a kind cover, 0..1, for a camera `[4, 4]`."""
    turned, eye = world_from_camera[:3, :3], world_from_camera[:3, 3]
    along = turned[:, 1] if kind.flutter else np.array(kind.fall) / np.linalg.norm(kind.fall)
    middle = eye + places(kind, seeds_N4, eye, time_s)
    ends = middle + along * np.array([-1, 1])[:, None, None] * kind.size[1]
    return ellipses(ends, np.full(len(middle), kind.size[0]), world_from_camera, H, W, lens)


def ellipses(
    ends_2N3: NDArray[np.floating],
    half_widths_N: NDArray[np.floating],
    world_from_camera: NDArray[np.floating],
    H: int,
    W: int,
    lens: Lens,
    strength_N: NDArray[np.floating] | None = None,
    *,
    pointed: bool = False,
) -> NDArray[np.float32]:
    """How much of each pixel `[H, W]` ellipses cover, of given `strength`, that are turned to a camera `[4, 4]`: from
    end to end in the world, units, and so wide. What is `pointed` has the shape of a flame: broad near its first end,
    nothing at its last."""
    ends = (ends_2N3 - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    depth = ends[..., 2].mean(0)
    shown = (depth > NEAREST) & (ends[..., 2] > NEAREST / 2).all(0)
    (x0, y0), (x1, y1) = pixels(ends[:, shown], H, W, lens).transpose(0, 2, 1)
    strength = np.ones(len(depth)) if strength_N is None else strength_N
    rows = np.stack([x0, y0, x1, y1, half_widths_N[shown] * lens.fx * W / depth[shown], strength[shown]], 1)
    out = np.zeros((H, W), np.float32)
    _draw(rows.astype(np.float32), np.float32(_THINNEST), pointed, out)
    return out


def pixels(seen: NDArray[np.floating], H: int, W: int, lens: Lens) -> NDArray[np.float64]:
    """Columns and rows `[..., 2]` of points `[..., 3]` of the camera; the centre of the first pixel is 0."""
    return (seen[..., :2] / seen[..., 2:] * [lens.fx, lens.fy] + 0.5) * [W, H] - 0.5


@njit(cache=True, nogil=True)
def _draw(rows, thinnest, pointed, out):  # pragma: no cover
    """Ellipses or flames, full in the middle, gone at the rim: a row has both ends of its axis, half its width, its
    strength."""
    H, W = out.shape
    for n in range(len(rows)):
        x0, y0, x1, y1, wide, full = rows[n]
        x, y, dx, dy = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        long = math.sqrt(dx * dx + dy * dy)
        ux, uy = (dx / long, dy / long) if long > 0 else (np.float32(0), np.float32(1))
        a, b = max(long, thinnest), max(wide, thinnest)
        full *= min(long / a, np.float32(1)) * min(wide / b, np.float32(1))
        rx, ry = abs(ux) * a + abs(uy) * b, abs(uy) * a + abs(ux) * b
        for i in range(max(math.ceil(y - ry), 0), min(math.floor(y + ry), H - 1) + 1):
            for j in range(max(math.ceil(x - rx), 0), min(math.floor(x + rx), W - 1) + 1):
                u, v = ((j - x) * ux + (i - y) * uy) / a, ((i - y) * ux - (j - x) * uy) / b
                if pointed:
                    along = (u + 1) / 2
                    v /= max(0.5 + 2 * along if along < 0.25 else (1 - along) / 0.75, np.float32(0.01))
                    u = min(u + 0.2, 0.0)
                covers = full * min(max(np.float32(2.2) * (1 - u * u - v * v), np.float32(0)), np.float32(1))
                out[i, j] += (1 - out[i, j]) * covers
