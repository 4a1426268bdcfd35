"""The pages of the long and the drift protocol that a person reads: claims, tables, curves over time, revisit grids,
strips. They need nothing but themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.evaluation.drift import MEASURES, DriftResult
from engine.evaluation.long import MODEL, TRUTH, WITHOUT, LongResult, rivals
from engine.evaluation.markup import chosen, claims_table, document, image, plot, table

RETURN = (
    "return_psnr", "return_ssim", "return_dfd", "return_truth_psnr", "return_truth_psnr_shown", "return_truth_ssim",
    "return_truth_dfd", "return_gradient_energy_ratio",
)  # fmt: skip
WHOLE = ("psnr", "ssim", "dfd", "gradient_energy_ratio")
PAPER = {"psnr": "18.94", "ssim": "0.585", "R_dist": "0.332", "T_dist": "0.797"}
"""Table 2 of the paper, long-term, its own data and scales: not comparable number by number."""
NOTES = """Frame 0 is given. A frame of the return counts if its place was seen before the recent window of the turning
point and the view there showed less than a tenth of it. <b>return_</b>: against the first pass of the same rollout;
<b>return_truth_</b>: against the true frame; <b>_shown</b>: over pixels that the given frame shows. <b>no_memory</b>:
the same model and noise, the most recent latents in place of the retrieved ones. <b>repeat</b>: the given frame again,
which returns to itself perfectly and to the truth not at all. <b>autoencoder</b>: the truth through the frozen
autoencoder. <b>truth</b>: what moves by itself between two visits. DFD is the deep feature distance
(EfficientNet-Lite0), lower is better; it is not LPIPS. R_dist: mean angle in degrees; T_dist: mean distance over the
length of the path; cameras are estimated in the frames by an estimator that knows no command, the truth's row is its
floor."""
DRIFT_NOTES = """<b>dfd_to_set</b>: distance of a frame to the nearest of the walk's true frames, whatever place they
show (true frames: to those at least 64 frames away). Late over early should stay near 1, as the truth's does; a frozen
or blurred picture is given away by its sharpness against the truth and by key following."""


def long_page(report: Mapping[str, Any], results: Sequence[LongResult]) -> str:
    """The page of a report of `run_long`; revisit grids of the best, median and worst clips by the return's DFD."""
    scores = report["scores"]
    sides = {MODEL: scores, **report["baselines"], **report["floors"]}
    methods = [method for method in sides if method in results[0].scores]
    parts = ["<h2>Claims</h2>", claims_table(report["claims"]), f"<p><small>{NOTES}</small></p>"]
    parts += [f"<h2>The return: {scores['revisits']} counted frames of {report['clips']} clips</h2>"]
    parts += [table(["", *RETURN], [[method, *(sides[method][metric] for metric in RETURN)] for method in methods])]
    parts += ["<h2>The whole rollout</h2>"]
    parts += [table(["", *WHOLE], [[method, *(sides[method][metric] for metric in WHOLE)] for method in methods])]
    paper = ", ".join(f"{name} {value}" for name, value in PAPER.items())
    parts += [f"<p><small>The paper's long-term figures on its own data and scales: {paper}.</small></p>"]
    parts += ["<h2>By walk</h2>", _by_walk(scores["by_walk"])]
    parts += [
        "<h2>Camera motion</h2>",
        _motion({name: sides[name] for name in (MODEL, WITHOUT, *rivals(methods), TRUTH)}),
    ]
    parts += ["<h2>Over time</h2>", *_curves(scores["curves"], ("psnr", "dfd", "gradient_energy_ratio"))]
    parts += ["<h2>Revisits</h2>", "<p>Rows: first visit, return, return without memory, true return.</p>"]
    picked = chosen([r for r in results if r.revisits], lambda result: result.scores[MODEL]["return_dfd"])
    for label, result in picked:
        found = ", ".join(f"{name} {result.scores[MODEL][name]:.3f}" for name in ("return_psnr", "return_dfd"))
        parts.append(image(result.grid, f"{label}: {result.name}, {result.biome}, {result.walk}, {found}"))
    parts += ["<h2>Strips</h2>", "<p>Rows: truth, model, without memory.</p>"]
    parts += [image(result.strip, f"{label}: {result.name}, {result.biome}") for label, result in picked]
    return document(_title(report), parts)


def drift_page(report: Mapping[str, Any], results: Sequence[DriftResult]) -> str:
    """The page of a report of `run_drift`."""
    scores, truth = report["scores"], report["floors"][TRUTH]
    head = ["", "early", "late", "late / early", "truth early", "truth late", "truth late / early"]
    rows = [[name, *scores[name].values(), *truth[name].values()] for name in MEASURES]
    following = [*scores["following"].values(), None, *truth["following"].values(), None]
    windows = ", ".join(f"{name} {start} to {stop}" for name, (start, stop) in scores["windows"].items())
    parts = ["<h2>Claims</h2>", claims_table(report["claims"]), f"<p><small>{DRIFT_NOTES}</small></p>"]
    parts += [f"<h2>{scores['frames']} frames; windows: {windows}</h2>"]
    parts += [table(head, [*rows, ["key following", *following]])]
    parts += ["<h2>Over time</h2>", *_curves(scores["curves"], MEASURES)]
    parts += ["<h2>Strips</h2>", "<p>Rows: truth, model, from the first frame to the last.</p>"]
    parts += [image(result.strip, f"{result.name}, {result.biome}") for result in results]
    return document(_title(report), parts)


def _title(report: Mapping[str, Any]) -> str:
    return f"{report['preset']}, protocol {report['protocol']}, {report['clips']} clips, seed {report['seed']}"


def _by_walk(walks: Mapping[str, Any]) -> str:
    metrics = ("clips", "revisits", *RETURN)
    return table(["", *metrics], [[walk, *(found[metric] for metric in metrics)] for walk, found in walks.items()])


def _motion(sides: Mapping[str, Any]) -> str:
    first = sides[MODEL]
    gains = [f"gain {axis}" for axis in first["gain"]]
    head = ["", "following", "R_dist (degrees)", "T_dist (of the path)", *first["recall"], *gains]
    rows = [
        [name, side["following"], side["r_dist_degrees"], side["t_dist_of_path"], *side["recall"].values(),
         *side["gain"].values()]
        for name, side in sides.items()
    ]  # fmt: skip
    return table(head, rows)


def _curves(curves: Mapping[str, Any], metrics: Sequence[str]) -> list[str]:
    """Each metric over time; a difference to the truth has no line for the truth itself."""
    drawn = []
    for metric in metrics:
        hidden = {TRUTH} if metric in ("psnr", "dfd") else set()
        lines = {whose: values for whose, values in curves[metric].items() if whose not in hidden}
        drawn.append(plot(f"{metric} over frames", curves["frames"], lines))
    return drawn
