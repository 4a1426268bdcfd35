"""`launch.py evaluate`: what to render, what to run, what to write. Drawing the held-out clips is the caller's (the
engine never renders)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.checkpoint import write_atomically
from engine.errors import WanderError
from engine.evaluation import autoencoder, walls
from engine.evaluation.choices import choices_page
from engine.evaluation.claims import Json
from engine.evaluation.clips import TrueClip, read_clips
from engine.evaluation.drift import run_drift
from engine.evaluation.long import run_long
from engine.evaluation.protocol import (
    AutoencoderProtocol,
    DriftProtocol,
    LongProtocol,
    Protocol,
    ScanProtocol,
    ShortProtocol,
    WallsProtocol,
    autoencoder_protocol,
    drift_protocol,
    long_protocol,
    scan_protocol,
    short_protocol,
    walls_protocol,
)
from engine.evaluation.report import page
from engine.evaluation.report_long import drift_page, long_page
from engine.evaluation.rollout import PocketDreamer
from engine.evaluation.short import run_short
from engine.vae import FRAMES_PER_LATENT
from engine.weights import POCKET_FOLDER, PocketWeights, load_pocket
from engine.world import PRESETS

PROTOCOLS: Mapping[str, Callable[[], Protocol]] = {
    "short": short_protocol,
    "long": long_protocol,
    "drift": drift_protocol,
    "scan": scan_protocol,
    "autoencoder": autoencoder_protocol,
    "walls": walls_protocol,
}
PAGELESS = ("autoencoder", "walls")
"""Protocols without pictures to show."""
CHOICES = 12
"""Most pairs on the page for people."""
Draw = Callable[[Sequence[Any]], NDArray[np.uint8]]
"""The sheet `[H, W, 3]` of some clouds, `engine.evaluation.scans.Exhibit`."""
Pages = list[tuple[Path | None, Callable[[], str]]]
"""Where a page is wanted, and how it is made."""


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
    near: float = 0.0


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
    add_size(top)
    top.add_argument(
        "--against",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="long: other models' weight files, compared clip by clip",
    )
    top.add_argument("--clips", type=int, default=0, metavar="N", help="how many clips (as the protocol says)")
    top.add_argument("--frames", type=int, default=0, metavar="F", help="drift: a rollout of at least F frames (2000)")
    top.add_argument(
        "--seed",
        type=int,
        default=0,
        help="worlds and noise; any seed, so that others can choose their own (the protocol's)",
    )
    top.add_argument("--json", type=Path, metavar="OUT.json", help="write the machine-readable report")
    top.add_argument("--html", type=Path, metavar="OUT.html", help="write the report with curves and strips")
    top.add_argument(
        "--choices", type=Path, metavar="OUT.html", help="long: write a page on which people choose between rollouts"
    )
    top.add_argument("--sheet", type=Path, metavar="OUT.png", help="scan: draw the clouds of the first 6 walks")
    return top


def add_size(parser: argparse.ArgumentParser) -> None:
    """The option `--size W H`."""
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("W", "H"), help="of the pictures (the largest in real time here)"
    )


def sized(options: argparse.Namespace) -> tuple[int, int] | None:
    """What `--size` says."""
    return (options.size[0], options.size[1]) if options.size else None


def prepare(options: argparse.Namespace) -> tuple[PocketWeights, Protocol, ClipRequest]:
    """Checked weights, the protocol with the user's seed, and the clips it needs. Raises `WanderError` for what the
    user can mend."""
    if options.preset not in PRESETS:
        raise WanderError(f"there is no preset {options.preset!r} to evaluate; choose one of {', '.join(PRESETS)}")
    if options.html and options.protocol in PAGELESS:
        raise WanderError(
            f"--html shows walks and --protocol {options.protocol} has none; write its tables with --json"
        )
    if options.clips < 0:
        raise WanderError(f"--clips {options.clips} is below 1; ask for at least 1")
    for name, given, belongs in (
        ("--frames", options.frames, "drift"),
        ("--against", options.against, "long"),
        ("--choices", options.choices, "long"),
        ("--sheet", options.sheet, "scan"),
    ):
        if given and options.protocol != belongs:
            raise WanderError(f"{name} belongs to --protocol {belongs}, not to {options.protocol}; leave it out")
    protocol = PROTOCOLS[options.protocol]()
    protocol = replace(protocol, seed=options.seed or protocol.seed, frames=_frames(options.frames or protocol.frames))
    weights = load_pocket(options.weights, size=sized(options))
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
            near=protocol.near,
        ),
    )


def _frames(wanted: int) -> int:
    """At least `wanted` frames, a whole number of chunks of 4 latents: 61, 253, 2,013 are. Raises `WanderError` below
    one chunk."""
    chunk = 4 * FRAMES_PER_LATENT
    if wanted < chunk - 3:
        raise WanderError(f"--frames {wanted} is below one chunk of {chunk - 3}; ask for more")
    return -(-(wanted + 3) // chunk) * chunk - 3


def evaluate(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: Protocol,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    draw: Draw | None = None,
) -> Json:
    """Scores the model on the clips in `folder`; writes what `--json`, `--html` and `--choices` ask for and returns the
    report. `draw` makes the sheet of clouds of the scan protocol."""
    if isinstance(protocol, ScanProtocol):
        from engine.evaluation import scan_command

        return scan_command.evaluate(options, weights, protocol, folder, draw, progress)
    total = sum(1 for _ in read_clips(folder))
    counted = iter(range(1, total + 1))
    report, pages = _run(options, weights, protocol, read_clips(folder), lambda: progress(next(counted), total))
    made = [(path, make()) for path, make in pages if path]
    for path, text in [(options.json, json.dumps(report, indent=1) + "\n"), *made]:
        if path:
            write_atomically(path, lambda part, text=text: part.write_text(text, encoding="utf-8"))
    return report


def _run(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: Protocol,
    clips: Iterator[TrueClip],
    done: Callable[[], None],
) -> tuple[Json, Pages]:
    """The report of a protocol, and the pages it can make of its results."""
    seed, preset = protocol.seed, options.preset
    if isinstance(protocol, ShortProtocol):
        report, results = run_short(weights, clips, protocol, seed=seed, preset=preset, done=done)
        return report, [(options.html, lambda: page(report, results))]
    if isinstance(protocol, WallsProtocol):
        return walls.run_walls(weights, clips, protocol, seed=seed, preset=preset, done=done), []
    dreamer = PocketDreamer(weights, protocol.sampling_steps)
    if isinstance(protocol, AutoencoderProtocol):
        made = autoencoder.run_autoencoder(dreamer.reconstruct, clips, protocol, seed=seed, preset=preset, done=done)
        return made, []
    if isinstance(protocol, DriftProtocol):
        report, drifts = run_drift(dreamer, clips, protocol, seed=seed, preset=preset, done=done)
        return report, [(options.html, lambda: drift_page(report, drifts))]
    assert isinstance(protocol, LongProtocol)
    report, returns = run_long(
        dreamer,
        clips,
        protocol,
        seed=seed,
        preset=preset,
        others={f"{folder}/": _rival(folder, weights, protocol) for folder in options.against},
        films=CHOICES if options.choices else 0,
        done=done,
    )
    return report, [
        (options.html, lambda: long_page(report, returns)),
        (options.choices, lambda: choices_page(report, returns)),
    ]


def _rival(folder: Path, weights: PocketWeights, protocol: Protocol) -> PocketDreamer:
    """A model to compare with. Raises `WanderError` if it makes no pictures of this size."""
    other = load_pocket(folder, size=(weights.width, weights.height))
    return PocketDreamer(other, protocol.sampling_steps)


def summary(report: Json) -> str:
    """What a report says, as lines of text."""
    if report["protocol"] == "scan":
        from engine.evaluation import scan_command

        return scan_command.summary(report)
    if report["protocol"] == "autoencoder":
        return f"{claim_lines(report)}\n{autoencoder.lines(report)}"
    if report["protocol"] == "walls":
        return f"{claim_lines(report)}\n{walls.lines(report)}"
    return claim_lines(report)


def claim_lines(report: Json) -> str:
    """The claims as lines of text."""
    lines = [f"{report['clips']} clips, seed {report['seed']}"]
    for each in report["claims"]:
        value = "-" if each["value"] is None else f"{each['value']:.3f}"
        lines.append(f"  {'yes' if each['holds'] else 'NO ':<4}{each['name']:<28}{value:>10}   bound {each['bound']}")
    return "\n".join(lines)
