"""The page of the scan protocol that a person reads: claims, tables, and the sheet of clouds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.markup import claims_table, document, image, table
from engine.evaluation.scans import FUSED, GENERATED, NAIVE, OPEN3D, TRUE_DEPTH, TRUE_FRAMES

DEPTHS = (
    "disagreement", "disagreement_standing", "agree_within_5", "pairs", "hidden", "halves_apart",
    "halves_apart_of_depth", "halves_alone",
)  # fmt: skip
_SHOWN = tuple(name for name in DEPTHS if name not in ("pairs", "hidden"))
NOTES = """<b>fused</b>: the depth network's depth of true frames, sifted and fused by a scan's own NumPy path
(<b>open3d</b>: by Open3D, where it is installed). <b>naive</b>: all pixels of the same depth within the limits,
back-projected. <b>true_depth</b>: the renderer's depth of the same views, fused in the same way: the ceiling that views
and spacing of points set. Accuracy: share of a cloud's points that lie within 1, 2.5 or 5 % of their distance to the
nearest camera from the true surface; completeness: share of what the pixels of all frames saw of it that has a point so
near; F-score: their harmonic mean. The true surface is the fused cloud of the renderer's depth of all frames of the
walk, filled in between pixels along planes; not the triangles themselves, of which the walk has seen a part only. A
character that walks along is no part of it. <b>standing</b>: points and pixels more than 0.15 units above the ground,
whose own depth follows from the pose."""
DEPTH_NOTES = """<b>generated</b>: the model's own walk from the first frame, its depth by the network;
<b>true_frames</b>: true frames, depth by the network; <b>true_depth</b>: the renderer's. disagreement: median relative
difference of the depths that two views give a surface, over all static pixels within the limits; what another view
hides (something there is nearer by a quarter) is left out, <b>hidden</b> is its share. halves_apart: median distance,
units, from each point of the cloud of one half of a way out and back to the nearest of the other's, with as many points
of both; infinite where none lies within a quarter of the depth (<b>halves_alone</b>: their share)."""


def scan_page(report: Mapping[str, Any], sheet: NDArray[np.uint8] | None) -> str:
    """The whole page for a report of `run_scans`, with the sheet `[H, W, 3]` of its clouds if there is one."""
    scores, floors = report["scores"], report["floors"]
    clouds = {name: scores[name] for name in (FUSED, OPEN3D) if name in scores}
    clouds |= {NAIVE: report["baselines"][NAIVE], TRUE_DEPTH: floors[TRUE_DEPTH]}
    all_metrics = [metric for metric in scores[FUSED] if metric != "points"]
    metrics = [metric for metric in all_metrics if "_standing" not in metric]
    standing = [metric for metric in all_metrics if "_standing" in metric]
    rows = [[method, found["points"], *(found[metric] for metric in metrics)] for method, found in clouds.items()]
    tall = [[method, *(found[metric] for metric in standing)] for method, found in clouds.items()]
    depths = {GENERATED: scores[GENERATED], TRUE_FRAMES: floors[TRUE_FRAMES], TRUE_DEPTH: floors[TRUE_DEPTH]}
    parts = ["<h2>Claims</h2>", claims_table(report["claims"])]
    parts += ["<h2>Clouds of true frames against the true surface</h2>", f"<p><small>{NOTES}</small></p>"]
    parts += [table(["", "points", *metrics], rows), table(["", *standing], tall)]
    parts += ["<h2>Depths against each other</h2>", f"<p><small>{DEPTH_NOTES}</small></p>"]
    parts += [table(["", *DEPTHS], [[kind, *(found[name] for name in DEPTHS)] for kind, found in depths.items()])]
    if sheet is not None:
        parts += [
            "<h2>Clouds of generated walks</h2>",
            image(sheet, "Some frames of each walk, and views of its cloud."),
        ]
    parts += ["<h2>Walks</h2>", _walks(report["scores"]["per_clip"], metrics)]
    title = f"{report['preset']}, protocol {report['protocol']}, {report['clips']} walks, seed {report['seed']}"
    return document(title, parts)


def _walks(rows: list[Mapping[str, Any]], metrics: list[str]) -> str:
    scored = [metric for metric in metrics if metric.startswith("f_score")]
    head = ["", "walk", "biome", *scored, *(f"naive {metric}" for metric in scored), *_SHOWN]
    return table(
        head,
        [
            [row["name"], row["walk"], row["biome"], *(row["clouds"][FUSED][metric] for metric in scored),
             *(row["clouds"][NAIVE][metric] for metric in scored),
             *(row["depths"][GENERATED][name] for name in _SHOWN)]
            for row in rows
        ],
    )  # fmt: skip
