"""The same walk with and without an event: the truth that prompted worlds are held against.

Every group of clips is one world and one walk: first nothing happens, then each of the asked families begins at the
same frame. A clip holds one frame for each latent that is asked for, the last of its four; that, a group a shard and
`number` in the sidecar, is all that differs from `render.shards`. A clip's `events` has one entry or none, with the
words for its subject in both languages under `words`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from render.captions import LANGUAGES, subject
from render.clips import FPS, WORDINGS, Clip, Planner, Walk, at_place, describe
from render.events import Event, state_at
from render.renderer import AHEAD, Renderer
from render.scene import SPLITS, Scene, make_world
from render.shards import write_shard

FRAMES_PER_LATENT = 4
PATIENCE = 50
"""Worlds passed over, for want of room for an event, for each one that is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stage:
    """A world, a walk and what could begin on the way."""

    world: int
    scene: Scene
    walk: Walk
    events: tuple[Event, ...]
    about: dict[str, Any]


def set_stage(
    plan: Planner, *, seed: int, number: int, split: str, families: Sequence[str], frames: int, start_frame: int
) -> Stage:
    """Stage `number` of the set `seed`; of the families those that have room in its world when the frame comes."""
    rng = np.random.default_rng([SPLITS[split], seed, number])
    world = int(rng.integers(1 << 62))
    scene = make_world(world, split=split)
    start, ahead = scene.good_start(rng), AHEAD if scene.third_person else 0.0
    walk = plan(rng, scene.obstacles, frames, start=start, bounds=scene.bounds, ahead=ahead)
    found = [at_place(family, rng, scene, walk.poses[start_frame], start_frame / FPS) for family in families]
    about = {
        "world": world,
        "biome": scene.biome,
        "mood": scene.mood,
        "hero": scene.hero,
        "walk": walk.kind,
        "captions": {lang: [scene.caption(rng, lang) for _ in range(WORDINGS)] for lang in LANGUAGES},
    }
    return Stage(world=world, scene=scene, walk=walk, events=tuple(e for e in found if e is not None), about=about)


def film_stage(renderer: Renderer, stage: Stage, latents: Sequence[int]) -> list[Clip]:
    """The walk without an event, then with each; one frame for each of the `latents`."""
    renderer.load(stage.scene)
    return [_shoot(renderer, stage, event, latents) for event in (None, *stage.events)]


def _shoot(renderer: Renderer, stage: Stage, event: Event | None, latents: Sequence[int]) -> Clip:
    walk, picks = stage.walk, [FRAMES_PER_LATENT * latent for latent in latents]
    happening, actor = [] if event is None else [event], walk.actor
    shots = [
        renderer.render(
            walk.poses[f], f / FPS, state_at(happening, f / FPS), actor=(float(actor[f, 0]), float(actor[f, 1]))
        )[0]
        for f in picks
    ]
    rng = np.random.default_rng(stage.world)
    events = [describe(rng, each) | {"words": {lang: subject(each, lang) for lang in LANGUAGES}} for each in happening]
    return Clip(
        frames=np.stack(shots),
        poses=walk.poses[picks],
        keys=walk.keys[picks],
        mouse=walk.mouse[picks],
        depth=None,
        passing=None,
        about=stage.about | {"events": events},
    )


def make_pairs(
    out: Path,
    *,
    families: Sequence[str],
    worlds: int,
    split: str,
    seed: int,
    plan: Planner,
    latents: Sequence[int],
    start_frame: int,
    width: int = 320,
    height: int = 192,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Renders `worlds` groups into shards under `out`, one each, and returns their paths; goes on where it stopped.

    A world with room for none of the families is passed over. `start_frame` is the first frame of the event's chunk.

    Raises:
        ValueError: no worlds, or none of very many has room.
    """
    if worlds < 1:
        raise ValueError(f"asked for {worlds} worlds; ask for at least 1")
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"clips-{index:05d}.safetensors" for index in range(worlds)]
    frames, renderer, number = FRAMES_PER_LATENT * max(latents) + 1, None, 0
    for done, path in enumerate(paths):
        if path.exists() and path.with_suffix(".json").exists():
            number = 1 + json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["number"]
        else:
            stages = _stages(plan, number, seed, split, families, frames, start_frame)
            number, stage = next(stages, (0, None))
            if stage is None:
                raise ValueError(f"{PATIENCE} worlds have no room for {', '.join(families)}; ask for other families")
            renderer = renderer or Renderer(width, height)
            about = {"split": split, "seed": seed, "width": width, "height": height, "frames": len(latents)}
            write_shard(path, film_stage(renderer, stage, latents), about | {"number": number})
            number += 1
        progress(done + 1, worlds)
    return paths


def _stages(
    plan: Planner, first: int, seed: int, split: str, families: Sequence[str], frames: int, start_frame: int
) -> Iterator[tuple[int, Stage]]:
    """Stages from `first` on that have room for an event."""
    for number in range(first, first + PATIENCE):
        stage = set_stage(plan, seed=seed, number=number, split=split, families=families, frames=frames,
                          start_frame=start_frame)  # fmt: skip
        if stage.events:
            yield number, stage
