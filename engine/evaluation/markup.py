"""Parts of the pages that people read: tables, curves, pictures. A page needs nothing but itself (data URIs, SVG)."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

R = TypeVar("R")
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1300px;margin:2em auto;padding:0 1em;color:#223}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #dde}
td:first-child,th:first-child{text-align:left}img{width:100%;image-rendering:pixelated;margin:.2em 0
1em}.no{color:#b22;font-weight:600} .yes{color:#184}small{color:#667}figure{display:inline-block;margin:0 1em 1em 0}
svg{background:#f7f8fb;font:11px system-ui,sans-serif}"""
COLOURS = ("#1b62c4", "#d1491b", "#2a8a3a", "#8a5bb5", "#555", "#b58900")
PLOT = (420, 200, 46, 18)
"""Width, height, left and bottom margin of a plot, pixels."""
FILM_EVERY, FILM_FPS = 2, 12
"""Moving pictures show every second frame, 12 a second."""


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page."""
    title = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return head + "\n".join([f"<h1>{title}</h1>", *parts]) + "\n"


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture `[H, W, 3]` as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=88)
    return webp_uri(buffer.getvalue())


def animation(frames: NDArray[np.uint8]) -> bytes:
    """A moving picture (WebP) of frames `[F, H, W, 3]`."""
    buffer, pictures = io.BytesIO(), [Image.fromarray(frame) for frame in frames[::FILM_EVERY]]
    pictures[0].save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / FILM_FPS),
        loop=0,
        quality=70,
        method=2,
    )
    return buffer.getvalue()


def webp_uri(data: bytes) -> str:
    """WebP bytes as a data URI."""
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def image(picture: NDArray[np.uint8], caption: str) -> str:
    """A picture `[H, W, 3]` below its caption; the caption alone if the picture is empty."""
    shown = f'<img alt="frames" src="{data_uri(picture)}">' if picture.size else ""
    return f"<p>{html.escape(caption)}</p>{shown}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; numbers with three digits, nothing for None."""
    lines = ["<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows]
    return "<table>" + "".join(lines) + "</table>"


def cell(value: Any) -> str:
    """What stands in a table's cell."""
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def claims_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """The claims of a report."""
    rows = [
        f"<tr><td>{html.escape(each['name'])}</td><td>{cell(each['value'])}</td><td>{html.escape(str(each['bound']))}</td>"
        f"<td class={'yes' if each['holds'] else 'no'}>{'holds' if each['holds'] else 'does not hold'}</td></tr>"
        for each in claims
    ]
    return "<table><tr><th>claim</th><th>value</th><th>bound</th><th></th></tr>" + "".join(rows) + "</table>"


def chosen(results: Sequence[R], score: Callable[[R], float], each: int = 3) -> list[tuple[str, R]]:
    """Best, median and worst results by a score where less is better, up to `each` of all three, none twice."""
    ranked = sorted(results, key=lambda result: (math.isnan(score(result)), score(result)))
    middle = max((len(ranked) - each) // 2, 0)
    picks = {"best": ranked[:each], "median": ranked[middle : middle + each], "worst": ranked[::-1][:each]}
    seen: dict[int, tuple[str, R]] = {}
    for label, found in picks.items():
        for result in found:
            seen.setdefault(id(result), (label, result))
    return list(seen.values())


def plot(title: str, at: Sequence[float], lines: Mapping[str, Sequence[float | None]]) -> str:
    """Curves over `at` as one SVG, a line of `lines` for each name; None and NaN are gaps."""
    width, height, left, bottom = PLOT
    known = [float(y) for ys in lines.values() for y in ys if y is not None and math.isfinite(y)] or [0.0]
    low, high = min(known), max(known)
    span, reach = (high - low) or 1.0, (at[-1] - at[0]) or 1.0

    def place(x: float, y: float) -> str:
        across = left + (width - left - 8) * (x - at[0]) / reach
        return f"{across:.1f},{8 + (height - bottom - 16) * (1 - (y - low) / span):.1f}"

    drawn, names = [], []
    for colour, (name, ys) in zip(COLOURS * 3, lines.items(), strict=False):
        for points in _stretches(at, ys):
            path = " ".join(place(x, y) for x, y in points)
            drawn.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{path}"/>')
        names.append(f'<b style="color:{colour}">{html.escape(name)}</b>')
    ticks = [
        f'<text x="2" y="14">{high:.3g}</text><text x="2" y="{height - bottom - 4}">{low:.3g}</text>',
        f'<text x="{left}" y="{height - 4}">{at[0]:g}</text>',
        f'<text x="{width - 40}" y="{height - 4}">{at[-1]:g}</text>',
    ]
    picture = f'<svg width="{width}" height="{height}">{"".join(drawn + ticks)}</svg>'
    return f"<figure><figcaption>{html.escape(title)}: {' '.join(names)}</figcaption>{picture}</figure>"


def _stretches(at: Sequence[float], ys: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """The unbroken stretches of a curve."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(at, ys, strict=True):
        if y is None or not math.isfinite(y):
            found.append([])
        else:
            found[-1].append((x, float(y)))
    return [points for points in found if points]
