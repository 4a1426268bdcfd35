"""`launch.py evaluate`: what to render, what to run, what to write. Drawing the held-out clips is the caller's (the
engine never renders)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.checkpoint import Json, write_atomically
from engine.errors import WanderError
from engine.evaluation.clips import read_clips
from engine.evaluation.protocol import ShortProtocol, short_protocol
from engine.evaluation.report import page
from engine.evaluation.short import run_short
from engine.weights import POCKET_FOLDER, PocketWeights, load_pocket
from engine.world import PRESETS

PROTOCOLS = ("short",)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipRequest:
    """Held-out clips that an evaluation wants rendered."""

    sets: tuple[tuple[str, int, int], ...]
    """(kind of walk, clips, seed of the set): no two sets share a world."""
    frames: int
    width: int
    height: int
    event_rate: float
    depth: bool


def parser() -> argparse.ArgumentParser:
    """Arguments of the verb."""
    top = argparse.ArgumentParser(
        prog="launch.py evaluate", description="The paper's tables at our scale, on held-out worlds of any seed."
    )
    top.add_argument("--protocol", choices=(*PROTOCOLS, "events"), default="short", help="what is measured (short)")
    top.add_argument("--preset", default="pocket", help="which model (pocket)")
    top.add_argument(
        "--weights", type=Path, default=POCKET_FOLDER, metavar="DIR", help="its weight files (those of the repository)"
    )
    top.add_argument("--clips", type=int, default=0, metavar="N", help="how many clips (as the protocol says: 48)")
    top.add_argument(
        "--seed",
        type=int,
        default=0,
        help="worlds and noise; any seed, so that others can choose their own (the protocol's)",
    )
    top.add_argument("--json", type=Path, metavar="OUT.json", help="write the machine-readable report")
    top.add_argument("--html", type=Path, metavar="OUT.html", help="write the report with strips")
    return top


def prepare(options: argparse.Namespace) -> tuple[PocketWeights, ShortProtocol, ClipRequest]:
    """Checked weights, the protocol with the user's seed, and the clips it needs. Raises `WanderError` for what the
    user can mend."""
    if options.preset not in PRESETS:
        raise WanderError(f"there is no preset {options.preset!r} to evaluate; choose one of {', '.join(PRESETS)}")
    if options.clips < 0:
        raise WanderError(f"--clips {options.clips} is below 1; ask for at least 1")
    protocol = short_protocol()
    protocol = replace(protocol, seed=options.seed or protocol.seed)
    weights = load_pocket(options.weights)
    walks = protocol.scaled(options.clips) if options.clips else dict(protocol.walks)
    sets = tuple((kind, count, 100 * protocol.seed + index) for index, (kind, count) in enumerate(walks.items()))
    return (
        weights,
        protocol,
        ClipRequest(
            sets=sets,
            frames=protocol.frames,
            width=weights.width,
            height=weights.height,
            event_rate=protocol.event_rate,
            depth=True,
        ),
    )


def evaluate(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: ShortProtocol,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Scores the model on the clips in `folder`; writes what `--json` and `--html` ask for and returns the report."""
    total = sum(1 for _ in read_clips(folder))
    done = iter(range(1, total + 1))
    report, results = run_short(
        weights,
        read_clips(folder),
        protocol,
        seed=protocol.seed,
        preset=options.preset,
        done=lambda: progress(next(done), total),
    )
    if options.json:
        write_atomically(options.json, lambda part: part.write_text(json.dumps(report, indent=1) + "\n"))
    if options.html:
        write_atomically(options.html, lambda part: part.write_text(page(report, results)))
    return report


def summary(report: Json) -> str:
    """The claims as lines of text."""
    lines = [f"{report['clips']} clips, seed {report['seed']}"]
    for each in report["claims"]:
        value = "-" if each["value"] is None else f"{each['value']:.3f}"
        lines.append(f"  {'yes' if each['holds'] else 'NO ':<4}{each['name']:<28}{value:>10}   bound {each['bound']}")
    return "\n".join(lines)
