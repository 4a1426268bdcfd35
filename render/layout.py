"""Filling a place: where landmarks, houses, trees and small things stand, with room kept between them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render import ground
from render.biomes import Biome
from render.buildings import BUILDERS, Size
from render.ground import Shore
from render.landmarks import FOOTPRINTS, LANDMARKS
from render.meshes import Part, place
from render.palettes import Palette
from render.plants import TREES
from render.props import PROPS, choose

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Something that an event can happen to: a `house` or `tree` at (x, z), `height` and `radius` metres in size."""

    kind: str
    x: float
    z: float
    height: float
    radius: float


class Yard:
    """A place being filled."""

    def __init__(
        self, rng: Rng, recipe: Biome, palette: Palette, paths: list[NDArray[np.float64]], shore: Shore | None
    ) -> None:
        self.rng, self.recipe, self.palette, self.paths, self.shore = rng, recipe, palette, paths, shore
        self.parts: list[Part] = []
        self.obstacles: list[tuple[float, float, float]] = []
        self.sites: list[Site] = []
        self.landmarks: list[tuple[str, float, float]] = []

    def free(self, x: float, z: float, radius: float, *, inland: float = 5.0) -> bool:
        """Whether a disc touches nothing that stands already and lies `inland` metres from the water."""
        if self.shore and x * math.sin(self.shore[0]) + z * math.cos(self.shore[0]) > self.shore[1] - radius - inland:
            return False
        return all((x - a) ** 2 + (z - b) ** 2 > (radius + r) ** 2 for a, b, r in self.obstacles)

    def clear(self, x: float, z: float, margin: float) -> bool:
        """Whether a point is off the paths by `margin` metres."""
        return not ground.near_path(self.paths, np.array([[x, z]]), margin)[0]

    def put(
        self, parts: list[Part], x: float, z: float, radius: float, *, yaw: float = 0.0, scale: float = 1.0
    ) -> None:
        """Stands parts at (x, z); a radius of 0 can be walked through."""
        self.parts.append(place(parts, x, z, yaw=yaw, scale=scale))
        if radius > 0:
            self.obstacles.append((x, z, radius))


def fill(yard: Yard) -> None:
    """Everything, the largest first."""
    if yard.shore:
        along = np.arange(-60.0, 61.0, 4.0)
        yard.obstacles += [(*ground.shoreline(yard.shore[0], yard.shore[1] + 3.2, float(a)), 4.0) for a in along]
    _put_landmarks(yard)
    _put_houses(yard)
    _put_trees(yard)
    _line_paths(yard)
    _scatter(yard)


def _put_landmarks(yard: Yard) -> None:
    """One to three different landmarks, well apart."""
    rng, names = yard.rng, tuple(dict.fromkeys(yard.recipe.landmarks))
    wanted = [str(name) for name in rng.choice(names, min(len(names), int(rng.integers(1, 4))), replace=False)]
    for name in wanted:
        maker, radius = LANDMARKS[name]
        for _ in range(40):
            x, z = rng.uniform(-30, 30, 2)
            if (
                math.hypot(x, z) > 7
                and yard.free(x, z, radius + 6)
                and yard.clear(x, z, radius + yard.recipe.street + 0.8)
            ):
                parts = maker(rng, choose(rng, yard.palette.walls), choose(rng, yard.palette.roofs))
                yaw = math.atan2(-x, -z) + rng.normal(0, 0.4)
                yard.put(parts, x, z, 0.0, yaw=yaw)
                c, s = math.cos(yaw), math.sin(yaw)
                discs = FOOTPRINTS.get(name, ((0.0, 0.0, radius),))
                yard.obstacles += [(x + a * c + b * s, z - a * s + b * c, r) for a, b, r in discs]
                yard.landmarks.append((name, float(x), float(z)))
                break


def _put_houses(yard: Yard) -> None:
    """Houses along the paths, facing them."""
    rng, recipe = yard.rng, yard.recipe
    wanted = int(rng.integers(recipe.houses[0], recipe.houses[1] + 1))
    for _ in range(wanted * 14):
        if sum(site.kind == "house" for site in yard.sites) == wanted:
            break
        path = yard.paths[rng.integers(len(yard.paths))]
        i = int(rng.integers(1, len(path)))
        (ax, az), (bx, bz) = path[i - 1], path[i]
        facing = math.atan2(bx - ax, bz - az) - rng.choice([-1.0, 1.0]) * math.pi / 2
        width, depth = float(rng.uniform(4.2, 6.5)), float(rng.uniform(4.5, 7.5))
        away = depth / 2 + recipe.street + (rng.uniform(1.4, 1.9) if recipe.straight else rng.uniform(2.2, 4.2))
        x, z = (ax + bx) / 2 - away * math.sin(facing), (az + bz) / 2 - away * math.cos(facing)
        radius = 0.46 * math.hypot(width, depth)
        crowd = -0.8 if recipe.straight else 1.2
        if (
            max(abs(x), abs(z)) > 40
            or not yard.free(x, z, radius + crowd)
            or not yard.clear(x, z, depth / 2 + recipe.street + 0.4)
        ):
            continue
        size = Size(width=width, depth=depth, storeys=int(rng.integers(1, recipe.storeys + 1)))
        parts = BUILDERS[recipe.builder](rng, choose(rng, yard.palette.walls), choose(rng, yard.palette.roofs), size)
        yard.put(parts, x, z, radius, yaw=facing)
        height = min(7.5, float(-np.concatenate(parts)[:, 1].min()) * 0.85)
        yard.sites.append(Site(kind="house", x=x, z=z, height=height, radius=0.52 * (width + depth) / 2 + 0.4))


def _put_trees(yard: Yard) -> None:
    """Trees in loose groves, off the paths; those beyond the bounds are scenery."""
    rng, recipe = yard.rng, yard.recipe
    kinds = rng.choice(recipe.kinds, min(len(recipe.kinds), int(rng.integers(1, 4))), replace=False)
    groves = rng.uniform(-48, 48, (6, 2))
    wanted = int(rng.integers(recipe.trees[0], recipe.trees[1] + 1))
    spots = np.where(
        rng.random((wanted, 1)) < 0.65,
        groves[rng.integers(6, size=wanted)] + rng.normal(0, 9, (wanted, 2)),
        rng.uniform(-58, 58, (wanted, 2)),
    )
    taken = ground.near_path(yard.paths, spots, recipe.street + 1.2)
    for (x, z), blocked in zip(spots.tolist(), taken, strict=True):
        if blocked or not yard.free(x, z, 1.5):
            continue
        kind, scale = str(rng.choice(kinds)), float(rng.uniform(0.8, 1.35))
        parts = TREES[kind](rng, choose(rng, yard.palette.leaves, 0.15))
        yard.put(parts, x, z, 0.7 * scale, yaw=rng.uniform(0, 6.3), scale=scale)
        if kind not in ("bush", "cactus"):
            yard.sites.append(Site(kind="tree", x=x, z=z, height=3.6 * scale, radius=0.9 * scale))


def _scatter(yard: Yard) -> None:
    """Small things over the open ground."""
    rng = yard.rng
    for name, fewest, most in yard.recipe.scatter:
        maker, radius = PROPS[name]
        wanted = int(rng.integers(fewest, most + 1))
        spots = rng.uniform(-42, 42, (wanted, 2))
        taken = ground.near_path(yard.paths, spots, yard.recipe.street + radius + 0.3)
        for (x, z), blocked in zip(spots.tolist(), taken, strict=True):
            if not blocked and yard.free(x, z, radius + 0.3, inland=3.0 if name in ("boat", "parasol") else 6.0):
                scale = float(rng.uniform(0.85, 1.3))
                yard.put(maker(rng, yard.palette), x, z, radius * scale, yaw=rng.uniform(0, 6.3), scale=scale)


_ALONG = ("fence", "wall", "car")
"""Roadside props that lie along the path rather than face it."""


def _line_paths(yard: Yard) -> None:
    """Fences, lamps, benches and stalls beside the paths."""
    rng, names = yard.rng, [name for name, _ in yard.recipe.roadside]
    if not names:
        return
    chances = np.array([chance for _, chance in yard.recipe.roadside])
    odds = np.append(chances, 1 - chances.sum())
    for path in yard.paths:
        for i in range(1, len(path)):
            for side in (-1.0, 1.0):
                drawn = int(rng.choice(len(odds), p=odds))
                if drawn < len(names):
                    _put_beside(yard, names[drawn], path[i - 1], path[i], side)


def _put_beside(yard: Yard, name: str, a: NDArray[np.float64], b: NDArray[np.float64], side: float) -> None:
    maker, radius = PROPS[name]
    along = math.atan2(b[0] - a[0], b[1] - a[1])
    inside = -0.9 if name == "car" else 0.75 + 0.7 * radius
    away = yard.recipe.street + inside
    x, z = (a + b) / 2 + side * away * np.array([math.cos(along), -math.sin(along)])
    if max(abs(x), abs(z)) > 46 or not yard.free(x, z, max(radius, 1.2 if radius == 0 else 0.0) + 0.1):
        return
    if not yard.clear(x, z, away - 0.35):
        return
    if name in _ALONG:
        yard.put(
            maker(yard.rng, yard.palette),
            x,
            z,
            radius,
            yaw=along + (math.pi / 2 if radius == 0 else (1 - side) * math.pi / 2),
        )
        if radius == 0:
            yard.obstacles += [(x + t * math.sin(along), z + t * math.cos(along), 0.45) for t in (-1.5, -0.5, 0.5, 1.5)]
    else:
        yard.put(maker(yard.rng, yard.palette), x, z, radius, yaw=along - side * math.pi / 2)
