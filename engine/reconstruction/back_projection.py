"""Depth maps as points: naive back-projection (the baseline) and the confidence-weighted average over voxels.

NumPy only: the path that always works. Letters as in `engine.reconstruction.views`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.cloud import PointCloud, merge_voxels
from engine.reconstruction.sieve import Advance
from engine.reconstruction.views import DepthViews, to_world

_MERGE_EVERY = 16
"""Views whose voxels wait before they are merged: bounds memory to the cloud and this many pictures."""
_SUMS = 11
"""Columns that are summed: weight, weight x (xyz, rgb, normal, confidence)."""


def back_project(views: DepthViews, keep: NDArray[np.bool_], voxel: float) -> PointCloud:
    """Naive: one surface point per voxel, the first that any view has there."""
    parts = [_measured(views, index, keep[index]) for index in range(len(views))]
    sums = np.concatenate(parts)
    frames = np.concatenate([np.full(len(part), views.frame_ids[i]) for i, part in enumerate(parts)])
    if not len(sums):
        return _cloud(sums, frames)
    _, place = merge_voxels(_positions(sums), voxel)
    first = np.unique(place, return_index=True)[1]
    return _cloud(sums[first], frames[first])


def average(
    views: DepthViews, keep: NDArray[np.bool_], voxel: float, advance: Advance = lambda fraction: None
) -> PointCloud:
    """The pixels `keep` `[V, H, W]` of all views as one point per occupied voxel: the weighted mean of what they saw.

    A pixel weighs its confidence / depth^2, the inverse of the variance of its place where the error of depth grows
    with depth.
    """
    sums, frames = np.zeros((0, _SUMS)), np.zeros(0, np.int64)
    waiting: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
    for index in range(len(views)):
        measured = _measured(views, index, keep[index])
        waiting.append((measured, np.full(len(measured), views.frame_ids[index])))
        if len(waiting) == _MERGE_EVERY or index == len(views) - 1:
            sums, frames = _merged([(sums, frames), *waiting], voxel)
            waiting.clear()
        advance((index + 1) / len(views))
    return _cloud(sums, frames)


def surface_normals(points: NDArray[np.floating], centre: NDArray[np.floating]) -> NDArray[np.float64]:
    """Unit normals `[H, W, 3]` of a depth map's points, towards the camera at `centre`: from neighbouring pixels.

    Of the two neighbours on each axis the nearer one counts, so that the far side of an edge does not tilt a surface.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        across, down = (_nearer_step(points, axis) for axis in (1, 0))
        normal = np.cross(down, across)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        to_camera = centre - points
        to_camera /= np.linalg.norm(to_camera, axis=-1, keepdims=True)
    normal = np.where(np.isfinite(normal).all(-1, keepdims=True), normal, to_camera)
    facing = np.sum(normal * to_camera, axis=-1, keepdims=True)
    return np.where(facing < 0, -normal, normal)


def _nearer_step(points: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """Difference to the next or from the previous pixel, whichever is shorter."""
    step = np.diff(points, axis=axis)
    nothing = np.full_like(np.take(points, [0], axis=axis), np.inf)
    forward, backward = np.concatenate([step, nothing], axis), np.concatenate([nothing, step], axis)
    shorter = np.linalg.norm(forward, axis=-1) <= np.linalg.norm(backward, axis=-1)
    return np.where(shorter[..., None], forward, backward)


def _measured(views: DepthViews, index: int, keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The kept pixels of one view as rows of weighted sums `[N, 11]`."""
    pose = views.world_from_camera[index]
    points = to_world(views.depth[index], views.lens, pose)
    normals = surface_normals(points, pose[:3, 3])[keep]
    confidence = views.confidence[index][keep][:, None].astype(np.float64)
    weight = np.maximum(confidence, 1e-3) / np.square(views.depth[index][keep][:, None])
    return np.hstack([weight, weight * np.hstack([points[keep], views.rgb[index][keep], normals, confidence])])


def _merged(
    parts: list[tuple[NDArray[np.float64], NDArray[np.int64]]], voxel: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums and first frames, one row a voxel. The mean of its points lies in a voxel, so merging again changes none."""
    sums, frames = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if not len(sums):
        return sums, frames
    keys, place = merge_voxels(_positions(sums), voxel)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(keys)))
    return np.add.reduceat(sums[order], starts, axis=0), np.minimum.reduceat(frames[order], starts)


def _positions(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return sums[:, 1:4] / sums[:, :1]


def _cloud(sums: NDArray[np.float64], frames: NDArray[np.int64]) -> PointCloud:
    mean = sums[:, 1:] / sums[:, :1]
    length = np.linalg.norm(mean[:, 6:9], axis=1, keepdims=True)
    return PointCloud(
        xyz=mean[:, 0:3].astype(np.float32),
        rgb=np.rint(mean[:, 3:6]).astype(np.uint8),
        normals=(mean[:, 6:9] / np.maximum(length, 1e-9)).astype(np.float32),
        confidence=mean[:, 9].astype(np.float32),
        frame=frames.astype(np.int32),
    )
