"""Which pixels of which views are fused: near, static, sure, off depth edges, and consistent with the other views.

NumPy only. Letters as in `engine.reconstruction.views`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.views import DepthViews, look_at, neighbours, to_world

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
    agreement: float = 0.05
    """Relative difference of depth within which two views see the same surface."""

    def __post_init__(self) -> None:
        if not 0 < self.near < self.far:
            raise ValueError(f"near must lie between 0 and far, got {self.near} and {self.far}")


def sift(views: DepthViews, config: SieveConfig, advance: Advance = lambda fraction: None) -> NDArray[np.bool_]:
    """The pixels `[V, H, W]` that are surface points worth fusing."""
    keep = sure(views, config)
    others = neighbours(views, config.neighbours, config.far)
    kept = keep.copy()
    for index, compared in enumerate(others):
        kept[index] &= consistent(views, index, compared, keep[index], config)
        advance((index + 1) / len(views))
    return kept


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


def consistent(
    views: DepthViews, index: int, others: NDArray[np.intp], among: NDArray[np.bool_], config: SieveConfig
) -> NDArray[np.bool_]:
    """The pixels `[H, W]` of view `index`, `among` those given, that no majority of the `others` contradicts.

    A view *agrees* if it has a surface at the point's depth, *contradicts* if it looks through the point at something
    farther, and abstains if something nearer hides the point or it lies outside. At least one must agree where any
    votes; a point that nobody else sees is kept.
    """
    points = to_world(views.depth[index], views.lens, views.world_from_camera[index])[among]
    agree, contradict = np.zeros(len(points), np.int16), np.zeros(len(points), np.int16)
    for other in others:
        seen = look_at(points, views.lens, views.world_from_camera[other], views.size)
        there, static = views.depth[other].ravel()[seen.pixel], views.static[other].ravel()[seen.pixel]
        votes = seen.inside & static & (seen.depth >= config.near)
        agree += votes & (np.abs(there - seen.depth) <= config.agreement * seen.depth)
        contradict += votes & (there > (1 + config.agreement) * seen.depth)
    voted = agree + contradict > 0
    kept = np.zeros_like(among)
    kept[among] = ~voted | ((agree > 0) & (agree >= contradict))
    return kept
