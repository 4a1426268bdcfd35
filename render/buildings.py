"""Buildings that people live in. Every maker returns parts about the origin with the door towards +z."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from render.meshes import Colour, Part, blend, blob, box, frustum, gable, hip, move, panes, part, rgb

Rng = np.random.Generator

TIMBER = rgb("#8a6344")
STONE = rgb("#a8a39b")
GLASS = rgb("#8fb4c9")
SNOW = rgb("#f0f4f8")
LIT = 1.0
"""Glow of a window: lit as far as the mood lights lamps."""
NEON = 1.8
"""Glow of a sign: it keeps its own colour, day and night."""
_WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Footprint in metres and number of storeys."""

    width: float
    depth: float
    storeys: int


Builder = Callable[[Rng, Colour, Colour, Size], list[Part]]


def windows(
    spots: list[tuple[float, float, float, float]], wall: Colour, *, wide: float = 0.98, tall: float = 1.18
) -> list[Part]:
    """Windows with pale frames; a spot is (along the wall, sill height, metres out from the middle, yaw)."""
    at = np.array(spots)
    frame = panes(at + (0, -0.12, 0.04, 0), width=wide, height=tall, colour=blend(wall, _WHITE, 0.6))
    return [
        frame,
        panes(at + (0, 0, 0.07, 0), width=wide - 0.24, height=tall - 0.24, colour=GLASS, foot=0.75, glow=LIT),
    ]


def on_all_sides(
    size: Size, up: float, across: tuple[float, ...], along: tuple[float, ...]
) -> list[tuple[float, float, float, float]]:
    """Spots at shares `across` the width of front and back, and `along` the depth of both sides."""
    w, d = size.width, size.depth
    front = [(x * w, up, d / 2, yaw) for x in across for yaw in (0.0, math.pi)]
    return front + [(z * d, up, w / 2, yaw) for z in along for yaw in (math.pi / 2, -math.pi / 2)]


def door(colour: Colour, depth: float) -> list[Part]:
    """A door in the front with a step."""
    panel = part(move(box(1.0, 2.0, 0.14), z=depth / 2), colour, foot=0.8)
    return [panel, part(move(box(1.3, 0.14, 0.5), z=depth / 2 + 0.2), STONE, foot=0.8)]


def cottage(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A house with windows, chimney and pitched roof."""
    height = 2.5 * size.storeys + 0.2
    pitch = rng.uniform(0.42, 0.62) * size.width
    parts = [
        part(box(size.width, height, size.depth), wall, foot=0.78),
        part(box(size.width + 0.16, 0.4, size.depth + 0.16), blend(wall, STONE, 0.7), foot=0.7),
        part(gable(size.width, pitch, size.depth, base=height), roof, foot=0.82, top=blend(roof, _WHITE, 0.12)),
        part(_gable_wall(size, pitch, height), blend(wall, _WHITE, 0.08)),
    ]
    chimney = move(box(0.6, pitch + 0.7, 0.6), x=size.width * 0.25, up=height, z=-size.depth * 0.22)
    parts.append(part(chimney, blend(STONE, roof, 0.4), foot=0.8))
    spots = []
    for storey in range(size.storeys):
        across = (-0.32, 0.0, 0.32) if storey else (-0.32, 0.32)
        spots += on_all_sides(size, 2.5 * storey + 1.15, across, (-0.24, 0.24))
    return parts + door(blend(rgb("#6d4630"), roof, 0.25), size.depth) + windows(spots, wall)


def _gable_wall(size: Size, pitch: float, height: float) -> np.ndarray:
    """The two triangles of wall under a pitched roof, a little outside it so that they close the attic."""
    x, z, top = size.width / 2, size.depth / 2 + 0.36, height + pitch * (size.width / (size.width + 0.7)) - 0.12
    low = height + 0.1
    return np.array([[(-x, low, s), (x, low, s), (0, top, s)] for s in (-z, z)])


def cabin(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A log cabin under deep snow."""
    parts = cottage(rng, wall, blend(SNOW, roof, 0.06), Size(width=size.width, depth=size.depth, storeys=1))
    for up in (0.6, 1.2, 1.8, 2.4):
        parts.append(
            part(move(box(size.width + 0.1, 0.12, size.depth + 0.1), up=up), blend(wall, (0.1, 0.08, 0.08), 0.35))
        )
    return parts


def adobe(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A flat-roofed clay house, sometimes with a dome."""
    height = 2.7 * size.storeys
    parts = [
        part(box(size.width, height, size.depth, taper=0.94), wall, foot=0.75),
        part(move(box(size.width * 0.97, 0.45, size.depth * 0.97), up=height - 0.02), blend(wall, _WHITE, 0.12)),
    ]
    if rng.random() < 0.4:
        parts.append(
            part(move(blob(size.width * 0.34, flat=0.8), up=height + 0.35), blend(roof, _WHITE, 0.1), smooth=0.7)
        )
    else:
        upper = move(box(size.width * 0.5, 2.1, size.depth * 0.5, taper=0.95), x=size.width * 0.18, up=height + 0.3)
        parts.append(part(upper, wall, foot=0.85))
    beams = np.linspace(-0.36, 0.36, 5) * size.width
    parts += [part(move(box(0.16, 0.16, 0.4), x=float(x), up=height - 0.6, z=size.depth * 0.48), TIMBER) for x in beams]
    parts += door(blend(rgb("#3f7d86"), roof, 0.3), size.depth)
    spots = [(x * size.width, 1.3, out, yaw) for x in (-0.3, 0.3) for out, yaw in (
        (size.depth * 0.487, 0.0), (size.width * 0.487, math.pi / 2), (size.width * 0.487, -math.pi / 2))]  # fmt: skip
    return parts + windows(spots, wall, wide=0.7, tall=0.9)


def townhouse(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A tall house of a town, with a shop front, an awning and a hipped roof."""
    size = Size(width=size.width, depth=size.depth, storeys=size.storeys + 1)
    height = 2.7 * size.storeys + 0.3
    trim = blend(wall, _WHITE, 0.5)
    parts = [
        part(box(size.width, height, size.depth), wall, foot=0.75),
        part(move(box(size.width + 0.2, 0.25, size.depth + 0.2), up=2.75), trim),
        part(move(box(size.width + 0.3, 0.3, size.depth + 0.3), up=height - 0.15), trim),
        part(hip(size.width, 0.5 * size.width, size.depth, base=height + 0.15), roof, foot=0.8),
        part(move(box(1.6, 1.5, 0.12), x=size.width * 0.22, up=0.6, z=size.depth / 2), GLASS, foot=0.8, glow=LIT),
    ]
    awning = move(box(2.0, 0.5, 1.1, taper=0.6), x=size.width * 0.22, up=2.2, z=size.depth / 2 + 0.2)
    parts.append(part(awning, rgb(["#d9534f", "#3f8f8a", "#e0a83c", "#5573b5"][rng.integers(4)]), top=rgb("#f6efe2")))
    parts += [_shifted(piece, -size.width * 0.2) for piece in door(blend(rgb("#5a3d2e"), roof, 0.3), size.depth)]
    spots = []
    for storey in range(1, size.storeys):
        spots += on_all_sides(size, 2.7 * storey + 0.85, (-0.3, 0.0, 0.3), (-0.25, 0.25))
    return parts + windows(spots, wall, tall=1.4)


def _shifted(piece: Part, x: float) -> Part:
    out = piece.copy()
    out[:, 0] += x
    return out


_BAND = (-0.31, 0.0, 0.31)


def block(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A modern building of glass bands, some of them lit, with a set-back top and a bright sign."""
    storeys = 3 * size.storeys + int(rng.integers(0, 5))
    width, depth, height = size.width * 1.15, size.depth * 1.15, 3.0 * storeys
    parts = [part(box(width, height, depth), wall, foot=0.8, top=blend(wall, _WHITE, 0.1))]
    shape = Size(width=width, depth=depth, storeys=storeys)
    spots = np.array([spot for k in range(storeys) for spot in on_all_sides(shape, 3.0 * k + 1.0, _BAND, _BAND)])
    lit = np.where(rng.random(len(spots)) < 0.5, LIT, 0.1)
    parts.append(
        panes(spots + (0, 0, 0.06, 0), width=0.26 * (width + depth) / 2, height=1.4, colour=GLASS, foot=0.7, glow=lit)
    )
    parts.append(part(move(box(width * 0.6, 1.6, depth * 0.6), up=height), blend(wall, (0.1, 0.1, 0.15), 0.3)))
    neon = rgb(["#ff4f79", "#36d6e7", "#ffd23f", "#9b6bff", "#5bf29b"][rng.integers(5)])
    up = float(rng.uniform(2.6, 5.5))
    parts.append(part(move(box(0.5, 2.6, 0.9), x=width * 0.42, up=up, z=depth / 2 + 0.45), neon, glow=NEON))
    parts.append(part(move(box(width * 0.8, 0.35, 0.5), up=2.75, z=depth / 2 + 0.2), neon, glow=NEON))
    return parts + door(rgb("#39424f"), depth)


def tent(rng: Rng, wall: Colour, roof: Colour, size: Size) -> list[Part]:
    """A round tent with a pointed striped roof."""
    radius = size.width * 0.5
    parts = [part(frustum(radius, radius, 2.0, sides=10), wall, foot=0.8, smooth=0.5)]
    parts.append(part(frustum(radius * 1.12, 0, 2.0, sides=10, base=1.95), roof, foot=0.85, smooth=0.3))
    parts.append(part(move(box(1.1, 1.8, 0.3), z=radius * 0.95), blend(roof, (0.1, 0.1, 0.1), 0.4)))
    return parts


BUILDERS: dict[str, Builder] = {
    "cottage": cottage, "cabin": cabin, "adobe": adobe, "townhouse": townhouse, "block": block, "tent": tent,
}  # fmt: skip
"""Makers by name."""
