"""`evaluate --protocol short` (paper, section 4.1, table 1 at our scale): one given frame, 61 frames along true
cameras, held-out worlds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.actions import heading
from engine.evaluation import following
from engine.evaluation.claims import Json, at_least, claim, lead
from engine.evaluation.clips import TrueClip
from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import gradient_energy, nanmean, plain, psnr, ssim
from engine.evaluation.motion import Motions, camera_distance, estimate_motions, motions_from_poses, poses_from_motions
from engine.evaluation.protocol import ShortProtocol
from engine.evaluation.rollout import Frames, generate, reconstruct, repeat_first, shown_pixels, true_depth, warp_first
from engine.geometry import POCKET_LENS
from engine.vae import FRAMES_PER_LATENT
from engine.weights import PocketWeights

METHODS = ("model", "repeat", "warp", "autoencoder")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipResult:
    """One clip, scored."""

    name: str
    group: str
    biome: str
    scores: Mapping[str, Json]
    """Method -> metric -> mean over the clip's frames."""
    psnr_by_frame: NDArray[np.float64]
    """Of the model, `[F - 1]`."""
    motions: Mapping[str, Motions]
    """Commanded, and estimated in the truth and in the model's frames: `[T - 1, 4]`, between latents."""
    cameras: Mapping[str, tuple[float, float]]
    """(R_dist, T_dist) estimated in the truth and in the model's frames."""
    strip: Frames
    """Rows truth, model, warp: `[3 H, columns W, 3]`."""


def run_short(
    weights: PocketWeights,
    clips: Iterable[TrueClip],
    protocol: ShortProtocol,
    *,
    seed: int,
    preset: str,
    done: Callable[[], None] = lambda: None,
) -> tuple[Json, list[ClipResult]]:
    """Generates and scores every clip. Returns the machine-readable report and the single results; `done` is called
    after each clip."""
    results = []
    for index, clip in enumerate(clips):
        results.append(score_clip(weights, clip, protocol, seed + index))
        done()
    return summarise(results, protocol, seed=seed, preset=preset), results


def score_clip(weights: PocketWeights, clip: TrueClip, protocol: ShortProtocol, seed: int) -> ClipResult:
    """All methods on one clip."""
    made = {
        "model": generate(weights, clip, seed=seed, steps=protocol.sampling_steps),
        "repeat": repeat_first(clip),
        "warp": warp_first(clip),
        "autoencoder": reconstruct(weights, clip),
    }
    shown, picks = shown_pixels(clip), np.arange(protocol.dfd_every, len(clip.frames), protocol.dfd_every)
    truth_features = features(clip.frames[picks])
    scores = {method: compare(frames, clip.frames, shown, picks, truth_features) for method, frames in made.items()}
    latents = slice(None, None, FRAMES_PER_LATENT)
    poses, depths = clip.poses[latents], true_depth(clip)[latents]
    shots = {"truth": clip.frames[latents], "model": made["model"][latents]}
    pitches, third_person = heading(poses)[1], clip.about.get("hero") is not None
    seen = {
        of: estimate_motions(frames, depths, pitches, POCKET_LENS, third_person=third_person)
        for of, frames in shots.items()
    }
    cameras = {of: camera_distance(poses_from_motions(poses[0], motions), poses) for of, motions in seen.items()}
    return ClipResult(
        name=clip.name,
        group=clip.group,
        biome=str(clip.about["biome"]),
        scores=scores,
        cameras=cameras,
        psnr_by_frame=psnr(made["model"][1:], clip.frames[1:]),
        motions=seen | {"commanded": motions_from_poses(poses)},
        strip=strip(clip.frames, made["model"], made["warp"]),
    )


def compare(
    made: Frames, truth: Frames, shown: NDArray[np.bool_], picks: NDArray[np.intp], truth_features: list[Any]
) -> Json:
    """Mean scores (PSNR of all frames but the given one, the others of `picks`) against the truth: over all pixels,
    over those that the given frame shows, and over the others."""
    found = features(made[picks])
    energy = gradient_energy(made[1:]).mean() / max(gradient_energy(truth[1:]).mean(), 1e-9)
    by_pixels = {"": (None, None), "_shown": (shown[1:], shown[picks]), "_hidden": (~shown[1:], ~shown[picks])}
    scores = {f"psnr{name}": nanmean(psnr(made[1:], truth[1:], mask)) for name, (mask, _) in by_pixels.items()}
    scores |= {
        f"dfd{name}": nanmean(feature_distance(found, truth_features, mask)) for name, (_, mask) in by_pixels.items()
    }
    return scores | {"ssim": nanmean(ssim(made[picks], truth[picks])), "gradient_energy_ratio": float(energy)}


def strip(*rows: Frames, columns: int = 8) -> Frames:
    """Frames spread over time, a row for each of `rows` `[F, H, W, 3]`."""
    picks = np.linspace(0, len(rows[0]) - 1, columns).round().astype(int)
    return np.concatenate([np.concatenate(list(frames[picks]), axis=1) for frames in rows])


def summarise(results: list[ClipResult], protocol: ShortProtocol, *, seed: int, preset: str) -> Json:
    """The report that DESIGN section 9 fixes: protocol, preset, clips, seed, scores, baselines, floors, claims."""
    tables = {method: groups_of(results, method) for method in METHODS}
    card = {
        of: following.score(
            [r.motions["commanded"] for r in results], [r.motions[of] for r in results], protocol.following
        )
        for of in ("truth", "model")
    }
    tracking = {
        of: {
            "following": card[of].accuracy,
            "recall": card[of].recall,
            "gain": card[of].gain,
            "entries": card[of].counts,
            "r_dist": nanmean([r.cameras[of][0] for r in results]),
            "t_dist": nanmean([r.cameras[of][1] for r in results]),
        }
        for of in card
    }
    by_frame = np.mean(
        [r.psnr_by_frame for r in results if r.group == "walking"] or [r.psnr_by_frame for r in results], axis=0
    )
    scores = (
        tables["model"]
        | tracking["model"]
        | {
            "psnr_by_frame": {
                str(frame): by_frame[frame - 1] for frame in (1, 4, 8, 16, 24, 32, 48, 60) if frame <= len(by_frame)
            },
            "by_biome": {
                biome: means([r for r in results if r.biome == biome], "model")
                for biome in sorted({r.biome for r in results})
            },
            "per_clip": [
                {"name": r.name, "group": r.group, "biome": r.biome} | dict(r.scores["model"]) for r in results
            ],
        }
    )
    return plain(
        {
            "protocol": "short",
            "preset": preset,
            "clips": len(results),
            "seed": seed,
            "scores": scores,
            "baselines": {method: tables[method] for method in ("repeat", "warp")},
            "floors": {"autoencoder": tables["autoencoder"], "motion_estimator": tracking["truth"]},
            "claims": claims(results, card, protocol),
        }
    )


def means(results: list[ClipResult], method: str) -> Json:
    """Mean of every metric over clips."""
    return {"clips": len(results)} | {
        metric: nanmean([r.scores[method][metric] for r in results]) for metric in results[0].scores[method]
    }


def groups_of(results: list[ClipResult], method: str) -> Json:
    """Means for each group of clips that occurs; claims are made about the walking ones."""
    groups = {group: [r for r in results if r.group == group] for group in ("walking", "rotation_only", "still")}
    return {group: means(chosen, method) for group, chosen in groups.items() if chosen}


def claims(results: list[ClipResult], card: Mapping[str, following.Scorecard], protocol: ShortProtocol) -> list[Json]:
    """One entry per statement of the protocol. A difference is worth the lower bound of its paired bootstrap
    interval."""
    walking, bounds = [r for r in results if r.group == "walking"], protocol.bounds
    found = [at_least("walking_clips", len(walking), bounds.walking_clips)]
    if len(walking) > 1:
        found += [
            better(walking, "dfd", "repeat", protocol),
            better(walking, "dfd", "warp", protocol),
            better(walking, "psnr", "repeat", protocol),
        ]
        found.append(
            claim(
                "gradient_energy_ratio", means(walking, "model")["gradient_energy_ratio"], bounds.gradient_energy_ratio
            )
        )
    share = card["model"].accuracy / card["truth"].accuracy
    found.append(at_least("key_following", share, bounds.following_share_of_floor))
    gains = {axis: card["model"].gain[axis] / card["truth"].gain[axis] for axis in card["model"].gain}
    return found + [claim(f"gain_{axis}", value, bounds.gain) for axis, value in gains.items() if not math.isnan(value)]


def better(results: list[ClipResult], metric: str, baseline: str, protocol: ShortProtocol) -> Json:
    """The model beats a baseline on the same clips: by how much, at least."""
    sign = -1 if metric == "dfd" else 1
    gains = [sign * (r.scores["model"][metric] - r.scores[baseline][metric]) for r in results]
    return lead(f"{metric}_better_than_{baseline}", gains, protocol.bootstrap)
