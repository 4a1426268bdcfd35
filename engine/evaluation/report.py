"""A report that a person reads: one HTML page that needs nothing else (strips are data URIs)."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.evaluation.short import METHODS, ClipResult

METRICS = ("psnr", "psnr_shown", "psnr_hidden", "ssim", "dfd", "dfd_shown", "dfd_hidden", "gradient_energy_ratio")
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1300px;margin:2em auto;padding:0 1em;color:#223}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #dde}
td:first-child,th:first-child{text-align:left}img{width:100%;image-rendering:pixelated;margin:.2em 0
1em}.no{color:#b22;font-weight:600} .yes{color:#184}small{color:#667}"""
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
        f"<h1>{html.escape(title)}</h1>",
        "<h2>Claims</h2>",
        _claims(report["claims"]),
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
    for label, result in chosen(results):
        psnr, dfd = (result.scores["model"][metric] for metric in ("psnr", "dfd"))
        parts.append(
            f"<p>{label}: {html.escape(result.name)}, {html.escape(result.biome)}, "
            f"PSNR {psnr:.2f} dB, DFD {dfd:.3f}</p>"
            f'<img alt="strip" src="{data_uri(result.strip)}">'
        )
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        + "\n".join(parts)
        + "\n"
    )


def chosen(results: Sequence[ClipResult], each: int = 3) -> list[tuple[str, ClipResult]]:
    """Best, median and worst clips by the model's DFD, up to `each` of all three, none twice."""
    ranked = sorted(results, key=lambda result: result.scores["model"]["dfd"])
    middle = max((len(ranked) - each) // 2, 0)
    picks = {"best": ranked[:each], "median": ranked[middle : middle + each], "worst": ranked[::-1][:each]}
    seen: dict[str, tuple[str, ClipResult]] = {}
    for label, found in picks.items():
        for result in found:
            seen.setdefault(result.name, (label, result))
    return list(seen.values())


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture `[H, W, 3]` as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; numbers with three digits, nothing for None."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def _claims(claims: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        f"<tr><td>{html.escape(each['name'])}</td><td>{_cell(each['value'])}</td><td>{html.escape(str(each['bound']))}</td>"
        f"<td class={'yes' if each['holds'] else 'no'}>{'holds' if each['holds'] else 'does not hold'}</td></tr>"
        for each in claims
    ]
    return "<table><tr><th>claim</th><th>value</th><th>bound</th><th></th></tr>" + "".join(rows) + "</table>"


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
