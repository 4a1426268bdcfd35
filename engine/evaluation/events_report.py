"""The page of the events protocol: claims, a table of families, what the recache is worth, strips."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from engine.evaluation.events import CaseResult
from engine.evaluation.markup import STYLE, data_uri, table

NOTES = """Frame 0 is given; the words come at a chunk's boundary, in wordings that training never read. <b>truth</b>:
the same walk rendered with the event. Moments at which the truth does not show its event are left out. <b>kept</b>: how
far edges (layout: large shapes) run as in the same walk without the event, 1 the same place, 0 another."""
EACH = 2
"""Strips of each family."""


def page(report: Mapping[str, Any], results: Sequence[CaseResult]) -> str:
    """The whole page for a report of `summarise`; strips are data URIs."""
    title = f"{report['preset']}, protocol {report['protocol']}, {report['clips']} walks, seed {report['seed']}"
    scores, floors, baselines = report["scores"], report["floors"], report["baselines"]
    claims = [
        [each["name"], each["value"], each["bound"], "holds" if each["holds"] else "does not hold"]
        for each in report["claims"]
    ]
    families = [
        [name, *(each[key] for key in ("cases", "left_out", "recall", "truth", "share", "unprompted", "probability"))]
        + [each["kept"][of][what] for what in ("edges", "layout") for of in ("model", "truth")]
        for name, each in scores["families"].items()
    ]
    head = ["", "walks", "moments left out", "recall", "of the truth", "share", "unprompted", "probability"]
    head += ["edges kept", "(truth)", "layout kept", "(truth)"]
    alarms = [
        [name, each["share"], each["chunks"], ", ".join(f"{count} {what}" for what, count in each["taken_for"].items())]
        for name, each in (("unprompted rollouts", scores["false_alarms"]), ("truth", floors["false_alarms"]))
    ]
    languages = [
        [name, *(each[key] for key in ("cases", "recall", "truth"))] for name, each in scores["languages"].items()
    ]
    paired = ["", "walks", "with", "without", "gain", "low", "high"]
    residue, stopped = (
        [[name, *(each[key] for key in ("cases", "with", "without", "gain")), *each["interval"]]
         for name, each in facts.items()]
        for facts in (scores["residue"], {"it stops": scores["stopped"]})
    )  # fmt: skip
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p><small>{NOTES}</small></p>",
        "<h2>Claims</h2>",
        table(["claim", "value", "bound", ""], claims),
        "<h2>Families</h2>",
        table(head, families),
        f"<p>A mirror image keeps {baselines['kept_by_the_mirror_image']['edges']:.3f} of the edges.</p>",
        "<h2>Languages</h2>",
        table(["", "walks", "recall", "of the truth"], languages),
        "<h2>False alarms</h2>",
        table(["", "share", "chunks", "taken for"], alarms),
        "<h2>With and without recache</h2>",
        "<p>How much of the event is missing after the words for it (delay), and how much is left after &ldquo;it "
        "stops&rdquo; (residue): probability of the event, mean of the next chunks, interval of the difference.</p>",
        table(paired, residue),
        "<h2>With and without &ldquo;it stops&rdquo;</h2>",
        "<p>How much of the event is there in the same chunks.</p>",
        table(paired, stopped),
        "<h2>Strips</h2>",
        "<p>Rows: truth, truth without the event, prompted, unprompted.</p>",
    ]
    for result in chosen(results):
        family, words, biome = (html.escape(text) for text in (result.family, result.words, result.biome))
        parts.append(f'<p>{family}: &ldquo;{words}&rdquo;, {biome}</p><img alt="strip" src="{data_uri(result.strip)}">')
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        + "\n".join(parts)
        + "\n"
    )


def chosen(results: Sequence[CaseResult]) -> list[CaseResult]:
    """The first walks of each family."""
    counts: dict[str, int] = {}
    found = []
    for result in results:
        counts[result.family] = counts.get(result.family, 0) + 1
        if counts[result.family] <= EACH:
            found.append(result)
    return found
