"""One clip: a world, a walk through it and what happens on the way, drawn frame by frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from render.captions import LANGUAGES, event_caption
from render.characters import VISITORS
from render.events import FAMILIES, Event, state_at
from render.happenings import whereabouts
from render.moods import MOODS
from render.renderer import AHEAD, Renderer
from render.scene import SPLITS, Scene, make_world

FPS = 24
WORDINGS = 6
"""Captions per clip and language."""
UNFOLDS = 48
"""Frames that the slowest event takes."""

Rng = np.random.Generator


class Walk(Protocol):
    """What a planner gives; see `engine.trajectories.Trajectory`."""

    @property
    def kind(self) -> str:
        """Its name."""
        ...

    @property
    def keys(self) -> NDArray[np.uint8]:
        """[F] bit sets."""
        ...

    @property
    def mouse(self) -> NDArray[np.float32]:
        """[F, 2] radians of yaw and pitch."""
        ...

    @property
    def poses(self) -> NDArray[np.float64]:
        """[F, 4, 4] world_from_camera."""
        ...

    @property
    def actor(self) -> NDArray[np.float64]:
        """[F, 2] heading relative to the camera and stride of a character."""
        ...


class Planner(Protocol):
    """Plans a walk; `engine.trajectories.plan` is one."""

    def __call__(
        self,
        rng: Rng,
        obstacles: NDArray[np.float64],
        frames: int,
        *,
        start: tuple[float, float, float] | None,
        bounds: float,
        ahead: float,
    ) -> Walk:
        """A walk of `frames` frames from `start`, inside `bounds`, free for `ahead` metres before the camera."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Clip:
    """F frames with everything known about them; `about` is what the sidecar says."""

    frames: NDArray[np.uint8]
    poses: NDArray[np.float64]
    keys: NDArray[np.uint8]
    mouse: NDArray[np.float32]
    depth: NDArray[np.float32] | None
    passing: NDArray[np.bool_] | None
    """[F, H, W]: pixels that don't show the place but who or what passes through it; kept where depth is."""
    about: dict[str, Any]


def film(
    renderer: Renderer,
    plan: Planner,
    *,
    seed: int,
    number: int,
    split: str,
    frames: int,
    biomes: Sequence[str] = (),
    event_rate: float = 0.5,
    depth: bool = False,
    near: float = 0.0,
) -> Clip:
    """Clip `number` of the data set `seed`: the same arguments give the same pixels. A share `near` of all begins close
    to something solid."""
    rng = np.random.default_rng([SPLITS[split], seed, number])
    world = int(rng.integers(1 << 62))
    scene = make_world(world, split=split, biome=str(rng.choice(list(biomes))) if biomes else None)
    ahead = AHEAD if scene.third_person else 0.0
    start = scene.near_start(rng, ahead) if near and rng.random() < near else scene.good_start(rng)
    walk = plan(rng, scene.obstacles, frames, start=start, bounds=scene.bounds, ahead=ahead)
    events = draw_events(rng, scene, walk.poses) if rng.random() < event_rate else []
    renderer.load(scene)
    shots, passing = [], []
    for f, (pose, (facing, stride)) in enumerate(zip(walk.poses, walk.actor.tolist(), strict=True)):
        moment = pose, f / FPS, state_at(events, f / FPS)
        shots.append(renderer.render(*moment, actor=(facing, stride), depth=depth))
        if depth:
            passing.append(renderer.passing(*moment, actor=(facing, stride)))
    about = {
        "world": world,
        "biome": scene.biome,
        "mood": scene.mood,
        "hero": scene.hero,
        "walk": walk.kind,
        "captions": {lang: [scene.caption(rng, lang) for _ in range(WORDINGS)] for lang in LANGUAGES},
        "events": [describe(rng, event) for event in events],
    }
    return Clip(
        frames=np.stack([rgb for rgb, _ in shots]),
        poses=walk.poses,
        keys=walk.keys,
        mouse=walk.mouse,
        about=about,
        depth=np.stack([z for _, z in shots if z is not None]) if depth else None,
        passing=np.stack(passing) if depth else None,
    )


HOURS = {
    "nightfall": ("noon", "dawn", "dusk", "overcast"),
    "dusk": ("noon", "dawn", "overcast"),
    "dawn": ("night",),
}
"""Events that bring an hour, and the moods that it comes after."""


def draw_events(rng: Rng, scene: Scene, poses: NDArray[np.float64]) -> list[Event]:
    """One event, seldom two, that suits the place; one in five was there from the start, some of those end. In a clip
    too short for an event to unfold all were there from the start."""
    events: list[Event] = []
    for family in rng.choice(FAMILIES, 2 if rng.random() < 0.12 else 1, replace=False):
        last = len(poses) - 1
        short = last < UNFOLDS
        early = rng.random() < 0.2 or short
        start = 0 if early else int(rng.integers(min(8, last), max(int(0.6 * last), min(8, last) + 1)))
        stop = int(rng.integers(start + last // 4, last)) if early and not short and rng.random() < 0.6 else None
        event = at_place(
            str(family), rng, scene, poses[start], start / FPS if start else -10.0, None if stop is None else stop / FPS
        )
        if event is not None:
            events.append(event)
    return events


def at_place(
    family: str, rng: Rng, scene: Scene, world_from_camera: NDArray[np.float64], start: float, stop: float | None = None
) -> Event | None:
    """An event of the family where the camera can see it, or None where the place or the hour has no room for it."""
    if scene.mood not in HOURS.get(family, MOODS):
        return None
    x, z = world_from_camera[(0, 2), 3]
    yaw = math.atan2(world_from_camera[0, 2], world_from_camera[2, 2])
    if family == "fire":
        return _fire(rng, scene, (x, z, yaw), start, stop)
    if family == "visitor":
        turn, away = rng.uniform(-0.35, 0.35), rng.uniform(5.0, 8.5)
        side = rng.choice([-1.0, 1.0])
        subject, heading = str(rng.choice(list(VISITORS))), yaw + side * rng.uniform(0.9, 2.2)
        return _visit(subject, (x, z, yaw + turn), away, heading, start, stop)
    return Event(family=family, start=start, stop=stop)


def guest(rng: Rng, world_from_camera: NDArray[np.float64], time_s: float) -> Event:
    """A visitor who has come long ago and is somewhere in view at a time, facing anywhere."""
    x, z = world_from_camera[(0, 2), 3]
    yaw = math.atan2(world_from_camera[0, 2], world_from_camera[2, 2])
    away = math.exp(rng.uniform(math.log(1.6), math.log(16.0)))
    subject, heading = str(rng.choice(list(VISITORS))), rng.uniform(-math.pi, math.pi)
    event = _visit(subject, (x, z, yaw + rng.uniform(-0.5, 0.5)), away, heading, -10.0)
    x, z = whereabouts(event, time_s)
    return replace(event, x=2 * event.x - x, z=2 * event.z - z)


def _visit(
    subject: str, view: tuple[float, float, float], away: float, heading: float, start: float, stop: float | None = None
) -> Event:
    """A visitor so far ahead in a view (x, z, yaw)."""
    x, z, yaw = view
    return Event(
        family="visitor",
        start=start,
        stop=stop,
        subject=subject,
        x=x + away * math.sin(yaw),
        z=z + away * math.cos(yaw),
        heading=heading,
    )


def _fire(rng: Rng, scene: Scene, view: tuple[float, float, float], start: float, stop: float | None) -> Event | None:
    """A fire at the house or tree that is best in view."""
    x, z, yaw = view

    def score(dx: float, dz: float) -> float:
        off = abs((math.atan2(dx, dz) - yaw + math.pi) % (2 * math.pi) - math.pi)
        return abs(math.hypot(dx, dz) - 12) + 40 * max(0.0, off - 0.4)

    site = min(scene.sites, key=lambda s: score(s.x - x, s.z - z), default=None)
    if site is None or score(site.x - x, site.z - z) > 20:
        return None
    return Event(
        family="fire",
        start=start,
        stop=stop,
        subject=site.kind,
        x=site.x,
        z=site.z,
        size=site.height,
        radius=site.radius,
    )


def describe(rng: Rng, event: Event) -> dict[str, Any]:
    """What a sidecar says of an event."""
    return {
        "family": event.family,
        "caption_en": event_caption(event, rng, "en"),
        "caption_zh": event_caption(event, rng, "zh"),
        "ends_en": event_caption(event, rng, "en", stops=True),
        "ends_zh": event_caption(event, rng, "zh", stops=True),
        "start_frame": max(0, round(event.start * FPS)),
        "stop_frame": None if event.stop is None else round(event.stop * FPS),
    }
