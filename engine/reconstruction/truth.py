"""The true surface that a walk saw, as points dense enough to judge a cloud by: the fused true depths of its frames.

A renderer's depth is exact at pixel centres only, and pixels are coarse: at 160x96 they are 0.9 % of depth apart, many
times that on the ground. Between them the surface is filled in where it is a plane, along which inverse depth is
linear across the picture; the worlds are made of flat triangles, so that is exact. Across an edge nothing is filled in.
NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Lens, Matrix
from engine.reconstruction.accuracy import distance_to_cameras
from engine.reconstruction.cloud import merge_voxels
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.views import DepthViews

Points = NDArray[np.float64]
_FLAT = 0.004
"""Relative change of the slope of inverse depth up to which pixels lie on one plane: half floats round to 0.0005."""
_NEAREST = 1 / 16
"""Units: nearer than this all is equally fine."""


def true_surface(views: DepthViews, limits: SieveConfig, fineness: float, finer: int = 3) -> Points:
    """The surface that views with true depth saw within `limits`: points `[M, 3]` about `fineness` of their depth
    apart, `finer` of them from pixel to pixel before they are thinned.

    Give it every frame of a walk; what is not `static` is no surface of the world. Points are as dense as pictures see
    the surface, so that a near square metre counts more than a far one.
    """
    parts = []
    for depth, static, pose in zip(views.depth, views.static, views.world_from_camera, strict=True):
        inside = (depth >= limits.near) & (depth <= limits.far) & static
        points = filled(depth, inside, views.lens, pose, finer)
        parts.append(_thinned(points, distance_to_cameras(points, pose[None, :3, 3]), fineness))
    points = np.concatenate(parts)
    return _thinned(points, distance_to_cameras(points, views.centres), fineness)


def filled(
    depth: NDArray[np.floating], inside: NDArray[np.bool_], lens: Lens, world_from_camera: Matrix, finer: int
) -> Points:
    """The points of the pixels `inside` of a depth map `[H, W]`, and `finer` x `finer` in each square between four of
    them that lie on one plane, `[N, 3]`."""
    with np.errstate(divide="ignore"):
        inverse = np.where(inside, 1.0 / depth.astype(np.float64), np.nan)
    rows, columns = np.nonzero(inside)
    parts = [_lifted(columns, rows, inverse[rows, columns], depth.shape, lens)]
    across, down = _flat(inverse, 1), _flat(inverse, 0)
    top, left = np.nonzero(across[:-1] & across[1:] & down[:, :-1] & down[:, 1:])
    corners = [inverse[top + j, left + i] for j in (0, 1) for i in (0, 1)]
    for place in range(1, finer * finer):
        y, x = (step / finer for step in divmod(place, finer))
        between = (corners[0] * (1 - x) + corners[1] * x) * (1 - y) + (corners[2] * (1 - x) + corners[3] * x) * y
        parts.append(_lifted(left + x, top + y, between, depth.shape, lens))
    return np.concatenate(parts) @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]


def _lifted(columns: NDArray, rows: NDArray, inverse: Points, shape: tuple[int, ...], lens: Lens) -> Points:
    """Points in the camera at pixel positions with inverse depth, each `[N]`."""
    x, y = ((columns + 0.5) / shape[1] - 0.5) / lens.fx, ((rows + 0.5) / shape[0] - 0.5) / lens.fy
    return np.stack([x, y, np.ones_like(x)], axis=1) / inverse[:, None]


def _flat(inverse: Points, axis: int) -> NDArray[np.bool_]:
    """Which steps from pixel to pixel along an axis stay on one plane: the step before or after is as steep."""
    step = np.diff(inverse, axis=axis)
    steps = np.moveaxis(step, axis, 0)
    bend = np.full((len(steps) + 1, *steps.shape[1:]), np.inf)
    bend[1:-1] = np.abs(np.diff(steps, axis=0))
    first = np.moveaxis(inverse, axis, 0)[:-1]
    with np.errstate(invalid="ignore"):
        return np.moveaxis(np.fmin(bend[:-1], bend[1:]) <= _FLAT * first, 0, axis)


def _thinned(points: Points, depth: Points, fineness: float) -> Points:
    """A point per cube whose side is about `fineness` of the depth `[N]`."""
    octave = np.floor(np.log2(np.maximum(depth, _NEAREST)))
    kept = [np.zeros((0, 3))]
    for each in np.unique(octave):
        chosen = points[octave == each]
        place = merge_voxels(chosen, fineness * 2.0**each)[1]
        kept.append(chosen[np.unique(place, return_index=True)[1]])
    return np.concatenate(kept)
