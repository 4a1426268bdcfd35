"""Worlds from a seed: everything that stands in a place, deterministic and the same on every machine.

The random stream is keyed by (split, seed), so training and held-out worlds are disjoint by construction.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render import ground, props
from render.biomes import BIOMES, Biome, Palette
from render.captions import world_caption
from render.characters import HEROES
from render.landmarks import LANDMARKS
from render.meshes import STRIDE, Colour, Part, blend, place
from render.moods import MOODS, Look, make_look

BOUNDS = 42.0
"""Walkable half-width of every world, metres."""

SPLITS = {"train": 0, "heldout": 1}
TREES = {"pine": props.pine, "round": props.round_tree, "poplar": props.poplar, "bush": props.bush}

Rng = np.random.Generator


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Something that an event can happen to: a `house` or `tree` at (x, z), `height` and `radius` metres in size."""

    kind: str
    x: float
    z: float
    height: float
    radius: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """One world. Positions are (x, z) on the ground plane."""

    seed: int
    split: str
    biome: str
    mood: str
    look: Look
    palette: Palette
    vertices: NDArray[np.float32]
    """[V, 11], see `render.meshes`."""
    paint: NDArray[np.float32]
    """[P, 6] x z r g b a: triangles painted on the ground, in order."""
    obstacles: NDArray[np.float64]
    """[N, 3] x z radius."""
    sites: tuple[Site, ...]
    landmarks: tuple[tuple[str, float, float], ...]
    """(name, x, z), the tallest first."""
    hero: str | None
    """Name of the character that walks ahead of the camera, in third person."""
    bounds: float = BOUNDS

    @property
    def third_person(self) -> bool:
        """Whether a character walks ahead of the camera."""
        return self.hero is not None

    def caption(self, rng: Rng, language: str = "en", *, heldout: bool = False) -> str:
        """One of many wordings of what this place is; `language` is `en` or `zh`."""
        return world_caption(self, rng, language, heldout=heldout)

    def good_start(self, rng: Rng) -> tuple[float, float, float]:
        """(x, z, yaw) of a free spot that looks at something worth seeing, not into a wall."""
        targets = [(x, z) for _, x, z in self.landmarks] + [(s.x, s.z) for s in self.sites[:12]] + [(0.0, 0.0)]
        best, best_score = (0.0, 0.0, 0.0), -math.inf
        for _ in range(40):
            tx, tz = targets[rng.integers(len(targets))]
            yaw, away = rng.uniform(-math.pi, math.pi), rng.uniform(9, 24)
            x, z = tx - away * math.sin(yaw), tz - away * math.cos(yaw)
            yaw += rng.normal(0, 0.2)
            score = self._view_room(x, z, yaw) - 0.05 * max(0.0, math.hypot(x, z) - 25)
            if score > best_score:
                best, best_score = (x, z, yaw), score
            if score > 7:
                break
        return best

    def _view_room(self, x: float, z: float, yaw: float) -> float:
        """Free metres ahead over a fan of directions (at most 8); very negative where one cannot stand."""
        if max(abs(x), abs(z)) > self.bounds - 2:
            return -100.0
        delta = self.obstacles[:, :2] - (x, z)
        gap = np.hypot(delta[:, 0], delta[:, 1]) - self.obstacles[:, 2]
        if (gap < 1.0).any():
            return -50.0
        room = 8.0
        for turn in (-0.35, 0.0, 0.35):
            ahead = delta @ (math.sin(yaw + turn), math.cos(yaw + turn))
            side = np.abs(delta @ (math.cos(yaw + turn), -math.sin(yaw + turn)))
            hit = (ahead > 0) & (side < self.obstacles[:, 2] + 0.4)
            room = min(room, float(gap[hit].min(initial=8.0)))
        return room


def make_world(
    seed: int,
    *,
    split: str = "train",
    biome: str | None = None,
    mood: str | None = None,
    third_person: bool | None = None,
) -> Scene:
    """The world of `seed`. What is not given is drawn from the seed: moods evenly, third person in one of four.

    Raises:
        ValueError: an unknown split, biome or mood.
    """
    for name, value, known in (("split", split, SPLITS), ("biome", biome, BIOMES), ("mood", mood, MOODS)):
        if value is not None and value not in known:
            raise ValueError(f"there is no {name} '{value}'; choose one of {', '.join(known)}")
    rng = np.random.default_rng([SPLITS[split], seed])
    drawn_biome, drawn_mood = rng.choice(list(BIOMES)), rng.choice(list(MOODS))
    drawn_hero, third = str(rng.choice(list(HEROES))), rng.random() < 0.25
    biome, mood = biome or str(drawn_biome), mood or str(drawn_mood)
    recipe = BIOMES[biome]
    palette = recipe.palettes[rng.integers(len(recipe.palettes))]
    yard = Yard(rng)
    paths = ground.lay_paths(rng, crossing=recipe.houses[0] > 5)
    named = _put_landmarks(yard, recipe, palette)
    _put_houses(yard, recipe, palette, paths)
    _put_trees(yard, recipe, palette, paths)
    _put_small(yard, recipe, palette, paths)
    hills = ground.hills(rng, palette, recipe.relief)
    return Scene(
        seed=seed, split=split, biome=biome, mood=mood, look=make_look(rng, mood), palette=palette,
        vertices=np.concatenate([*yard.parts, *hills]).reshape(-1, STRIDE),
        paint=ground.paint(rng, palette, paths),
        obstacles=np.array(yard.obstacles, np.float64).reshape(-1, 3),
        sites=tuple(yard.sites), landmarks=tuple(named),
        hero=drawn_hero if (third if third_person is None else third_person) else None,
    )  # fmt: skip


class Yard:
    """A place being filled: parts, obstacles and sites, with room kept between things."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.parts: list[Part] = []
        self.obstacles: list[tuple[float, float, float]] = []
        self.sites: list[Site] = []

    def free(self, x: float, z: float, radius: float) -> bool:
        """Whether a disc touches nothing that stands already."""
        return all(math.hypot(x - a, z - b) > radius + r for a, b, r in self.obstacles)

    def put(self, parts: list[Part], x: float, z: float, radius: float, *, yaw: float = 0.0, scale: float = 1.0) -> None:
        """Stands parts at (x, z); a radius of 0 can be walked through."""
        self.parts.append(place(parts, x, z, yaw=yaw, scale=scale))
        if radius > 0:
            self.obstacles.append((x, z, radius))


def _pick(rng: Rng, colours: tuple[Colour, ...], spread: float = 0.10) -> Colour:
    """A colour of the palette, moved a little towards white or black."""
    colour = colours[rng.integers(len(colours))]
    shift = rng.uniform(-spread, spread)
    return blend(colour, (1, 1, 1) if shift > 0 else (0.1, 0.1, 0.2), abs(shift))


def _put_landmarks(yard: Yard, recipe: Biome, palette: Palette) -> list[tuple[str, float, float]]:
    """One to three different landmarks, well apart."""
    rng, named = yard.rng, []
    count = min(len(recipe.landmarks), int(rng.integers(1, 4)))
    for name in rng.choice(recipe.landmarks, count, replace=False):
        maker, radius = LANDMARKS[str(name)]
        for _ in range(20):
            x, z = rng.uniform(-30, 30, 2)
            if math.hypot(x, z) > 7 and yard.free(x, z, radius + 8):
                parts = maker(rng, _pick(rng, palette.walls), _pick(rng, palette.roofs))
                yard.put(parts, x, z, radius, yaw=math.atan2(-x, -z) + rng.normal(0, 0.4))
                named.append((str(name), float(x), float(z)))
                break
    return named


def _put_houses(yard: Yard, recipe: Biome, palette: Palette, paths: list[NDArray]) -> None:
    """Houses along the paths, facing them."""
    rng = yard.rng
    wanted = int(rng.integers(recipe.houses[0], recipe.houses[1] + 1))
    for _ in range(wanted * 12):
        if sum(site.kind == "house" for site in yard.sites) == wanted:
            break
        path = paths[rng.integers(len(paths))]
        i = int(rng.integers(1, len(path)))
        (ax, az), (bx, bz) = path[i - 1], path[i]
        along = math.atan2(bx - ax, bz - az)
        side = rng.choice([-1.0, 1.0])
        facing = along - side * math.pi / 2
        width, depth = rng.uniform(4.2, 6.5), rng.uniform(4.5, 7.5)
        away = depth / 2 + rng.uniform(3.2, 5.0)
        x, z = (ax + bx) / 2 - away * math.sin(facing), (az + bz) / 2 - away * math.cos(facing)
        radius = 0.5 * math.hypot(width, depth) * 0.92
        if max(abs(x), abs(z)) > 38 or not yard.free(x, z, radius + 1.2) or ground.on_path(paths, x, z, depth / 2 + 1.6):
            continue
        storeys = int(rng.integers(1, recipe.storeys + 1))
        parts = props.cottage(
            rng, _pick(rng, palette.walls), _pick(rng, palette.roofs), width=width, depth=depth, storeys=storeys
        )
        yard.put(parts, x, z, radius, yaw=facing)
        yard.sites.append(Site(kind="house", x=x, z=z, height=2.5 * storeys + 2.4, radius=radius * 0.7))


def _put_trees(yard: Yard, recipe: Biome, palette: Palette, paths: list[NDArray]) -> None:
    """Trees in loose groves, off the paths; those beyond the bounds are scenery."""
    rng = yard.rng
    kinds = rng.choice(recipe.kinds, min(len(recipe.kinds), int(rng.integers(1, 4))), replace=False)
    groves = rng.uniform(-48, 48, (6, 2))
    for _ in range(int(rng.integers(recipe.trees[0], recipe.trees[1] + 1))):
        grove = groves[rng.integers(len(groves))]
        x, z = grove + rng.normal(0, 9, 2) if rng.random() < 0.65 else rng.uniform(-58, 58, 2)
        if not yard.free(x, z, 1.6) or ground.on_path(paths, x, z, 2.2):
            continue
        kind, scale = str(rng.choice(kinds)), rng.uniform(0.8, 1.35)
        parts = TREES[kind](rng, _pick(rng, palette.leaves, 0.15))
        yard.put(parts, x, z, 0.7 * scale, yaw=rng.uniform(0, 6.3), scale=scale)
        if kind != "bush":
            yard.sites.append(Site(kind="tree", x=float(x), z=float(z), height=3.6 * scale, radius=1.0 * scale))


def _put_small(yard: Yard, recipe: Biome, palette: Palette, paths: list[NDArray]) -> None:
    """Rocks, fences, lamps, flowers and grass."""
    rng = yard.rng
    for _ in range(int(rng.integers(*recipe.rocks))):
        x, z = rng.uniform(-45, 45, 2)
        if yard.free(x, z, 1.2) and not ground.on_path(paths, x, z, 1.8):
            scale = rng.uniform(0.7, 1.6)
            yard.put(props.rock(rng, palette.rock), x, z, 0.8 * scale, yaw=rng.uniform(0, 6.3), scale=scale)
    for path in paths:
        _line_path(yard, recipe, path)
    for _ in range(int(rng.integers(*recipe.tufts))):
        x, z = rng.uniform(-40, 40, 2)
        if ground.on_path(paths, x, z, 1.4) or not yard.free(x, z, 0.3):
            continue
        flowery, leaf = rng.random() < 0.4, _pick(rng, palette.patches, 0.2)
        parts = props.flower(rng, _pick(rng, palette.flowers), leaf) if flowery else props.tuft(rng, leaf)
        yard.put(parts, x, z, 0.0, scale=rng.uniform(0.8, 1.5))


def _line_path(yard: Yard, recipe: Biome, path: NDArray) -> None:
    """Fences and lamps beside a path."""
    rng = yard.rng
    for i in range(2, len(path) - 1, 2):
        (ax, az), (bx, bz) = path[i - 1], path[i]
        along = math.atan2(bx - ax, bz - az)
        nx, nz = math.cos(along), -math.sin(along)
        if recipe.lamps and i % 4 == 0 and yard.free(ax + 2.1 * nx, az + 2.1 * nz, 0.5):
            yard.put(props.lamp(), ax + 2.1 * nx, az + 2.1 * nz, 0.3)
        x, z, length = (ax + bx) / 2 - 2.4 * nx, (az + bz) / 2 - 2.4 * nz, math.hypot(bx - ax, bz - az)
        if rng.random() < 0.4 and yard.free(x, z, 1.7):
            yard.put(props.fence(length * 0.9), x, z, 0.0, yaw=along + math.pi / 2)
            steps = np.linspace(-0.4, 0.4, 4) * length
            yard.obstacles += [(x + t * math.sin(along), z + t * math.cos(along), 0.5) for t in steps]
