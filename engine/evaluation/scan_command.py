"""`launch.py evaluate --protocol scan`: what to run and what to write. Drawing is the caller's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from engine.checkpoint import write_atomically
from engine.evaluation.claims import Json
from engine.evaluation.clips import read_clips
from engine.evaluation.command import Draw, claim_lines
from engine.evaluation.protocol import ScanProtocol
from engine.evaluation.report_scan import scan_page
from engine.evaluation.scans import EXHIBITS, FUSED, TRUE_DEPTH, run_scans
from engine.weights import PocketWeights

_KINDS = ("accuracy", "completeness", "f_score")


def evaluate(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: ScanProtocol,
    folder: Path,
    draw: Draw | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Scans the walks in `folder`; writes what `--json`, `--html` and `--sheet` ask for and returns the report."""
    total = sum(1 for _ in read_clips(folder))
    counted, drawn = iter(range(1, total + 1)), draw is not None and (options.sheet or options.html)
    report, results = run_scans(
        weights,
        read_clips(folder),
        protocol,
        seed=protocol.seed,
        preset=options.preset,
        exhibits=EXHIBITS if drawn else 0,
        done=lambda: progress(next(counted), total),
    )
    shown = [result.exhibit for result in results if result.exhibit is not None]
    sheet = draw(shown) if draw is not None and drawn and shown else None
    if options.json:
        write_atomically(options.json, lambda part: part.write_text(json.dumps(report, indent=1) + "\n"))
    if options.sheet and sheet is not None:
        write_atomically(options.sheet, lambda part: Image.fromarray(sheet).save(part, "PNG"))
    if options.html:
        write_atomically(options.html, lambda part: part.write_text(scan_page(report, sheet), encoding="utf-8"))
    return report


def summary(report: Json) -> str:
    """Claims, and the scores of clouds, as lines of text."""
    clouds = {FUSED: report["scores"][FUSED], **report["baselines"], TRUE_DEPTH: report["floors"][TRUE_DEPTH]}
    lines = [claim_lines(report)]
    shares = [metric.removeprefix("f_score_") for metric in clouds[FUSED] if metric.startswith("f_score_")]
    for method, found in clouds.items():
        numbers = (
            f"{share} %: " + " / ".join(f"{found[f'{kind}_{share}']:.3f}" for kind in _KINDS) for share in shares
        )
        lines.append(f"  {method:<12}{'   '.join(numbers)}")
    return "\n".join([*lines, "  accuracy / completeness / F-score at shares of depth"])
