"""`evaluate --protocol drift`: what the late frames of a two-thousand-frame rollout have lost against its early ones.

Sharpness (gradient energy), saturation, and DFD to a set: the distance of a frame to the nearest of the walk's true
frames, whatever place they show. A frozen or blurred picture does not drift, so late sharpness is compared with the
truth's as well, and key following is measured in the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.claims import Json, at_least, claim
from engine.evaluation.clips import TrueClip
from engine.evaluation.features import feature_distance
from engine.evaluation.following import LATENTS_PER_CHUNK, score
from engine.evaluation.metrics import Frames, Scores, gradient_energy, nanmean, plain, saturation
from engine.evaluation.protocol import DriftProtocol
from engine.evaluation.rollout import Dreamer
from engine.evaluation.shots import Shots, take
from engine.evaluation.tracking import Track, track
from engine.vae import FRAMES_PER_LATENT

MODEL, TRUTH = "model", "truth"
MEASURES = ("sharpness", "saturation", "dfd_to_set")
APART = 64
"""Frames: a true frame's distance is measured to true frames at least this far away."""
STRIP_COLUMNS = 12


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DriftResult:
    """One rollout, measured every few frames."""

    name: str
    biome: str
    frames: int
    at: Scores
    """`[P]`: the measured frames."""
    measures: Mapping[str, Mapping[str, Scores]]
    """Whose frames (model, truth) -> measure -> `[P]`."""
    track: Track
    strip: Frames
    """Rows truth, model."""

    def mean(self, whose: str, measure: str, window: slice) -> float:
        """Mean of a measure over the frames of a window."""
        inside = (self.at >= window.start) & (self.at < window.stop)
        return nanmean(self.measures[whose][measure][inside])


def run_drift(
    dreamer: Dreamer,
    clips: Iterable[TrueClip],
    protocol: DriftProtocol,
    *,
    seed: int,
    preset: str,
    done: Callable[[], None] = lambda: None,
) -> tuple[Json, list[DriftResult]]:
    """Generates and measures every rollout. Returns the machine-readable report and the single results."""
    results = []
    for index, clip in enumerate(clips):
        results.append(measure(clip, dreamer.generate(clip, seed + index), protocol))
        done()
    return summarise(results, protocol, seed=seed, preset=preset), results


def measure(clip: TrueClip, made: Frames, protocol: DriftProtocol) -> DriftResult:
    """One rollout `[F, H, W, 3]` beside the truth."""
    every = protocol.every(len(clip.frames))
    picks = np.arange(every, len(clip.frames), every)
    model, truth = take(made, picks), take(clip.frames, picks)
    columns = np.linspace(0, len(made) - 1, STRIP_COLUMNS).round().astype(int)
    return DriftResult(
        name=clip.name,
        biome=str(clip.about["biome"]),
        frames=len(made),
        at=picks.astype(np.float64),
        measures={
            whose: {
                "sharpness": gradient_energy(shots.frames),
                "saturation": saturation(shots.frames),
                "dfd_to_set": distance_to_set(shots, truth, picks, apart=APART if whose == TRUTH else 0),
            }
            for whose, shots in ((MODEL, model), (TRUTH, truth))
        },
        track=track(clip, {MODEL: made}),
        strip=np.concatenate([np.concatenate(list(frames[columns]), axis=1) for frames in (clip.frames, made)]),
    )


def distance_to_set(shots: Shots, truth: Shots, at: NDArray[np.number], apart: int = 0) -> Scores:
    """DFD `[P]` of each shot to the nearest of the true shots taken at frames `at` `[P]`, leaving out those less than
    `apart` frames from its own; NaN where none is left."""
    found = []
    for index, frame in enumerate(at):
        others = np.abs(at - frame) >= apart
        distances = feature_distance([stage[index : index + 1] for stage in shots.features], truth.features)[others]
        found.append(distances.min(initial=np.inf))
    return np.where(np.isinf(found), np.nan, found)


def summarise(results: list[DriftResult], protocol: DriftProtocol, *, seed: int, preset: str) -> Json:
    """The report that DESIGN section 9 fixes: protocol, preset, clips, seed, scores, baselines, floors, claims."""
    windows = {
        name: protocol.window(edges, results[0].frames)
        for name, edges in (("early", protocol.early), ("late", protocol.late))
    }
    tables = {whose: table_of(results, whose, windows, protocol) for whose in (MODEL, TRUTH)}
    return plain(
        {
            "protocol": "drift",
            "preset": preset,
            "clips": len(results),
            "seed": seed,
            "scores": tables[MODEL]
            | {
                "frames": results[0].frames,
                "windows": {name: [window.start, window.stop] for name, window in windows.items()},
                "curves": curves(results),
                "per_clip": [
                    {"name": r.name, "biome": r.biome, **table_of([r], MODEL, windows, protocol)} for r in results
                ],
            },
            "baselines": {},
            "floors": {TRUTH: tables[TRUTH]},
            "claims": claims(tables, results[0].frames, protocol),
        }
    )


def table_of(results: list[DriftResult], whose: str, windows: Mapping[str, slice], protocol: DriftProtocol) -> Json:
    """Measure -> early, late and late over early, and key following in both windows: means over rollouts."""
    found: Json = {}
    for name in MEASURES:
        means = {which: nanmean([r.mean(whose, name, window) for r in results]) for which, window in windows.items()}
        found[name] = means | {"late_over_early": means["late"] / max(means["early"], 1e-9)}
    found["following"] = {which: follows(results, whose, window, protocol) for which, window in windows.items()}
    return found


def follows(results: list[DriftResult], whose: str, window: slice, protocol: DriftProtocol) -> float:
    """Key following of the whole chunks inside a window of frames."""
    chunk = LATENTS_PER_CHUNK * FRAMES_PER_LATENT
    first, last = (LATENTS_PER_CHUNK * (edge // chunk) for edge in (window.start, window.stop))
    inside = slice(first, max(last - 1, first))  # the first chunk of a series has one motion less
    commanded = [r.track.commanded[inside] for r in results]
    return score(commanded, [r.track.seen[whose][inside] for r in results], protocol.following).accuracy


def curves(results: list[DriftResult]) -> Json:
    """Measure -> whose frames -> mean over rollouts at each measured frame, and which frames those are."""
    found: Json = {
        name: {whose: np.mean([r.measures[whose][name] for r in results], axis=0).tolist() for whose in (MODEL, TRUTH)}
        for name in MEASURES
    }
    return found | {"frames": results[0].at.astype(int).tolist()}


def claims(tables: Mapping[str, Json], frames: int, protocol: DriftProtocol) -> list[Json]:
    """One entry per statement of the protocol."""
    model, truth, bounds = tables[MODEL], tables[TRUTH], protocol.bounds
    ratio = model["sharpness"]["late"] / max(truth["sharpness"]["late"], 1e-9)
    share = model["following"]["late"] / max(truth["following"]["late"], 1e-9)
    return [
        at_least("drift_frames", frames, protocol.full),
        *(claim(f"{name}_late_over_early", model[name]["late_over_early"], bounds.late_over_early)
          for name in MEASURES),
        claim("late_gradient_energy_ratio", ratio, bounds.gradient_energy_ratio),
        at_least("late_key_following", share, bounds.following_share_of_floor),
    ]  # fmt: skip
