"""A small textured world that can be drawn exactly: flat ground, a far backdrop, and what a camera sees of both."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from engine.actions import POCKET, Step, poses_from_steps
from engine.evaluation import motion
from engine.evaluation.clips import TrueClip
from engine.evaluation.routes import plan_route
from engine.evaluation.visibility import rays
from engine.geometry import POCKET_LENS


def pattern(u, v):
    """A smooth texture without repeats, 0..1."""
    waves = [(1.1, 0.3), (-0.4, 1.7), (2.3, -1.1), (0.7, 2.9), (-3.1, 1.3)]
    return 0.5 + sum(np.sin(a * u + b * v + 7 * a * b) for a, b in waves) / (2 * len(waves))


def draw(pose, width=160, height=96):
    """RGB uint8 [H, W, 3] and depth [H, W] of the ground plane y = 0 under a textured sky."""
    directions = rays(POCKET_LENS, width, height) @ pose[:3, :3].T
    down = np.where(directions[..., 1] > 1e-3, directions[..., 1], np.nan)
    depth = -pose[1, 3] / down
    points = pose[:3, 3] + directions * depth[..., None]
    haze = np.exp(-np.maximum(depth - 30, 0) / 20)  # what is too fine for pixels fades
    ground = 0.5 + (pattern(0.7 * points[..., 0], 0.7 * points[..., 2]) - 0.5) * haze
    across = np.arctan2(directions[..., 0], directions[..., 2])
    sky = pattern(9 * across, 9 * directions[..., 1] / np.hypot(directions[..., 0], directions[..., 2]))
    value = np.where(np.isnan(depth), sky, ground)
    picture = np.stack([220 * value, 40 + 150 * value, 255 - 180 * value], axis=-1)
    return picture.astype(np.uint8), np.where(np.isnan(depth), np.inf, depth)


def film(steps, width=160, height=96):
    """A clip along elementary steps, drawn exactly."""
    return shoot(poses_from_steps(steps, POCKET), width, height)


def shoot(poses, width=160, height=96):
    """A clip along cameras, drawn exactly."""
    shots = [draw(pose, width, height) for pose in poses]
    return TrueClip(
        name="exact",
        frames=np.stack([picture for picture, _ in shots]),
        depth=np.stack([depth for _, depth in shots]).astype(np.float16),
        poses=poses,
        about={"biome": "plain", "captions": {"en": ["a plain"]}},
    )


def route_clips(*routes, width=64, height=32):
    """A clip of 253 frames over the plain along each route of the long protocol."""
    clips = []
    for seed, route in enumerate(routes):
        walk = plan_route(np.random.default_rng(seed), np.empty((0, 3)), 253, route=route)
        clip = shoot(walk.poses, width, height)
        clips.append(replace(clip, name=f"{route} {seed}", about=clip.about | {"walk": route}))
    return clips


@pytest.fixture(scope="module")
def quick_estimator():
    """Cameras are estimated with fewer steps: enough for drawn pictures of 64x32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(motion, "Estimator", partial(motion.Estimator, iterations=4, turns=(0.0,)))
        yield


@pytest.fixture(scope="session")
def walk_of():
    """Clip of F - 1 steps with the same keys: `walk_of(KEY_W, 12)`."""
    return lambda keys, frames, **size: film([Step(keys)] * frames, **size)
