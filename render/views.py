"""Views of a place as it is, and the same views under each event, fully there: what the repainter learns from.

A shard is a world: for each view a clip of one frame in which nothing happens, then one for each family that has room
there. An event begins at the very place it is seen from, so what burns is what is best in view.

For the networks that paint what moves by itself a clip has two frames instead, at the same moment. `air`: without and
with what is in the air, and the sidecar says how that moves: a clip's `time_s`, `flash` and, of what burns, `site`, and
what falls under `falling`. `guests`: without and with somebody who comes along, with depth, and the sidecar says where
the guest stands and how, `guest`. `heroes`: four frames with depth, one view without and with somebody who walks ahead,
and another without and with the same one; `hero` says how it stands in the one and in the other. `around`: six
frames with depth, a look all round, a sixth of it each. Format: see `render.shards`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from render.characters import anybody
from render.clips import FPS, Clip, Planner, Walk, at_place, describe, guest
from render.events import (
    AIR,
    AROUND,
    DROPS,
    EVENTS,
    FLAKES,
    HEROES,
    POINTS_OF,
    VISITS,
    Event,
    EventState,
    flash,
    state_at,
)
from render.happenings import PACE, WALKS, whereabouts
from render.renderer import AHEAD, HERO_PACE, Renderer, spot_ahead
from render.scene import SPLITS, Scene, make_world
from render.shards import write_shard

APART = 40
"""Frames between two views of a walk."""
BEFORE = 10.0
"""Seconds since when an event lasts: all are fully there."""
GUESTS = 4
"""Of a view, those who come along or walk ahead, each in a clip of its own."""
LED = (3.4, 5.4)
"""How far somebody walks ahead, metres."""
PLACES = 12
"""Of which one is chosen to look round from."""
ROUND = 6
"""Views that show all there is around a place."""
UNDER = 0.4
"""Share of the views with somebody ahead that are under an event."""


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
    show: str = EVENTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Renders `views` views of each of `worlds` worlds into shards under `out`, one a world, and returns their paths;
    goes on where it stopped.

    Raises:
        ValueError: no worlds or no views.
    """
    if worlds < 1 or views < 1:
        raise ValueError(f"asked for {worlds} worlds and {views} views; ask for at least 1 of each")
    out.mkdir(parents=True, exist_ok=True)
    paths, renderer = [out / f"clips-{index:05d}.safetensors" for index in range(worlds)], None
    about: dict[str, Any] = {
        "split": split,
        "seed": seed,
        "width": width,
        "height": height,
        "frames": {EVENTS: 1, HEROES: 4, AROUND: ROUND}.get(show, 2),
    }
    if show == AIR:
        about |= {"points_of": POINTS_OF, "falling": [asdict(kind) for kind in (DROPS, FLAKES)]}
    if show == VISITS:
        about |= {"guests": {"walks": WALKS, "pace": PACE}}
    if show == HEROES:
        about |= {"heroes": {"pace": HERO_PACE}}
    for number, path in enumerate(paths):
        if not (path.exists() and path.with_suffix(".json").exists()):
            renderer = renderer or Renderer(width, height)
            asked = renderer, plan, seed, number, split, families, views
            film = {HEROES: _lead, AROUND: _around}.get(show, partial(_film, show=show))
            write_shard(path, list(film(*asked)), about)
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
    show: str,
) -> Iterator[Clip]:
    """All clips of world `number` of the set `seed`."""
    rng, world, scene, walk = _entered(renderer, plan, seed, number, split, views)
    for f in range(0, len(walk.poses), APART):
        time_s, actor = f / FPS, (float(walk.actor[f, 0]), float(walk.actor[f, 1]))
        if show == VISITS:
            at_times = time_s + rng.uniform(0, 2 * BEFORE, GUESTS)
            told = [([guest(rng, walk.poses[f], at)], at) for at in at_times]
        else:
            found = (at_place(family, rng, scene, walk.poses[f], time_s - BEFORE) for family in families)
            happenings = [[], *([event] for event in found if event is not None)]
            told = [(each, time_s + (rng.uniform(0, 2 * BEFORE) if show == AIR else 0.0)) for each in happenings]
        for happening, at in told:
            state = state_at(happening, at)
            states = [*_without(state, show), state]
            drawn = [renderer.render(walk.poses[f], at, each, actor=actor, depth=show == VISITS) for each in states]
            depth = np.stack([d for _, d in drawn if d is not None]) if show == VISITS else None
            yield Clip(
                frames=np.stack([frame for frame, _ in drawn]),
                poses=walk.poses[[f] * len(states)],
                keys=walk.keys[[f] * len(states)],
                mouse=walk.mouse[[f] * len(states)],
                depth=depth,
                passing=None if depth is None else depth < depth[:1],
                about={"world": world, "biome": scene.biome, "mood": scene.mood,
                       "events": [describe(rng, each) for each in happening]}
                | ({"time_s": at, "flash": flash(state, at), "site": _site(happening)} if show == AIR else {})
                | ({"guest": _posed(happening[0], at)} if show == VISITS else {}),
            )  # fmt: skip


def _without(state: EventState, show: str) -> list[EventState]:
    """What stands beside a state: the same without what moves by itself."""
    bare = {AIR: replace(state, still_air=True), VISITS: replace(state, visitor=0.0, places=())}
    return [bare[show]] if show in bare else []


def _posed(event: Event, time_s: float) -> dict[str, float]:
    """Where a guest stands, which way it looks and at which phase of its step it is, radians."""
    x, z = whereabouts(event, time_s)
    return {"x": x, "z": z, "heading": event.heading, "phase": PACE * time_s}


def _site(happening: Sequence[Event]) -> dict[str, Any] | None:
    """What burns, if something does."""
    fire = next((event for event in happening if event.family == "fire"), None)
    return fire and {"x": fire.x, "z": fire.z, "size": fire.size, "radius": fire.radius, "tree": fire.subject == "tree"}


def _entered(
    renderer: Renderer, plan: Planner, seed: int, number: int, split: str, views: int, ahead: float = 0.0
) -> tuple[np.random.Generator, int, Scene, Walk]:
    """World `number` of the set `seed`, loaded: its generator, its seed, and a walk long enough for so many views, free
    for the metres `ahead` of the camera, or for its own character."""
    rng = np.random.default_rng([SPLITS[split], seed, number])
    scene = make_world(world := int(rng.integers(1 << 62)), split=split)
    start, ahead = scene.good_start(rng), ahead or (AHEAD if scene.third_person else 0.0)
    walk = plan(rng, scene.obstacles, (views - 1) * APART + 1, start=start, bounds=scene.bounds, ahead=ahead)
    renderer.load(scene)
    return rng, world, scene, walk


def _lead(
    renderer: Renderer,
    plan: Planner,
    seed: int,
    number: int,
    split: str,
    families: Sequence[str],
    views: int,
) -> Iterator[Clip]:
    """All clips of world `number` of the set `seed` in which somebody walks ahead: seen first from behind in a view as
    it is, then facing anywhere in another, at times under an event."""
    rng, world, scene, walk = _entered(renderer, plan, seed, number, split, views, LED[1])
    for f in np.repeat(np.arange(0, len(walk.poses), APART), GUESTS):
        hero, ahead, happening = anybody(rng), float(rng.uniform(*LED)), []
        if rng.random() < UNDER:
            event = at_place(str(rng.choice(list(families))), rng, scene, walk.poses[f], -BEFORE)
            happening = [event] if event else []
        behind, anywhere = rng.normal(0, 0.15, 2), rng.uniform(-np.pi, np.pi)
        facings = float(behind[0]), float(rng.choice([behind[1], anywhere]))
        strides = rng.choice([0.0, 1.0, rng.random()], 2).tolist()
        poses = walk.poses[[rng.integers(len(walk.poses)), f]]
        frames, depths, stances = [], [], []
        for pose, facing, stride, told in zip(poses, facings, strides, ([], happening), strict=True):
            time_s, state = float(rng.uniform(0, BEFORE)), replace(state_at(told, BEFORE), still_air=True)
            for body in (None, hero):
                renderer.lead(body, ahead)
                frame, depth = renderer.render(pose, time_s, state, actor=(facing, stride), depth=True)
                frames.append(frame)
                depths.append(depth)
            x, z = spot_ahead(pose, ahead)
            yaw = float(np.arctan2(pose[0, 2], pose[2, 2]))
            stances.append({"x": x, "z": z, "heading": yaw + facing, "phase": HERO_PACE * time_s, "stride": stride})
        depth = np.stack(depths)
        yield Clip(
            frames=np.stack(frames),
            poses=np.repeat(poses, 2, 0),
            keys=walk.keys[[f] * 4],
            mouse=walk.mouse[[f] * 4],
            depth=depth,
            passing=depth < depth[[0, 0, 2, 2]],
            about={"world": world, "biome": scene.biome, "mood": scene.mood,
                   "events": [describe(rng, each) for each in happening], "hero": stances},
        )  # fmt: skip


def _around(
    renderer: Renderer,
    plan: Planner,
    seed: int,
    number: int,
    split: str,
    families: Sequence[str],
    views: int,
) -> Iterator[Clip]:
    """All clips of world `number` of the set `seed` that look all round, to the right, with nobody ahead: from where,
    of some places worth a look, one is least far from its middle, for there the hills are far off."""
    rng, world, scene, walk = _entered(renderer, plan, seed, number, split, 1)
    renderer.lead(None)
    places = sorted((scene.good_start(rng) for _ in range(PLACES * views)), key=lambda place: math.hypot(*place[:2]))
    for x, z, yaw in places[:views]:
        poses = np.stack([_looking(x, walk.poses[0, 1, 3], z, yaw + i * math.tau / ROUND) for i in range(ROUND)])
        drawn = [renderer.render(pose, depth=True) for pose in poses]
        depth = np.stack([d for _, d in drawn if d is not None])
        yield Clip(
            frames=np.stack([frame for frame, _ in drawn]),
            poses=poses,
            keys=walk.keys[[0] * ROUND],
            mouse=walk.mouse[[0] * ROUND],
            depth=depth,
            passing=np.zeros(depth.shape, bool),
            about={"world": world, "biome": scene.biome, "mood": scene.mood, "events": []},
        )


def _looking(x: float, y: float, z: float, yaw: float) -> NDArray[np.float64]:
    """A level camera."""
    camera = np.eye(4)
    camera[:3, 3] = x, y, z
    camera[(0, 2), 0], camera[(0, 2), 2] = (math.cos(yaw), -math.sin(yaw)), (math.sin(yaw), math.cos(yaw))
    return camera
