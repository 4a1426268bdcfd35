"""Panoramas: all there is to see around a place, unrolled from a cylinder around the eye.

Column c of W looks to heading 2 pi ((c + 0.5) / W - 0.5), to the right of the middle. Row r looks `falls` downwards, a
unit of way along the ground: from `UP` above the horizon down to where the picture of a level camera ends. Pixels are
square at the horizon, and as wide as those of a picture are in its middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.geometry import POCKET_LENS, Lens
from engine.guide import Surface, rays

UP, DOWN = 1.0, 0.5 / POCKET_LENS.fy
"""Slopes upwards of the top, half a right angle, and downwards of the bottom."""
_FARTHEST = 1 / 500
"""Disparities below this are the sky's."""
FAR = 40.0
"""Units from which on what stands is as good as the horizon."""
EYE = 1.6
"""Height of the eye above level ground, in units."""


@dataclass(frozen=True, slots=True)
class Panorama:
    """Picture `[3, H, W]` in [-1, 1], disparity `[H, W]` (one over the way along the ground; 0 in the sky), and which
    pixels are known `[H, W]`."""

    picture: Tensor
    disparity: Tensor
    known: Tensor

    def turned(self, columns: int) -> Panorama:
        """The same place, looked at so many columns further to the right."""
        return Panorama(*(x.roll(-columns, -1) for x in (self.picture, self.disparity, self.known)))

    def mirrored(self) -> Panorama:
        """The place on the other side of a mirror straight ahead."""
        return Panorama(*(x.flip(-1) for x in (self.picture, self.disparity, self.known)))

    def to(self, device: torch.device) -> Panorama:
        """The same on a device."""
        return Panorama(*(x.to(device) for x in (self.picture, self.disparity, self.known)))

    def crisp(self) -> Panorama:
        """The same without what is beside something nearer, which has some of its colour."""
        nearest, row = F.max_pool2d(self.disparity[None], 3, 1, 1)[0], (UP + DOWN) / len(self.disparity) / EYE
        return self.only(nearest <= 1.15 * self.disparity + 1.5 * row)

    def only(self, where: Tensor) -> Panorama:
        """The same, known only where a mask `[H, W]` says so."""
        return Panorama(self.picture, self.disparity, self.known & where)

    def over(self, other: Panorama) -> Panorama:
        """This one, and the other where it isn't known."""
        return Panorama(
            torch.where(self.known, self.picture, other.picture),
            torch.where(self.known, self.disparity, other.disparity),
            self.known | other.known,
        )

    def at(self, turns: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Colours `[3, ...]`, disparities and what is known where one looks from its eye: `turns` to the right of its
        middle, in radians, and `slopes` downwards, `[...]` each."""
        W, shape = self.disparity.shape[1], turns.shape
        across = ((turns / math.tau + 0.5) % 1.0 * W + 1) / (W + 2)
        down = (slopes + UP) / (UP + DOWN)
        at = torch.stack([2 * across - 1, 2 * down - 1], -1).reshape(1, 1, -1, 2)
        maps = torch.cat([self.picture, self.disparity[None], self.known[None].float()])
        maps = torch.cat([maps[..., -1:], maps, maps[..., :1]], -1)[None]

        def sampled(part: Tensor, mode: str) -> Tensor:
            return F.grid_sample(part, at, mode=mode, padding_mode="border", align_corners=False)[0, :, 0]

        disparity, known = sampled(maps[:, 3:], "nearest").reshape(2, *shape)
        return sampled(maps[:, :3], "bilinear").reshape(3, *shape), disparity, known > 0


def kinds(panorama: Panorama) -> tuple[Tensor, Tensor, Tensor]:
    """Where a panorama shows sky, level ground, and what stands on it, `[H, W]` each."""
    sky = panorama.disparity < _FARTHEST
    level = falls(len(sky)).to(sky.device) / EYE
    ground = ~sky & (level > 0) & (panorama.disparity < 1.2 * level)
    return sky, ground, ~sky & ~ground


def shape_of(rows: int) -> tuple[int, int]:
    """Rows and columns of a panorama whose pixels are as large as those of a picture with so many rows."""
    size = rows * POCKET_LENS.fy
    return round((UP + DOWN) * size), round(math.tau * size)


def falls(H: int) -> Tensor:
    """Slope downwards of each of H rows, `[H, 1]`."""
    return ((torch.arange(H) + 0.5) / H * (UP + DOWN) - UP)[:, None]


def unrolled(surfaces: Sequence[Surface], middle: float, lens: Lens, flying: bool = False) -> Panorama:
    """What surfaces that look from one place show, its middle at a heading in radians; each hides those before it.
    Pixels between two depths count as well if `flying`."""
    device = surfaces[0].disparity.device
    H, W = shape_of(round(surfaces[0].disparity.shape[1] * lens.fx / POCKET_LENS.fy))
    headings = torch.from_numpy(math.tau * ((np.arange(W) + 0.5) / W - 0.5) + middle).float().expand(H, W)
    through = torch.stack([headings.sin(), falls(H).expand(H, W), headings.cos()], -1).to(device)
    blank = torch.zeros(H, W, device=device)
    whole = Panorama(blank.expand(3, H, W), blank, blank.bool())
    for surface in surfaces:
        rotation = torch.from_numpy(surface.world_from_camera[:3, :3].astype(np.float32)).to(device)
        x, y, z = (through @ rotation).unbind(-1)
        at = 2 * torch.stack([x / z * lens.fx, y / z * lens.fy], -1)
        inside = (z > 1e-3) & (at.abs().amax(-1) <= 1)
        shown = _sampled(surface.picture, at, "bilinear")
        disparity, solid = (_sampled(m[None].float(), at, "nearest")[0] for m in (surface.disparity, surface.kept))
        whole = Panorama(shown, disparity * z, inside & ((solid > 0) | flying)).over(whole)
    return whole


def seen_from(
    panorama: Panorama, world_from_camera: NDArray[np.float64], middle: float, size: tuple[int, int], lens: Lens
) -> Surface:
    """What a camera `[4, 4]` at the eye of a panorama, whose middle is at a heading in radians, sees of it in so many
    rows and columns."""
    device = panorama.disparity.device
    rotation = torch.from_numpy(world_from_camera[:3, :3].astype(np.float32)).to(device)
    x, y, z = (rays(*size, lens, device) @ rotation.T).unbind(-1)
    along = torch.hypot(x, z)
    picture, disparity, known = panorama.at(torch.atan2(x, z) - middle, y / along)
    return Surface(picture.contiguous(), disparity * along, world_from_camera, known)


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A panorama of which only level ground is near, its eye at `place` `[3]`, its middle at a heading in radians."""

    panorama: Panorama
    place: NDArray[np.float64]
    middle: float

    def behind(self, bare_VHW: Tensor, views_V44: NDArray[np.float64], lens: Lens) -> tuple[Tensor, Tensor, Tensor]:
        """Colours `[3, N]` and disparities `[N]` of the N bare pixels of views, and for which of them it is known."""
        (_, H, W), device = bare_VHW.shape, bare_VHW.device
        cameras = torch.from_numpy(views_V44.astype(np.float32)).to(bare_VHW.device)
        way = torch.einsum("vij,hwj->vhwi", cameras[:, :3, :3], rays(H, W, lens, device))[bare_VHW]
        stands = (cameras[:, :3, 3] - torch.from_numpy(self.place.astype(np.float32)).to(device))[
            bare_VHW.nonzero()[:, 0]
        ]
        far = (EYE - stands[:, 1]) / way[:, 1].clamp_min(1e-6)
        ground = (way[:, 1] > 1e-4) & (far > 0)
        x, y, z = torch.where(ground[:, None], stands + far[:, None] * way, way).unbind(-1)
        picture, _, known = self.panorama.at(torch.atan2(x, z) - self.middle, y / torch.hypot(x, z).clamp_min(1e-6))
        return picture, torch.where(ground, 1 / far, 0.0), known


def _sampled(maps_CHW: Tensor, at_HW2: Tensor, mode: str) -> Tensor:
    return F.grid_sample(maps_CHW[None], at_HW2[None], mode=mode, padding_mode="border", align_corners=False)[0]
