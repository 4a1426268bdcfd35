"""The ground in squares, around each of which stands another place (engine/imagining.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE = 20.0
"""Metres across. The first camera of a world stands in the middle of `HOME`."""
NEAR, MOST = 45.0, 4
"""Squares that matter: those whose middles are within so many metres, so many at most."""
Square = tuple[int, int]
HOME = (0, 0)


def square_of(camera: NDArray[np.float64], first: NDArray[np.float64]) -> Square:
    """The square in which a camera `[4, 4]` stands, of a world whose first camera is `first`."""
    x, z = _squares(camera[None], first)[0].tolist()
    return x, z


def visited(path_T44: NDArray[np.float64]) -> list[Square]:
    """Where a walk has been and is near, in the order in which it first came there; the one in which it ends is always
    among them."""
    all_T2 = _squares(path_T44, path_T44[0])
    order = all_T2[np.sort(np.unique(all_T2, axis=0, return_index=True)[1])]
    away = np.linalg.norm(order * SIDE - (path_T44[-1] - path_T44[0])[[0, 2], 3], axis=1)
    near = np.sort(away)[:MOST][-1]
    return [(x, z) for (x, z), d in zip(order.tolist(), away, strict=True) if d <= min(near, NEAR)]


def _squares(path_T44: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.round(np.round((path_T44 - first)[:, [0, 2], 3], 3) / SIDE).astype(np.int64)
