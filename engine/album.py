"""An album of places that `pocket` learnt from: panoramas, and which of them go well with a picture.

A file of safetensors holds them compressed: `pictures` and `depths`, the bytes of one WebP after another, and where
each ends; `small` `[N, 4, h, w]`, what they look like from afar; `crowd` `[N]`, the share of each that stands near. A
byte of depth is 0 in the sky, 255 on level ground, else a logarithm of the disparity.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from engine.checkpoint import read_manifest
from engine.panorama import DOWN, EYE, FAR, UP, Panorama, falls, kinds

_LEAST, _MOST = 1 / 500, 2.5
"""Disparities of what stands farthest off and nearest."""
_LEVELS = 253
_EVEN, _STEPS = 4, 2
"""Pixels around one, and levels, within which depth is smooth: on a wall that one looks along it would be stairs."""
_SMALL = (20, 120)
"""Rows and columns of a panorama seen from afar."""
_NEAR = 5.0
"""Disparities are compared up to about one over so many."""
_ALIKE = 0.1
"""By what a panorama goes worse in which all stands near with a picture in which nothing does, or a black one with a
grey one."""
_BLOCKED = 0.15
"""By what a panorama goes worse in which one could not walk."""
_FEET, _WALKED = 0.12, 10.0
"""Slope down to where ground is farther off than what is near, and how far that is, in units."""
_CROWDED = 1.0
"""By what standing near all round would make a panorama go worse as a backdrop."""
_SIDES = 3.0
"""How much more the sides of a picture count, where the panorama goes on, than its middle."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which panorama, mirrored or not and then turned so many columns of `_SMALL`, goes with a picture; how far off."""

    index: int
    mirrored: bool
    columns: int
    distance: float


@dataclass(frozen=True, slots=True)
class Album:
    """Panoramas, compressed; see above."""

    pictures: tuple[bytes, ...]
    depths: tuple[bytes, ...]
    small: Tensor
    crowd: Tensor
    biomes: tuple[str, ...]
    """Of each, what kind of place it is."""

    @classmethod
    def load(cls, path: Path) -> Album:
        """The album in a file. Raises `WanderError` if that is missing or damaged."""
        places = read_manifest(path, "pocket-album")["places"]
        tensors = load_file(path)
        pictures, depths = (_parts(tensors[name], tensors[f"{name}_end"]) for name in ("pictures", "depths"))
        biomes = tuple(place.split()[0] for place in places)
        return cls(pictures, depths, tensors["small"].float(), tensors["crowd"].float(), biomes)

    def blocked(self) -> Tensor:
        """Share of each panorama, around the height of the eye, that stands so near that one would walk into it."""
        rows = falls(_SMALL[0])[:, 0]
        eye = (rows > -2 * _FEET) & (rows < _FEET)
        return (self.small[:, 3, eye] > math.tanh(_NEAR / _WALKED)).float().mean((1, 2))

    def akin(self, matches: Sequence[Match]) -> list[Match]:
        """Those of matches that are of the first one's kind of place."""
        return [match for match in matches if self.biomes[match.index] == self.biomes[matches[0].index]]

    def openest(self, matches: Sequence[Match]) -> Match:
        """The one of matches that goes well and in which little stands."""
        return min(matches, key=lambda match: match.distance + _CROWDED * float(self.crowd[match.index]))

    def open(self, match: Match, like: Panorama) -> Panorama:
        """A panorama as it goes with a picture, as large and on the same device as that is unrolled."""
        H, W = like.disparity.shape
        picture = torch.from_numpy(_unpacked(self.pictures[match.index], "RGB")).permute(2, 0, 1).float() / 127.5 - 1
        depth = torch.from_numpy(_unpacked(self.depths[match.index], "L"))
        picture = F.interpolate(picture[None], (H, W), mode="area")[0]
        disparity = disparity_of(F.interpolate(depth[None, None].float(), (H, W), mode="nearest")[0, 0])
        whole = Panorama(picture, disparity, torch.ones(H, W, dtype=torch.bool)).to(like.disparity.device)
        whole = whole.mirrored() if match.mirrored else whole
        return whole.turned(round(match.columns * W / _SMALL[1]))

    def like(self, seen: Panorama) -> list[Match]:
        """For every panorama how it goes best with what is seen of another place, the best first."""
        wanted, weight = small_of(seen).cpu(), F.adaptive_avg_pool2d(seen.known[None].float(), _SMALL).cpu()
        mean = (wanted * weight).sum((1, 2)) / weight.sum()
        level = weight.amax((0, 2)) > 0
        sides = (torch.arange(_SMALL[1]) - _SMALL[1] / 2 + 0.5).abs()
        seen_columns = weight[0].amax(0) > 0
        weight = weight * (1 + (_SIDES - 1) * (sides / sides[seen_columns].amax().clamp_min(1)).clamp_max(1))
        weight = weight / (weight.sum() * len(wanted))
        found: list[Match] = []
        both = torch.stack([_apart(small, wanted, weight) for small in (self.small, self.small.flip(-1))], 1)
        distance, where = both.flatten(1).min(1)
        light = (self.small[:, :3, level].mean((2, 3)) - mean[:3]).square().mean(1)
        distance = distance + _ALIKE * ((self.crowd - crowd_of(seen, FAR)).abs() + light) + _BLOCKED * self.blocked()
        for index in distance.argsort().tolist():
            flip, columns = divmod(int(where[index]), _SMALL[1])
            found.append(Match(index, bool(flip), columns, float(distance[index])))
        return found


def _apart(small_N4HW: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of panoramas, turned by each number of columns, from what is wanted, `[N, columns]`."""

    def correlated(x: Tensor, y: Tensor) -> Tensor:
        return torch.fft.irfft((torch.fft.rfft(x) * torch.fft.rfft(y).conj()).sum((1, 2)), n=_SMALL[1])

    own, cross = correlated(small_N4HW.square(), weight.expand_as(wanted)), correlated(small_N4HW, weight * wanted)
    return own - 2 * cross + (weight * wanted.square()).sum()


def small_of(panorama: Panorama) -> Tensor:
    """A panorama from afar, `[4, h, w]`: colours and how near things are."""
    near = (_NEAR * panorama.disparity).tanh()
    return F.adaptive_avg_pool2d(torch.cat([panorama.picture, near[None]]), _SMALL)


def crowd_of(panorama: Panorama, distance: float) -> float:
    """Share that stands nearer than so many units, of what is known of a panorama where one looks level."""
    H = len(panorama.known)
    level = panorama.known & (torch.arange(H, device=panorama.known.device)[:, None] >= (UP - DOWN) / (UP + DOWN) * H)
    *_, stands = kinds(panorama)
    near = level & stands & (panorama.disparity > 1 / distance)
    return float(near.sum() / level.sum().clamp_min(1))


def coded(disparity_HW: Tensor) -> Tensor:
    """Bytes of depth of a panorama's disparity, see above."""
    level = (falls(len(disparity_HW)) / EYE).clamp_min(0).expand_as(disparity_HW)
    steps = 1 + _LEVELS * (disparity_HW.clamp(_LEAST, _MOST) / _LEAST).log() / math.log(_MOST / _LEAST)
    pixel = 0.7 * (UP + DOWN) / len(disparity_HW) / EYE
    ground = (level > 0) & ((disparity_HW - level).abs() < pixel)
    return torch.where(disparity_HW <= 0, 0.0, torch.where(ground, 255.0, steps.round())).to(torch.uint8)


def disparity_of(bytes_HW: Tensor) -> Tensor:
    """Disparity of a panorama from its bytes of depth."""
    code = bytes_HW.float()
    level = (falls(len(code)) / EYE).clamp_min(0).expand_as(code)
    smooth = _smooth(_smooth(code).T).T
    stands = _LEAST * ((smooth - 1) / _LEVELS * math.log(_MOST / _LEAST)).exp()
    return torch.where(code == 0, 0.0, torch.where(code == 255, level, stands))


def _smooth(code_HW: Tensor) -> Tensor:
    """Means of what is beside each pixel in its row and almost as far off."""
    beside = F.pad(code_HW, (_EVEN, _EVEN)).unfold(1, code_HW.shape[1], 1).movedim(1, 0)
    same = (beside - code_HW).abs() <= _STEPS
    return (beside * same).sum(0) / same.sum(0)


def _parts(bytes_N: Tensor, ends: Tensor) -> tuple[bytes, ...]:
    whole, stops = bytes_N.numpy().tobytes(), ends.tolist()
    return tuple(whole[begin:end] for begin, end in zip([0, *stops], stops, strict=False))


def _unpacked(webp: bytes, mode: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(webp)).convert(mode)).copy()


def packed(picture: np.ndarray, **options: object) -> bytes:
    """A picture as WebP."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", **options)
    return file.getvalue()
