"""`launch.py evaluate --protocol scan`: what to run and what to write. Drawing is the caller's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.checkpoint import write_atomically
from engine.evaluation.claims import Json
from engine.evaluation.clips import read_clips
from engine.evaluation.command import summary as claims_of
from engine.evaluation.protocol import Protocol, ScanProtocol
from engine.evaluation.report_scan import scan_page
from engine.evaluation.scans import EXHIBITS, FUSED, TRUE_DEPTH, Exhibit, run_scans
from engine.weights import PocketWeights

Draw = Callable[[Sequence[Exhibit]], NDArray[np.uint8]]
"""The sheet `[H, W, 3]` of some clouds."""
_KINDS = ("accuracy", "completeness", "f_score")


def evaluate(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: Protocol,
    folder: Path,
    draw: Draw,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Scans the walks in `folder`; writes what `--json`, `--html` and `--sheet` ask for and returns the report."""
    assert isinstance(protocol, ScanProtocol)
    total = sum(1 for _ in read_clips(folder))
    counted, drawn = iter(range(1, total + 1)), options.sheet or options.html
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
    sheet = draw(shown) if drawn and shown else None
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
    lines = [claims_of(report)]
    shares = [metric.removeprefix("f_score_") for metric in clouds[FUSED] if metric.startswith("f_score_")]
    for method, found in clouds.items():
        numbers = (
            f"{share} %: " + " / ".join(f"{found[f'{kind}_{share}']:.3f}" for kind in _KINDS) for share in shares
        )
        lines.append(f"  {method:<12}{'   '.join(numbers)}")
    return "\n".join([*lines, "  accuracy / completeness / F-score at shares of depth"])
