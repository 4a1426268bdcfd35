"""The verb `play`: command line, then the explorer in a window or the headless player."""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from app.errors import AppError
from app.script import Cue, read_script
from app.settings import SIZES, Settings, load_settings, save_settings, settings_path
from app.walk import Walk
from app.world_spec import KINDS, parse_world, spec_for
from worker.client import SESSIONS, WorldLink, connect, known, launch_local, reach
from worker.protocol import WorldSpec

FRONT = 8
"""Starts of the gallery's front, one of which lies behind the start screen."""


def parser() -> argparse.ArgumentParser:
    """The options of `play`."""
    options = argparse.ArgumentParser(prog="launch.py play", description="Walk through a generated world.")
    add = options.add_argument
    add("--preset", default="pocket", metavar="NAME", help="pocket | worldplay-5b | worldplay-8b (default: pocket)")
    add("--models", type=Path, metavar="DIR", help="the folder with the released presets' folders")
    add("--world", metavar="|".join(KINDS), help="where to start (default: the start screen)")
    add("--chunk", type=int, choices=(1, 2, 4), help="latents per chunk: 1 answers soonest, 4 runs smoothest")
    add("--size", type=int, nargs=2, metavar=("W", "H"), help="pictures of 320 192 or 160 96 (what runs in real time)")
    add("--connect", metavar="HOST:PORT", help="a worker that serves elsewhere, or the folder of one that serves here")
    add("--take-over", action="store_true", help="with --connect: take the session from the window that has it")
    add(
        "--sessions", type=Path, default=SESSIONS, metavar="DIR", help="where sessions are saved (default: %(default)s)"
    )
    add("--fullscreen", action="store_true", help="start on the whole screen")
    add("--headless", action="store_true", help="play without a window")
    add("--script", type=Path, metavar="FILE", help="with --headless: JSON lines of keys, mouse, prompts, commands")
    add("--seconds", type=float, default=10.0, metavar="S", help="with --headless: how long (default: 10)")
    add("--record", type=Path, metavar="OUT.mp4", help="with --headless: write what is shown to a video")
    add("--json", action="store_true", help="with --headless: the last line is one JSON object of figures")
    return options


def run(arguments: Sequence[str], show: Callable[[str], object], ready: Callable[[], Sequence[str]] = tuple) -> int:
    """Play; `show` prints the report of a headless walk, `ready` names the released presets whose weights are here.

    Returns the exit status; raises a `WanderError` for what the person can mend.
    """
    options = parser().parse_args(list(arguments))
    if options.models:
        os.environ["WANDER_MODELS"] = str(options.models.absolute())  # for the processes that this one starts
    stray = [name for name in ("script", "record", "json") if getattr(options, name) and not options.headless]
    if stray:
        raise AppError(f"--{stray[0]} goes with --headless only; add --headless or leave it out.")
    return _headless(options, show) if options.headless else _window(options, ready)


def _headless(options: argparse.Namespace, show: Callable[[str], object]) -> int:
    from app.headless import HeadlessPlayer
    from app.recorder import Recorder

    if not 0 < options.seconds < 1e6:
        raise AppError(f"--seconds {options.seconds} is not between 0 and 1000000.")
    cues: tuple[Cue, ...] = read_script(options.script) if options.script else ()
    spec, size = _world(options, options.chunk or Settings().chunk), _size(options)
    record = options.record
    if record is not None and not record.absolute().parent.is_dir():
        raise AppError(f"There is no folder {record.absolute().parent} for the recording; make it first.")
    link = _link(options)
    try:
        walk = Walk(link, size=size)
        walk.open(spec)
        recorder = (lambda size: Recorder(record, size)) if record else None
        report = HeadlessPlayer(walk, cues, recorder=recorder).play(options.seconds)
    finally:
        link.close()
    lines = [] if options.json else [f"{name:<20}{value}" for name, value in report.items()]
    show("\n".join(lines or [msgspec.json.encode(report).decode()]))
    return 0


def _window(options: argparse.Namespace, ready: Callable[[], Sequence[str]]) -> int:
    from app.explorer import Explorer
    from app.gallery import load_gallery
    from app.saved import load_saved
    from app.window import Window

    path = settings_path()
    settings, warning = load_settings(path)
    settings = replace(settings, chunk=options.chunk or settings.chunk)
    size = _size(options) or SIZES[settings.picture]
    starts, problems = load_gallery()
    walks = load_saved(options.sessions)
    trusted, fault = known()
    if options.world is None and starts:  # what lies behind the start screen looks like a place
        chosen = random.choice(starts[:FRONT])
        card = chosen.card
        spec = spec_for(options.preset, seed=card.seed, prompt=card.prompt, image=chosen.image, chunk=settings.chunk)
    else:
        spec = _world(options, settings.chunk)
    link = _link(options)
    try:
        window = Window((settings.width, settings.height), fullscreen=options.fullscreen or settings.fullscreen)
        explorer = Explorer(
            window=window,
            walk=Walk(link, size=size),
            settings=settings,
            preset=options.preset,
            presets=("pocket", *ready()),
            starts=walks + starts,
            reach=lambda worker, take_over: _reach(worker, options.sessions, take_over=take_over),
            worker=options.connect or "",
            workers=tuple(dict.fromkeys((*((options.connect,) if options.connect else ()), *trusted))),
        )
        explorer.notify(warning, *problems, fault)
        explorer.open(spec, menu=options.world is None)
        try:
            explorer.run()
        finally:
            save_settings(path, explorer.settings_to_keep())
            explorer.close()
            explorer.walk.close()
    finally:
        link.close()
    return 0


def _size(options: argparse.Namespace) -> tuple[int, int] | None:
    """Width and height that were asked for. Raises `AppError` if no picture has them."""
    if options.size is None:
        return None
    width, height = options.size
    if not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise AppError(f"--size {width} {height} is not within 16 to 4096; give 320 192 or 160 96.")
    return width, height


def _world(options: argparse.Namespace, chunk: int) -> WorldSpec:
    return parse_world(options.world, options.preset, chunk, elsewhere=options.connect is not None)


def _link(options: argparse.Namespace) -> WorldLink:
    return _reach(options.connect or "", options.sessions, take_over=options.take_over)


def _reach(worker: str, sessions: Path, *, take_over: bool) -> WorldLink:
    """A link to a worker elsewhere or in a folder, or to a new one here. Raises `WanderError`."""
    if not worker:
        return launch_local(sessions=sessions)
    if Path(worker).is_dir():
        return connect(Path(worker), take_over=take_over)
    return reach(worker, take_over=take_over)
