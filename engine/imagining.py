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

from engine.actions import heading
from engine.depth import MIRROR
from engine.geometry import Lens
from engine.guide import Surface
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


def beside(surface: Surface, lens: Lens) -> list[Surface]:
    """The four mirror images around a surface, each hiding those before it."""
    half, yaw = np.arctan(0.5 / lens.fx), float(heading(surface.world_from_camera)[0])
    right, left = (reflected(surface, yaw + side * half) for side in (1, -1))
    return [reflected(right, yaw + 3 * half), reflected(left, yaw - 3 * half), right, left]


def reflected(surface: Surface, azimuth: float) -> Surface:
    """A surface in a mirror that stands upright through its camera, in this direction."""
    normal = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    camera = surface.world_from_camera @ MIRROR
    camera[:3, :3] -= 2 * np.outer(normal, normal @ camera[:3, :3])
    stands, sure = (None if x is None else x.flip(-1).contiguous() for x in (surface.stands, surface.sure))
    return Surface(surface.picture.flip(-1).contiguous(), surface.disparity.flip(-1).contiguous(), camera, stands, sure)
