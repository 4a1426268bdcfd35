"""Walks of the long protocol that come back to exactly where they were (paper, section 4: "custom loop trajectories").

Out and back, on foot (`there-and-back`) or turning on the spot (`away-and-back`): the second half shows the poses of
the first in reverse order, to the bit, and its keys are the opposite ones. A circle (`circuit`) closes and goes on
along its own beginning. Between a first view and its return the camera always looks elsewhere. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.actions import KEY_LEFT, KEY_RIGHT, KEY_W, POCKET
from engine.trajectories import LATENT, STRAFES, Command, Rng, Trajectory, follow, plan, reverse

Start = tuple[float, float, float]
Walk = Callable[[list[Command]], Trajectory]
"""Carries out commands from the start of the route."""


def plan_route(
    rng: Rng,
    obstacles: NDArray[np.float64],
    frames: int,
    *,
    route: str,
    start: Start | None = None,
    bounds: float = 40.0,
    ahead: float = 0.0,
) -> Trajectory:
    """A walk of `frames` frames, 4 k + 1, along one of `ROUTES`; the other arguments as in `engine.trajectories.plan`.

    Raises `ValueError` for an unknown route or another number of frames.
    """
    if route not in ROUTES:
        raise ValueError(f"there is no route '{route}'; choose one of {', '.join(ROUTES)}")
    if frames < 1 or frames % LATENT != 1:
        raise ValueError(f"a route of {frames} frames is not whole latents; ask for 4 k + 1 frames")

    def walk(commands: list[Command]) -> Trajectory:
        return follow(route, commands, obstacles, start or (0.0, 0.0, 0.0), bounds=bounds, ahead=ahead)

    return ROUTES[route](rng, frames - 1, walk)


def planner(kind: str) -> Callable[..., Trajectory]:
    """Plans walks of a kind, of `engine.trajectories.KINDS` or of `ROUTES`."""
    return partial(plan_route, route=kind) if kind in ROUTES else partial(plan, kind=kind)


def _turn(angle: float, frames: int) -> Command:
    """A turn by `angle` radians (right is positive) spread over `frames` frames: by key, the rest by mouse."""
    rate, key = angle / frames, math.copysign(POCKET.yaw, angle)
    return (KEY_RIGHT if angle > 0 else KEY_LEFT), rate - key, 0.0


def _and_back(out: Trajectory) -> Trajectory:
    """The same way back: poses mirrored in time, keys and mouse reversed."""
    commands = [(int(keys), float(look[0]), float(look[1])) for keys, look in zip(out.keys, out.mouse, strict=True)]
    back = [reverse(command) for command in commands[:0:-1]]
    return Trajectory(
        kind=out.kind,
        keys=np.concatenate([out.keys, np.array([held for held, _, _ in back], np.uint8)]),
        mouse=np.concatenate([out.mouse, np.array([look for _, *look in back], np.float32).reshape(-1, 2)]),
        poses=np.concatenate([out.poses, out.poses[-2::-1]]),
    )


def _there_and_back(rng: Rng, frames: int, walk: Walk) -> Trajectory:
    """Straight ahead (one in four sideways), a bend of 85 to 130 degrees, straight on; then all of it backwards."""
    half = frames // 2
    straight, bend = half * int(rng.integers(12, 25)) // 126, half * int(rng.integers(48, 67)) // 126
    turning, look, _ = _turn(_either(rng) * math.radians(rng.uniform(85, 130)), max(bend, 1))
    first = int(STRAFES[rng.integers(2)]) if rng.random() < 0.25 else KEY_W
    way: list[Command] = [(first, 0.0, 0.0)] * straight + [(KEY_W | turning, look, 0.0)] * bend
    return _and_back(walk(way + [(KEY_W, 0.0, 0.0)] * (half - len(way))))


def _away_and_back(rng: Rng, frames: int, walk: Walk) -> Trajectory:
    """Stands, turns away by 90 to 150 degrees, looks there for a while, and turns back."""
    half = frames // 2
    rest, turning = half * int(rng.integers(4, 17)) // 126, half * int(rng.integers(56, 85)) // 126
    look = _turn(_either(rng) * math.radians(rng.uniform(90, 150)), max(turning, 1))
    still: Command = (0, 0.0, 0.0)
    return _and_back(walk([still] * rest + [look] * turning + [still] * (half - rest - turning)))


def _circuit(rng: Rng, frames: int, walk: Walk) -> Trajectory:
    """Around a circle and on along its beginning. Where it is blocked: the other way round, then half as wide, then on
    the spot."""
    period = 2 * LATENT * max(1, round(frames * int(rng.integers(22, 26)) / 252))  # 176 to 200 frames of 252
    side = _either(rng)
    for every in (1, 2, 0):
        for sign in (side, -side):
            held, yaw, pitch = _turn(sign * 2 * math.pi, period)
            walks = [bool(every) and frame // LATENT % every == 0 for frame in range(frames)]
            commands = [(held | (KEY_W if step else 0), yaw, pitch) for step in walks]
            found = walk(commands)
            if not every or np.array_equal(found.keys[1:], [keys for keys, _, _ in commands]):
                return found
    raise AssertionError("a circuit on the spot is never blocked")


def _either(rng: Rng) -> float:
    return float(rng.choice([-1.0, 1.0]))


ROUTES: dict[str, Callable[[Rng, int, Walk], Trajectory]] = {
    "there-and-back": _there_and_back,
    "away-and-back": _away_and_back,
    "circuit": _circuit,
}
