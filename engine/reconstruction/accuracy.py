"""How well a cloud matches the true surfaces: accuracy, completeness and F-score (Knapitsch 2017), relative to depth.

A threshold is a share of how far away the nearest camera stood: 2.5 % of ten units is a quarter of a unit. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.cloud import merge_voxels
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.views import DepthViews, to_world

Points = NDArray[np.floating]
THRESHOLDS = (0.01, 0.025, 0.05)
"""Shares of depth."""
_PAIRS = 4_000_000
"""Distances that are held at once."""


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


def score(found: Points, truth: Points, centres: Points, thresholds: tuple[float, ...] = THRESHOLDS) -> list[Score]:
    """Scores of points `[N, 3]` against dense points `[M, 3]` of the true surface, seen from `centres` `[V, 3]`."""
    found_depth, truth_depth = distance_to_cameras(found, centres), distance_to_cameras(truth, centres)
    reach = max(thresholds) * max(found_depth.max(initial=0.0), truth_depth.max(initial=0.0))
    to_truth, to_found = nearest(found, truth, reach), nearest(truth, found, reach)
    return [
        Score(
            threshold=threshold,
            precision=_share(to_truth <= threshold * found_depth),
            recall=_share(to_found <= threshold * truth_depth),
        )
        for threshold in thresholds
    ]


def true_surface(views: DepthViews, limits: SieveConfig, voxel: float) -> NDArray[np.float64]:
    """The surface that views with true depth saw within `limits`, a point per voxel `[M, 3]`.

    Give it every frame of a walk, and no character: those are no surface of the world.
    """
    parts = []
    for depth, static, pose in zip(views.depth, views.static, views.world_from_camera, strict=True):
        inside = (depth >= limits.near) & (depth <= limits.far) & static
        parts.append(to_world(depth, views.lens, pose)[inside])
    points = np.concatenate(parts)
    return points[np.unique(merge_voxels(points, voxel)[1], return_index=True)[1]] if len(points) else points


def distance_to_cameras(points: Points, centres: Points) -> NDArray[np.float64]:
    """How far the nearest camera stood from each point, `[N]`."""
    least = np.full(len(points), np.inf)
    for centre in centres:
        np.minimum(least, np.linalg.norm(points - centre, axis=1), out=least)
    return least


def nearest(points: Points, others: Points, reach: float) -> NDArray[np.float64]:
    """Distance from each of `points` `[N, 3]` to the nearest of `others` `[M, 3]`; inf beyond `reach`.

    Both are sorted into cubes of side `reach`, so that only neighbouring cubes are compared.
    """
    least = np.full(len(points), np.inf)
    if not len(points) or not len(others):
        return least
    cubes: dict[tuple[int, int, int], NDArray[np.intp]] = _by_cube(others, reach)
    for (x, y, z), chosen in _by_cube(points, reach).items():
        around = [(x + i, y + j, z + k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
        candidates = [cubes[cube] for cube in around if cube in cubes]
        if candidates:
            least[chosen] = _least(points[chosen], others[np.concatenate(candidates)])
    return np.where(least <= reach, least, np.inf)


def _least(points: Points, others: Points) -> NDArray[np.float64]:
    """Distance to the nearest, all pairs compared, around the points' middle so that float32 is exact enough."""
    middle = points.mean(0)
    a, b = (points - middle).astype(np.float32), (others - middle).astype(np.float32)
    lengths = np.square(b).sum(1)
    rows = max(1, _PAIRS // len(b))
    squares = [
        (lengths - 2 * a[start : start + rows] @ b.T).min(1) for start in range(0, len(a), rows)
    ]
    return np.sqrt(np.maximum(np.concatenate(squares) + np.square(a).sum(1), 0.0))


def _by_cube(points: Points, side: float) -> dict[tuple[int, int, int], NDArray[np.intp]]:
    cells, place = np.unique(np.floor(points / side).astype(np.int64), axis=0, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(place.ravel()))[:-1])
    return {(int(x), int(y), int(z)): group for (x, y, z), group in zip(cells, groups, strict=True)}


def _share(of: NDArray[np.bool_]) -> float:
    return float(of.mean()) if len(of) else 0.0
