"""Worlds from a seed: everything that stands in a place, deterministic and the same on every machine.

The random stream is keyed by (split, seed), so training and held-out worlds are disjoint by construction.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from render import ground
from render.biomes import BIOMES
from render.captions import world_caption
from render.characters import HEROES
from render.ground import Shore, shoreline
from render.horizons import surround
from render.layout import Site, Yard, fill
from render.meshes import STRIDE
from render.moods import MOODS, Look, make_look
from render.palettes import Palette

BOUNDS = 42.0
"""Walkable half-width of every world, metres."""

SPLITS = {"train": 0, "heldout": 1}

SOLID = 0.8
"""Least radius of something that fills the view of who stands before it."""
Rng = np.random.Generator


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
    shore: Shore | None
    """Where the sea begins, in a world beside the sea."""
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
        if self.shore:
            targets += [shoreline(self.shore[0], self.shore[1] + 8, float(a)) for a in rng.uniform(-25, 25, 9)]
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

    def near_start(self, rng: Rng, ahead: float = 0.0) -> tuple[float, float, float]:
        """(x, z, yaw) of a spot that looks at something solid from a few steps away, or a good start where there is
        none; with a character so many metres `ahead`, from a few steps before that one."""
        solid = self.obstacles[self.obstacles[:, 2] >= SOLID]
        for _ in range(40 if len(solid) else 0):
            x, z, radius = solid[rng.integers(len(solid))]
            yaw, away = rng.uniform(-math.pi, math.pi), radius + ahead + rng.uniform(0.7, 3.5)
            x, z = x - away * math.sin(yaw), z - away * math.cos(yaw)
            gap = np.hypot(*(self.obstacles[:, :2] - (x, z)).T) - self.obstacles[:, 2]
            if gap.min() >= 0.6 and max(abs(x), abs(z)) < self.bounds - 2:
                return float(x), float(z), float(yaw + rng.normal(0, 0.3))
        return self.good_start(rng)

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
    drawn_biome, drawn_hero, third = str(rng.choice(list(BIOMES))), str(rng.choice(list(HEROES))), rng.random() < 0.25
    biome = biome or drawn_biome
    recipe = BIOMES[biome]
    drawn_mood = str(rng.choice(recipe.moods))
    mood = mood or drawn_mood
    palette = recipe.palettes[rng.integers(len(recipe.palettes))]
    shore = (float(rng.uniform(-math.pi, math.pi)), float(rng.uniform(14, 26))) if recipe.sea else None
    yard = Yard(
        rng, recipe, palette, ground.lay_paths(rng, crossing=recipe.houses[0] > 5, straight=recipe.straight), shore
    )
    fill(yard)
    around = surround(rng, recipe.horizon, palette, shore)
    return Scene(
        seed=seed, split=split, biome=biome, mood=mood, look=make_look(rng, mood), palette=palette,
        vertices=np.concatenate([*yard.parts, *around]).reshape(-1, STRIDE),
        paint=ground.paint(rng, palette, yard.paths, recipe.street, shore),
        obstacles=np.array(yard.obstacles, np.float64).reshape(-1, 3),
        sites=tuple(yard.sites), landmarks=tuple(yard.landmarks), shore=shore,
        hero=drawn_hero if (third if third_person is None else third_person) else None,
    )  # fmt: skip
