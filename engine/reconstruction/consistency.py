"""Whether a walk's depths tell of one place: views of the same surface agree, and both halves of a way back meet.

Needs no truth, so generated walks are judged with it. A cloud that is wrong everywhere in the same way passes: accuracy
(`engine.reconstruction.accuracy`) is for that. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.accuracy import distance_to_cameras, nearest_of_depth
from engine.reconstruction.sieve import SieveConfig, smooth_depth
from engine.reconstruction.views import DepthViews, look_at, neighbours, to_world

OCCLUDED = 0.25
"""Relative: what another view shows nearer than a point by more than this hides it there."""
STANDING = 0.15
"""Units above the flat ground y = 0 from which a point belongs to something that stands on it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How depths of the same surface from different views differ."""

    median: float
    """Relative disagreement; nan where no view sees what another saw."""
    standing: float
    """The same of what stands on the ground, whose own depth follows from the pose."""
    within: float
    """Share of the comparisons that differ by at most 5 %."""
    pairs: int
    """Comparisons: a pixel of one view seen in another."""
    hidden: float
    """Share of the pixels seen in another view that the occlusion test left out."""


def agreement(views: DepthViews, limits: SieveConfig) -> Agreement:
    """Compares each view's depth with that of its neighbours, before anything is averaged.

    All pixels that stand still within the limits of depth count, however unsure. A pixel's point is hidden, and not
    compared, where the other view shows something nearer by a quarter; where that shows something farther, it counts.
    """
    apart, up, hidden, seen_in_all = [np.zeros(0)], [np.zeros(0, dtype=bool)], 0, 0
    solid = views.static & (views.depth >= limits.near) & (views.depth <= limits.far)
    for index, others in enumerate(neighbours(views, limits.neighbours, limits.far)):
        points = to_world(views.depth[index], views.lens, views.world_from_camera[index])[solid[index]]
        for other in others:
            seen = look_at(points, views.lens, views.world_from_camera[other], views.size)
            there = views.depth[other].ravel()[seen.pixel].astype(np.float64)
            smooth = smooth_depth(views.depth[other], seen, limits.agreement)
            there = np.where(np.isfinite(smooth), smooth, there)
            both = seen.inside & solid[other].ravel()[seen.pixel] & (seen.depth >= limits.near)
            open_ = both & (there * (1 + OCCLUDED) >= seen.depth)
            seen_in_all, hidden = seen_in_all + int(both.sum()), hidden + int((both & ~open_).sum())
            apart.append(np.abs(there[open_] / seen.depth[open_] - 1))
            up.append(points[open_, 1] < -STANDING)
    all_apart, all_up = np.concatenate(apart), np.concatenate(up)
    return Agreement(
        median=float(np.median(all_apart)) if len(all_apart) else float("nan"),
        standing=float(np.median(all_apart[all_up])) if all_up.any() else float("nan"),
        within=float(np.mean(all_apart <= 0.05)) if len(all_apart) else float("nan"),
        pairs=len(all_apart),
        hidden=hidden / seen_in_all if seen_in_all else float("nan"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Alignment:
    """How far the clouds of two halves of a walk lie apart, from each point of either to the nearest of the other."""

    median: float
    """Units; inf if most points have nothing of the other half within reach."""
    of_depth: float
    """The same as a share of how far the nearest camera stood."""
    alone: float
    """Share of points with nothing of the other half within reach."""


def alignment(
    out: NDArray[np.floating], back: NDArray[np.floating], centres: NDArray[np.floating], reach: float = 0.25
) -> Alignment:
    """Of the points `[N, 3]` and `[M, 3]` of two halves seen from `centres` `[V, 3]`; beyond the share `reach` of its
    depth nothing is a point's neighbour. Points without one count as infinitely far."""
    if not len(out) or not len(back):
        return Alignment(median=float("inf"), of_depth=float("inf"), alone=1.0)
    sides = (out, back), (back, out)
    shares = np.concatenate([nearest_of_depth(one, other, centres, reach) for one, other in sides])
    depth = np.concatenate([distance_to_cameras(one, centres) for one, _ in sides])
    return Alignment(
        median=float(np.median(shares * depth)),
        of_depth=float(np.median(shares)),
        alone=float(np.mean(np.isinf(shares))),
    )
