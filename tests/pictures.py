"""`python -m tests.pictures FOLDER`: the README's pictures, made by the model that ships.

words.png: one place, two seconds after nothing was said and after six events; memory.png: places seen again after a
turn, with memory and without; text.png: worlds from words alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.gallery import load_gallery
from engine.actions import KEY_LEFT, KEY_RIGHT, KEY_W, Step
from engine.memory import pocket
from engine.streamer import PocketWorld
from engine.weights import PocketWeights, load_pocket
from engine.world import WorldSpec

Picture = NDArray[np.uint8]
GAP = 4
"""White pixels between pictures."""
EVENTS = ("it starts to rain", "night falls", "snow falls", "thick fog", "the water rises", "a storm breaks loose")
TEXTS = (
    "a desert with palm trees under a blue sky",
    "a meadow with trees and a farm, on a clear day",
    "a city at night with lit windows",
    "a forest of firs in the snow",
    "houses by the beach, in bright sunshine",
    "a canyon at sunset",
)


@dataclass(frozen=True, slots=True)
class Walk:
    """A world and its newest picture."""

    world: PocketWorld

    def go(self, keys: int, chunks: int) -> Picture:
        """Hold keys for some chunks; what is seen then."""
        seen = np.zeros((0,))
        for _ in range(chunks):
            seen = [frames[-1] for frames in self.world.step([Step(keys=keys, walls=True)] * self.world.chunk)][-1]
            self.world.commit()
        return seen

    def branch(self) -> Walk:
        """Another walk from here."""
        world = self.world
        return Walk(PocketWorld(world.weights, world.spec, world.records, memory=world.memory))


def begin(weights: PocketWeights, place: str, *, memory: bool = True) -> Walk:
    """A walk in one of the ready starts."""
    start = next(start for start in load_gallery()[0] if start.image.stem == place)
    image = np.asarray(Image.open(start.image).convert("RGB"))
    spec = WorldSpec(seed=start.card.seed, prompt=start.card.prompt, image=image)
    return Walk(PocketWorld(weights, spec, memory=replace(pocket(), retrieves=memory)))


def words(weights: PocketWeights) -> Picture:
    """One place, with nothing said and after each event."""
    walk = begin(weights, "beach-houses")
    walk.go(KEY_W, 2)

    def after(event: str) -> Picture:
        told = walk.branch()
        told.world.prompt(event)
        return told.go(0, 3)

    shown = [walk.branch().go(0, 3), *map(after, EVENTS)]
    return sheet([shown[:4], [*shown[4:], walk.branch().go(KEY_W, 3)]])


def memory(weights: PocketWeights) -> Picture:
    """What was seen, where one turned to, and what is seen back there: with memory, and without."""

    def column(place: str) -> list[Picture]:
        walk, without = begin(weights, place), begin(weights, place, memory=False)
        shown = [walk.go(KEY_W, 2), walk.go(KEY_RIGHT, 5), walk.go(KEY_LEFT, 5)]
        without.go(KEY_W, 2)
        without.go(KEY_RIGHT, 5)
        return [*shown, without.go(KEY_LEFT, 5)]

    columns = [column(place) for place in ("church-square", "desert-house", "beach-houses", "evening-lamps")]
    return sheet(list(zip(*columns, strict=True)))


def texts(weights: PocketWeights) -> Picture:
    """Worlds from words: what they begin with."""
    shown = [Walk(PocketWorld(weights, WorldSpec(seed=11, prompt=prompt))).go(0, 1) for prompt in TEXTS]
    return sheet([shown[:3], shown[3:]])


def sheet(rows: Sequence[Iterable[Picture]]) -> Picture:
    """Pictures in rows, with gaps."""

    def joined(parts: Iterable[Picture], axis: int) -> Picture:
        parts = list(parts)
        gap = np.full_like(parts[0][:GAP] if axis == 0 else parts[0][:, :GAP], 255)
        return np.concatenate([each for part in parts for each in (gap, part)][1:], axis)

    return joined([joined(row, 1) for row in rows], 0)


SHEETS: dict[str, Callable[[PocketWeights], Picture]] = {"words": words, "memory": memory, "text": texts}


def main(arguments: list[str]) -> int:
    """Writes the pictures named after the folder, or all."""
    if not arguments or not Path(arguments[0]).is_dir() or not set(arguments[1:]) <= SHEETS.keys():
        sys.stderr.write(f"usage: python -m tests.pictures FOLDER [{' | '.join(SHEETS)} ...]\n")
        return 2
    weights = load_pocket(size=(320, 192))
    for name in arguments[1:] or SHEETS:
        Image.fromarray(SHEETS[name](weights)).save(Path(arguments[0]) / f"{name}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
