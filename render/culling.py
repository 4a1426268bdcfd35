"""Leaving out what the camera cannot see: triangles sorted into cells, cells tested against the view."""

import math

import numpy as np
from numpy.typing import NDArray

_CELL = 13.0
"""Metres."""
_NEAR_WORLD = 60.0
"""Beyond this many metres from the middle, cells are sectors around it instead of squares."""
_SECTORS = 12
_HALF_VIEW = math.radians(46)
"""35 degrees to either side, and what pitch (25 at most) adds in the corners."""


class Cells:
    """Vertices reordered so that each cell is one run, with a disc around it on the ground plane."""

    def __init__(self, vertices: NDArray[np.float32]) -> None:
        triangles = vertices.reshape(-1, 3, vertices.shape[-1])
        middle = triangles[:, :, (0, 2)].mean(1)
        names = _cell_names(middle)
        order = np.argsort(names, kind="stable")
        self.vertices = np.ascontiguousarray(triangles[order]).reshape(vertices.shape)
        _, self._first, count = np.unique(names[order], return_index=True, return_counts=True)
        corners = triangles[order][:, :, (0, 2)]
        low = np.minimum.reduceat(corners.min(1), self._first)
        high = np.maximum.reduceat(corners.max(1), self._first)
        self._last = self._first + count
        self._centre = (low + high) / 2
        self._radius = np.linalg.norm(high - low, axis=-1) / 2

    def seen(self, world_from_camera: NDArray[np.float64]) -> list[tuple[int, int]]:
        """(first vertex, number of vertices) of the runs that may be in view of a camera that looks about level."""
        eye, forward = world_from_camera[(0, 2), 3], world_from_camera[(0, 2), 2]
        forward = forward / np.linalg.norm(forward)
        offset = self._centre - eye
        ahead, aside = offset @ forward, np.abs(offset @ np.array([-forward[1], forward[0]]))
        beside = aside * math.cos(_HALF_VIEW) - ahead * math.sin(_HALF_VIEW)
        index = np.flatnonzero((beside < self._radius) & (ahead > -self._radius))
        if not len(index):
            return []
        breaks = np.flatnonzero(np.diff(index) > 1)
        starts, stops = index[np.r_[0, breaks + 1]], index[np.r_[breaks, len(index) - 1]]
        return [
            (3 * int(self._first[a]), 3 * int(self._last[b] - self._first[a]))
            for a, b in zip(starts, stops, strict=True)
        ]


def _cell_names(middle: NDArray[np.float32]) -> NDArray[np.int64]:
    """A number per triangle middle [T, 2], by square near the middle of the world and by sector far away."""
    square = np.floor(middle / _CELL).astype(np.int64) + 8
    rows = np.where(square[:, 1] % 2 == 0, square[:, 0], 15 - square[:, 0])
    sector = np.floor((np.arctan2(middle[:, 0], middle[:, 1]) / (2 * math.pi) + 0.5) * _SECTORS).astype(np.int64)
    return np.where(np.abs(middle).max(1) < _NEAR_WORLD, square[:, 1] * 16 + rows, 1000 + sector)
