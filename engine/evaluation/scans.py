"""`evaluate --protocol scan` (paper 4.3, E.1): what a scan of a walk is worth.

Of true frames: the network's depth fused into a cloud, against the true surface that the walk saw, next to naive
back-projection of the same depth and to the true depth fused in the same way. Of generated frames there is no true
surface: views of one surface must agree, and the two halves of a way back must meet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.evaluation.claims import Json, at_least, at_most, lead
from engine.evaluation.clips import TrueClip
from engine.evaluation.metrics import nanmean, plain
from engine.evaluation.protocol import ScanProtocol
from engine.evaluation.rollout import true_depth
from engine.geometry import POCKET_LENS, Matrix
from engine.reconstruction.accuracy import score
from engine.reconstruction.back_projection import back_project
from engine.reconstruction.cloud import PointCloud
from engine.reconstruction.colours import last_frames
from engine.reconstruction.consistency import STANDING, agreement, alignment
from engine.reconstruction.depth_source import DepthSource, Pictures, by_network
from engine.reconstruction.fusion import FusionConfig, fuse
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.truth import true_surface
from engine.reconstruction.views import DepthViews
from engine.scan import choose
from engine.streamer import PocketWorld, Sampling
from engine.training.latents import encode_frames
from engine.vae import FRAMES_PER_LATENT
from engine.weights import PocketWeights
from engine.world import WorldSpec

FUSED, OPEN3D, NAIVE, TRUE_DEPTH = "fused", "open3d", "naive", "true_depth"
"""Clouds of true frames."""
GENERATED, TRUE_FRAMES = "generated", "true_frames"
"""Depths that are compared with each other; those of `TRUE_DEPTH` as well."""
EXHIBITS, SHOWN = 6, 3
"""Worlds on the sheet, and frames of each."""
_MOST_VIEWS = 300
_NAMES = {"median": "disagreement", "standing": "disagreement_standing", "within": "agree_within_5"}
"""What fields of `Agreement` are called in a report."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exhibit:
    """The cloud of a generated walk, for the sheet."""

    name: str
    cloud: PointCloud
    cameras: Matrix
    """World_from_camera `[V, 4, 4]`."""
    frames: NDArray[np.uint8]
    """Some of the generated frames, `[SHOWN, H, W, 3]`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScanResult:
    """One walk, scored."""

    name: str
    walk: str
    biome: str
    clouds: Mapping[str, Json]
    """Method -> points, accuracy, completeness and F-score of the cloud of the true frames."""
    depths: Mapping[str, Json]
    """Where the frames come from -> how their depths agree and how the halves meet."""
    exhibit: Exhibit | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Picks:
    """Which of a walk's latents are looked at; the parts are places in `chosen`."""

    chosen: NDArray[np.int64]
    whole: NDArray[np.intp]
    """What a scan takes of the whole walk."""
    halves: tuple[NDArray[np.intp], NDArray[np.intp]]
    """What it takes of each half alone."""


def run_scans(
    weights: PocketWeights,
    clips: Iterable[TrueClip],
    protocol: ScanProtocol,
    *,
    seed: int,
    preset: str,
    exhibits: int = EXHIBITS,
    done: Callable[[], None] = lambda: None,
) -> tuple[Json, list[ScanResult]]:
    """Scans every walk; returns the machine-readable report and the single results, the first `exhibits` of them with
    their clouds. Raises `WanderError` if the weights hold no depth network."""
    if weights.depth is None:
        raise WanderError("these weights hold 0 depth networks, a scan needs 1; train it with 'launch.py train depth'")
    results = []
    for index, clip in enumerate(clips):
        results.append(scan_clip(weights, clip, protocol, seed + index, shown=index < exhibits))
        done()
    return summarise(results, protocol, seed=seed, preset=preset), results


def scan_clip(
    weights: PocketWeights, clip: TrueClip, protocol: ScanProtocol, seed: int, *, shown: bool = False
) -> ScanResult:
    """All clouds and depths of one walk."""
    assert weights.depth is not None
    source, limits = by_network(weights.vae, weights.depth, weights.sweep), SieveConfig(far=protocol.far)
    poses = clip.poses[::FRAMES_PER_LATENT]
    picks = pick(poses)
    exact = true_views(clip, FRAMES_PER_LATENT * picks.chosen)
    encoded = encode_frames(weights.vae, clip.frames[None])[0].numpy()
    seen = _seen(source, encoded, exact.rgb, poses, picks)
    dreamt = dream(weights, clip, seed, protocol.sampling_steps)
    pictures = last_frames(weights.vae, dreamt, picks.chosen)
    found = _seen(source, dreamt, pictures, poses, picks)
    returns = np.allclose(poses, poses[::-1])
    exhibit = None
    if shown:
        cloud, views = fused(found.select(picks.whole), protocol), found.select(picks.whole)
        frames = pictures[np.linspace(0, len(pictures) - 1, SHOWN).round().astype(int)]
        exhibit = Exhibit(name=clip.name, cloud=cloud, cameras=views.world_from_camera, frames=frames)
    return ScanResult(
        name=clip.name,
        walk=str(clip.about.get("walk", "")),
        biome=str(clip.about["biome"]),
        clouds=score_clouds(clip, seen.select(picks.whole), exact.select(picks.whole), protocol),
        depths={
            kind: consistency(views, picks if returns else None, limits, protocol)
            for kind, views in ((GENERATED, found), (TRUE_FRAMES, seen), (TRUE_DEPTH, exact))
        },
        exhibit=exhibit,
    )


def pick(poses: Matrix) -> Picks:
    """Of the cameras `[T, 4, 4]` of a walk's latents: those that a scan of all of it takes, and of each half."""
    middle = (len(poses) + 1) // 2
    whole = choose(poses, since=0, most=_MOST_VIEWS)
    out = choose(poses[:middle], since=0, most=_MOST_VIEWS)
    back = choose(poses, since=middle, most=_MOST_VIEWS)
    chosen = np.unique(np.concatenate([whole, out, back]))
    return Picks(
        chosen=chosen,
        whole=np.searchsorted(chosen, whole),
        halves=(np.searchsorted(chosen, out), np.searchsorted(chosen, back)),
    )


def true_views(clip: TrueClip, frames: NDArray[np.integer]) -> DepthViews:
    """These frames of a clip with their true depth, sure of everything; what passes through the place isn't static."""
    depth, poses = true_depth(clip)[frames].astype(np.float32), clip.poses[frames]
    static = np.ones(depth.shape, dtype=bool) if clip.passing is None else ~clip.passing[frames]
    return DepthViews(
        rgb=clip.frames[frames], depth=depth, confidence=np.ones_like(depth), static=static, world_from_camera=poses,
        lens=POCKET_LENS, frame_ids=np.asarray(frames, dtype=np.int64) // FRAMES_PER_LATENT,
    )  # fmt: skip


def dream(weights: PocketWeights, clip: TrueClip, seed: int, steps: int) -> NDArray[np.float16]:
    """Latents `[T, C, Y, X]` that the model makes along the clip's cameras, from its first frame and its caption."""
    spec, poses = WorldSpec(seed=seed, prompt=clip.caption, image=clip.frames[0]), clip.poses[::FRAMES_PER_LATENT]
    world, made = PocketWorld(weights, spec, sampling=Sampling(steps=steps)), []
    for first in range(0, len(poses), world.chunk):
        deque(world.follow(poses[first : first + world.chunk]), maxlen=0)
        made.append(world.commit().latents)
    return np.concatenate(made)


def _seen(
    source: DepthSource, latents: NDArray[np.float16], rgb: NDArray[np.uint8], poses: Matrix, picks: Picks
) -> DepthViews:
    """The chosen latents of a walk, shown by `rgb` `[V, H, W, 3]`, with the depth that the source finds."""
    shown = Pictures(
        latents=latents[picks.chosen], rgb=rgb, poses=poses[picks.chosen], lens=POCKET_LENS, ids=picks.chosen
    )
    return source(shown, lambda fraction: None)


def fused(views: DepthViews, protocol: ScanProtocol, *, open3d: bool = False) -> PointCloud:
    """The cloud that a scan makes of views; without points where it finds no surface."""
    config = FusionConfig(sieve=SieveConfig(far=protocol.far), voxel=protocol.voxel, open3d=open3d)
    try:
        return fuse(views, config).cloud
    except WanderError:
        return back_project(views, np.zeros(views.depth.shape, dtype=bool), protocol.voxel)


def score_clouds(clip: TrueClip, seen: DepthViews, exact: DepthViews, protocol: ScanProtocol) -> dict[str, Json]:
    """Method -> its cloud of the true frames against the surface that all frames saw."""
    limits = SieveConfig(far=protocol.far)
    new = np.unique(clip.poses.reshape(len(clip.poses), -1), axis=0, return_index=True)[1]
    every = true_views(clip, np.sort(new))
    truth = true_surface(every, limits, protocol.fineness)
    pixels = true_surface(every, limits, protocol.fineness, finer=1)
    inside = (seen.depth >= limits.near) & (seen.depth <= limits.far)
    clouds = {
        FUSED: fused(seen, protocol),
        NAIVE: back_project(seen, inside, protocol.voxel),
        TRUE_DEPTH: fused(exact, protocol),
    }
    if find_spec("open3d") is not None:
        clouds[OPEN3D] = fused(seen, protocol, open3d=True)
    return {method: against(cloud, truth, pixels, every.centres, protocol) for method, cloud in clouds.items()}


def against(
    cloud: PointCloud,
    truth: NDArray[np.float64],
    pixels: NDArray[np.float64],
    centres: NDArray[np.float64],
    protocol: ScanProtocol,
) -> Json:
    """A cloud against the true surface `[M, 3]` and what pixels saw of it `[K, 3]`, from `centres` `[V, 3]`; once more
    (`_standing`) for what stands on the ground alone."""
    points = cloud.xyz.astype(np.float64)
    found: Json = {"points": len(cloud)}
    standing = points[points[:, 1] < -STANDING], pixels[pixels[:, 1] < -STANDING]
    for name, of, seen in (("", points, pixels), ("_standing", *standing)):
        accurate = score(of, truth, seen, centres, protocol.thresholds)
        complete = score(points, truth, seen, centres, protocol.thresholds) if name else accurate
        for one, other in zip(accurate, complete, strict=True):
            each, end = replace(one, recall=other.recall), f"{name}_{percent(one.threshold)}"
            found[f"accuracy{end}"], found[f"completeness{end}"] = each.precision, each.recall
            found[f"f_score{end}"] = each.f_score
    return found


def percent(threshold: float) -> str:
    """A threshold as it stands in the names of scores: 0.025 is 2.5."""
    return f"{100 * threshold:g}"


def consistency(views: DepthViews, picks: Picks | None, limits: SieveConfig, protocol: ScanProtocol) -> Json:
    """How depths of the views agree; with `picks`, of a walk that comes back, also how its halves meet."""
    found: Json = {_NAMES.get(name, name): value for name, value in asdict(agreement(views, limits)).items()}
    if picks is None:
        return found | {"halves_apart": np.nan, "halves_apart_of_depth": np.nan, "halves_alone": np.nan}
    out, back = (fused(views.select(half), protocol).xyz.astype(np.float64) for half in picks.halves)
    met = alignment(out, back, views.centres)
    return found | {
        "halves_apart": met.median,
        "halves_apart_of_depth": met.of_depth,
        "halves_alone": met.alone,
    }


def summarise(results: list[ScanResult], protocol: ScanProtocol, *, seed: int, preset: str) -> Json:
    """The report that DESIGN section 9 fixes: protocol, preset, clips, seed, scores, baselines, floors, claims."""
    clouds = {method: mean_of([result.clouds[method] for result in results]) for method in results[0].clouds}
    depths = {kind: mean_of([result.depths[kind] for result in results]) for kind in results[0].depths}
    per_clip = [
        {"name": r.name, "walk": r.walk, "biome": r.biome, "clouds": dict(r.clouds), "depths": dict(r.depths)}
        for r in results
    ]
    return plain(
        {
            "protocol": "scan",
            "preset": preset,
            "clips": len(results),
            "seed": seed,
            "scores": {name: clouds[name] for name in (FUSED, OPEN3D) if name in clouds}
            | {GENERATED: depths[GENERATED], "per_clip": per_clip},
            "baselines": {NAIVE: clouds[NAIVE]},
            "floors": {TRUE_DEPTH: clouds[TRUE_DEPTH] | depths[TRUE_DEPTH], TRUE_FRAMES: depths[TRUE_FRAMES]},
            "claims": claims(results, depths[GENERATED], protocol),
        }
    )


def mean_of(rows: list[Json]) -> Json:
    """Means over walks; of how far halves are apart the median, since a walk whose halves never meet is infinite."""
    found: Json = {}
    for metric in rows[0]:
        values = np.array([row[metric] for row in rows], dtype=np.float64)
        known = values[~np.isnan(values)]
        halves = metric.startswith("halves_apart")
        found[metric] = float(np.median(known)) if halves and len(known) else nanmean(values)
    return found


def claims(results: list[ScanResult], generated: Json, protocol: ScanProtocol) -> list[Json]:
    """One entry per statement of the protocol. A difference is worth the lower bound of its paired interval."""
    bounds, better = protocol.bounds, []
    for threshold in protocol.thresholds:
        metric = f"f_score_{percent(threshold)}"
        gains = [result.clouds[FUSED][metric] - result.clouds[NAIVE][metric] for result in results]
        better.append(lead(f"{metric}_better_than_naive", gains, protocol.bootstrap))
    return [
        at_least("walks", len(results), bounds.walks),
        *better,
        at_most("generated_disagreement", generated["disagreement"], bounds.disagreement),
        at_most("generated_disagreement_standing", generated["disagreement_standing"], bounds.disagreement),
        at_most("generated_halves_apart_of_depth", generated["halves_apart_of_depth"], bounds.halves_apart_of_depth),
    ]
