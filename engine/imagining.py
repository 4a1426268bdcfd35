"""What may lie where no picture of a world has looked: places that it learnt from, joined to what the world began with.

A network of this size answers "anything could be there" with haze. So what nothing shows is drawn from a panorama of
some place it learnt from (engine/album.py): the one that is most like the first picture where one looks the same way,
in that picture's light. Beside the picture its mirror image goes on for some degrees, without a seam, and then, along
the way on which both are most alike, the panorama. Farther off, every square of the ground has another panorama around
it. What stands in panoramas has depth like any surface and is drawn behind all that is known; behind it are ground,
horizon and sky, and where something stood before them, those of an open place. It stands there for good: what one met
first hides what one meets later, on the way on and on the way back.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import heading, turn
from engine.album import Album, Match
from engine.blending import extended, joined, patched, relit, seam_of
from engine.geometry import Lens
from engine.guide import Surface, in_view
from engine.panorama import FAR, Backdrop, Panorama, kinds, seen_from, unrolled
from engine.recent import recent
from engine.repaint import Paint, Painted, Repainter
from engine.squares import HOME, SIDE, Square, square_of

_VIEWS = 6
"""In which a panorama is drawn, all round, in a row at the height of the eye and one above it."""
_ABOVE = math.radians(24.0)
"""How far up those above look."""
_SEAM = (1.0, 26.0)
"""Degrees beside a picture between which its mirror image ends."""
_RAISED = 0.25
"""Slope by which what is cut off at the top of a picture goes on."""
_OTHERS = 16
"""Panoramas that stand around other squares: the next best of the same kind."""
_BESIDE_IT, _ELSEWHERE = ((1.0, 0.6), (0.6, 0.25), (0.3, 0.25)), ((1.0, 0.6), (1.0, 0.6), (0.3, 0.25))
"""How a panorama takes on the light of a first picture (`engine.blending.Shares`): its sky more than what stands."""
_BESIDE = 3
"""Pixels beside what stands in which it may be seen."""
_KEPT = 8
"""Rings kept."""


class Ring:
    """A panorama around a square, whose eye is that of a level camera, and what is behind all that stands in it; under
    events as painted pictures are."""

    def __init__(
        self,
        panorama: Panorama,
        eye: NDArray[np.float64],
        middle: float,
        size: tuple[int, int],
        lens: Lens,
        behind: Panorama | None,
        painter: Painted | None,
    ) -> None:
        self._panorama, self._middle, self._size, self._lens = panorama, middle, size, lens
        self._place, self._behind, self._painter = eye[:3, 3], behind, painter
        self._cameras = [eye.copy() for _ in range(2 * _VIEWS)]
        for i, camera in enumerate(self._cameras):
            camera[:3, :3] = turn(middle + math.tau * i / _VIEWS, _ABOVE if i < _VIEWS else 0.0)
        self._outlines = [self._look(camera, (size[0] // 2, size[1] // 2)).disparity for camera in self._cameras]
        self._views: dict[int, Surface] = {}

    def seen_by(self, views_V44: NDArray[np.float64], paint: Paint) -> list[Surface]:
        """Its surfaces that cameras `[V, 4, 4]` see, with some paint."""
        seen = [
            i for i, camera in enumerate(self._cameras) if in_view(self._outlines[i], camera, views_V44, self._lens)
        ]
        self._views |= {i: self._look(self._cameras[i], self._size) for i in seen if i not in self._views}
        if self._painter is None or not paint:
            return [self._views[i] for i in seen]
        return [view.showing(self._painter.get(i, view.picture, paint)) for i in seen if (view := self._views[i])]

    def backdrop(self, paint: Paint) -> Backdrop | None:
        """What is behind all that stands, with some paint, which changes it as it does the same at half the size."""
        behind = self._behind
        if behind is None:
            return None
        if self._painter and paint:
            size = behind.known.shape
            half = F.interpolate(behind.picture[None], [n // 32 * 16 for n in size], mode="area")
            change = self._painter.get(len(self._cameras), half[0], paint)[None] - half
            picture = behind.picture + F.interpolate(change, size, mode="bilinear")[0]
            behind = Panorama(picture.clamp(-1, 1), behind.disparity, behind.known)
        return Backdrop(behind, self._place, self._middle)

    def _look(self, camera: NDArray[np.float64], size: tuple[int, int]) -> Surface:
        return seen_from(self._panorama, camera, self._middle, size, self._lens)


class Surroundings:
    """What is imagined around the first picture of a world, painted by a model if there is one."""

    def __init__(self, album: Album | None, first: Surface, lens: Lens, painter: Repainter | None = None) -> None:
        self._album, self._first, self._lens, self._painter = album, first, lens, painter
        self._middle = float(heading(first.world_from_camera)[0])
        self._seen = unrolled([first], self._middle, lens)
        self._matches = album.like(self._seen) if album else []
        self._others = album.akin(self._matches)[1 : 1 + _OTHERS] if album else []
        self._open = self._lit(album.openest(self._matches)) if album else None
        self._home = self._joined() if album else self._mirrored()
        self._rings: OrderedDict[Square, Ring] = OrderedDict()

    def drawn(
        self, views_V44: NDArray[np.float64], paint: Paint = (), been: Sequence[Square] = ()
    ) -> tuple[list[Surface], Backdrop | None]:
        """What cameras `[V, 4, 4]` see of it with some paint, each hiding those before it, and what is behind all that
        stands. Of the squares that one has `been` in, in the order in which one came there, the first hide the others;
        so what stood there still does."""
        here = square_of(views_V44[0], self._first.world_from_camera)
        rings = [self._ring(square) for square in dict.fromkeys((HOME, *been, here))]
        seen = [view for ring in reversed(rings) for view in ring.seen_by(views_V44, paint)]
        return seen, self._ring(here).backdrop(paint)

    def _ring(self, square: Square) -> Ring:
        """The ring around a square, the least recently used forgotten."""
        return recent(self._rings, square, lambda: self._around(square), _KEPT)

    def _around(self, square: Square) -> Ring:
        here, panorama, (H, W) = self._first.world_from_camera.copy(), self._home, self._first.disparity.shape
        here[[0, 2], 3] += SIDE * np.array(square)
        if square != HOME:
            draw = np.random.default_rng([n + 2**20 for n in square])
            if self._others:
                panorama = self._lit(self._others[int(draw.integers(len(self._others)))])
            panorama = panorama.turned(int(draw.integers(panorama.known.shape[1])))
        near, behind = panorama, None
        if self._open is not None:
            _, ground, stands = kinds(panorama)
            near = panorama.only(ground | (stands & (panorama.disparity > 1 / FAR)))
            behind = patched(_far(panorama).only(ground).over(_far(self._home)), _far(self._open))
        painter = Painted(self._painter) if self._painter else None
        return Ring(near, here, self._middle, (H, W), self._lens, behind, painter)

    def _joined(self) -> Panorama:
        """The panorama around the first picture: that and its mirror images at its sides, and what goes on there."""
        front, back = extended(self._mirrored(), _RAISED), self._lit(self._matches[0])
        half, columns = self._lens.field_of_view[0] / 2, front.disparity.shape[1]
        begin, end = (round(columns * (0.5 + (half + beside) / 360)) for beside in _SEAM)
        for _ in ("right", "left"):
            seam = seam_of(front, back, begin, end)
            front, back = joined(front, back, seam).mirrored(), back.mirrored()
        return front

    def _mirrored(self) -> Panorama:
        """The first picture and its mirror images, side by side all round."""
        width = math.radians(self._lens.field_of_view[0])
        images = [
            image(self._first, place, turned(self._first.world_from_camera, place * width))
            for place in (2, -2, 1, -1, 0)
        ]
        return unrolled(images, self._middle, self._lens)

    def _lit(self, match: Match) -> Panorama:
        """A panorama in the light of the first picture: one that goes on beside it changes as it would have to where
        that is, one that stands elsewhere as a whole."""
        assert self._album is not None
        panorama = self._album.open(match, self._seen).crisp()
        if match != self._matches[0]:
            return relit(panorama, panorama, self._seen, _ELSEWHERE)
        return relit(panorama, panorama.only(self._seen.known), self._seen, _BESIDE_IT)


def _far(panorama: Panorama) -> Panorama:
    """A panorama of which nothing that stands near is known, nor what is beside it, which has some of its colour."""
    *_, stands = kinds(panorama)
    near = stands & (panorama.disparity > 1 / FAR)
    for _ in ("across", "down"):
        near = F.max_pool1d(near.float(), 2 * _BESIDE + 1, 1, _BESIDE).T > 0
    return panorama.only(~near)


def turned(world_from_camera: NDArray[np.float64], yaw: float) -> NDArray[np.float64]:
    """A camera turned to the right where it stands, in radians."""
    camera = world_from_camera.copy()
    camera[:3, :3] = turn(yaw, 0.0) @ camera[:3, :3]
    return camera


def flipped(map_HW: Tensor, place: int) -> Tensor:
    """A map `[..., H, W]` of a picture as its image at a place shows it: every second one is as the picture is."""
    return map_HW.flip(-1) if place % 2 else map_HW


def image(first: Surface, place: int, camera: NDArray[np.float64]) -> Surface:
    """The image of a surface, so many pictures to its right, seen by its camera there."""
    picture, disparity = (flipped(each, place).contiguous() for each in (first.picture, first.disparity))
    stands, sure = (None if x is None else flipped(x, place).contiguous() for x in (first.stands, first.sure))
    return Surface(picture, disparity, camera, stands, sure)
