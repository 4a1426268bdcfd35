"""Keys, mouse, camera poses and action labels: the one definition of each and of the ways between them (WorldPlay 3.2).

A *step* is what the player did, a *motion* is its rigid movement in units and radians, a *pose* is `world_from_camera`
(float64, OpenCV axes: x right, y down, z forward), an *action* is the discrete class 0..80 that the timestep embedding
reads. Training, distillation, evaluation and play use these functions alike. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError

Poses = NDArray[np.float64]

KEYS = ("w", "s", "d", "a", "right", "left", "up", "down")
KEY_W, KEY_S, KEY_D, KEY_A, KEY_RIGHT, KEY_LEFT, KEY_UP, KEY_DOWN = (1 << bit for bit in range(8))
ACTIONS = 81
MAX_POSE_STRING_LATENTS = 100_000

# Code of two opposing pairs of bits by sign, -1, 0, +1: row = first pair, column = second pair. No bit has code 0, one
# bit 1..4, two bits 5..8 (SPEC 6).
_CODES = np.array([[8, 2, 7], [4, 0, 3], [6, 1, 5]])


@dataclass(frozen=True, slots=True)
class Step:
    """What the player did during one latent (or one elementary step)."""

    keys: int = 0
    """Bit set in the order of `KEYS`; opposite keys cancel."""
    yaw: float = 0.0
    """Radians of continuous look to the right over the whole step, on top of the keys (the mouse)."""
    pitch: float = 0.0
    """Radians of continuous look upwards over the whole step, on top of the keys."""
    walls: bool = False
    """Walking stops before what is solid (engine/walls.py); a chunk is walked so if any of its steps says it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTable:
    """How far one elementary step goes. `pocket` steps once per frame, the released models once per latent."""

    move: float
    """Units per elementary step, forward and sideways each."""
    yaw: float
    """Radians per elementary step of the keys left and right."""
    pitch: float
    """Radians per elementary step of the keys up and down."""
    planar: bool
    """True: walks on the ground, heading ignores pitch, no roll. False: moves along the camera's own axes (SPEC 6)."""
    steps_per_latent: int
    """Elementary steps in a latent: 4 where the step is a frame, 1 where it is a latent."""
    max_pitch: float | None = None
    """Planar only: pitch is clamped to +- this many radians."""
    max_look: float | None = None
    """Most radians of mouse look per elementary step and axis; see `spend_look`."""
    eye_height: float = 0.0
    """A world starts at (0, -eye_height, 0), looking along z."""


POCKET = StepTable(move=0.12, yaw=math.radians(1.1), pitch=math.radians(0.7), planar=True, steps_per_latent=4,
                   max_pitch=math.radians(25), max_look=math.radians(2.2), eye_height=1.6)
WORLDPLAY = StepTable(move=0.08, yaw=math.radians(3), pitch=math.radians(3), planar=False, steps_per_latent=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Motion:
    """One rigid movement of the camera, applied in this order: yaw, pitch, forward, right, orbit."""

    forward: float = 0.0
    right: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    orbit: float = 0.0
    """Radians around the point one unit in front of the camera (third person)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRule:
    """When a relative motion counts as which key (SPEC 6)."""

    min_move: float = 1e-4
    """Shorter translations are no translation."""
    min_turn: float = 0.05
    """Degrees of yaw or pitch that must be exceeded."""
    cone: float = 60.0
    """A direction counts for every axis that it is nearer to than this many degrees."""
    planar: bool = False
    """Measure in the horizontal frame of the mean heading: pitch and turning don't disturb the direction."""
    third_person: bool = False
    """A turning camera has no translation label."""


WORLDPLAY_LABELS = LabelRule()
POCKET_LABELS = LabelRule(min_move=0.01, min_turn=0.25, planar=True)


def key_axes(keys: int) -> tuple[int, int, int, int]:
    """Signs -1, 0, +1 of (forward, right, look right, look up) for a bit set; opposite keys cancel."""
    w, s, d, a, right, left, up, down = ((keys >> bit) & 1 for bit in range(8))
    return w - s, d - a, right - left, up - down


def keys_from_names(names: Sequence[str]) -> int:
    """Bit set of key names. Raises `WanderError` for a name that is not in `KEYS`."""
    unknown = [name for name in names if name not in KEYS]
    if unknown:
        raise WanderError(f"there is no key {unknown[0]!r}; the {len(KEYS)} keys are {' '.join(KEYS)}")
    return sum(1 << KEYS.index(name) for name in set(names))


def action_from_keys(keys: int) -> int:
    """Action class 0..80 of a bit set: 9 * translation code + rotation code."""
    forward, right, look, tilt = key_axes(keys)
    return int(9 * _CODES[forward + 1, right + 1] + _CODES[look + 1, tilt + 1])


def motion_from_step(step: Step, table: StepTable) -> Motion:
    """Motion of one elementary step."""
    forward, right, look, tilt = key_axes(step.keys)
    return Motion(forward=forward * table.move, right=right * table.move,
                  yaw=look * table.yaw + step.yaw, pitch=tilt * table.pitch + step.pitch)


def turn(yaw: float, pitch: float) -> Poses:
    """Rotation Ry(yaw) @ Rx(pitch), [3, 3]: right, then up."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    return np.array([[cy, sy * sp, sy * cp], [0.0, cp, -sp], [-sy, cy * sp, cy * cp]])


def heading(world_from_camera: Poses) -> tuple[Poses, Poses]:
    """Yaw and pitch in radians of cameras without roll, each of shape [...] for poses [..., 4, 4]."""
    x, y, z = np.moveaxis(world_from_camera[..., :3, 2], -1, 0)
    return np.arctan2(x, z), np.arctan2(-y, np.hypot(x, z))


def fly(world_from_camera: Poses, motion: Motion) -> Poses:
    """Pose [4, 4] after a motion along the camera's own axes (SPEC 6, the released models)."""
    moved = world_from_camera.copy()
    moved[:3, :3] = moved[:3, :3] @ turn(motion.yaw, motion.pitch)
    moved[:3, 3] += moved[:3, :3] @ np.array([motion.right, 0.0, motion.forward])
    if motion.orbit:
        around = np.eye(4)
        around[:3, :3] = turn(-motion.orbit, 0.0)
        around[:3, 3] = np.array([0.0, 0.0, 1.0]) - around[:3, 2]
        moved = moved @ around
    return moved


def walk(world_from_camera: Poses, motion: Motion, max_pitch: float | None = None) -> Poses:
    """Pose [4, 4] after a motion on the ground: direction from the new yaw alone, height kept, pitch clamped."""
    yaw, pitch = (float(angle) for angle in heading(world_from_camera))
    yaw, pitch = yaw + motion.yaw, pitch + motion.pitch
    if max_pitch is not None:
        pitch = min(max(pitch, -max_pitch), max_pitch)
    moved = world_from_camera.copy()
    moved[:3, :3] = turn(yaw, pitch)
    moved[:3, 3] += turn(yaw, 0.0) @ np.array([motion.right, 0.0, motion.forward])
    return moved


def advance(world_from_camera: Poses, step: Step, table: StepTable) -> Poses:
    """Pose [4, 4] after one elementary step (a frame of `pocket`, a latent of the released models)."""
    motion = motion_from_step(step, table)
    return walk(world_from_camera, motion, table.max_pitch) if table.planar else fly(world_from_camera, motion)


def start_pose(table: StepTable) -> Poses:
    """Where a world begins, [4, 4]."""
    pose = np.eye(4)
    pose[1, 3] = -table.eye_height
    return pose


def poses_from_steps(steps: Sequence[Step], table: StepTable, start: Poses | None = None) -> Poses:
    """Poses [1 + len(steps), 4, 4] of elementary steps; the first is `start` (default: where a world begins)."""
    poses = [start_pose(table) if start is None else np.asarray(start, dtype=np.float64)]
    for step in steps:
        poses.append(advance(poses[-1], step, table))
    return np.stack(poses)


def split_step(step: Step, table: StepTable) -> list[Step]:
    """The elementary steps of a latent's step: the same keys in each, the mouse spread evenly."""
    count = table.steps_per_latent
    return [Step(step.keys, step.yaw / count, step.pitch / count)] * count


def frame_poses(steps: Sequence[Step], table: StepTable, start: Poses | None = None) -> Poses:
    """Poses [1 + steps_per_latent * len(steps), 4, 4] of the frames of one step per latent; the first is `start`.

    Latent 0 of a world is one frame, at the start: N steps lead to latents 1..N.
    """
    return poses_from_steps([part for step in steps for part in split_step(step, table)], table, start)


def latent_poses(steps: Sequence[Step], table: StepTable, start: Poses | None = None) -> Poses:
    """Poses [1 + len(steps), 4, 4] of latents (of the last frame of each); the first is `start`."""
    return frame_poses(steps, table, start)[:: table.steps_per_latent]


def spend_look(pending: float, table: StepTable) -> tuple[float, float]:
    """How much of `pending` radians of mouse look one latent's step takes, and what stays for the next."""
    if table.max_look is None:
        return pending, 0.0
    limit = table.max_look * table.steps_per_latent
    spent = min(max(pending, -limit), limit)
    return spent, pending - spent


def relative_motion(previous: Poses, current: Poses, planar: bool) -> tuple[Poses, Poses, Poses]:
    """Translation [..., 3] in units, yaw [...] and pitch [...] in degrees between poses [..., 4, 4].

    Free: in the previous camera's frame, extrinsic xyz Euler angles. Planar: in the horizontal frame of the mean
    heading, as differences of yaw and pitch.
    """
    if not planar:
        inverse = np.swapaxes(previous[..., :3, :3], -1, -2)
        rotation = inverse @ current[..., :3, :3]
        shift = (inverse @ (current[..., :3, 3:] - previous[..., :3, 3:]))[..., 0]
        yaw = np.arcsin(np.clip(-rotation[..., 2, 0], -1, 1))
        return shift, np.degrees(yaw), np.degrees(np.arctan2(rotation[..., 2, 1], rotation[..., 2, 2]))
    (yaw0, pitch0), (yaw1, pitch1) = heading(previous), heading(current)
    yaw = (yaw1 - yaw0 + np.pi) % (2 * np.pi) - np.pi
    middle = yaw0 + yaw / 2
    x, y, z = np.moveaxis(current[..., :3, 3] - previous[..., :3, 3], -1, 0)
    shift = np.stack([np.cos(middle) * x - np.sin(middle) * z, y, np.sin(middle) * x + np.cos(middle) * z], axis=-1)
    return shift, np.degrees(yaw), np.degrees(pitch1 - pitch0)


def _sign(angle: Poses, threshold: float) -> NDArray[np.intp]:
    return (angle > threshold).astype(np.intp) - (angle < -threshold)


def _labels(previous: Poses, current: Poses, rule: LabelRule) -> NDArray[np.int64]:
    shift, yaw, pitch = relative_motion(previous, current, rule.planar)
    length = np.linalg.norm(shift, axis=-1)
    moves = length > rule.min_move
    if rule.third_person:
        moves &= (np.abs(yaw) < rule.min_turn) & (np.abs(pitch) < rule.min_turn)
    direction = np.degrees(np.arccos(np.clip(shift / np.where(moves, length, np.inf)[..., None], -1, 1)))
    right, forward = (_sign(90 - direction[..., axis], 90 - rule.cone) for axis in (0, 2))
    return 9 * _CODES[forward + 1, right + 1] + _CODES[_sign(yaw, rule.min_turn) + 1, _sign(pitch, rule.min_turn) + 1]


def action_from_poses(previous: Poses, current: Poses, rule: LabelRule = WORLDPLAY_LABELS) -> int:
    """Action class 0..80 of the motion between two poses [4, 4]."""
    return int(_labels(previous, current, rule))


def actions_from_poses(poses: Poses, rule: LabelRule = WORLDPLAY_LABELS) -> NDArray[np.int64]:
    """Action classes [T] of poses [T, 4, 4]; latent 0 always has action 0."""
    poses = np.asarray(poses, dtype=np.float64)
    return np.concatenate([np.zeros(min(len(poses), 1), dtype=np.int64), _labels(poses[:-1], poses[1:], rule)])


def parse_pose_string(text: str) -> list[Step]:
    """Steps of a pose string such as `w-3,right-2`: N latents of each key, N truncated (SPEC 6).

    Raises `WanderError` for an unknown key, a malformed item or more than `MAX_POSE_STRING_LATENTS` latents.
    """
    steps: list[Step] = []
    for item in text.split(",") if text.strip() else []:
        parts = [part.strip() for part in item.split("-")]
        try:
            key, count = parts[0], int(float(parts[1])) if len(parts) == 2 else None
        except (ValueError, OverflowError):
            key, count = parts[0], None
        if count is None:
            raise WanderError(f"the pose string item {item.strip()!r} is not one key and one number; write it like w-3")
        if len(steps) + count > MAX_POSE_STRING_LATENTS:
            raise WanderError(f"the pose string asks for {len(steps) + count} latents, the most is "
                              f"{MAX_POSE_STRING_LATENTS}; shorten it")
        steps += [Step(keys_from_names([key]))] * count
    return steps
