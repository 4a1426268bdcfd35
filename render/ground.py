"""The ground: flat and walkable, painted with soft patches, paths and shores, and what surrounds it."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from render.meshes import Colour, blend
from render.palettes import Palette

Rng = np.random.Generator
Points = NDArray[np.float64]
Shore = tuple[float, float]
"""Heading towards the sea, and metres from the middle of the world to the water's edge."""


def lay_paths(rng: Rng, *, crossing: bool, straight: bool) -> list[Points]:
    """Paths, each [K, 2] points 4 m apart: winding ones, two that cross where people live, or the streets of a grid."""
    first = rng.uniform(-math.pi, math.pi)
    along = np.arange(-52.0, 52.1, 4.0)
    if straight:
        gap = rng.uniform(24, 30)
        lanes = [(first, o) for o in (-gap / 2, gap / 2)] + [(first + math.pi / 2, o) for o in (-gap / 2, gap / 2)]
        return [_laid(along, np.full_like(along, offset), heading) for heading, offset in lanes]
    headings = [first, first + rng.uniform(1.1, 2.0)] if crossing or rng.random() < 0.5 else [first]
    sways = [
        rng.uniform(1.5, 4.5) * np.sin(along / rng.uniform(9, 16) + rng.uniform(0, 6.3)) + rng.uniform(-3, 3)
        for _ in headings
    ]
    return [_laid(along, sway, heading) for heading, sway in zip(headings, sways, strict=True)]


def _laid(along: Points, aside: Points, heading: float) -> Points:
    c, s = math.cos(heading), math.sin(heading)
    return np.stack([along * s + aside * c, along * c - aside * s], -1)


def near_path(paths: list[Points], points: Points, margin: float) -> NDArray[np.bool_]:
    """Whether each of [N, 2] points lies within `margin` of the middle of a path."""
    near = np.zeros(len(points), bool)
    for path in paths:
        a, d = path[:-1], np.diff(path, axis=0)
        offset = points[:, None] - a
        t = np.clip(np.sum(offset * d, -1) / np.sum(d * d, -1), 0, 1)
        near |= (np.linalg.norm(offset - d * t[..., None], axis=-1) < margin).any(1)
    return near


def paint(rng: Rng, palette: Palette, paths: list[Points], street: float, shore: Shore | None) -> NDArray[np.float32]:
    """[P, 6] x z r g b a: soft patches large and small, paths, then the beach; triangles in drawing order."""
    pieces = [
        _patches(rng, rng.uniform(-60, 60, (count, 2)), low, high, palette.patches, strength)
        for count, low, high, strength in ((45, 5.0, 13.0, 0.85), (260, 0.8, 2.8, 0.8), (300, 0.25, 0.7, 0.75))
    ]
    pieces += [_ribbon(path, street * rng.uniform(0.9, 1.15), palette.path) for path in paths]
    darker = tuple(blend(palette.path, (0.3, 0.25, 0.25), amount) for amount in (0.06, 0.14, 0.22))
    lighter = (blend(palette.path, (1, 1, 1), 0.15),)
    for path in paths:
        spots = path[rng.integers(len(path), size=60)] + rng.normal(0, 0.5 * street, (60, 2))
        pieces.append(
            _patches(
                rng,
                spots[~near_path([path], spots, 0) & near_path([path], spots, street)],
                0.2,
                0.6,
                darker + lighter,
                0.8,
            )
        )
    if shore is not None:
        pieces.append(_beach(shore))
    return np.concatenate(pieces).astype(np.float32)


def _patches(
    rng: Rng, centres: Points, low: float, high: float, colours: tuple[Colour, ...], strength: float
) -> Points:
    """Blots at [N, 2] centres: solid out to 0.6 of their radius, then fading; [27 N * 3, 6]."""
    count, sides = len(centres), 9
    angles = np.arange(sides) * 2 * math.pi / sides + rng.uniform(0, 1, (count, 1))
    reach = rng.uniform(low, high, (count, 1)) * rng.uniform(0.7, 1.25, (count, sides))
    stretch = rng.uniform(1, 1.6, (count, 1))
    outer = np.stack([np.cos(angles) * reach * stretch, np.sin(angles) * reach], -1) + centres[:, None]
    middle = np.broadcast_to(centres[:, None], outer.shape)
    inner = 0.6 * outer + 0.4 * middle
    inner2, outer2 = np.roll(inner, -1, 1), np.roll(outer, -1, 1)
    triangles = np.stack(
        [
            np.stack([middle, inner, inner2], 2),
            np.stack([inner, outer, outer2], 2),
            np.stack([inner, outer2, inner2], 2),
        ],
        2,
    )  # [N, sides, 3, 3, 2]
    alpha = np.broadcast_to(
        np.array([(1, 1, 1), (1, 0, 0), (1, 0, 1)])[..., None] * strength, (*triangles.shape[:-1], 1)
    )
    shade = np.array(colours)[rng.integers(len(colours), size=count)] * rng.uniform(0.88, 1.04, (count, 1))
    tint = np.broadcast_to(shade[:, None, None, None], (*triangles.shape[:-1], 3))
    return np.concatenate([triangles, tint, alpha], -1).reshape(-1, 6)


def _ribbon(path: Points, width: float, colour: Colour) -> Points:
    """A path with soft edges of a darker rim."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.stack([tangent[:, 1], -tangent[:, 0]], -1)
    return np.concatenate(
        [
            _strip(path, side, width * 1.18 + 0.2, blend(colour, (0.3, 0.3, 0.2), 0.25), 0.45),
            _strip(path, side, width, colour, 1.0),
        ]
    )


def _strip(path: Points, side: Points, width: float, colour: Colour, strength: float) -> Points:
    """A band around a path that fades over 0.3 m at both edges."""
    lanes = [(-width - 0.3, 0.0), (-width, strength), (width, strength), (width + 0.3, 0.0)]
    pieces = []
    for (a, fade_a), (b, fade_b) in pairwise(lanes):
        left, right = path + side * a, path + side * b
        pieces.append(_flat(np.stack([left[:-1], right[:-1], right[1:]], 1), colour, (fade_a, fade_b, fade_b)))
        pieces.append(_flat(np.stack([left[:-1], right[1:], left[1:]], 1), colour, (fade_a, fade_b, fade_a)))
    return np.concatenate(pieces)


def _beach(shore: Shore) -> Points:
    """Sand towards the water's edge, wet sand, and a line of foam."""
    heading, edge = shore
    bands = [
        (edge - 12, edge - 7, "sand", 0.0, 1.0),
        (edge - 7, edge + 30, "sand", 1.0, 1.0),
        (edge - 2.2, edge - 0.8, "wet", 0.0, 1.0),
        (edge - 0.8, edge + 30, "wet", 1.0, 1.0),
    ]
    colours = {"sand": (0.93, 0.86, 0.67), "wet": (0.76, 0.66, 0.48)}
    pieces = []
    for near, far, name, fade_near, fade_far in bands:
        a, b, c, d = (
            shoreline(heading, near, -90),
            shoreline(heading, near, 90),
            shoreline(heading, far, 90),
            shoreline(heading, far, -90),
        )
        pieces.append(_flat(np.array([[a, b, c]]), colours[name], (fade_near, fade_near, fade_far)))
        pieces.append(_flat(np.array([[a, c, d]]), colours[name], (fade_near, fade_far, fade_far)))
    return np.concatenate(pieces)


def shoreline(heading: float, out: float, along: float) -> tuple[float, float]:
    """The point (x, z) that lies `out` metres towards the sea and `along` metres beside."""
    c, s = math.cos(heading), math.sin(heading)
    return (out * s + along * c, out * c - along * s)


def _flat(triangles: Points, colour: Colour, alpha: tuple[float, float, float]) -> Points:
    """[T, 3, 2] ground triangles with one colour and one alpha per corner -> [3 T, 6]."""
    count = len(triangles)
    tint = np.broadcast_to(colour, (count, 3, 3))
    fade = np.broadcast_to(np.array(alpha)[None, :, None], (count, 3, 1))
    return np.concatenate([triangles, tint, fade], -1).reshape(-1, 6)
