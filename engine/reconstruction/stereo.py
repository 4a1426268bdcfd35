"""Plane-sweep stereo with known cameras (Collins 1996) and semi-global smoothing (Hirschmueller 2008): no weights.

A picture is compared with others as each plane of constant depth in front of it would show them. Similarity is the
Hamming distance of census codes, so brightness doesn't matter. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.visibility import project, rays
from engine.geometry import Lens, Matrix, rigid_inverse
from engine.reconstruction.sieve import Advance

Gray = NDArray[np.float32]
_RADIUS = 2
"""Of the census window, 5x5."""
_BITS = (2 * _RADIUS + 1) ** 2 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class StereoConfig:
    """How the sweep is made."""

    near: float = 1.0
    far: float = 80.0
    planes: int = 64
    """Depths that are tried, evenly spaced in inverse depth."""
    others: int = 4
    """Views that a view is compared with."""
    least_baseline: float = 0.15
    best_baseline: float = 0.7
    """Units between two views that are compared: at least, and best."""
    step: float = 4.0
    jump: float = 24.0
    """Smoothing: what a change by one plane and by more costs, in census bits."""
    texture: float = 1.5
    """Grey levels (0..255) of local contrast at which a match is believed by half."""


def sweep_all(
    rgb: NDArray[np.uint8], world_from_camera: Matrix, lens: Lens, config: StereoConfig,
    advance: Advance = lambda fraction: None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Depth and confidence `[V, H, W]` of all views `[V, H, W, 3]`; confidence is 0 where nothing moved."""
    planes = np.linspace(1 / config.far, 1 / config.near, config.planes)
    grays = [grey(picture) for picture in rgb]
    depths, sure = np.full(rgb.shape[:3], np.inf, np.float32), np.zeros(rgb.shape[:3], np.float32)
    for index, picture in enumerate(grays):
        others = partners(world_from_camera, index, config)
        if len(others):
            moves = rigid_inverse(world_from_camera[others]) @ world_from_camera[index]
            inverse, sure[index] = sweep(picture, [grays[other] for other in others], moves, lens, planes, config)
            depths[index] = 1 / inverse
        advance((index + 1) / len(rgb))
    return depths, sure


def partners(world_from_camera: Matrix, index: int, config: StereoConfig) -> NDArray[np.intp]:
    """The views to compare view `index` with: they look the same way from about the best distance."""
    apart = np.linalg.norm(world_from_camera[:, :3, 3] - world_from_camera[index, :3, 3], axis=1)
    facing = world_from_camera[:, :3, 2] @ world_from_camera[index, :3, 2]
    fit = np.flatnonzero((apart >= config.least_baseline) & (facing > 0.85))
    return fit[np.argsort(np.abs(np.log(apart[fit] / config.best_baseline)), kind="stable")][: config.others]


def sweep(
    picture: Gray, others: list[Gray], other_from_picture: Matrix, lens: Lens, planes: NDArray[np.float64],
    config: StereoConfig,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Inverse depth and confidence `[H, W]` of a picture, by others whose cameras are `[K, 4, 4]` from its own.

    `planes` are the inverse depths to try, evenly spaced, ascending.
    """
    code = census(picture)
    shape = len(others), *picture.shape
    cost = np.empty((*picture.shape, len(planes)), np.float32)
    directions = rays(lens, picture.shape[1], picture.shape[0])
    for place, inverse in enumerate(planes):
        differences = np.empty(shape, np.float32)
        for k, (other, move) in enumerate(zip(others, other_from_picture, strict=True)):
            seen, inside = warp(other, directions @ move[:3, :3].T + inverse * move[:3, 3], lens)
            differences[k] = np.where(inside, np.bitwise_count(code ^ census(seen)), _BITS / 2)
        differences.sort(axis=0)  # the better half: what one view hides, others show
        cost[..., place] = differences[: (len(others) + 1) // 2].mean(0)
    smooth = smoothed(cost, config)
    best, offset = subpixel_minimum(smooth)
    step = planes[1] - planes[0]
    inverse = planes[best] + offset * step
    matched = 1 - np.take_along_axis(cost, best[..., None], axis=-1)[..., 0] / (_BITS / 2)
    contrast = local_contrast(picture)
    sure = np.clip(matched, 0, 1) * contrast / (contrast + config.texture)
    return np.maximum(inverse, 1e-6).astype(np.float32), sure.astype(np.float32)


def grey(picture: NDArray[np.uint8]) -> Gray:
    """Luma of `[H, W, 3]`, 0..255."""
    return picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def census(picture: Gray) -> NDArray[np.uint32]:
    """A bit for each neighbour in the window, set where it is darker than the pixel, `[H, W]`."""
    height, width = picture.shape
    padded = np.pad(picture, _RADIUS, mode="edge")
    code = np.zeros(picture.shape, np.uint32)
    for y in range(2 * _RADIUS + 1):
        for x in range(2 * _RADIUS + 1):
            if (y, x) != (_RADIUS, _RADIUS):
                code = code << np.uint32(1) | (padded[y : y + height, x : x + width] < picture - 0.5)
    return code


def warp(other: Gray, points: NDArray[np.float64], lens: Lens) -> tuple[Gray, NDArray[np.bool_]]:
    """`other` at the projections of points `[H, W, 3]` of its camera (bilinear), and which of them it shows."""
    height, width = other.shape
    place, depth = project(points, lens, width, height)
    x, y = place[..., 0], place[..., 1]
    inside = (depth > 1e-6) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x, y = np.clip(x, 0, width - 1.001).astype(np.float32), np.clip(y, 0, height - 1.001).astype(np.float32)
    left, top = x.astype(np.intp), y.astype(np.intp)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    flat, first = other.ravel(), top * width + left
    upper = flat[first] * (1 - across) + flat[first + 1] * across
    lower = flat[first + width] * (1 - across) + flat[first + width + 1] * across
    return (upper * (1 - down) + lower * down).astype(np.float32), inside


def smoothed(cost: NDArray[np.float32], config: StereoConfig) -> NDArray[np.float32]:
    """Costs `[H, W, D]` aggregated along the four directions of rows and columns."""
    total = np.zeros_like(cost)
    for axis in (0, 1):
        lines = np.moveaxis(cost, axis, 0)
        sums = np.moveaxis(total, axis, 0)
        for order in (range(len(lines)), range(len(lines) - 1, -1, -1)):
            before: NDArray[np.float32] | None = None
            for line in order:
                before = lines[line] if before is None else lines[line] + _cheapest(before, config)
                sums[line] += before
    return total


def _cheapest(before: NDArray[np.float32], config: StereoConfig) -> NDArray[np.float32]:
    """What reaching each plane costs at least, coming from costs `[N, D]` one pixel earlier."""
    least = before.min(axis=-1, keepdims=True)
    reached = np.minimum(before, least + np.float32(config.jump))
    np.minimum(reached[:, 1:], before[:, :-1] + np.float32(config.step), out=reached[:, 1:])
    np.minimum(reached[:, :-1], before[:, 1:] + np.float32(config.step), out=reached[:, :-1])
    return reached - least


def subpixel_minimum(cost: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Index of the smallest cost along the last axis and the offset (-0.5..0.5) of the parabola through it."""
    best = cost.argmin(axis=-1)
    inner = np.clip(best, 1, cost.shape[-1] - 2)
    low, middle, high = (np.take_along_axis(cost, (inner + d)[..., None], axis=-1)[..., 0] for d in (-1, 0, 1))
    bend = low - 2 * middle + high
    offset = np.where(bend > 1e-6, (low - high) / (2 * np.maximum(bend, 1e-6)), 0)
    return best, np.where(best == inner, np.clip(offset, -0.5, 0.5), 0).astype(np.float32)


def local_contrast(picture: Gray) -> Gray:
    """Mean absolute slope across and down in a 5x5 window: zero on blank walls and sky."""
    slope = np.abs(np.gradient(picture, axis=1)) + np.abs(np.gradient(picture, axis=0))
    padded = np.pad(slope, _RADIUS, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _RADIUS + 1, 2 * _RADIUS + 1))
    return windows.mean((-1, -2)).astype(np.float32)
