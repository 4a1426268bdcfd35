"""`launch.py evaluate --protocol events`: what to render, what to learn, what to write. Drawing is the caller's."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.checkpoint import Json, write_atomically
from engine.errors import WanderError
from engine.evaluation import command, events_report, recogniser
from engine.evaluation.events import run_events
from engine.evaluation.events_claims import summarise
from engine.evaluation.events_protocol import EventsProtocol, events_protocol
from engine.evaluation.events_rollout import read_cases, read_examples
from engine.evaluation.features import BACKBONE
from engine.evaluation.recogniser import Recogniser
from engine.weights import PocketWeights, load_pocket
from engine.world import PRESETS


@dataclass(frozen=True, kw_only=True, slots=True)
class PairRequest:
    """Walks with and without events that an evaluation wants rendered, one frame for each of `latents`."""

    sets: tuple[tuple[str, tuple[str, ...], int, int], ...]
    """(folder, families that begin in each of its worlds, worlds, seed)."""
    split: str
    latents: tuple[int, ...]
    start_frame: int
    width: int
    height: int


def prepare(options: argparse.Namespace) -> tuple[PocketWeights, EventsProtocol, tuple[PairRequest, PairRequest]]:
    """Checked weights, the protocol with the user's seed, and what it needs rendered: training worlds for the
    classifier, then held-out walks. Raises `WanderError` for what the user can mend."""
    if options.preset not in PRESETS:
        raise WanderError(f"there is no preset {options.preset!r} to evaluate; choose one of {', '.join(PRESETS)}")
    if options.clips < 0:
        raise WanderError(f"--clips {options.clips} is below 1; ask for at least 1")
    protocol = events_protocol()
    protocol = replace(protocol, seed=options.seed or protocol.seed)
    weights, lessons = load_pocket(options.weights, size=command.sized(options)), protocol.recogniser
    size = {"width": weights.width, "height": weights.height, "start_frame": protocol.start_frame}
    shares = protocol.shares(options.clips or protocol.pairs)
    walks = tuple(
        (family, (family,), count, 100 * protocol.seed + protocol.families.index(family))
        for family, count in shares.items()
    )
    return (
        weights,
        protocol,
        (
            PairRequest(
                sets=(("training", protocol.families, lessons.worlds, lessons.seed),),
                split="train",
                latents=lessons.latents,
                **size,
            ),
            PairRequest(sets=walks, split="heldout", latents=tuple(range(protocol.latents)), **size),
        ),
    )


def learnt_from(folder: Path, protocol: EventsProtocol) -> Json:
    """What decides a recogniser: pictures, settings, and the programs that describe and learn."""
    digest = hashlib.sha256(BACKBONE.read_bytes())
    for module in (recogniser.__file__, Path(recogniser.__file__).with_name("features.py")):
        digest.update(Path(module).read_bytes())
    plan = asdict(protocol.recogniser) | {"latents": list(protocol.recogniser.latents)}
    shows = asdict(protocol.visible)
    return {"pictures": folder.name, "plan": plan, "shows": shows, "program": digest.hexdigest()[:16]}


def taught(folder: Path, protocol: EventsProtocol, say: Callable[[str], None] = lambda sentence: None) -> Recogniser:
    """The recogniser for the pictures in `folder`: learnt once, kept beside them until they or the program change."""
    path, about = folder / "recogniser.safetensors", learnt_from(folder, protocol)
    known = recogniser.load_recogniser(path, about)
    if known is None:
        begun, plan = time.perf_counter(), protocol.recogniser
        known = recogniser.learn(
            read_examples(folder, protocol.visible),
            protocol.families,
            decay=plan.decay,
            false_alarms=plan.false_alarms,
        )
        recogniser.save_recogniser(path, known, about)
        say(f"the classifier has learnt {len(known.classes)} classes in {time.perf_counter() - begun:.0f} s")
    return known


def evaluate(
    options: argparse.Namespace,
    weights: PocketWeights,
    protocol: EventsProtocol,
    judge: Recogniser,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Json:
    """Scores the model on the walks in `folder`; writes what `--json` and `--html` ask for and returns the report."""
    total = sum(1 for _ in read_cases(folder, protocol))
    done = iter(range(1, total + 1))
    results = run_events(
        weights,
        read_cases(folder, protocol),
        judge,
        protocol,
        seed=protocol.seed,
        done=lambda: progress(next(done), total),
    )
    report = summarise(results, judge.classes, protocol, seed=protocol.seed, preset=options.preset)
    if options.json:
        write_atomically(options.json, lambda part: part.write_text(json.dumps(report, indent=1) + "\n"))
    if options.html:
        write_atomically(options.html, lambda part: part.write_text(events_report.page(report, results)))
    return report


def summary(report: Json) -> str:
    """Claims, families, languages and what the recache is worth as lines of text."""
    lines = [command.summary(report)]
    for family, each in report["scores"]["families"].items():
        recall, truth = (format(each[key] or 0.0, ".2f") for key in ("recall", "truth"))
        lines.append(f"  {family:<12}recall {recall}, of the truth {truth}, {each['cases']} walks")
    for language, each in report["scores"]["languages"].items():
        recall, truth = (format(each[key] or 0.0, ".2f") for key in ("recall", "truth"))
        lines.append(f"  {language:<12}recall {recall}, of the truth {truth}, {each['cases']} walks")
    for name, each in (report["scores"]["residue"] | {"it stops": report["scores"]["stopped"]}).items():
        shares = ", ".join(f"{key} {format(each[key] or 0.0, '.3f')}" for key in ("with", "without"))
        low, high = ("?" if end is None else format(end, "+.3f") for end in each["interval"])
        lines.append(f"  {name:<12}{shares}, difference {low} to {high}, {each['cases']} walks")
    return "\n".join(lines)
