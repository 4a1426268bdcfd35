#!/usr/bin/env python3
"""Wander's command line. Needs only Python: the first start makes .venv, fills it and goes on inside it.

Every verb is a thin function that imports what it runs when it runs. This is the only file of the program that prints.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

PYTHON = ((3, 11), (3, 13))
"""Oldest and newest Python that the pinned packages have wheels for."""
ALIKE = {"OPENBLAS_NUM_THREADS": "1"}
"""Keeps NumPy's small products on one thread: the cores are torch's and numba's, and how many threads there are decides
about the last bits, in which ranks and a world alone would differ."""
STEADY = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296", **ALIKE}
"""Keeps glibc from handing freed tensors back to the kernel as well: filling a new 64 MB tensor took 78 ms instead of
500. All are read once, at process start, and children inherit them."""

PROBES = {"arithmetic": "engine.machine:arithmetic", "graphics": "render.probe:graphics", "fonts": "render.probe:fonts"}
"""What `doctor` measures beyond worker/: section -> "module:function"."""
ROOT = Path(__file__).resolve().parent


class Verb(NamedTuple):
    """One word of the command line."""

    run: Callable[[list[str]], int | None]
    """Takes the arguments after the verb; returns the exit status, None for 0."""
    summary: str
    examples: tuple[str, ...]
    sections: tuple[str, ...] = ("play",)
    """Sections of requirements.lock that must be installed first."""
    environment: Mapping[str, str] = MappingProxyType({})
    """Environment variables that must be set before the process starts."""


def play(arguments: list[str]) -> int | None:
    """The explorer: window or, with --headless, script and recording."""
    from app.main import run
    from engine.downloads import ready

    return run(import_module("worker.group").taken(arguments), print, ready)


def serve(arguments: list[str]) -> int | None:
    """A worker for windows on other machines."""
    from engine.downloads import lacking
    from worker.serve import run

    return run(arguments, say, lacking)


def printing(module: str) -> Callable[[list[str]], int]:
    """A verb that prints the text which `run` of `module` makes of the arguments."""

    def verb(arguments: list[str]) -> int:
        print(import_module(module).run(arguments))
        return 0

    return verb


def replay(arguments: list[str]) -> int | None:
    """A session again: its pictures made anew, recorded or compared with what was shown."""
    import dataclasses
    import json

    from app.recorder import Recording
    from worker import replay

    options = replay.parser().parse_args(arguments)
    _, branch = replay.chosen(options.session, options.sessions, options.branch)
    show = bar("chunks")
    with Recording(options.record) as recording:

        def shown(played: Any) -> None:
            recording.write(played.frames)
            show(played.chunk + 1, len(branch.chunks))

        outcome = replay.play(branch, verify=options.verify, show=shown, preset=options.preset)
    print(json.dumps(dataclasses.asdict(outcome)) if options.json else replay.sentence(outcome))
    return 1 if outcome.differing else 0


def test(arguments: list[str]) -> int | None:
    """The tests, with pytest's own arguments."""
    import pytest

    os.chdir(ROOT)
    return int(pytest.main(arguments))


def doctor(arguments: list[str]) -> int | None:
    """What this machine can do, in one screen or as one JSON object."""
    import json

    from worker import doctor

    options = doctor.parser().parse_args(arguments)
    report = doctor.examine(PROBES, ROOT / "models")
    print(json.dumps(report) if options.json else doctor.card(report))
    return 0


def data(arguments: list[str]) -> int | None:
    """Ground-truth worlds: clips of them for training, or one to walk through."""
    from engine.trajectories import plan
    from render import command, making

    options = command.parser().parse_args(arguments)
    if options.action == "preview":
        return preview(options)
    print(making.make(options, plan, bar))
    return 0


def preview(options: argparse.Namespace) -> int:
    """Walk through a true world: the window is app/'s, the pictures render/'s, how keys move the camera engine/'s."""
    from app.preview import PreviewLoop
    from app.window import Window
    from engine.actions import POCKET, Step, advance
    from engine.trajectories import facing_and_stride
    from render.events import FAMILIES
    from render.preview import Preview
    from render.renderer import Renderer
    from render.scene import make_world

    window = Window()
    renderer = Renderer(*options.size, ctx=window.ctx)

    def open_world(seed: int) -> Preview:
        return Preview(
            renderer,
            make_world(seed, split=options.split, biome=options.biome),
            advance=lambda pose, keys, yaw, pitch: advance(pose, Step(keys, yaw, pitch), POCKET),
            facing_and_stride=facing_and_stride,
        )

    PreviewLoop(window, open_world, seed=options.seed, families=FAMILIES).run()
    return 0


def bar(unit: str) -> Callable[[int, int], None]:
    """A progress bar on stderr: one line written over on a terminal, a line every tenth elsewhere."""
    shown = 0

    def show(done: int, total: int) -> None:
        nonlocal shown
        tenths = 10 * done // total
        if sys.stderr.isatty():
            end = "\n" if done == total > shown else ""
            print(f"\r[{'#' * 3 * tenths:<30}] {done}/{total} {unit}", end=end, file=sys.stderr, flush=True)
        elif tenths > 10 * shown // total:
            say(f"{done}/{total} {unit}")
        shown = max(shown, done)

    return show


def train(arguments: list[str]) -> int | None:
    """One stage of the training pipeline."""
    from engine.train import main

    return main(arguments, say)


def evaluate(arguments: list[str]) -> int | None:
    """The model on held-out worlds, by the committed protocol."""
    from engine.evaluation import command
    from render.cloud_sheet import draw_sheet

    options = command.parser().parse_args(arguments)
    if options.protocol == "events":
        return evaluate_events(options)
    weights, protocol, request = command.prepare(options)
    report = command.evaluate(options, weights, protocol, held_out(request), bar("clips scored"), draw_sheet)
    print(command.summary(report))
    return 0


def evaluate_events(options: argparse.Namespace) -> int:
    """What is said, with the truth drawn beside it; the classifier learns from training worlds on the spot."""
    from engine.evaluation import events_command as command
    from engine.trajectories import plan
    from render.kept import pairs_for

    weights, protocol, requests = command.prepare(options)
    lessons, walks = (pairs_for(request, ROOT, plan, bar) for request in requests)
    judge = command.taught(lessons, protocol, say)
    print(command.summary(command.evaluate(options, weights, protocol, judge, walks, bar("walks judged"))))
    return 0


def bench(arguments: list[str]) -> int | None:
    """What a chunk costs, then how fast worlds are made and shown, with the quality of that run."""
    import json
    from dataclasses import asdict

    from engine.evaluation import bench, selection
    from engine.evaluation.clips import read_clips

    options = bench.parser().parse_args(arguments)
    if options.memory:
        found = selection.measure(done=bar("lengths"))
        print(json.dumps([asdict(each) for each in found]) if options.json else selection.lines(found))
        return 0
    weights, request = bench.prepare(options)
    size = weights.width, weights.height
    clip = next(read_clips(held_out(request)))
    cost = bench.cost_of_chunk(weights, clip, options.chunk)
    print(bench.card(cost, bench.peak_gflops(), weights, options.chunk), flush=True)
    engine = bench.measure(weights, clip, cost, seconds=options.seconds, chunk=options.chunk)
    chunks = [] if options.engine_only else sorted({1, options.chunk})
    plays = {chunk: bench.play(ROOT, chunk, options.seconds, size) for chunk in chunks}
    figures = bench.combine(engine, plays, options.chunk)
    if options.events:
        figures["events"] = bench.play_events(ROOT, options.chunk, options.events, size)
    print(json.dumps(figures) if options.json else bench.lines(figures))
    return 0


def held_out(request: Any) -> Path:
    """The clips of an `engine.evaluation.command.ClipRequest`: rendered once, kept until the renderer changes."""
    from engine.evaluation.routes import planner
    from render.kept import clips_for

    return clips_for(request, ROOT, planner, bar)


def scan(arguments: list[str]) -> int | None:
    """A 3D scan of a session."""
    from worker.scan_process import run

    return run(arguments, print, say, bar("% scanned"))


VERBS = {
    "play": Verb(play, "walk through a generated world (the default verb)", (
        "launch.py", 'launch.py play --world text:"a lighthouse at dusk"',
        "launch.py play --world image:holiday.jpg --chunk 1", "launch.py play --preset worldplay-5b",
    ), environment=STEADY),
    "serve": Verb(serve, "let windows on other machines walk with this machine's model", (
        "launch.py serve --listen 192.168.1.20:5600", "launch.py serve --listen 192.168.1.20:5600 --ranks 4",
    ), environment=STEADY),
    "cluster": Verb(lambda words: import_module("worker.cluster").run(words, say, import_module("engine.plan").needs),
        "many users' sessions over the machines of a Ray cluster", ("launch.py cluster --listen 192.168.1.20:5600 "
        "--sessions /shared/wander", "launch.py cluster --help"), sections=("play", "cluster")),
    "keys": Verb(printing("worker.keys_command"), "this machine's key, who may connect, which workers are trusted", (
        "launch.py keys new", "launch.py keys allow laptop KEY", "launch.py keys trust 192.168.1.20:5600 KEY",
    )),
    "replay": Verb(replay, "a session again, its pictures recorded or compared with what was shown", (
        "launch.py replay harbour --verify", "launch.py replay harbour --branch 'the fire' --record fire.mp4",
    ), environment=STEADY),
    "scan": Verb(scan, "a session's world as a point cloud or mesh", (
        "launch.py scan harbour --out harbour.ply", "launch.py scan harbour --out harbour.glb --mesh --last 20",
        "launch.py scan harbour --out harbour-colmap --format colmap",
    ), environment=STEADY),
    "doctor": Verb(doctor, "what this machine can do, in one screen", ("launch.py doctor", "launch.py doctor --json")),
    "models": Verb(printing("engine.models"), "the released weights: what is needed, verified, converted", (
        "launch.py models", "launch.py models verify worldplay-5b",
        "launch.py models convert worldplay-5b model.pt",
    )),
    "plan": Verb(printing("engine.plan"), "what of a released model fits on which GPUs, and how fast", (
        "launch.py plan --preset worldplay-8b --gpus 2x24GB", "launch.py plan --preset worldplay-5b --gpus 24GB",
    )),
    "data": Verb(data, "ground-truth worlds: clips for training, or one to walk through", (
        "launch.py data preview --seed 7 --biome village", "launch.py data make --out data/train --clips 2000",
        "launch.py data make --out data/heldout --split heldout --depth",
    )),
    "train": Verb(train, "train a stage of the model; stops and resumes at any second", (
        "launch.py train vae --data data/train --heldout data/heldout --out runs/vae --minutes 120 --resume",
        "launch.py train base --data data/latents --heldout data/heldout-latents --out runs/base --resume",
    ), environment=STEADY),
    "evaluate": Verb(evaluate, "the paper's tables at our scale, on held-out worlds", (
        "launch.py evaluate --protocol short --html out.html", "launch.py evaluate --protocol walls --seed 5",
        "launch.py evaluate --protocol long --json long.json --html long.html --choices choices.html",
        "launch.py evaluate --protocol long --weights runs/distilled --against models/pocket --clips 16",
        "launch.py evaluate --protocol drift --html drift.html", "launch.py evaluate --protocol scan --html scan.html",
    ), sections=("play", "evaluate"), environment=STEADY),
    "bench": Verb(bench, "what a chunk costs here and how fast worlds are made", (
        "launch.py bench --json", "launch.py bench --seconds 20 --engine-only", "launch.py bench --memory",
    ), environment=STEADY),
    "test": Verb(test, "set-up and all tests; pytest's arguments", (
        "launch.py test", "launch.py test tests/engine -k memory", "launch.py test -m slow",
    ), sections=("play", "test", "evaluate", "scan"), environment=ALIKE),
}  # fmt: skip


def overview() -> str:
    """The text of `launch.py --help`."""
    lines = [
        "Wander: walk through worlds that a video model invents in front of you.",
        "",
        "usage: launch.py [VERB] [OPTIONS]",
        "",
    ]
    lines += [f"  {name:<10}{verb.summary}" for name, verb in VERBS.items()]
    lines += ["", "examples:"] + [f"  {example}" for verb in VERBS.values() for example in verb.examples[:3]]
    return "\n".join([*lines, "", "launch.py VERB --help shows a verb's options."])


def examples(verb: Verb) -> str:
    """What stands below a verb's own help."""
    return "\n".join(["", "examples:", *(f"  {example}" for example in verb.examples)])


def say(sentence: str) -> None:
    """Progress and errors go to stderr: stdout is for results."""
    print(f"wander: {sentence}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run one verb; returns the exit status: 2 for what the user can mend, said in one sentence."""
    if not PYTHON[0] <= sys.version_info[:2] <= PYTHON[1]:
        oldest, newest = (".".join(map(str, version)) for version in PYTHON)
        say(f"Python {sys.version.split()[0]} is not one of {oldest} to {newest}; use python{oldest} launch.py")
        return 2
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(overview())
        return 0
    implied = not arguments or arguments[0].startswith("-")
    name, rest = ("play", arguments) if implied else (arguments[0], arguments[1:])
    if name not in VERBS:
        say(f"there is no verb '{name}'; the {len(VERBS)} verbs are {', '.join(VERBS)} (see launch.py --help)")
        return 2
    try:
        enter_environment(with_encoders(VERBS[name], arguments), arguments)
        return run(VERBS[name], rest)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # no such folder, no permission, disk full: the user's to mend
        if error.filename is None:
            raise
        say(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}; free or choose another place")
        return 2
    except Exception as error:
        if "WanderError" not in {kind.__name__ for kind in type(error).__mro__}:
            raise
        say(str(error))
        return 2


def with_encoders(verb: Verb, arguments: list[str]) -> Verb:
    """The verb with what a released preset needs besides, where one is asked for."""
    named = {word.removeprefix("--preset=") for word in arguments}
    asked = verb.run in (play, serve) and any(word.startswith("worldplay-") for word in named)
    return verb._replace(sections=(*verb.sections, "released")) if asked else verb


def run(verb: Verb, arguments: list[str]) -> int:
    """Run `verb` here, its examples below its help."""
    try:
        return verb.run(arguments) or 0
    finally:
        if {"--help", "-h"} & set(arguments) and verb.run is not test:
            print(examples(verb))


def enter_environment(verb: Verb, arguments: list[str]) -> None:
    """Make the environment where it is missing and start over inside it; returns where this process is inside."""
    from worker import environment

    environment.prepare(verb.sections, say)
    if environment.inside() and verb.environment.items() <= os.environ.items():
        return
    python = str(environment.venv_python())
    sys.stdout.flush()
    os.execve(python, [python, str(ROOT / "launch.py"), *arguments], {**os.environ, **verb.environment})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
