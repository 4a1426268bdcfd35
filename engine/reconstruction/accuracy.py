"""How well a cloud matches the true surfaces: accuracy, completeness and F-score (Knapitsch 2017), relative to depth.

A threshold is a share of how far away the nearest camera stood: 2.5 % of ten units is a quarter of a unit. NumPy only.
`engine.reconstruction.truth` makes the true surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.cloud import merge_voxels

Points = NDArray[np.floating]
THRESHOLDS = (0.01, 0.025, 0.05)
"""Shares of depth."""
_PAIRS = 4_000_000
"""Distances that are held at once."""
_AROUND = [(i << 42) + (j << 21) + k for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
"""From a cube's key (`merge_voxels`) to those of its neighbours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How a cloud does at one threshold."""

    threshold: float
    precision: float
    """Share of its points that lie on a true surface (accuracy)."""
    recall: float
    """Share of the true surface that has a point (completeness)."""

    @property
    def f_score(self) -> float:
        """Harmonic mean of the two."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score(
    found: Points, truth: Points, seen: Points, centres: Points, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Score]:
    """Scores of points `[N, 3]` seen from `centres` `[V, 3]`.

    They are accurate near the true surface `[M, 3]`, which is dense, and complete where they are near what was `seen`
    of it `[K, 3]`, a point for each pixel: between pixels of a grazing view the truest cloud has no point.
    """
    reach = max(thresholds)
    to_truth = nearest_of_depth(found, truth, centres, reach)
    to_found = nearest_of_depth(seen, found, centres, reach)
    return [
        Score(threshold=threshold, precision=_share(to_truth <= threshold), recall=_share(to_found <= threshold))
        for threshold in thresholds
    ]


def nearest_of_depth(points: Points, others: Points, centres: Points, reach: float) -> NDArray[np.float64]:
    """Distance from each of `points` `[N, 3]` to the nearest of `others` `[M, 3]`, as a share of how far the nearest of
    the cameras at `centres` `[V, 3]` stood from it; inf beyond the share `reach`.

    Goes octave by octave of that distance, so that what is near is not compared with all that is within reach of what
    is far.
    """
    depth, other_depth = (np.maximum(distance_to_cameras(each, centres), 1e-6) for each in (points, others))
    found, octave = np.full(len(points), np.inf), np.floor(np.log2(depth))
    for each in np.unique(octave):
        chosen = octave == each
        low, high = depth[chosen].min(), depth[chosen].max()
        around = (other_depth >= low - reach * high) & (other_depth <= (1 + reach) * high)
        found[chosen] = nearest(points[chosen], others[around], reach * high)
    share = found / depth
    return np.where(share <= reach, share, np.inf)


def distance_to_cameras(points: Points, centres: Points) -> NDArray[np.float64]:
    """How far the nearest camera stood from each point, `[N]`."""
    squares, rows = np.full(len(points), np.inf), max(1, _PAIRS // max(1, len(centres)))
    lengths = np.square(centres).sum(1)
    for start in range(0, len(points), rows):
        part = points[start : start + rows]
        squares[start : start + rows] = (lengths - 2 * part @ centres.T).min(1) + np.square(part).sum(1)
    return np.sqrt(np.maximum(squares, 0.0))


def nearest(points: Points, others: Points, reach: float) -> NDArray[np.float64]:
    """Distance from each of `points` `[N, 3]` to the nearest of `others` `[M, 3]`; inf beyond `reach`.

    Both are sorted into cubes of side `reach`, so that only neighbouring cubes are compared.
    """
    least = np.full(len(points), np.inf)
    if not len(points) or not len(others):
        return least
    cubes = _by_cube(others, reach)
    for cube, chosen in _by_cube(points, reach).items():
        candidates = [cubes[cube + step] for step in _AROUND if cube + step in cubes]
        if candidates:
            least[chosen] = _least(points[chosen], others[np.concatenate(candidates)])
    return np.where(least <= reach, least, np.inf)


def _least(points: Points, others: Points) -> NDArray[np.float64]:
    """Distance to the nearest, all pairs compared, around the points' middle so that float32 is exact enough."""
    middle = points.mean(0)
    a, b = (points - middle).astype(np.float32), (others - middle).astype(np.float32)
    lengths = np.square(b).sum(1)
    rows = max(1, _PAIRS // len(b))
    squares = [(lengths - 2 * a[start : start + rows] @ b.T).min(1) for start in range(0, len(a), rows)]
    return np.sqrt(np.maximum(np.concatenate(squares) + np.square(a).sum(1), 0.0))


def _by_cube(points: Points, side: float) -> dict[int, NDArray[np.intp]]:
    """Which points lie in each cube, by the cube's packed key."""
    keys, place = merge_voxels(points, side)
    groups = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place, minlength=len(keys)))[:-1])
    return dict(zip(keys.tolist(), groups, strict=True))


def _share(of: NDArray[np.bool_]) -> float:
    return float(of.mean()) if len(of) else 0.0
