"""Things that stand in a world: trees, houses, fences, lamps, rocks and landmarks.

Every maker returns parts about the origin (see `render.meshes`), in metres, facing local +z.
"""

import math

import numpy as np

from render.meshes import Colour, Part, blend, blob, box, frustum, gable, hip, move, part, rgb

Rng = np.random.Generator

TRUNK = rgb("#6b4a35")
TIMBER = rgb("#8a6344")
STONE = rgb("#a8a39b")
GLASS = rgb("#8fb4c9")
LIT = 1.0


def pine(rng: Rng, leaf: Colour) -> list[Part]:
    """A conifer of three skirts, about 5 m."""
    high = rng.uniform(0.85, 1.25)
    dark = blend(leaf, (0.05, 0.15, 0.2), 0.45)
    skirts = [(1.55, 2.1, 0.9), (1.2, 1.9, 2.0), (0.8, 1.8, 3.1)]
    parts = [part(frustum(0.2, 0.16, 1.3, sides=5), TRUNK, foot=0.6)]
    for radius, height, base in skirts:
        shape = frustum(radius, 0, height * high, sides=7, base=base * high, turn=rng.uniform(0, 1))
        parts.append(part(shape, dark, top=leaf, smooth=0.3, leaf=0.25))
    return parts


def round_tree(rng: Rng, leaf: Colour) -> list[Part]:
    """A broad-leaved tree of two or three crowns, about 4 m."""
    parts = [part(frustum(0.24, 0.15, 1.9, sides=6), TRUNK, foot=0.6)]
    dark = blend(leaf, (0.08, 0.16, 0.25), 0.5)
    for i in range(rng.integers(2, 4)):
        radius = rng.uniform(0.95, 1.35) * (1 - 0.12 * i)
        ball = blob(radius, flat=0.85, rough=0.1, rng=rng)
        ball = move(ball, x=rng.uniform(-0.5, 0.5) * i, up=2.2 + 0.65 * i, z=rng.uniform(-0.5, 0.5) * i)
        parts.append(part(ball, dark, top=blend(leaf, (1, 1, 0.7), 0.12), smooth=0.55, leaf=1.0))
    return parts


def poplar(rng: Rng, leaf: Colour) -> list[Part]:
    """A tall narrow tree, about 6 m."""
    dark = blend(leaf, (0.06, 0.14, 0.2), 0.5)
    crown = move(blob(0.85, flat=2.9, rough=0.06, rng=rng), up=3.4)
    return [part(frustum(0.18, 0.14, 1.4, sides=5), TRUNK, foot=0.6), part(crown, dark, top=leaf, smooth=0.5, leaf=0.9)]


def bush(rng: Rng, leaf: Colour) -> list[Part]:
    """A low round bush."""
    ball = move(blob(rng.uniform(0.45, 0.75), flat=0.75, rough=0.12, rng=rng), up=0.3)
    return [part(ball, leaf, foot=0.5, smooth=0.5, leaf=0.8)]


def rock(rng: Rng, colour: Colour) -> list[Part]:
    """A boulder, about 1.5 m across."""
    ball = move(blob(rng.uniform(0.5, 0.9), flat=rng.uniform(0.6, 0.9), rough=0.25, rng=rng), up=0.2)
    return [part(ball, colour, foot=0.6, top=blend(colour, (1, 1, 1), 0.12))]


def tuft(rng: Rng, colour: Colour) -> list[Part]:
    """A clump of grass or flowers: a low faceted cone."""
    return [part(frustum(0.22, 0.0, rng.uniform(0.25, 0.42), sides=4, turn=rng.uniform(0, 2)), colour, foot=0.7)]


def flower(rng: Rng, colour: Colour, leaf: Colour) -> list[Part]:
    """A flower of one bright head on a tuft."""
    head = move(blob(0.13, flat=0.7), up=0.38)
    return [*tuft(rng, leaf), part(head, colour, foot=0.8)]


def fence(length: float) -> list[Part]:
    """A wooden fence along x."""
    parts = [part(move(box(length, 0.12, 0.07), up=up), TIMBER, foot=0.85) for up in (0.4, 0.8)]
    posts = max(2, round(length / 2) + 1)
    for x in np.linspace(-length / 2, length / 2, posts):
        parts.append(part(move(box(0.14, 1.05, 0.14), x=float(x)), TIMBER, foot=0.55))
    return parts


def lamp() -> list[Part]:
    """A street lamp; its head is lit at night."""
    iron = rgb("#3c4350")
    head = move(box(0.34, 0.4, 0.34, taper=0.7), up=2.7)
    cap = move(frustum(0.34, 0, 0.25, sides=4, turn=math.pi / 4), up=3.1)
    return [part(frustum(0.1, 0.06, 2.7, sides=5), iron), part(head, rgb("#f2e3b5"), glow=LIT), part(cap, iron)]


def well() -> list[Part]:
    """A stone well under a small roof."""
    posts = [part(move(box(0.12, 1.7, 0.12), x=x), TIMBER, foot=0.6) for x in (-0.75, 0.75)]
    ring = part(frustum(0.85, 0.85, 0.75, sides=9), STONE, foot=0.65)
    hole = part(move(frustum(0.62, 0.62, 0.01, sides=9), up=0.75), rgb("#2b3440"))
    return [ring, hole, *posts, part(gable(1.5, 0.7, 1.1, base=1.6, overhang=0.2), rgb("#9c5540"), foot=0.8)]


def cottage(rng: Rng, wall: Colour, roof: Colour, *, width: float, depth: float, storeys: int) -> list[Part]:
    """A house with door, windows, chimney and pitched roof; the door faces +z."""
    height = 2.5 * storeys + 0.2
    pitch = rng.uniform(0.42, 0.62) * width
    parts = [
        part(box(width, height, depth), wall, foot=0.78),
        part(box(width + 0.16, 0.4, depth + 0.16), blend(wall, STONE, 0.7), foot=0.7),
        part(gable(width, pitch, depth, base=height), roof, foot=0.82, top=blend(roof, (1, 1, 1), 0.12)),
        part(_gable_wall(width, pitch, depth, height), blend(wall, (1, 1, 1), 0.08)),
    ]
    door = blend(rgb("#6d4630"), roof, 0.25)
    parts.append(part(move(box(1.0, 2.0, 0.14), z=depth / 2), door, foot=0.8))
    parts.append(part(move(box(1.3, 0.14, 0.5), z=depth / 2 + 0.2), STONE, foot=0.8))
    for storey in range(storeys):
        up = 2.5 * storey + 1.15
        spots = [-width * 0.32, width * 0.32] + ([0.0] if storey else [])
        for x in spots:
            parts += window(x, up, depth / 2, 0.0, wall) + window(x, up, -depth / 2, math.pi, wall)
        for z in (-depth * 0.24, depth * 0.24):
            parts += window(z, up, width / 2, math.pi / 2, wall) + window(-z, up, width / 2, -math.pi / 2, wall)
    chimney = move(box(0.6, pitch + 0.7, 0.6), x=width * 0.25, up=height, z=-depth * 0.22)
    return [*parts, part(chimney, blend(STONE, roof, 0.4), foot=0.8)]


def _gable_wall(width: float, pitch: float, depth: float, height: float) -> np.ndarray:
    """The two triangles of wall under a pitched roof, a little outside it so that they close the attic."""
    x, z, top = width / 2, depth / 2 + 0.36, height + pitch * (width / (width + 0.7)) - 0.12
    low = height + 0.1
    return np.array([[(-x, low, s), (x, low, s), (0, top, s)] for s in (-z, z)])


def window(along: float, up: float, out: float, yaw: float, wall: Colour) -> list[Part]:
    """A window with a pale frame in the wall that faces `yaw`, `out` metres from the middle of the house."""
    frame = move(box(0.98, 1.18, 0.08), x=along, up=up - 0.09, z=out)
    pane = move(box(0.74, 0.94, 0.12), x=along, up=up + 0.03, z=out)
    pale = blend(wall, (1, 1, 1), 0.6)
    return [part(move(frame, yaw=yaw), pale), part(move(pane, yaw=yaw), GLASS, foot=0.75, glow=LIT)]
