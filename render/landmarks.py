"""Landmarks: what makes a place recognisable. Each maker returns parts about the origin, facing local +z."""

import math
from collections.abc import Callable

import numpy as np

from render.buildings import GLASS, LIT, STONE, TIMBER, windows
from render.meshes import Colour, Part, blend, blob, box, frustum, gable, hip, move, part, rgb
from render.plants import TRUNK

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
    sides = [(z * s, 1.6, 2.5, s * math.pi / 2) for z in (1.0, 3.0, 5.0) for s in (1, -1)]
    return parts + windows([(0.0, 6.2, 3.3, 0.0), *sides], pale)


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


def fountain(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A round basin of water with a tiered column."""
    water = rgb("#6fb7cf")
    return [
        part(frustum(2.6, 2.6, 0.7, sides=12), STONE, foot=0.7, smooth=0.4),
        part(move(frustum(2.25, 2.25, 0.02, sides=12), up=0.7), water),
        part(frustum(0.45, 0.35, 2.0, sides=8), STONE, foot=0.8, smooth=0.4),
        part(frustum(0.5, 1.2, 0.45, sides=10, base=1.7), STONE, foot=0.8, smooth=0.4),
        part(move(frustum(1.05, 1.05, 0.02, sides=10), up=2.15), water),
        part(frustum(0.28, 0.05, 1.1, sides=6, base=2.15), rgb("#c4e6ee"), foot=0.9),
    ]


def clock_tower(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A square tower with a lit clock on each side."""
    high = rng.uniform(11, 14)
    parts = [
        part(box(3.4, high, 3.4), wall, foot=0.7),
        part(move(box(3.9, 0.4, 3.9), up=high - 3.2), blend(wall, (1, 1, 1), 0.5)),
        part(move(box(3.9, 0.4, 3.9), up=high), blend(wall, (1, 1, 1), 0.5)),
        part(hip(3.4, 4.6, 3.4, base=high + 0.4), roof, foot=0.8),
        part(move(box(1.4, 2.4, 0.2), z=1.7), rgb("#5a3d2e")),
    ]
    for i in range(4):
        yaw = i * math.pi / 2
        face = frustum(1.05, 1.05, 0.12, sides=10)[..., [0, 2, 1]] + (0, high - 1.5, 1.72)
        parts.append(part(move(face, yaw=yaw), rgb("#f6f0dc"), glow=LIT))
        for hand in (box(0.12, 0.75, 0.05), box(0.5, 0.12, 0.05)):
            parts.append(part(move(move(hand, up=high - 1.5, z=1.88), yaw=yaw), rgb("#2f2f36")))
    return parts


def pyramid(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A stepped pyramid with a bright cap."""
    stone = blend(rgb("#d9b878"), wall, 0.3)
    parts = [
        part(move(box(11 - 1.7 * i, 1.5, 11 - 1.7 * i, taper=0.96), up=1.5 * i), stone, foot=0.8) for i in range(6)
    ]
    parts.append(part(hip(2.0, 1.7, 2.0, base=9.0, overhang=0.1), rgb("#e8bf56"), foot=0.85))
    return [*parts, part(move(box(1.6, 2.4, 0.6), z=5.4), rgb("#4a3a2e"))]


def standing_stones(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A ring of tall stones, some with lintels."""
    stone, parts = rgb("#8f9294"), []
    for i in range(8):
        angle = i * math.pi / 4
        x, z = 3.6 * math.cos(angle), 3.6 * math.sin(angle)
        slab = move(box(1.1, rng.uniform(2.6, 3.4), 0.6, taper=0.85), yaw=math.pi / 2 - angle) + (x, 0, z)
        parts.append(part(slab, blend(stone, wall, rng.uniform(0, 0.2)), foot=0.6))
    for i in (1, 5):
        angle = (i + 0.5) * math.pi / 4
        lintel = move(box(3.9, 0.55, 0.75), yaw=math.pi / 2 - angle) + (
            3.4 * math.cos(angle),
            3.1,
            3.4 * math.sin(angle),
        )
        parts.append(part(lintel, stone, foot=0.85))
    return parts


def ice_spire(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A cluster of blue ice crystals."""
    parts = []
    for i in range(6):
        angle, r, high = (
            i * 1.05,
            0.0 if i == 0 else rng.uniform(0.8, 1.5),
            rng.uniform(6.5, 8.5) if i == 0 else rng.uniform(2, 4.5),
        )
        shard = frustum(0.9 if i == 0 else 0.55, 0, high, sides=6, turn=rng.uniform(0, 1))
        shard[..., 0] += shard[..., 1] * 0.15 * math.cos(angle) * (i > 0)
        shard[..., 2] += shard[..., 1] * 0.15 * math.sin(angle) * (i > 0)
        moved = move(shard, x=r * math.cos(angle), z=r * math.sin(angle))
        parts.append(part(moved, rgb("#6fb3dd"), top=rgb("#e6f7ff")))
    return parts


def rock_arch(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A natural arch of layered red rock."""
    red, parts = rgb("#bf6a42"), []
    for i in range(9):
        angle = math.pi * i / 8
        x, up = 4.2 * math.cos(angle), 6.2 * math.sin(angle)
        ball = move(blob(1.45 if i in (0, 8) else 1.15, flat=1.1, rough=0.14, rng=rng), x=x, up=up + 0.3)
        parts.append(part(ball, blend(red, (1, 0.85, 0.65), 0.12 * (i % 2)), foot=0.75))
    return parts


def mesa(rng: Rng, wall: Colour, roof: Colour) -> list[Part]:
    """A lone table rock."""
    red, parts, up, radius = rgb("#b8623f"), [], 0.0, 4.2
    for i in range(5):
        high = rng.uniform(1.6, 3.0)
        tint = blend(red, (1, 0.85, 0.62) if i % 2 else (0.4, 0.15, 0.1), 0.15)
        parts.append(part(frustum(radius, radius * 0.93, high, sides=9, base=up, turn=0.4 * i), tint, foot=0.8))
        up, radius = up + high, radius * rng.uniform(0.75, 1.0)
    return parts


LANDMARKS: dict[str, tuple[Maker, float]] = {
    "tower": (tower, 2.6),
    "windmill": (windmill, 3.0),
    "church": (church, 6.6),
    "great tree": (great_tree, 1.6),
    "obelisk": (obelisk, 2.4),
    "statue": (statue, 1.8),
    "arch": (arch, 3.6),
    "lighthouse": (lighthouse, 2.5),
    "fountain": (fountain, 2.9),
    "clock tower": (clock_tower, 2.6),
    "pyramid": (pyramid, 7.6),
    "standing stones": (standing_stones, 4.4),
    "ice spire": (ice_spire, 2.6),
    "rock arch": (rock_arch, 5.4),
    "mesa": (mesa, 4.6),
}
"""Maker and obstacle radius by name; the names appear in captions."""

FOOTPRINTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "arch": ((-2.5, 0.0, 1.2), (2.5, 0.0, 1.2)),
    "rock arch": ((-4.3, 0.0, 1.9), (4.3, 0.0, 1.9)),
    "church": ((0.0, 1.8, 2.2), (0.0, -1.5, 2.9), (0.0, -4.8, 2.9)),
}
"""Discs (x, z, radius) of landmarks that one disc does not fit."""
