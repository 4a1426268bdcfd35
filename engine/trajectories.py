"""Camera walks for training data (WorldPlay 4.1: compound actions, loops and revisits), planned by keys.

A walk is planned as keys and mouse per frame and its poses follow from them through `engine.actions`, so that keys and
poses always agree: where an obstacle blocks the way, the key is released. NumPy only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.actions import (
    KEY_A,
    KEY_D,
    KEY_DOWN,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_S,
    KEY_UP,
    KEY_W,
    POCKET,
    Step,
    advance,
    heading,
    key_axes,
    turn,
)  # fmt: skip

Rng = np.random.Generator
Command = tuple[int, float, float]
"""Keys, and mouse yaw and pitch in radians, of one frame."""

LATENT = POCKET.steps_per_latent
BODY = 0.55
"""Room around the walker, metres."""
WALKS, STRAFES = (KEY_W, KEY_S), (KEY_A, KEY_D)
_MOVES = KEY_W | KEY_S | KEY_A | KEY_D


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trajectory:
    """A walk of F frames: `poses[f]` follows from `poses[f - 1]` by `keys[f]` and `mouse[f]`; frame 0 has none."""

    kind: str
    keys: NDArray[np.uint8]
    """[F] bit sets, see `engine.actions.KEYS`."""
    mouse: NDArray[np.float32]
    """[F, 2] radians of mouse yaw and pitch on top of the keys."""
    poses: NDArray[np.float64]
    """[F, 4, 4] world_from_camera."""

    @property
    def actor(self) -> NDArray[np.float64]:
        """[F, 2] heading and stride of a character that these keys move, see `facing_and_stride`."""
        return facing_and_stride(self.keys)


def plan(
    rng: Rng,
    obstacles: NDArray[np.float64],
    frames: int,
    *,
    kind: str | None = None,
    start: tuple[float, float, float] | None = None,
    bounds: float = 40.0,
    ahead: float = 0.0,
) -> Trajectory:
    """A walk of `frames` frames among `obstacles` [N, 3] (x, z, radius) from `start` (x, z, yaw).

    `kind` is one of `KINDS`, drawn by `SHARES` if not given. `ahead` > 0 keeps the spot that many metres before the
    camera free as well (the character of a third-person world).

    Raises:
        ValueError: an unknown kind, or fewer than one frame.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"there is no walk '{kind}'; choose one of {', '.join(KINDS)}")
    if frames < 1:
        raise ValueError(f"a walk needs at least 1 frame, got {frames}")
    kind = kind or str(rng.choice(list(SHARES), p=list(SHARES.values())))
    ground = _Ground(obstacles=obstacles, bounds=bounds, ahead=ahead)
    pose = _standing(start or _free_spot(rng, ground))
    return _follow(kind, KINDS[kind](rng, frames - 1, pose, ground), pose, ground)


def follow(
    kind: str,
    commands: list[Command],
    obstacles: NDArray[np.float64],
    start: tuple[float, float, float],
    *,
    bounds: float = 40.0,
    ahead: float = 0.0,
) -> Trajectory:
    """Carries out `commands`, one a frame, from `start` (x, z, yaw); a translation that would end inside something is
    released. See `plan` for the rest."""
    return _follow(kind, commands, _standing(start), _Ground(obstacles=obstacles, bounds=bounds, ahead=ahead))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ground:
    """Where one may stand."""

    obstacles: NDArray[np.float64]
    bounds: float
    ahead: float

    def blocks(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
        """Whether the move ends inside something, nearer to it than it began."""
        if np.allclose(before, after):
            return False
        yaw = float(heading(after)[0])
        for reach in (0.0, self.ahead) if self.ahead else (0.0,):
            offset = reach * np.array([math.sin(yaw), math.cos(yaw)])
            here, there = before[[0, 2], 3] + offset, after[[0, 2], 3] + offset
            gap = self.room(there)
            if (gap < BODY and gap < self.room(here)) or np.abs(there).max() > max(self.bounds, np.abs(here).max()):
                return True
        return False

    def room(self, point: NDArray[np.float64]) -> float:
        """Metres from a point (x, z) to the nearest obstacle."""
        away = np.hypot(*(self.obstacles[:, :2] - point).T) - self.obstacles[:, 2]
        return float(away.min(initial=math.inf))


def _standing(start: tuple[float, float, float]) -> NDArray[np.float64]:
    x, z, yaw = start
    pose = np.eye(4)
    pose[:3, :3] = turn(yaw, 0.0)
    pose[:3, 3] = x, -POCKET.eye_height, z
    return pose


def _free_spot(rng: Rng, ground: _Ground) -> tuple[float, float, float]:
    spots = rng.uniform(-0.7, 0.7, (64, 2)) * ground.bounds
    best = max(spots, key=lambda spot: min(ground.room(spot), 6.0))
    return float(best[0]), float(best[1]), float(rng.uniform(-math.pi, math.pi))


def _follow(kind: str, commands: list[Command], pose: NDArray[np.float64], ground: _Ground) -> Trajectory:
    """Carries out commands; a translation that would end inside something is released."""
    poses, keys, mouse = [pose], [0], [(0.0, 0.0)]
    for command in commands:
        held, yaw, pitch = _allowed(command, poses[-1], ground)
        poses.append(advance(poses[-1], Step(held, yaw, pitch), POCKET))
        keys.append(held)
        mouse.append((yaw, pitch))
    return Trajectory(
        kind=kind, keys=np.array(keys, np.uint8), mouse=np.array(mouse, np.float32), poses=np.stack(poses)
    )


def _allowed(command: Command, pose: NDArray[np.float64], ground: _Ground) -> Command:
    held, yaw, pitch = command
    yaw, pitch = float(np.float32(yaw)), float(np.float32(pitch))
    for tried in (held, held & ~(KEY_A | KEY_D), held & ~(KEY_W | KEY_S), held & ~_MOVES):
        if not ground.blocks(pose, advance(pose, Step(tried, yaw, pitch), POCKET)):
            return tried, yaw, pitch
    return held & ~_MOVES, yaw, pitch


def _lengths(rng: Rng, frames: int, shortest: int, longest: int) -> list[int]:
    """Lengths that add up to `frames`: whole latents, but for one in five that may end anywhere."""
    lengths = []
    while sum(lengths) < frames:
        length = LATENT * int(rng.integers(max(1, shortest // LATENT), longest // LATENT + 1))
        lengths.append(length if rng.random() < 0.8 else int(rng.integers(shortest, longest + 1)))
    if lengths:
        lengths[-1] -= sum(lengths) - frames
    return lengths


def _look(rng: Rng, tilt: float = 0.15) -> Command:
    """A way of turning: by key mostly, by mouse at up to twice the rate, now and then up or down."""
    keys, yaw, pitch = 0, 0.0, 0.0
    if rng.random() < 0.3:
        yaw = rng.uniform(-1, 1) * math.radians(2.2)
        pitch = rng.normal(0, 0.12) * math.radians(1) if rng.random() < 0.5 else 0.0
    else:
        keys = (KEY_RIGHT, KEY_LEFT)[rng.integers(2)]
    if rng.random() < tilt:
        keys |= (KEY_UP, KEY_DOWN)[rng.integers(2)]
    return keys, float(yaw), float(pitch)


def _compound(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Segments of walking, strafing and turning, several keys at once."""
    commands: list[Command] = []
    for length in _lengths(rng, frames, 8, 40):
        keys, yaw, pitch = 0, 0.0, 0.0
        if rng.random() < 0.78:
            keys = int(rng.choice([KEY_W, KEY_S, KEY_A, KEY_D], p=[0.64, 0.12, 0.12, 0.12]))
            if keys in WALKS and rng.random() < 0.18:
                keys |= STRAFES[rng.integers(2)]
        if rng.random() < (0.45 if keys else 0.85):
            turned, yaw, pitch = _look(rng)
            keys |= turned
        commands += [(keys, yaw, pitch)] * length
    return commands


def reverse(command: Command) -> Command:
    """Undoes a command: every key becomes its opposite."""
    held, yaw, pitch = command
    return ((held & 0x55) << 1) | ((held & 0xAA) >> 1), -yaw, -pitch


def _out_and_back(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Out for half of the time, then the same way back."""
    pause = LATENT * int(rng.integers(0, 3))
    half = max(0, (frames - pause) // 2)
    out = _follow("", _compound(rng, half, pose, ground), pose, ground)
    done = [(int(k), float(m[0]), float(m[1])) for k, m in zip(out.keys[1:], out.mouse[1:], strict=True)]
    back = [reverse(command) for command in reversed(done)]
    return done + [(0, 0.0, 0.0)] * (frames - 2 * half) + back


def _look_around(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Turns away and back again, standing or walking on."""
    walk = int(rng.choice([0, KEY_W, KEY_A, KEY_D], p=[0.6, 0.2, 0.1, 0.1]))
    side = int(rng.integers(2))
    rate = math.radians(1.1) * float(rng.choice([0.0, 0.0, rng.uniform(0.2, 1.0)])) * (1 - 2 * side)
    third = LATENT * max(1, round(frames * float(rng.uniform(0.3, 0.45)) / LATENT))
    keys = (KEY_RIGHT, KEY_LEFT)
    away, back = (keys[side], rate, 0.0), (keys[1 - side], -rate, 0.0)
    pause = (0, 0.0, 0.0)
    commands = [away] * third + [pause] * max(0, frames - 2 * third) + [back] * third
    return [(k | walk, y, p) for k, y, p in commands][:frames]


def _loop(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Around a circle: walking ahead and turning all the time; or facing its middle and strafing."""
    side = int(rng.integers(2))
    rate = max(math.radians(1.1), min(2 * math.pi / max(frames, 1), math.radians(3.3))) - math.radians(1.1)
    facing = rng.random() < 0.4
    walk = STRAFES[1 - side] if facing else KEY_W
    turning = (KEY_LEFT if side else KEY_RIGHT) if not facing else (KEY_RIGHT if side else KEY_LEFT)
    sign = 1.0 if turning == KEY_RIGHT else -1.0
    return [(walk | turning, sign * min(rate, math.radians(2.2)), 0.0)] * frames


def _approach(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Walks up to what is ahead, stops before it, looks, and often backs off."""
    walk = LATENT * max(1, round(frames * float(rng.uniform(0.45, 0.7)) / LATENT))
    rest = frames - walk
    look, yaw, pitch = _look(rng, 0.4)
    pause = LATENT * int(rng.integers(1, 4))
    commands = [(KEY_W, 0.0, 0.0)] * walk + [(0, 0.0, 0.0)] * pause
    commands += [(look if rng.random() < 0.5 else KEY_S, yaw, pitch)] * max(0, rest - pause)
    return commands[:frames]


def _still(rng: Rng, frames: int, pose: NDArray[np.float64], ground: _Ground) -> list[Command]:
    """Stands, and looks now and then."""
    commands: list[Command] = []
    for length in _lengths(rng, frames, 12, 48):
        commands += [_look(rng, 0.3) if rng.random() < 0.35 else (0, 0.0, 0.0)] * length
    return commands


KINDS: dict[str, Callable[[Rng, int, NDArray[np.float64], _Ground], list[Command]]] = {
    "compound": _compound, "out-and-back": _out_and_back, "look-around": _look_around, "loop": _loop,
    "approach": _approach, "still": _still,
}  # fmt: skip
SHARES = {"compound": 0.28, "out-and-back": 0.42, "look-around": 0.15, "loop": 0.05, "approach": 0.07, "still": 0.03}
"""How often each kind is drawn; out-and-back, look-around and loop revisit (62 %)."""


def facing_and_stride(keys: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[F, 2]: heading relative to the camera in radians and stride 0..1 of a character that keys [F] move.

    Both follow the keys within a few frames, so that a turn of the body is seen and not a jump.
    """
    out, side, along, stride = [], 0.0, 1.0, 0.0
    for held in keys:
        forward, right, _, _ = key_axes(int(held))
        if forward or right:
            side, along = side + 0.35 * (right - side), along + 0.35 * (forward - along)
        stride += 0.3 * (float(bool(forward or right)) - stride)
        out.append((math.atan2(side, along), stride))
    return np.array(out)
