"""Small things: rocks, fences, lamps, flowers, logs, stalls and boats; parts about the origin, facing local +z."""

import math
from collections.abc import Callable

import numpy as np

from render.biomes import Palette
from render.buildings import LIT, STONE, TIMBER
from render.meshes import Colour, Part, blend, blob, box, frustum, gable, move, part, rgb

Rng = np.random.Generator


def choose(rng: Rng, colours: tuple[Colour, ...], spread: float = 0.10) -> Colour:
    """A colour of the palette, moved a little towards white or black."""
    colour = colours[rng.integers(len(colours))]
    shift = rng.uniform(-spread, spread)
    return blend(colour, (1, 1, 1) if shift > 0 else (0.1, 0.1, 0.2), abs(shift))


def rock(rng: Rng, palette: Palette) -> list[Part]:
    """A boulder, about 1.5 m across."""
    ball = move(blob(rng.uniform(0.5, 0.9), flat=rng.uniform(0.6, 0.9), rough=0.25, rng=rng), up=0.2)
    return [part(ball, palette.rock, foot=0.6, top=blend(palette.rock, (1, 1, 1), 0.12))]


def spire_rock(rng: Rng, palette: Palette) -> list[Part]:
    """A layered pillar of rock, 3 to 7 m."""
    parts, up, radius = [], 0.0, rng.uniform(0.9, 1.5)
    for layer in range(rng.integers(3, 6)):
        height = rng.uniform(0.8, 1.6)
        colour = blend(palette.rock, (1, 0.9, 0.75) if layer % 2 else (0.35, 0.15, 0.12), 0.14)
        shape = frustum(radius, radius * 0.9, height, sides=7, base=up, turn=rng.uniform(0, 1))
        parts.append(part(shape, colour, foot=0.85 if layer else 0.65))
        up, radius = up + height, radius * rng.uniform(0.72, 1.02)
    return parts


def tuft(rng: Rng, palette: Palette) -> list[Part]:
    """A clump of grass: three leaning blades."""
    colour = choose(rng, palette.patches, 0.2)
    blades = []
    for i in range(3):
        blade = frustum(0.1, 0.0, rng.uniform(0.28, 0.46), sides=3, turn=i)
        blade[..., 0] += blade[..., 1] * 0.5 * math.cos(2.1 * i)
        blade[..., 2] += blade[..., 1] * 0.5 * math.sin(2.1 * i)
        blades.append(part(blade, colour, foot=0.7, top=blend(colour, (1, 1, 0.8), 0.2), leaf=0.3))
    return blades


def flower(rng: Rng, palette: Palette) -> list[Part]:
    """A few flowers on short stems."""
    colour, parts = choose(rng, palette.flowers), []
    for i in range(3):
        x, z, up = 0.22 * math.cos(2.1 * i), 0.22 * math.sin(2.1 * i), rng.uniform(0.2, 0.4)
        parts.append(part(move(box(0.04, up, 0.04), x=x, z=z), palette.patches[0], foot=0.7))
        parts.append(part(move(frustum(0.06, 0.13, 0.12, sides=5), x=x, up=up, z=z), colour, foot=0.85))
    return parts


def mushroom(rng: Rng, palette: Palette) -> list[Part]:
    """A large red mushroom."""
    cap = move(frustum(0.34, 0.05, 0.28, sides=8), up=0.4)
    return [part(frustum(0.1, 0.08, 0.42, sides=6), rgb("#f2e9d8"), foot=0.8), part(cap, rgb("#c9453a"), foot=0.85)]


def log(rng: Rng, palette: Palette) -> list[Part]:
    """A fallen trunk along x."""
    trunk = frustum(0.32, 0.27, 2.6, sides=7)[..., [1, 0, 2]] + (-1.3, 0.28, 0)
    return [part(trunk, blend(TIMBER, palette.patches[0], 0.25), foot=0.6)]


def stump(rng: Rng, palette: Palette) -> list[Part]:
    """A tree stump."""
    top = part(move(frustum(0.38, 0.38, 0.02, sides=8), up=0.5), rgb("#d9b98a"))
    return [part(frustum(0.5, 0.4, 0.5, sides=8), rgb("#6b4a35"), foot=0.65), top]


def fence(rng: Rng, palette: Palette) -> list[Part]:
    """A wooden fence 3.6 m along x."""
    length = 3.6
    parts = [part(move(box(length, 0.12, 0.07), up=up), TIMBER, foot=0.85) for up in (0.4, 0.8)]
    for x in np.linspace(-length / 2, length / 2, 3):
        parts.append(part(move(box(0.14, 1.05, 0.14), x=float(x)), TIMBER, foot=0.55))
    return parts


def wall(rng: Rng, palette: Palette) -> list[Part]:
    """A low dry-stone wall 3.6 m along x."""
    stone = blend(STONE, palette.rock, 0.5)
    return [part(box(3.6, 0.75, 0.5, taper=0.94), stone, foot=0.65), part(move(box(3.7, 0.14, 0.6), up=0.75), stone)]


def lamp(rng: Rng, palette: Palette) -> list[Part]:
    """A street lamp; its head is lit at night."""
    iron = rgb("#3c4350")
    head = move(box(0.34, 0.4, 0.34, taper=0.7), up=2.7)
    cap = move(frustum(0.34, 0, 0.25, sides=4, turn=math.pi / 4), up=3.1)
    return [part(frustum(0.1, 0.06, 2.7, sides=5), iron), part(head, rgb("#f2e3b5"), glow=LIT), part(cap, iron)]


def city_lamp(rng: Rng, palette: Palette) -> list[Part]:
    """A tall lamp with an arm over the street."""
    iron = rgb("#454d5c")
    arm = part(move(box(0.1, 0.1, 1.6), up=5.2, z=0.7), iron)
    return [
        part(frustum(0.12, 0.07, 5.3, sides=5), iron),
        arm,
        part(move(box(0.35, 0.16, 0.7), up=5.05, z=1.4), rgb("#fff0c9"), glow=LIT),
    ]


def bench(rng: Rng, palette: Palette) -> list[Part]:
    """A park bench."""
    seat = part(move(box(1.7, 0.09, 0.45), up=0.45), TIMBER)
    legs = [part(move(box(0.1, 0.45, 0.4), x=x), rgb("#3c4350"), foot=0.8) for x in (-0.7, 0.7)]
    return [seat, *legs, part(move(box(1.7, 0.4, 0.08), up=0.6, z=-0.2), TIMBER)]


def well(rng: Rng, palette: Palette) -> list[Part]:
    """A stone well under a small roof."""
    posts = [part(move(box(0.12, 1.7, 0.12), x=x), TIMBER, foot=0.6) for x in (-0.75, 0.75)]
    ring = part(frustum(0.85, 0.85, 0.75, sides=9), STONE, foot=0.65)
    hole = part(move(frustum(0.62, 0.62, 0.01, sides=9), up=0.75), rgb("#2b3440"))
    return [ring, hole, *posts, part(gable(1.5, 0.7, 1.1, base=1.6, overhang=0.2), rgb("#9c5540"), foot=0.8)]


def stall(rng: Rng, palette: Palette) -> list[Part]:
    """A market stall with a bright cloth and fruit."""
    cloth = choose(rng, palette.flowers)
    parts = [part(move(box(0.1, 2.2, 0.1), x=x, z=z), TIMBER, foot=0.7) for x in (-1.1, 1.1) for z in (-0.7, 0.7)]
    parts += [
        part(box(2.3, 0.9, 1.3), TIMBER, foot=0.7),
        part(gable(2.3, 0.7, 1.5, base=2.1, overhang=0.15), cloth, foot=0.85),
    ]
    for x, colour in ((-0.7, "#e0643a"), (0.0, "#8fb447"), (0.7, "#e6bb3d")):
        parts.append(part(move(blob(0.26, flat=0.7), x=x, up=1.0), rgb(colour), foot=0.8))
    return parts


def haystack(rng: Rng, palette: Palette) -> list[Part]:
    """A rounded stack of hay."""
    straw = rgb("#d9b65a")
    return [
        part(frustum(0.95, 0.8, 0.9, sides=9), straw, foot=0.7, smooth=0.4),
        part(frustum(0.85, 0.0, 0.8, sides=9, base=0.9), straw, foot=0.95, smooth=0.3),
    ]


def barrel(rng: Rng, palette: Palette) -> list[Part]:
    """A barrel with a hoop, and a crate beside it."""
    cask = part(frustum(0.36, 0.36, 0.85, sides=8), TIMBER, foot=0.7, smooth=0.4)
    hoop = part(frustum(0.39, 0.39, 0.12, sides=8, base=0.36), rgb("#4b4a4d"))
    return [cask, hoop, part(move(box(0.65, 0.6, 0.65), x=0.85, z=0.1), rgb("#b58a5c"), foot=0.7)]


def boat(rng: Rng, palette: Palette) -> list[Part]:
    """A rowing boat pulled ashore, along z."""
    colour = choose(rng, palette.roofs)
    hull = np.array([(-0.75, -1.5), (0.75, -1.5), (0.8, 0.5), (0.0, 1.9), (-0.8, 0.5)])
    outer = _prism(hull * (0.7, 0.9), hull, 0.7)
    return [part(outer, colour, foot=0.7), part(move(_prism(hull * 0.82, hull * 0.82, 0.02), up=0.7), rgb("#8b6a4a"))]


def _prism(lower: np.ndarray, upper: np.ndarray, height: float) -> np.ndarray:
    """A solid between two outlines [K, 2] of (x, z)."""
    a, b = np.insert(lower, 1, 0.0, axis=1), np.insert(upper, 1, height, axis=1)
    a2, b2 = np.roll(a, -1, 0), np.roll(b, -1, 0)
    lid = np.stack([b, b2, np.broadcast_to(b.mean(0), b.shape)], 1)
    return np.concatenate([np.stack([a, a2, b2], 1), np.stack([a, b2, b], 1), lid])


def parasol(rng: Rng, palette: Palette) -> list[Part]:
    """A beach parasol and a towel."""
    shade = frustum(1.25, 0.05, 0.55, sides=8, base=1.75)
    towel = move(box(0.8, 0.03, 1.6), x=1.0)
    return [
        part(frustum(0.05, 0.05, 1.9, sides=4), rgb("#efe9dd")),
        part(shade, choose(rng, palette.flowers), foot=0.85),
        part(towel, choose(rng, palette.roofs)),
    ]


def snowman(rng: Rng, palette: Palette) -> list[Part]:
    """Three balls of snow with a hat and a carrot."""
    white = rgb("#f3f6fa")
    balls = [
        part(move(blob(r, flat=0.95), up=up), white, foot=0.85, smooth=0.7)
        for r, up in ((0.6, 0.5), (0.44, 1.25), (0.3, 1.85))
    ]
    nose = frustum(0.06, 0, 0.35, sides=5)[..., [0, 2, 1]] + (0, 1.85, 0.25)
    return [*balls, part(nose, rgb("#e8833a")), part(frustum(0.24, 0.22, 0.35, sides=8, base=2.08), rgb("#33363f"))]


def car(rng: Rng, palette: Palette) -> list[Part]:
    """A small parked car along z."""
    colour = choose(rng, palette.flowers)
    parts = [
        part(move(box(1.7, 0.65, 3.9, taper=0.97), up=0.35), colour, foot=0.75),
        part(move(box(1.5, 0.6, 2.1, taper=0.8), up=1.0, z=-0.2), rgb("#2f3a48"), top=colour),
    ]
    parts += [part(move(box(0.3, 0.66, 0.66), x=x, z=z), rgb("#24262c")) for x in (-0.75, 0.75) for z in (-1.2, 1.25)]
    lights = [part(move(box(0.35, 0.2, 0.06), x=x, up=0.62, z=1.95), rgb("#fff2c4"), glow=LIT) for x in (-0.55, 0.55)]
    return [*parts, *lights]


def planter(rng: Rng, palette: Palette) -> list[Part]:
    """A planter box with a clipped ball, as cities have."""
    ball = move(blob(0.5), up=1.0)
    return [
        part(box(0.8, 0.6, 0.8), rgb("#6c7079"), foot=0.7),
        part(ball, palette.leaves[0], foot=0.6, smooth=0.5, leaf=0.5),
    ]


PROPS: dict[str, tuple[Callable[[Rng, Palette], list[Part]], float]] = {
    "rock": (rock, 0.8),
    "spire rock": (spire_rock, 1.4),
    "tuft": (tuft, 0.0),
    "flower": (flower, 0.0),
    "mushroom": (mushroom, 0.0),
    "log": (log, 0.9),
    "stump": (stump, 0.5),
    "fence": (fence, 0.0),
    "wall": (wall, 0.0),
    "lamp": (lamp, 0.3),
    "city lamp": (city_lamp, 0.3),
    "bench": (bench, 0.8),
    "well": (well, 1.1),
    "stall": (stall, 1.4),
    "haystack": (haystack, 1.0),
    "barrel": (barrel, 0.9),
    "boat": (boat, 1.4),
    "parasol": (parasol, 0.5),
    "snowman": (snowman, 0.7),
    "car": (car, 1.7),
    "planter": (planter, 0.6),
}
"""Makers and obstacle radii by name; 0 can be walked through."""
