"""What may lie where no picture of a world has looked: more of what lies beside it.

A network of this size answers "anything could be there" with haze. So what nothing shows is drawn from mirror images of
a picture that was seen. Reflected in the vertical plane through one of its sides it goes on where it ends, without a
seam, in the same light, season and style; reflected once more it goes on again: four images and the picture stand
around the eye. They have depth like any surface and are drawn behind all that is known. What the network makes of them
is what is there from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import heading, turn
from engine.geometry import Lens
from engine.guide import Surface, in_view
from engine.memory import MemoryConfig
from engine.sources import Worth

_FAR = 8.0
"""Metres from one picture whose mirror images are drawn to the next one."""
_LEVEL = np.radians(8.0)
"""Most pitch of such a picture, if there is one: the ground's mirror image is ground."""


def mirrored_from(path: NDArray[np.float64], ends: NDArray[np.int64], worth: Worth, memory: MemoryConfig) -> int:
    """Which of the latents `ends`, ascending, of a walk along cameras `[T, 4, 4]` is the one whose picture is mirrored.

    Of those that are `worth` most (engine/sources.py) the first until `_FAR` from it, then the next, and so on, so that
    what is imagined stays where it is. Without retrieval, what is older than the context is forgotten.
    """
    known = ends if memory.retrieves else ends[ends >= ends[-1] - memory.context_latents]
    known = known[worth[known] == worth[known].max()]
    level = known[np.abs(heading(path[known])[1]) <= _LEVEL]
    known = level if len(level) else known
    place, here = path[known, :3, 3], 0
    while (far := np.linalg.norm(place[here:] - place[here], axis=1) > _FAR).any():
        here += int(far.argmax())
    return int(known[here])


def beside(surface: Surface, lens: Lens, views_V44: NDArray[np.float64]) -> list[Surface]:
    """Those of the four images around a surface that cameras `[V, 4, 4]` see, each hiding those before it."""
    images = ((place, turned(surface.world_from_camera, place, lens)) for place in (2, -2, 1, -1))
    return [
        image(surface, place, camera)
        for place, camera in images
        if in_view(flipped(surface.disparity, place), camera, views_V44, lens)
    ]


def turned(world_from_camera: NDArray[np.float64], place: int, lens: Lens) -> NDArray[np.float64]:
    """The camera of the image that stands `place` pictures to the right of one: turned by as many fields of view."""
    camera = world_from_camera.copy()
    camera[:3, :3] = turn(2 * place * np.arctan(0.5 / lens.fx), 0.0) @ camera[:3, :3]
    return camera


def flipped(map_HW: Tensor, place: int) -> Tensor:
    """A map `[..., H, W]` of a picture as its image at a place shows it: every second one is as the picture is."""
    return map_HW.flip(-1) if place % 2 else map_HW


def image(surface: Surface, place: int, camera: NDArray[np.float64]) -> Surface:
    """The image of a surface at a place, seen by its camera there."""
    picture, disparity = (flipped(each, place).contiguous() for each in (surface.picture, surface.disparity))
    stands, sure = (None if x is None else flipped(x, place).contiguous() for x in (surface.stands, surface.sure))
    return Surface(picture, disparity, camera, stands, sure)
