"""The ground: flat and walkable, painted with soft patches and paths, and the hills around it."""

import math

import numpy as np
from numpy.typing import NDArray

from render.biomes import Palette
from render.meshes import Colour, Part, blend, frustum, move, part

Rng = np.random.Generator


def lay_paths(rng: Rng, *, crossing: bool) -> list[NDArray[np.float64]]:
    """Winding paths, each [K, 2] points about 4 m apart; two that cross where people live, else one or two."""
    first = rng.uniform(-math.pi, math.pi)
    headings = [first, first + rng.uniform(1.1, 2.0)] if crossing or rng.random() < 0.5 else [first]
    paths = []
    for heading in headings:
        along = np.arange(-52.0, 52.1, 4.0)
        phase, size = rng.uniform(0, 6.3), rng.uniform(1.5, 4.5)
        sway = size * np.sin(along / rng.uniform(9, 16) + phase) + rng.uniform(-3, 3)
        c, s = math.cos(heading), math.sin(heading)
        paths.append(np.stack([along * s + sway * c, along * c - sway * s], -1))
    return paths


def on_path(paths: list[NDArray[np.float64]], x: float, z: float, margin: float) -> bool:
    """Whether (x, z) lies within `margin` of the middle of a path."""
    for path in paths:
        a, d = path[:-1], np.diff(path, axis=0)
        t = np.clip(np.sum(((x, z) - a) * d, -1) / np.sum(d * d, -1), 0, 1)
        if np.min(np.hypot(*((a + d * t[:, None]) - (x, z)).T)) < margin:
            return True
    return False


def paint(rng: Rng, palette: Palette, paths: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """[P, 6] x z r g b a: soft patches large and small, then the paths, as triangles in drawing order."""
    pieces = []
    for count, low, high, strength in ((40, 5.0, 13.0, 0.8), (240, 0.7, 2.6, 0.75), (260, 0.25, 0.7, 0.7)):
        for _ in range(count):
            colour = palette.patches[rng.integers(len(palette.patches))]
            colour = blend(colour, (0.1, 0.1, 0.15), rng.uniform(0, 0.16))
            pieces.append(_patch(rng, rng.uniform(-60, 60, 2), rng.uniform(low, high), colour, strength))
    for path in paths:
        pieces.append(_ribbon(path, rng.uniform(1.0, 1.5), palette.path))
    for path in paths:
        for x, z in path[rng.integers(len(path), size=40)] + rng.normal(0, 0.5, (40, 2)):
            shade = blend(palette.path, (0.35, 0.28, 0.25), rng.uniform(0.05, 0.3))
            pieces.append(_patch(rng, (x, z), rng.uniform(0.2, 0.6), shade, 0.8))
    return np.concatenate(pieces).astype(np.float32)


def _patch(rng: Rng, centre: NDArray | tuple, radius: float, colour: Colour, strength: float) -> NDArray:
    """A blot: solid out to half its radius, then fading."""
    sides = 9
    angles = np.arange(sides) * 2 * math.pi / sides + rng.uniform(0, 1)
    reach = radius * rng.uniform(0.7, 1.25, sides)
    outer = np.stack([np.cos(angles) * reach * rng.uniform(1, 1.6), np.sin(angles) * reach], -1) + centre
    inner = (outer - centre) * 0.6 + centre
    middle = np.broadcast_to(centre, outer.shape)
    inner2, outer2 = np.roll(inner, -1, 0), np.roll(outer, -1, 0)
    triangles = [(middle, inner, inner2, (1, 1, 1)), (inner, outer, outer2, (1, 0, 0)), (inner, outer2, inner2, (1, 0, 1))]
    return np.concatenate([_flat(np.stack(t[:3], 1), colour, np.array(t[3]) * strength) for t in triangles])


def _ribbon(path: NDArray[np.float64], width: float, colour: Colour) -> NDArray:
    """A path with soft edges."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.stack([tangent[:, 1], -tangent[:, 0]], -1)
    lanes = [(-width - 0.35, 0.0), (-width, 1.0), (width, 1.0), (width + 0.35, 0.0)]
    pieces = []
    for (a, fade_a), (b, fade_b) in zip(lanes[:-1], lanes[1:], strict=True):
        left, right = path + side * a, path + side * b
        pieces.append(_flat(np.stack([left[:-1], right[:-1], right[1:]], 1), colour, (fade_a, fade_b, fade_b)))
        pieces.append(_flat(np.stack([left[:-1], right[1:], left[1:]], 1), colour, (fade_a, fade_b, fade_a)))
    return np.concatenate(pieces)


def _flat(triangles: NDArray, colour: Colour, alpha: NDArray | tuple) -> NDArray:
    """[T, 3, 2] ground triangles with one colour and one alpha per corner -> [3 T, 6]."""
    count = len(triangles)
    paint_ = np.broadcast_to(colour, (count, 3, 3))
    fade = np.broadcast_to(np.asarray(alpha)[None, :, None], (count, 3, 1))
    return np.concatenate([triangles, paint_, fade], -1).reshape(-1, 6)


def hills(rng: Rng, palette: Palette, relief: tuple[float, float]) -> list[Part]:
    """Two rings of faceted hills: near ones with the colour of the land, far ones with that of the air."""
    near, far = palette.hills
    pieces = []
    for ring, (count, distance, colour) in enumerate(((13, 82.0, near), (15, 150.0, far))):
        for i in range(count):
            angle = (i + rng.uniform(-0.35, 0.35)) * 2 * math.pi / count
            height = rng.uniform(*relief) * (1 + 0.9 * ring)
            radius = rng.uniform(1.1, 1.7) * height + 9
            r = distance + rng.uniform(0, 22)
            peak = frustum(radius, radius * rng.uniform(0.0, 0.25), height, sides=8, turn=rng.uniform(0, 1))
            peak = peak + np.where(peak[..., 1:2] > 1, 1, 0) * rng.uniform(-0.15, 0.15, 3) * (radius, 0, radius)
            shape = move(peak, x=r * math.sin(angle), up=-0.5, z=r * math.cos(angle))
            pieces.append(part(shape, blend(colour, far, rng.uniform(0, 0.3)), top=blend(colour, (1, 1, 1), 0.1), smooth=0.35))
    return pieces
