"""The short protocol's report that a person reads: one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.evaluation.markup import chosen, claims_table, document, image, table
from engine.evaluation.short import METHODS, ClipResult

METRICS = ("psnr", "psnr_shown", "psnr_hidden", "ssim", "dfd", "dfd_shown", "dfd_hidden", "gradient_energy_ratio")
NOTES = """Frame 0 is given. <b>shown</b>: pixels whose surface the given frame shows, by true depth; <b>hidden</b>: all
others. <b>repeat</b> shows the given frame again, <b>warp</b> turns it by the known rotation, <b>autoencoder</b> is the
truth through the frozen autoencoder, the ceiling. DFD is the deep feature distance (EfficientNet-Lite0), lower is
better; it is not LPIPS."""


def page(report: Mapping[str, Any], results: Sequence[ClipResult]) -> str:
    """The whole page for a report of `run_short`: claims, tables, and the strips of the best, median and worst clips by
    DFD."""
    title = f"{report['preset']}, protocol {report['protocol']}, {report['clips']} clips, seed {report['seed']}"
    tables = {
        "model": report["scores"],
        "repeat": report["baselines"]["repeat"],
        "warp": report["baselines"]["warp"],
        "autoencoder": report["floors"]["autoencoder"],
    }
    parts = [
        "<h2>Claims</h2>",
        claims_table(report["claims"]),
        f"<p><small>{NOTES}</small></p>",
    ]
    for group in ("walking", "rotation_only", "still"):
        if group in report["scores"]:
            rows = [[method, *(tables[method][group][metric] for metric in METRICS)] for method in METHODS]
            parts += [
                f"<h2>{group.replace('_', ' ')}: {report['scores'][group]['clips']} clips</h2>",
                table(["", *METRICS], rows),
            ]
    parts += ["<h2>Camera motion</h2>", _motion(report), "<h2>Strips</h2>", "<p>Rows: truth, model, warp.</p>"]
    for label, result in chosen(results, lambda result: result.scores["model"]["dfd"]):
        psnr, dfd = (result.scores["model"][metric] for metric in ("psnr", "dfd"))
        caption = f"{label}: {result.name}, {result.biome}, PSNR {psnr:.2f} dB, DFD {dfd:.3f}"
        parts.append(image(result.strip, caption))
    return document(title, parts)


def _motion(report: Mapping[str, Any]) -> str:
    sides = {"model": report["scores"], "floor (truth)": report["floors"]["motion_estimator"]}
    head = [
        "",
        "following",
        "R_dist (rad)",
        "T_dist (m)",
        *report["scores"]["recall"],
        *(f"gain {axis}" for axis in report["scores"]["gain"]),
    ]
    rows = [
        [name, side["following"], side["r_dist"], side["t_dist"], *side["recall"].values(), *side["gain"].values()]
        for name, side in sides.items()
    ]
    return table(head, rows)
