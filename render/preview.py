"""Walking through a ground-truth world: what `launch.py data preview` shows, without a window of its own.

How keys move a camera is the engine's to say, so the two functions that know are given (`engine.actions.advance`,
`engine.trajectories.facing_and_stride`).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from render.clips import FPS, at_place
from render.events import Event, state_at
from render.renderer import Renderer
from render.scene import Scene

BODY = 0.5
"""Room around the walker, metres."""
_MEMORY = 48
"""Frames of keys that the character's bearing depends on."""

Pose = NDArray[np.float64]
Advance = Callable[[Pose, int, float, float], Pose]
"""(world_from_camera, keys, mouse yaw, mouse pitch) -> the camera a frame later."""


class Preview:
    """A walk in one world, a frame at a time."""

    def __init__(
        self,
        renderer: Renderer,
        scene: Scene,
        *,
        advance: Advance,
        facing_and_stride: Callable[[NDArray[np.uint8]], NDArray[np.float64]],
    ) -> None:
        self.scene, self.frame = scene, 0
        self._renderer, self._advance, self._bearing = renderer, advance, facing_and_stride
        self._rng = np.random.default_rng(scene.seed)
        self._keys = np.zeros(_MEMORY, np.uint8)
        self._events: dict[str, Event] = {}
        self.pose = _standing(*scene.good_start(self._rng))
        renderer.load(scene)

    def step(self, keys: int, yaw: float = 0.0, pitch: float = 0.0) -> NDArray[np.uint8]:
        """The next frame, uint8 [H, W, 3], after one frame of keys (bit set) and mouse look in radians."""
        self.pose = self._walked(keys, yaw, pitch)
        self.frame += 1
        self._keys = np.append(self._keys[1:], np.uint8(keys))
        facing, stride = self._bearing(self._keys)[-1]
        time_s = self.frame / FPS
        state = state_at(list(self._events.values()), time_s)
        return self._renderer.render(self.pose, time_s, state, actor=(float(facing), float(stride)))[0]

    def toggle(self, family: str) -> bool:
        """Starts an event of the family in view, or ends the one that goes on; False where there is no room for it."""
        now = self.frame / FPS
        going = self._events.get(family)
        if going is not None and going.stop is None:
            self._events[family] = replace(going, stop=now)
            return True
        event = at_place(family, self._rng, self.scene, self.pose, now)
        if event is not None:
            self._events[family] = event
        return event is not None

    def _walked(self, keys: int, yaw: float, pitch: float) -> Pose:
        """The camera after a frame; where something stands in the way, it only turns."""
        moved = self._advance(self.pose, keys, yaw, pitch)
        here, there = self.pose[(0, 2), 3], moved[(0, 2), 3]
        if self._room(there) < min(BODY, self._room(here)) or np.abs(there).max() > self.scene.bounds:
            moved[:3, 3] = self.pose[:3, 3]
        return moved

    def _room(self, point: NDArray[np.float64]) -> float:
        """Metres from a point (x, z) to the nearest obstacle."""
        offset = self.scene.obstacles[:, :2] - point
        return float((np.hypot(offset[:, 0], offset[:, 1]) - self.scene.obstacles[:, 2]).min(initial=math.inf))


def _standing(x: float, z: float, yaw: float) -> Pose:
    """A level camera at eye height."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, 0, s, x], [0, 1, 0, -1.6], [-s, 0, c, z], [0, 0, 0, 1.0]])
