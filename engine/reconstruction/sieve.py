"""Which pixels of which views are fused: near, static, sure, off depth edges, and consistent with the other views.

NumPy only. Letters as in `engine.reconstruction.views`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.views import DepthViews, Seen, look_at, neighbours, to_world

Advance = Callable[[float], None]
"""Told the fraction 0..1 that is done; may raise to cancel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SieveConfig:
    """What a pixel must fulfil."""

    near: float = 0.25
    far: float = 30.0
    """Depth limits in units: beyond `far` a pixel of the 70 degree lens covers more than a hand's breadth."""
    confidence: float = 0.3
    """Smallest confidence."""
    edge: float = 0.25
    """Steepest slope of inverse depth, relative, from pixel to pixel; the ground reaches 0.16 at 30 units."""
    neighbours: int = 8
    """Views that each view is compared with."""
    agreement: float = 0.08
    """Relative difference of depth within which two views see the same surface."""

    def __post_init__(self) -> None:
        if not 0 < self.near < self.far:
            raise ValueError(f"near must lie between 0 and far, got {self.near} and {self.far}")


def sift(
    views: DepthViews, config: SieveConfig, advance: Advance = lambda fraction: None
) -> tuple[DepthViews, NDArray[np.bool_]]:
    """The views with depth averaged over those that agree, and the pixels `[V, H, W]` worth fusing."""
    keep = sure(views, config)
    depth, kept = views.depth.copy(), keep.copy()
    for index, others in enumerate(neighbours(views, config.neighbours, config.far)):
        depth[index], kept[index] = compared(views, index, others, keep[index], config)
        advance((index + 1) / len(views))
    return replace(views, depth=depth), kept


def sure(views: DepthViews, config: SieveConfig) -> NDArray[np.bool_]:
    """The pixels `[V, H, W]` that qualify by themselves: static, sure, within the limits, off depth edges."""
    near = (views.depth >= config.near) & (views.depth <= config.far)
    return near & views.static & (views.confidence >= config.confidence) & ~edges(views.depth, config.edge)


def edges(depth: NDArray[np.floating], limit: float) -> NDArray[np.bool_]:
    """Pixels in mid-air between a near and a far surface: inverse depth `[..., H, W]` goes on the same way on both
    sides, by more than `limit` of itself. The rim of a surface, which does so on one side only, is none."""
    with np.errstate(divide="ignore"):
        inverse = 1.0 / depth.astype(np.float32)
    found = np.zeros(depth.shape, dtype=bool)
    for axis in (-1, -2):
        step = np.moveaxis(np.diff(inverse, axis=axis), axis, 0)
        same_way = np.minimum(np.abs(step[:-1]), np.abs(step[1:])) * (step[:-1] * step[1:] > 0)
        inner = np.moveaxis(found, axis, 0)[1:-1]
        inner |= same_way > limit * np.moveaxis(inverse, axis, 0)[1:-1]
    return found


def compared(
    views: DepthViews, index: int, others: NDArray[np.intp], among: NDArray[np.bool_], config: SieveConfig
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth and the good pixels `[H, W]` of view `index`, `among` those given, after asking the `others`.

    A view *agrees* if it has a surface at the point's depth, *contradicts* if it looks through the point at something
    farther, and abstains if something nearer hides the point or it lies outside. At least one must agree where any
    votes, and no more may contradict; a point that nobody else sees is kept. Depth becomes the mean of all that agree,
    weighted by confidence.
    """
    points = to_world(views.depth[index], views.lens, views.world_from_camera[index])[among]
    agree, contradict = np.zeros(len(points), np.int16), np.zeros(len(points), np.int16)
    weight = views.confidence[index][among].astype(np.float64)
    total, ratio = weight.copy(), np.zeros(len(points))
    for other in others:
        seen = look_at(points, views.lens, views.world_from_camera[other], views.size)
        there = views.depth[other].ravel()[seen.pixel]
        votes = seen.inside & views.static[other].ravel()[seen.pixel] & (seen.depth >= config.near)
        agreeing = votes & (np.abs(there - seen.depth) <= config.agreement * seen.depth)
        agree += agreeing
        contradict += votes & (there > (1 + config.agreement) * seen.depth)
        error = smooth_depth(views.depth[other], seen, config.agreement) / np.maximum(seen.depth, 1e-6) - 1
        counts = agreeing & (np.abs(error) <= config.agreement)
        sure = np.where(counts, views.confidence[other].ravel()[seen.pixel], 0)
        ratio += sure * np.where(counts, error, 0)
        total += sure
    depth, kept = views.depth[index].copy(), np.zeros_like(among)
    depth[among] *= (1 + ratio / np.maximum(total, 1e-9)).astype(np.float32)
    kept[among] = (agree + contradict == 0) | ((agree > 0) & (agree >= contradict))
    return depth, kept


def smooth_depth(depth: NDArray[np.float32], seen: Seen, agreement: float) -> NDArray[np.float64]:
    """Depth between the pixels of a map `[H, W]` where points fall, `[N]`; nan where the four pixels around differ.

    Interpolates inverse depth, which is linear on planes.
    """
    height, width = depth.shape
    x, y = (np.where(seen.inside, seen.place[:, axis], 0.0) for axis in (0, 1))
    x, y = np.clip(x, 0, width - 1 - 1e-6), np.clip(y, 0, height - 1 - 1e-6)
    left, top = x.astype(np.intp), y.astype(np.intp)
    across, down = x - left, y - top
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1.0 / depth.ravel().astype(np.float64)
        first = top * width + left
        corners = np.stack([inverse[first + step] for step in (0, 1, width, width + 1)])
        upper = corners[0] * (1 - across) + corners[1] * across
        lower = corners[2] * (1 - across) + corners[3] * across
        same = corners.max(0) <= (1 + 4 * agreement) * corners.min(0)
        return np.where(same & seen.inside, 1 / (upper * (1 - down) + lower * down), np.nan)
