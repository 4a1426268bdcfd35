"""Views of a place as it is, and the same views under each event, fully there: what the repainter learns from.

A shard is a world: for each view a clip of one frame in which nothing happens, then one for each family that has room
there. An event begins at the very place it is seen from, so what burns is what is best in view. For the network that
knows weather a clip has two frames instead, without and with what moves by itself in the air, at the same moment, and
the sidecar says how that moves: a clip's `time_s`, `flash` and, of what burns, `site`, and what falls under `falling`.
Format: see `render.shards`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from render.clips import FPS, Clip, Planner, at_place, describe
from render.events import DROPS, FLAKES, POINTS_OF, Event, flash, state_at
from render.renderer import AHEAD, Renderer
from render.scene import SPLITS, make_world
from render.shards import write_shard

APART = 40
"""Frames between two views of a walk."""
BEFORE = 10.0
"""Seconds since when an event lasts: all are fully there."""


def make_views(
    out: Path,
    *,
    families: Sequence[str],
    worlds: int,
    views: int,
    split: str,
    seed: int,
    plan: Planner,
    width: int = 320,
    height: int = 192,
    air: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Renders `views` views of each of `worlds` worlds into shards under `out`, one a world, and returns their paths;
    goes on where it stopped. With `air`: without and with what is in it.

    Raises:
        ValueError: no worlds or no views.
    """
    if worlds < 1 or views < 1:
        raise ValueError(f"asked for {worlds} worlds and {views} views; ask for at least 1 of each")
    out.mkdir(parents=True, exist_ok=True)
    paths, renderer = [out / f"clips-{index:05d}.safetensors" for index in range(worlds)], None
    about: dict[str, Any] = {"split": split, "seed": seed, "width": width, "height": height, "frames": 1 + air}
    if air:
        about |= {"points_of": POINTS_OF, "falling": [asdict(kind) for kind in (DROPS, FLAKES)]}
    for number, path in enumerate(paths):
        if not (path.exists() and path.with_suffix(".json").exists()):
            renderer = renderer or Renderer(width, height)
            write_shard(path, list(_film(renderer, plan, seed, number, split, families, views, air)), about)
        progress(number + 1, worlds)
    return paths


def _film(
    renderer: Renderer,
    plan: Planner,
    seed: int,
    number: int,
    split: str,
    families: Sequence[str],
    views: int,
    air: bool,
) -> Iterator[Clip]:
    """All clips of world `number` of the set `seed`."""
    rng = np.random.default_rng([SPLITS[split], seed, number])
    scene = make_world(world := int(rng.integers(1 << 62)), split=split)
    start, ahead = scene.good_start(rng), AHEAD if scene.third_person else 0.0
    walk = plan(rng, scene.obstacles, (views - 1) * APART + 1, start=start, bounds=scene.bounds, ahead=ahead)
    renderer.load(scene)
    for f in range(0, len(walk.poses), APART):
        time_s, actor = f / FPS, (float(walk.actor[f, 0]), float(walk.actor[f, 1]))
        found = (at_place(family, rng, scene, walk.poses[f], time_s - BEFORE) for family in families)
        for happening in ([], *([event] for event in found if event is not None)):
            at = time_s + (rng.uniform(0, 2 * BEFORE) if air else 0.0)
            state = state_at(happening, at)
            states = [replace(state, still_air=True), state] if air else [state]
            yield Clip(
                frames=np.stack([renderer.render(walk.poses[f], at, each, actor=actor)[0] for each in states]),
                poses=walk.poses[[f] * len(states)],
                keys=walk.keys[[f] * len(states)],
                mouse=walk.mouse[[f] * len(states)],
                depth=None,
                passing=None,
                about={"world": world, "biome": scene.biome, "mood": scene.mood,
                       "events": [describe(rng, each) for each in happening]}
                | ({"time_s": at, "flash": flash(state, at), "site": _site(happening)} if air else {}),
            )  # fmt: skip


def _site(happening: Sequence[Event]) -> dict[str, Any] | None:
    """What burns, if something does."""
    fire = next((event for event in happening if event.family == "fire"), None)
    return fire and {"x": fire.x, "z": fire.z, "size": fire.size, "radius": fire.radius, "tree": fire.subject == "tree"}
