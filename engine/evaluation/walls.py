"""`evaluate --protocol walls`: does walking stop before what is solid (engine/walls.py), and before nothing else?

Where something solid is in the way of who walks on from a clip's first frame, by its true depth, the model walks on
with the key for forward held: it should touch nothing of it. True walks go through nothing: of their metres only so
much may be taken as the same rule takes that sees the true depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from engine.actions import KEY_W, POCKET, Step, latent_poses
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
from engine.walls import RULE, Plan, WallRule, character_ahead, keep_clear, lookouts, obstacles
from engine.weights import PocketWeights
from engine.world import WorldSpec

CHUNK = 4
"""Latents that are walked at once."""
TOUCH = 0.25
"""Units from something solid at which it is walked into."""
SOLID = WallRule(sure=0.2, surface=0.03)
"""What is solid by true depth; fixed, so that what play takes for solid may change and be compared."""
_FINE = 0.05
"""Units between the places of a way that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Walked:
    """One clip, scored; units."""

    name: str
    gap: float
    """How near the model's walk came to what the first frame shows to be solid; NaN if nothing was in the way."""
    metres: float
    """Length of the true walk."""
    lost: float
    """What of it was taken without need."""


def nearest(path_T44: NDArray[np.float64], plan: Plan) -> float:
    """How near the way along cameras `[T, 4, 4]` comes to what is solid, infinite if nothing is."""
    places = path_T44[:, [0, 2], 3]
    fine = [np.linspace(a, b, max(2, int(np.linalg.norm(b - a) / _FINE) + 1)) for a, b in pairwise(places)]
    apart = np.linalg.norm(np.concatenate(fine)[:, None] - plan, axis=-1)
    return float(apart.min(initial=np.inf))


def walk_up(weights: PocketWeights, clip: TrueClip, protocol: WallsProtocol, seed: int) -> float:
    """How near the model comes, walking on from the clip's first frame with the key for forward held, to what that
    shows to be solid; NaN if nothing is in the way, or something is touched already."""
    spec = WorldSpec(seed=seed, prompt=clip.caption, image=clip.frames[0], chunk=CHUNK)
    world = PocketWorld(weights, spec, sampling=Sampling(steps=protocol.sampling_steps))
    plan, steps = _true_plan(true_depth(clip)[0], world.pose), (Step(keys=KEY_W, walls=True),) * CHUNK
    straight = latent_poses(
        [Step(keys=KEY_W)] * round(RULE.farthest / (POCKET.move * POCKET.steps_per_latent)), POCKET, world.pose
    )
    if nearest(straight[:2], plan) < TOUCH or nearest(straight, plan) >= TOUCH:
        return np.nan
    path = [world.pose[None]]
    for _ in range(protocol.chunks):
        deque(world.step(steps), maxlen=0)
        path.append(world.commit().poses.astype(np.float64))
    return nearest(np.concatenate(path), plan)


def lost_on(weights: PocketWeights, clip: TrueClip) -> tuple[float, float]:
    """Length of the true walk, and what is taken of it without need: more than the true depth would have it."""
    frames, depth = clip.frames[::FRAMES_PER_LATENT], true_depth(clip)[::FRAMES_PER_LATENT]
    poses, latents = clip.poses[::FRAMES_PER_LATENT], encode_frames(weights.vae, clip.frames[None])[0].float()
    surfaces, metres, lost = Surfaces(weights, lambda i: latents[i], lambda i: frames[i], imagines=False), 0.0, 0.0
    for now in range(CHUNK, len(poses), CHUNK):
        walked, wanted, ends = poses[:now], poses[now - 1 : now + CHUNK], np.arange(CHUNK - 1, now, CHUNK)
        true = [_true_plan(depth[i], poses[i]) for i in lookouts(walked, ends)]
        plans = surfaces.walls(walked, ends), np.concatenate(true)
        ahead = character_ahead(surfaces.get(int(ends[-1]), walked))
        shorter = [_missing(wanted, plan, ahead) for plan in plans]
        metres += float(np.linalg.norm(np.diff(wanted[:, [0, 2], 3], axis=0), axis=1).sum())
        lost += max(0.0, shorter[0] - shorter[1])
    return metres, lost


def _true_plan(depth_HW: NDArray[np.floating], world_from_camera: NDArray[np.float64]) -> Plan:
    disparity = np.where(np.isfinite(depth_HW), 1 / np.maximum(depth_HW.astype(np.float64), 1e-3), 0.0)
    return obstacles(disparity, np.ones_like(disparity), world_from_camera, POCKET_LENS, SOLID)


def _missing(wanted: NDArray[np.float64], plan: Plan, ahead: float) -> float:
    """How far from where it would end a way ends that keeps clear of a plan, and a character so far `ahead` with it."""
    return float(np.linalg.norm((keep_clear(plan, wanted, ahead=ahead)[-1] - wanted[-1])[[0, 2], 3]))


def walk_clip(weights: PocketWeights, clip: TrueClip, protocol: WallsProtocol, seed: int) -> Walked:
    """Both questions of one clip; a character that walks ahead hides what is in the way, so none is walked up to."""
    gap = np.nan if clip.about.get("hero") else walk_up(weights, clip, protocol, seed)
    metres, lost = lost_on(weights, clip)
    return Walked(name=clip.name, gap=gap, metres=metres, lost=lost)


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
    met = [each.gap for each in results if not np.isnan(each.gap)]
    stopped = nanmean([float(gap >= TOUCH) for gap in met])
    lost = sum(each.lost for each in results) / max(sum(each.metres for each in results), 1e-9)
    scores = {
        "stopped": stopped,
        "gap_median": median(met) if met else np.nan,
        "lost": lost,
        "metres": sum(each.metres for each in results),
        "per_clip": {each.name: {"gap": each.gap, "lost": each.lost} for each in results},
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
    gap = "-" if scores["gap_median"] is None else f"{scores['gap_median']:.2f}"
    return f"  {gap} units left before a wall (median); {scores['metres']:.0f} metres of true walks"
