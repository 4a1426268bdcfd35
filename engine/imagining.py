"""What may lie where no picture of a world has looked: more of what it began with.

A network of this size answers "anything could be there" with haze. So what nothing shows is drawn from images of the
first picture. Mirrored in the vertical plane through one of its sides it goes on where it ends, without a seam, in the
same light, season and style; mirrored once more it goes on again: four images and the picture stand around the eye.
Farther off, every square of the ground has such a ring of its own, turned some other way. Images have depth like any
surface and are drawn behind all that is known. What the network makes of them is what is there from then on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import turn
from engine.geometry import Lens
from engine.guide import Surface, in_view

_AROUND = (2, -2, 1, -1)
"""Places of the images around a picture, in pictures to its right; each hides those before it."""
_SQUARE = 20.0
"""Metres across a square of the ground."""


def imagined(first: Surface, lens: Lens, views_V44: NDArray[np.float64]) -> list[Surface]:
    """Those images of a world's first surface that cameras `[V, 4, 4]` see, each hiding those before it."""
    return [
        image(first, place, camera)
        for place, camera in places(first.world_from_camera, views_V44[0], lens)
        if in_view(flipped(first.disparity, place), camera, views_V44, lens)
    ]


def places(
    first: NDArray[np.float64], here: NDArray[np.float64], lens: Lens
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Images and their cameras where camera `here` is: the ring of its square, and those around the first picture."""
    square, width = np.round((here - first)[[0, 2], 3] / _SQUARE), math.radians(lens.field_of_view[0])
    if square.any():
        ring = turned(first, np.random.default_rng((square + 2**20).astype(int)).uniform(0, math.tau))
        ring[[0, 2], 3] += _SQUARE * square
        yield from ((place, turned(ring, place * width)) for place in (*_AROUND, 0))
    yield from ((place, turned(first, place * width)) for place in _AROUND)


def turned(world_from_camera: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    """A camera turned to the right where it stands, in radians."""
    camera = world_from_camera.copy()
    camera[:3, :3] = turn(yaw, 0.0) @ camera[:3, :3]
    return camera


def flipped(map_HW: Tensor, place: int) -> Tensor:
    """A map `[..., H, W]` of a picture as its image at a place shows it: every second one is as the picture is."""
    return map_HW.flip(-1) if place % 2 else map_HW


def image(first: Surface, place: int, camera: NDArray[np.float64]) -> Surface:
    """The image of a surface at a place, seen by its camera there."""
    picture, disparity = (flipped(each, place).contiguous() for each in (first.picture, first.disparity))
    stands, sure = (None if x is None else flipped(x, place).contiguous() for x in (first.stands, first.sure))
    return Surface(picture, disparity, camera, stands, sure)
