"""`python -m tests.pictures FOLDER`: the README's pictures, made by the model that ships.

words.png: one place, two seconds after nothing was said and after seven events; visitors.png: who comes along, and
where they are a second later; heroes.png: who walks ahead, with W, D, S and turned; over.png: a night, what is first
seen in it, and how it ends; memory.png: places seen again after a turn, with memory and without; around.png: places as
one turns right round; text.png: worlds from words alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.gallery import load_gallery
from engine.actions import KEY_D, KEY_LEFT, KEY_RIGHT, KEY_S, KEY_W, Step
from engine.images import fit_image
from engine.memory import pocket
from engine.streamer import PocketWorld
from engine.weights import PocketWeights, load_pocket
from engine.world import WorldSpec

Picture = NDArray[np.uint8]
GAP = 4
"""White pixels between pictures."""
EVENTS = ("it starts to rain", "night falls", "snow falls", "thick fog", "the water rises",
          "a storm breaks loose", "a house catches fire")  # fmt: skip
VISITORS = {
    "cottage-and-pines": "look, a deer",
    "beach-houses": "a child in a red coat walks by",
    "church-square": "a horse comes along",
    "evening-lamps": "suddenly a fox shows up",
}
HEROES = ("follow-the-fox", "red-coat-at-sunset", "the-green-hiker", "the-blue-wizard")
PLACES = ("church-square", "snow-cabin", "town-evening")
TEXTS = (
    "a desert with palm trees under a blue sky",
    "a meadow with trees and a farm, on a clear day",
    "a city at night with lit windows",
    "a forest of firs in the snow",
    "houses by the beach, in bright sunshine",
    "a canyon at sunset",
)


def go(world: PocketWorld, keys: int, chunks: int) -> Picture:
    """Hold keys for some chunks; what is seen then."""
    for _ in range(chunks):
        *_, frames = world.step([Step(keys=keys, walls=True)] * world.chunk)
        world.commit()
    return frames[-1]


def begin(weights: PocketWeights, place: str, *, memory: bool = True) -> PocketWorld:
    """One of the ready starts."""
    start = next(start for start in load_gallery()[0] if start.image.stem == place)
    image = np.asarray(Image.open(start.image).convert("RGB"))
    spec = WorldSpec(seed=start.card.seed, prompt=start.card.prompt, image=image)
    return PocketWorld(weights, spec, memory=replace(pocket(), retrieves=memory))


def words(weights: PocketWeights) -> Picture:
    """One place, with nothing said, and after each event."""
    world = begin(weights, "beach-houses")
    go(world, KEY_W, 2)

    def after(event: str) -> Picture:
        branch = PocketWorld(weights, world.spec, world.records)
        if event:
            branch.prompt(event)
        return go(branch, 0, 3)

    shown = [after(event) for event in ("", *EVENTS)]
    return sheet([shown[:4], shown[4:]])


def visitors(weights: PocketWeights) -> Picture:
    """At some places who comes along, two thirds of a second after the words and a second and a third later."""

    def column(place: str, event: str) -> list[Picture]:
        world = begin(weights, place)
        go(world, KEY_W, 1)
        world.prompt(event)
        return [go(world, 0, chunks) for chunks in (1, 2)]

    return sheet(list(zip(*(column(*each) for each in VISITORS.items()), strict=True)))


def heroes(weights: PocketWeights) -> Picture:
    """The third-person starts: as they begin, and after two chunks of W and one each of D, of a turn, and of S."""

    def row(place: str) -> list[Picture]:
        world = begin(weights, place)
        way = ((KEY_W, 2), (KEY_D, 1), (KEY_W | KEY_LEFT, 1), (KEY_S, 1))
        return [fit_image(np.asarray(world.spec.image), world.width, world.height), *(go(world, *leg) for leg in way)]

    return sheet([row(place) for place in HEROES])


def over(weights: PocketWeights) -> Picture:
    """By day, at night, turned to what was never seen by day; a chunk, two and four after "it stops"."""
    world = begin(weights, "beach-houses")
    shown = [go(world, KEY_W, 2)]
    world.prompt("night falls")
    shown += [go(world, KEY_W, 3), go(world, KEY_RIGHT, 1)]
    world.prompt("it stops")
    return sheet([shown, [go(world, 0, chunks) for chunks in (1, 1, 2)]])


def memory(weights: PocketWeights) -> Picture:
    """What was seen, where one turned to, and what is seen back there: with memory, and without."""

    def column(place: str) -> list[Picture]:
        way = ((KEY_W, 2), (KEY_RIGHT, 5), (KEY_LEFT, 5))
        remembers, forgets = begin(weights, place), begin(weights, place, memory=False)
        return [*(go(remembers, *leg) for leg in way), [go(forgets, *leg) for leg in way][-1]]

    columns = [column(place) for place in ("church-square", "desert-house", "beach-houses", "evening-lamps")]
    return sheet(list(zip(*columns, strict=True)))


def around(weights: PocketWeights) -> Picture:
    """Places, and what stands there as one turns to the right until they are in view again."""
    rows = []
    for place in PLACES:
        world = begin(weights, place)
        rows.append([go(world, 0, 1), *(go(world, KEY_RIGHT, chunks) for chunks in (4, 3, 4, 3, 3))])
    return sheet(rows)


def texts(weights: PocketWeights) -> Picture:
    """Worlds from words: what they begin with."""
    shown = [go(PocketWorld(weights, WorldSpec(seed=11, prompt=prompt)), 0, 1) for prompt in TEXTS]
    return sheet([shown[:3], shown[3:]])


def sheet(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Pictures of one size in rows of one length, with gaps."""
    edge = ((0, GAP), (0, GAP), (0, 0))
    lines = [np.concatenate([np.pad(each, edge, constant_values=255) for each in row], 1) for row in rows]
    return np.concatenate(lines)[:-GAP, :-GAP]


SHEETS: dict[str, Callable[[PocketWeights], Picture]] = {
    "words": words, "visitors": visitors, "heroes": heroes, "over": over, "memory": memory, "around": around,
    "text": texts,
}  # fmt: skip


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
