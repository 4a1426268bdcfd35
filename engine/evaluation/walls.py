"""`evaluate --protocol walls`: does walking stop before what is solid (engine/walls.py), and before nothing else?

A walk that begins before a wall, by the true depth of its first frame, is walked on by the model with the key for
forward held: it should end before the wall. True walks go through nothing: of their metres only so much may be taken
as the same rule takes that sees the true depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.actions import KEY_W, Step
from engine.evaluation.claims import Json, at_least, at_most
from engine.evaluation.clips import TrueClip
from engine.evaluation.metrics import nanmean, plain
from engine.evaluation.protocol import WallsProtocol
from engine.evaluation.rollout import true_depth
from engine.geometry import POCKET_LENS
from engine.streamer import PocketWorld, Sampling
from engine.surfaces import Surfaces
from engine.training.latents import encode_frames
from engine.vae import FRAMES_PER_LATENT
from engine.walls import Plan, keep_clear, lookouts, obstacles
from engine.weights import PocketWeights
from engine.world import WorldSpec

CHUNK = 4
"""Latents that are walked at once."""
_EVEN = 0.25
"""How much of its depth a wall straight ahead may vary by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Walked:
    """One clip, scored; units."""

    name: str
    ahead: float
    """True distance to a wall straight ahead of the first frame; NaN if there is none to walk up to."""
    left: float
    """What was left of that when the model had walked; below 0 it went through."""
    metres: float
    """Length of the true walk."""
    lost: float
    """What of it was taken without need."""


def ahead(depth_HW: NDArray[np.floating]) -> float:
    """Distance to what stands straight ahead, NaN if that is no wall: too uneven, or with a way beside it."""
    H, W = depth_HW.shape
    middle = depth_HW[round(0.44 * H) : round(0.54 * H), round(0.4 * W) : round(0.6 * W)].astype(np.float64)
    if not np.isfinite(middle).all() or np.ptp(middle) > _EVEN * np.median(middle):
        return np.nan
    return float(np.median(middle))


def walk_up(weights: PocketWeights, clip: TrueClip, protocol: WallsProtocol, seed: int) -> float:
    """How far the model walks from the clip's first frame with the key for forward held, units."""
    spec = WorldSpec(seed=seed, prompt=clip.caption, image=clip.frames[0], chunk=CHUNK)
    world, start = PocketWorld(weights, spec, sampling=Sampling(steps=protocol.sampling_steps)), None
    for _ in range(protocol.chunks):
        deque(world.step((Step(keys=KEY_W, walls=True),) * CHUNK), maxlen=0)
        record = world.commit()
        start = record.poses[0] if start is None else start
    assert start is not None
    return float(np.linalg.norm((world.pose - start)[[0, 2], 3]))


def lost_on(weights: PocketWeights, clip: TrueClip) -> tuple[float, float]:
    """Length of the true walk, and what is taken of it without need: more than the true depth would have it."""
    frames, depth = clip.frames[::FRAMES_PER_LATENT], true_depth(clip)[::FRAMES_PER_LATENT]
    poses, latents = clip.poses[::FRAMES_PER_LATENT], encode_frames(weights.vae, clip.frames[None])[0].float()
    surfaces, metres, lost = Surfaces(weights, lambda i: latents[i], lambda i: frames[i]), 0.0, 0.0
    for now in range(CHUNK, len(poses), CHUNK):
        walked, wanted, ends = poses[:now], poses[now - 1 : now + CHUNK], np.arange(CHUNK - 1, now, CHUNK)
        true = [_true_plan(depth[i], poses[i]) for i in lookouts(walked, ends)]
        shorter = [_missing(wanted, plan) for plan in (surfaces.walls(walked, ends), np.concatenate(true))]
        metres += float(np.linalg.norm(np.diff(wanted[:, [0, 2], 3], axis=0), axis=1).sum())
        lost += max(0.0, shorter[0] - shorter[1])
    return metres, lost


def _true_plan(depth_HW: NDArray[np.floating], world_from_camera: NDArray[np.float64]) -> Plan:
    disparity = np.where(np.isfinite(depth_HW), 1 / np.maximum(depth_HW.astype(np.float64), 1e-3), 0.0)
    return obstacles(disparity, np.ones_like(disparity), world_from_camera, POCKET_LENS)


def _missing(wanted: NDArray[np.float64], plan: Plan) -> float:
    """How far from where it would end a way ends that keeps clear of a plan."""
    return float(np.linalg.norm((keep_clear(plan, wanted)[-1] - wanted[-1])[[0, 2], 3]))


def walk_clip(weights: PocketWeights, clip: TrueClip, protocol: WallsProtocol, seed: int) -> Walked:
    """Both questions of one clip; a character that walks ahead hides the wall, so none is walked up to there."""
    distance, left = ahead(true_depth(clip)[0]), np.nan
    nearest, farthest = protocol.ahead
    if clip.about.get("hero") or not nearest <= distance <= farthest:
        distance = np.nan
    else:
        left = distance - walk_up(weights, clip, protocol, seed)
    metres, lost = lost_on(weights, clip)
    return Walked(name=clip.name, ahead=distance, left=left, metres=metres, lost=lost)


def run_walls(
    weights: PocketWeights,
    clips: Iterable[TrueClip],
    protocol: WallsProtocol,
    *,
    seed: int,
    preset: str,
    done: Callable[[], None] = lambda: None,
) -> Json:
    """The machine-readable report; `done` is called after each clip."""
    results = []
    for index, clip in enumerate(clips):
        results.append(walk_clip(weights, clip, protocol, seed + index))
        done()
    return summarise(results, protocol, seed=seed, preset=preset)


def summarise(results: list[Walked], protocol: WallsProtocol, *, seed: int, preset: str) -> Json:
    """The report that DESIGN section 9 fixes; distances in units."""
    met = [each for each in results if not np.isnan(each.ahead)]
    stopped = nanmean([float(each.left > 0) for each in met])
    lost = sum(each.lost for each in results) / max(sum(each.metres for each in results), 1e-9)
    scores = {
        "stopped": stopped,
        "left_median": median([each.left for each in met]) if met else np.nan,
        "lost": lost,
        "metres": sum(each.metres for each in results),
        "per_clip": {each.name: {"ahead": each.ahead, "left": each.left, "lost": each.lost} for each in results},
    }
    bounds = protocol.bounds
    claims = [
        at_least("walls", len(met), bounds.walls),
        at_least("stopped_before_walls", stopped, bounds.stopped),
        at_most("lost_in_the_open", lost, bounds.lost),
    ]
    return plain(
        {
            "protocol": "walls", "preset": preset, "clips": len(results), "seed": seed, "scores": scores,
            "claims": claims,
        }
    )  # fmt: skip


def lines(report: Json) -> str:
    """The scores in a line of text."""
    scores = report["scores"]
    left = "-" if scores["left_median"] is None else f"{scores['left_median']:.2f}"
    return f"  {left} units left before a wall (median); {scores['metres']:.0f} metres of true walks"
