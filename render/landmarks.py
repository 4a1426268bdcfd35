"""Landmarks: what makes a place recognisable. Each maker returns parts about the origin, facing local +z."""

import math
from collections.abc import Callable

import numpy as np

from render.meshes import Colour, Part, blend, blob, box, frustum, gable, hip, move, part, rgb
from render.props import GLASS, LIT, STONE, TIMBER, TRUNK, window

Rng = np.random.Generator
Maker = Callable[[Rng, Colour, Colour], list[Part]]


def tower(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A round stone tower with a pointed roof."""
    stone = blend(STONE, wall, 0.35)
    high = rng.uniform(9, 13)
    parts = [
        part(frustum(2.1, 1.7, high, sides=10), stone, foot=0.65, smooth=0.6),
        part(frustum(2.2, 2.2, 0.9, sides=10, base=high), stone, foot=0.9, smooth=0.4),
        part(frustum(2.6, 0, 4.2, sides=10, base=high + 0.9), roof, foot=0.8, smooth=0.4),
        part(move(box(1.2, 2.2, 0.5), z=1.95), rgb("#5a3d2e")),
    ]
    for i in range(4):
        pane = move(box(0.6, 1.1, 0.3), up=high - 2.2, z=1.72)
        parts.append(part(move(pane, yaw=i * math.pi / 2), GLASS, glow=LIT))
    return parts


def windmill(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A tapered mill with four sails towards +z."""
    parts = [
        part(frustum(2.4, 1.5, 7.5, sides=8), blend(wall, (1, 1, 1), 0.35), foot=0.75, smooth=0.3),
        part(frustum(1.75, 0, 2.1, sides=8, base=7.5), roof, foot=0.8),
        part(move(box(1.2, 2.1, 0.5), z=2.2), rgb("#5a3d2e")),
        part(move(box(0.35, 0.35, 1.0), up=7.2, z=1.9), TIMBER),
    ]
    turn = rng.uniform(0, math.pi / 2)
    for i in range(4):
        c, s = math.cos(turn + i * math.pi / 2), math.sin(turn + i * math.pi / 2)
        arm = box(0.95, 4.4, 0.1)
        arm = arm @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        parts.append(part(move(arm, up=7.4, z=2.35), rgb("#efe3cc"), foot=0.95))
    return parts


def church(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A small church: nave and square spire."""
    pale = blend(wall, (1, 1, 1), 0.5)
    parts = [
        part(move(box(5, 4.2, 8), z=-3), pale, foot=0.75),
        part(move(gable(5, 3.2, 8, base=4.2), z=-3), roof, foot=0.82),
        part(move(box(3, 8.5, 3), z=1.8), pale, foot=0.75),
        part(move(hip(3, 6, 3, base=8.5), z=1.8), roof, foot=0.75),
        part(move(box(1.3, 2.3, 0.2), z=3.3), rgb("#5a3d2e")),
        part(move(box(0.15, 1.3, 0.15), up=14.4, z=1.8), rgb("#d8b25a")),
        part(move(box(0.8, 0.15, 0.15), up=15.1, z=1.8), rgb("#d8b25a")),
    ]
    parts += window(0, 6.2, 3.3, 0.0, pale)
    for z in (1.0, 3.0, 5.0):
        parts += window(z, 1.6, 2.5, math.pi / 2, pale) + window(-z, 1.6, 2.5, -math.pi / 2, pale)
    return parts


def great_tree(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """One huge old tree."""
    leaf = blend(rgb("#4f9a45"), roof, 0.15)
    dark = blend(leaf, (0.06, 0.16, 0.22), 0.5)
    parts = [part(frustum(1.1, 0.55, 5.0, sides=8), TRUNK, foot=0.55, smooth=0.3)]
    for angle in np.arange(6) * math.pi / 3:
        ball = blob(rng.uniform(2.0, 2.6), flat=0.75, rough=0.1, rng=rng)
        ball = move(ball, x=2.2 * math.cos(angle), up=5.6 + rng.uniform(-0.4, 0.6), z=2.2 * math.sin(angle))
        parts.append(part(ball, dark, top=leaf, smooth=0.5, leaf=1.0))
    crown = move(blob(2.8, flat=0.8, rough=0.08, rng=rng), up=7.6)
    return [*parts, part(crown, dark, top=blend(leaf, (1, 1, 0.7), 0.15), smooth=0.5, leaf=1.0)]


def obelisk(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A tall stone needle on steps."""
    stone = blend(rgb("#d9cdb8"), wall, 0.25)
    steps = [part(move(box(4 - i, 0.35, 4 - i), up=0.35 * i), stone, foot=0.8) for i in range(3)]
    needle = part(move(box(1.5, 8.5, 1.5, taper=0.6), up=1.05), stone, foot=0.75)
    return [*steps, needle, part(move(hip(0.9, 1.0, 0.9, base=9.55, overhang=0), up=0), rgb("#e3b54d"))]


def statue(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A standing figure on a pedestal."""
    bronze = rgb("#5f8f86")
    return [
        part(box(2.4, 0.4, 2.4), STONE, foot=0.7),
        part(move(box(1.6, 2.0, 1.6, taper=0.85), up=0.4), STONE, foot=0.8),
        part(frustum(0.75, 0.42, 2.3, sides=7, base=2.4), bronze, foot=0.75, smooth=0.4),
        part(move(blob(0.42), up=5.1), bronze, smooth=0.5),
        part(move(box(0.3, 1.7, 0.3, taper=0.7), x=0.62, up=4.0), bronze),
    ]


def arch(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A great stone gate."""
    stone = blend(STONE, wall, 0.4)
    parts = [part(move(box(1.5, 5.6, 1.5), x=x), stone, foot=0.7) for x in (-2.5, 2.5)]
    parts.append(part(move(box(7.2, 1.3, 1.9), up=5.6), stone, foot=0.9))
    return [*parts, part(move(gable(7.2, 1.3, 1.9, base=6.9, overhang=0.2), up=0), roof, foot=0.85)]


def lighthouse(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A banded lighthouse."""
    red = rgb("#c9483f")
    parts = []
    for i in range(5):
        lower, upper = 2.0 - 0.2 * i, 1.8 - 0.2 * i
        colour = rgb("#f3efe6") if i % 2 == 0 else red
        parts.append(part(frustum(lower, upper, 2.5, sides=10, base=2.5 * i), colour, foot=0.92, smooth=0.6))
    parts.append(part(frustum(1.5, 1.5, 0.3, sides=10, base=12.5), rgb("#444b57")))
    parts.append(part(frustum(0.8, 0.8, 1.5, sides=8, base=12.8), rgb("#ffe9a8"), glow=LIT))
    return [*parts, part(frustum(1.3, 0, 1.3, sides=10, base=14.3), red, foot=0.8)]


LANDMARKS: dict[str, tuple[Maker, float]] = {
    "tower": (tower, 2.6),
    "windmill": (windmill, 3.0),
    "church": (church, 6.6),
    "great tree": (great_tree, 1.6),
    "obelisk": (obelisk, 2.4),
    "statue": (statue, 1.8),
    "arch": (arch, 3.6),
    "lighthouse": (lighthouse, 2.5),
}
"""Maker and obstacle radius by name; the names appear in captions."""
