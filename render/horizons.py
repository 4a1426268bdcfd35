"""What surrounds a place: hills, snowy peaks, mesas, dunes or the skyline of a city, in two rings."""

import math

import numpy as np

from render.ground import Shore
from render.meshes import Colour, Part, blend, box, frustum, move, part, rgb
from render.palettes import Palette

Rng = np.random.Generator

_RINGS = ((13, 84.0, 1.0), (15, 150.0, 1.9))
"""Number, distance in metres and size of the shapes of each ring."""


def surround(rng: Rng, kind: str, palette: Palette, shore: Shore | None) -> list[Part]:
    """The parts of both rings; towards the sea only a few far islands."""
    near, far = palette.hills
    pieces: list[Part] = []
    for ring, (count, distance, size) in enumerate(_RINGS):
        for i in range(count):
            angle = (i + rng.uniform(-0.35, 0.35)) * 2 * math.pi / count
            r = distance + rng.uniform(0, 22)
            colour = blend(near if ring == 0 else far, far, rng.uniform(0, 0.3))
            shapes = _SHAPES[kind](rng, colour, size)
            turn = (angle - shore[0] + math.pi) % (2 * math.pi) - math.pi if shore else math.pi
            if abs(turn) < 1.2:
                if ring == 0 or rng.random() < 0.6:
                    continue
                r += 60
            for shape in shapes:
                out = shape.copy()
                out[:, 0] += r * math.sin(angle)
                out[:, 2] += r * math.cos(angle)
                pieces.append(out)
    return pieces


def _hill(rng: Rng, colour: Colour, size: float) -> list[Part]:
    """A rounded, faceted hill."""
    height = rng.uniform(7, 20) * size
    radius = rng.uniform(1.2, 1.8) * height + 9
    lower = _bent(rng, frustum(radius, radius * 0.62, height * 0.55, sides=9, turn=rng.uniform(0, 1)), radius)
    upper = frustum(radius * 0.62, radius * rng.uniform(0.05, 0.2), height * 0.45, sides=9, base=height * 0.55)
    lit = blend(colour, (1, 1, 0.85), 0.1)
    return [
        part(move(lower, up=-0.6), colour, top=lit, smooth=0.4),
        part(move(upper, up=-0.6), lit, top=blend(lit, (1, 1, 0.9), 0.08), smooth=0.4),
    ]


def _bent(rng: Rng, shape: np.ndarray, radius: float) -> np.ndarray:
    """The shape with its top shifted aside."""
    shift = rng.uniform(-0.1, 0.1, 2) * radius
    return shape + np.where(shape[..., 1:2] > 1, 1, 0) * np.array([shift[0], 0, shift[1]])


def _peak(rng: Rng, colour: Colour, size: float) -> list[Part]:
    """A steep mountain with a white top."""
    height = rng.uniform(18, 34) * size
    radius = rng.uniform(0.85, 1.2) * height + 8
    turn = rng.uniform(0, 1)
    stone = blend(colour, rgb("#6f8299"), 0.45)
    foot = frustum(radius, radius * 0.45, height * 0.55, sides=7, turn=turn)
    top = frustum(radius * 0.47, 0, height * 0.46, sides=7, base=height * 0.54, turn=turn)
    return [part(move(foot, up=-0.6), blend(colour, stone, 0.3), top=stone, smooth=0.15),
            part(move(top, up=-0.6), rgb("#e9f0f7"), top=rgb("#ffffff"), smooth=0.15)]  # fmt: skip


def _mesa(rng: Rng, colour: Colour, size: float) -> list[Part]:
    """A table mountain of layers."""
    parts, up, radius = [], -0.5, rng.uniform(12, 24) * size
    for layer in range(4):
        height = rng.uniform(3, 8) * size
        tint = blend(colour, (1.0, 0.85, 0.65) if layer % 2 else (0.4, 0.18, 0.15), 0.16)
        sides = frustum(radius, radius * rng.uniform(0.86, 0.96), height, sides=9, base=up, turn=rng.uniform(0, 1))
        parts.append(part(sides, tint, foot=0.92, smooth=0.15))
        up, radius = up + height, radius * rng.uniform(0.7, 0.95)
    return parts


def _dune(rng: Rng, colour: Colour, size: float) -> list[Part]:
    """A long smooth dune, lit on one side."""
    height, long = rng.uniform(5, 11) * size, rng.uniform(34, 60) * size**0.5
    ridge = frustum(1.0, 0.0, 1.0, sides=12) * (long, height, long * 0.42)
    turned = move(ridge, yaw=rng.uniform(0, math.pi), up=-0.4)
    return [part(turned, colour, top=blend(colour, (1, 1, 0.9), 0.18), smooth=0.5)]


def _skyline(rng: Rng, colour: Colour, size: float) -> list[Part]:
    """A few tall buildings with rows of lit windows."""
    parts = []
    for _ in range(3):
        width, height = rng.uniform(8, 15) * size, rng.uniform(14, 42) * size
        x, z = rng.uniform(-14, 14, 2) * size
        shade = blend(colour, (0.12, 0.14, 0.2), rng.uniform(0.0, 0.35))
        parts.append(part(move(box(width, height, width), x=x, z=z), shade, foot=0.85))
        for up in np.arange(0.15, 0.9, 0.16):
            if rng.random() < 0.7:
                bar = box(width * 1.02, height * 0.035, width * rng.uniform(0.3, 0.9))
                parts.append(part(move(bar, x=x, up=height * up, z=z), blend(shade, (1, 1, 1), 0.15), glow=0.85))
    return parts


_SHAPES = {"hills": _hill, "peaks": _peak, "mesas": _mesa, "dunes": _dune, "skyline": _skyline}
