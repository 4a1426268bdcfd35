"""`evaluate --protocol long` (paper, section 4, table 2, long-term): one given frame, 253 frames along a way that comes
back; the return is compared with the first pass and with the truth.

Every claim about the return is paired with the same rollout without memory. A frozen picture returns perfectly to
itself and a blurred one nearly so: the comparison with the truth, the gradient energy and the key following of that
same rollout tell them from a world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.evaluation.claims import Json, at_least, at_most, claim, lead
from engine.evaluation.clips import TrueClip
from engine.evaluation.markup import animation
from engine.evaluation.metrics import Frames, Scores, gradient_energy, nanmean, plain, psnr
from engine.evaluation.protocol import LongProtocol
from engine.evaluation.revisits import Revisits, find_revisits
from engine.evaluation.rollout import Dreamer, repeat_first, true_depth
from engine.evaluation.shots import Shots, differences, energy_ratio, means_of, take
from engine.evaluation.tracking import Track, scorecards, table_of, track
from engine.evaluation.visibility import visible_in
from engine.geometry import POCKET_LENS
from engine.memory import pocket as pocket_memory
from engine.vae import FRAMES_PER_LATENT

MODEL, TRUTH, WITHOUT, REPEAT = "model", "truth", "no_memory", "repeat"
FLOORS = ("autoencoder", TRUTH)
GRID_COLUMNS, STRIP_COLUMNS = 6, 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LongResult:
    """One clip, scored."""

    name: str
    walk: str
    biome: str
    revisits: int
    """Counted frames of the return."""
    scores: Mapping[str, Json]
    """Method -> metric -> mean over the clip's measured frames."""
    curves: Mapping[str, Mapping[str, Scores]]
    """Metric -> method -> value at each measured frame."""
    track: Track
    grid: Frames
    """Rows first visit, return, return without memory, true return: `[4 H, columns W, 3]`; no column if none counts."""
    strip: Frames
    """Rows truth, model, without memory."""
    films: Mapping[str, bytes] = field(default_factory=dict)
    """Method -> moving picture (WebP), of the clips that people choose between."""


def run_long(
    dreamer: Dreamer,
    clips: Iterable[TrueClip],
    protocol: LongProtocol,
    *,
    seed: int,
    preset: str,
    others: Mapping[str, Dreamer] = MappingProxyType({}),
    films: int = 0,
    done: Callable[[], None] = lambda: None,
) -> tuple[Json, list[LongResult]]:
    """Generates and scores every clip, with memory, without, and by the `others` to compare with, by name.

    Returns the machine-readable report and the single results, the first `films` of them with moving pictures.
    """
    results = []
    for index, clip in enumerate(clips):
        made = rollouts(dreamer, clip, seed + index, others)
        results.append(score_clip(clip, made, protocol, films=index < films))
        done()
    return summarise(results, protocol, seed=seed, preset=preset), results


def rollouts(dreamer: Dreamer, clip: TrueClip, seed: int, others: Mapping[str, Dreamer]) -> dict[str, Frames]:
    """Method -> frames `[F, H, W, 3]`."""
    made = {MODEL: dreamer.generate(clip, seed), WITHOUT: dreamer.generate(clip, seed, remembers=False)}
    made |= {name: other.generate(clip, seed) for name, other in others.items()}
    return made | {REPEAT: repeat_first(clip), "autoencoder": dreamer.reconstruct(clip), TRUTH: clip.frames}


def baselines(methods: Iterable[str]) -> list[str]:
    """Those of the methods that the model is compared with."""
    return [method for method in methods if method not in (MODEL, *FLOORS)]


def rivals(methods: Iterable[str]) -> list[str]:
    """Those of the methods that are other models."""
    return [method for method in baselines(methods) if method not in (WITHOUT, REPEAT)]


def score_clip(
    clip: TrueClip, made: Mapping[str, Frames], protocol: LongProtocol, *, films: bool = False
) -> LongResult:
    """All methods on one clip."""
    picks = np.arange(protocol.dfd_every, len(clip.frames), protocol.dfd_every)
    pairs = find_revisits(
        clip.poses,
        true_depth(clip),
        POCKET_LENS,
        recent=FRAMES_PER_LATENT * pocket_memory().temporal_latents,
        overlap_below=protocol.overlap_below,
        every=protocol.dfd_every,
    )
    shots = {method: take(frames, picks) for method, frames in made.items()}
    against = {method: differences(each, shots[TRUTH]) for method, each in shots.items()}
    energy = {method: gradient_energy(each.frames) for method, each in shots.items()}
    return LongResult(
        name=clip.name,
        walk=str(clip.about.get("walk", "")),
        biome=str(clip.about["biome"]),
        revisits=len(pairs),
        scores={
            method: {
                **means_of(against[method]),
                "gradient_energy_ratio": energy_ratio(each, shots[TRUTH]),
                **score_return(clip, each, shots[TRUTH], pairs, protocol.dfd_every),
            }
            for method, each in shots.items()
        },
        curves={
            "psnr": {method: scores["psnr"] for method, scores in against.items()},
            "dfd": {method: scores["dfd"] for method, scores in against.items()},
            "gradient_energy_ratio": {
                method: values / np.maximum(energy[TRUTH], 1e-9) for method, values in energy.items()
            },
        },
        track=track(clip, {method: made[method] for method in (MODEL, WITHOUT, *rivals(made))}),
        grid=revisit_grid(made, pairs),
        strip=_strip(clip.frames, made[MODEL], made[WITHOUT]),
        films={method: animation(made[method]) for method in (MODEL, WITHOUT, *rivals(made))} if films else {},
    )


def score_return(clip: TrueClip, made: Shots, truth: Shots, pairs: Revisits, every: int) -> Json:
    """The counted frames of the return against the first pass of the same rollout (`return_`), and against the truth
    (`return_truth_`; `_shown`: over pixels that the given frame shows)."""
    first, again = pairs.first // every - 1, pairs.again // every - 1
    returned, true_return = made.at(again), truth.at(again)
    return {
        **means_of(differences(returned, made.at(first)), "return_"),
        **means_of(differences(returned, true_return), "return_truth_"),
        "return_truth_psnr_shown": _psnr_shown(clip, returned, pairs),
        "return_gradient_energy_ratio": energy_ratio(returned, true_return),
    }


def _psnr_shown(clip: TrueClip, returned: Shots, pairs: Revisits) -> float:
    """PSNR of the return against the truth over pixels that the given frame shows."""
    if not len(pairs):
        return float("nan")
    depths, poses = true_depth(clip), clip.poses
    masks = [visible_in(depths[0], poses[0], depths[f], poses[f], POCKET_LENS) for f in pairs.again]
    return nanmean(psnr(returned.frames, clip.frames[pairs.again], np.stack(masks)))


def revisit_grid(made: Mapping[str, Frames], pairs: Revisits) -> Frames:
    """First visits and returns to them, spread over the counted pairs: see `LongResult.grid`."""
    columns = np.unique(np.linspace(0, len(pairs) - 1, min(GRID_COLUMNS, len(pairs))).round().astype(int))
    first, again = pairs.first[columns], pairs.again[columns]
    rows = (made[MODEL][first], made[MODEL][again], made[WITHOUT][again], made[TRUTH][again])
    if not len(columns):
        return made[TRUTH][:0].reshape(0, 0, 3)
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def _strip(*rows: Frames) -> Frames:
    picks = np.linspace(0, len(rows[0]) - 1, STRIP_COLUMNS).round().astype(int)
    return np.concatenate([np.concatenate(list(frames[picks]), axis=1) for frames in rows])


def summarise(results: list[LongResult], protocol: LongProtocol, *, seed: int, preset: str) -> Json:
    """The report that DESIGN section 9 fixes: protocol, preset, clips, seed, scores, baselines, floors, claims."""
    tracks = [result.track for result in results]
    cards = scorecards(tracks, protocol.following)
    motion = table_of(tracks, cards)
    methods = list(results[0].scores)
    tables = {method: means(results, method) | motion.get(method, {}) for method in methods}
    found = {
        "protocol": "long",
        "preset": preset,
        "clips": len(results),
        "seed": seed,
        "scores": tables[MODEL]
        | {
            "by_walk": {
                walk: means([r for r in results if r.walk == walk], MODEL) for walk in sorted({r.walk for r in results})
            },
            "curves": curves(results, protocol.dfd_every),
            "per_clip": [per_clip(result) for result in results],
        },
        "baselines": {method: tables[method] for method in baselines(tables)},
        "floors": {method: tables[method] for method in FLOORS} | {"motion_estimator": motion[TRUTH]},
    }
    shares = {whose: card.accuracy for whose, card in cards.items()}
    return plain(found | {"claims": claims(results, tables, shares[MODEL] / max(shares[TRUTH], 1e-9), protocol)})


def means(results: list[LongResult], method: str) -> Json:
    """Mean of every metric over clips, and how many clips and counted returns are behind it."""
    scores = {metric: nanmean([r.scores[method][metric] for r in results]) for metric in results[0].scores[method]}
    return {"clips": len(results), "revisits": sum(r.revisits for r in results)} | scores


def curves(results: list[LongResult], every: int) -> Json:
    """Metric -> method -> mean over clips at each measured frame, and which frames those are."""
    found: Json = {
        metric: {method: np.mean([r.curves[metric][method] for r in results], axis=0).tolist() for method in by_method}
        for metric, by_method in results[0].curves.items()
    }
    length = len(results[0].curves["psnr"][MODEL])
    return found | {"frames": [every * (index + 1) for index in range(length)]}


def per_clip(result: LongResult) -> Json:
    """One clip's row: the model's scores, and those that claims pair it with."""
    paired = ("return_psnr", "return_dfd", "return_truth_psnr", "return_truth_dfd", "psnr", "dfd")
    others = {
        method: {metric: result.scores[method][metric] for metric in paired} for method in baselines(result.scores)
    }
    about = {"name": result.name, "walk": result.walk, "biome": result.biome, "revisits": result.revisits}
    return about | dict(result.scores[MODEL]) | others


def claims(results: list[LongResult], tables: Mapping[str, Json], follows: float, protocol: LongProtocol) -> list[Json]:
    """One entry per statement of the protocol. A difference is worth the lower bound of its paired interval."""
    bounds, model, floor = protocol.bounds, tables[MODEL], tables[TRUTH]

    def better(name: str, metric: str, baseline: str) -> Json:
        sign = 1 if "psnr" in metric else -1
        gains = [sign * (r.scores[MODEL][metric] - r.scores[baseline][metric]) for r in results]
        return lead(name, gains, protocol.bootstrap)

    leads = [
        better("return_better_than_no_memory", "return_dfd", WITHOUT),
        better("return_psnr_better_than_no_memory", "return_psnr", WITHOUT),
        better("return_truth_better_than_no_memory", "return_truth_dfd", WITHOUT),
        better("return_truth_better_than_repeat", "return_truth_dfd", REPEAT),
    ]
    for rival in rivals(tables):
        leads.append(better(f"return_better_than_{rival}", "return_dfd", rival))
        leads.append(better(f"psnr_better_than_{rival}", "psnr", rival))
        leads.append(better(f"dfd_better_than_{rival}", "dfd", rival))
    honest = [
        claim("gradient_energy_ratio", model["gradient_energy_ratio"], bounds.gradient_energy_ratio),
        claim("return_gradient_energy_ratio", model["return_gradient_energy_ratio"], bounds.gradient_energy_ratio),
        at_least("key_following", follows, bounds.following_share_of_floor),
    ]
    needed = [*leads[:1], leads[3], *honest]
    ceiling = tables["autoencoder"]
    return [
        at_least("revisit_clips", sum(r.revisits > 0 for r in results), bounds.revisit_clips),
        *leads,
        *honest,
        wins(leads[0], needed),
        at_most("r_dist_over_floor", _ratio(model, floor, "r_dist_degrees"), bounds.motion_over_floor),
        at_most("t_dist_over_floor", _ratio(model, floor, "t_dist_of_path"), bounds.motion_over_floor),
        at_least("return_psnr_share_of_autoencoder", model["return_psnr"] / max(ceiling["return_truth_psnr"], 1e-9),
                 bounds.share_of_autoencoder),
        at_least("shown_psnr_share_of_autoencoder", _ratio(model, ceiling, "return_truth_psnr_shown"),
                 bounds.share_of_autoencoder),
    ]  # fmt: skip


def wins(better: Json, needed: list[Json]) -> Json:
    """The return is better by memory in a rollout that is as sharp as the truth, follows the keys and beats a frozen
    picture: what a model must show to have come back to a place."""
    failing = [each["name"] for each in needed if not each["holds"]]
    return {**better, "name": "return_is_remembered", "holds": not failing, "failing": failing}


def _ratio(one: Mapping[str, Any], other: Mapping[str, Any], metric: str) -> float:
    return one[metric] / max(other[metric], 1e-9)
