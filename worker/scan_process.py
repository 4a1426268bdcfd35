"""Scans of sessions: the command line of `launch.py scan`, and the process that scans for the window.

The engine is imported lazily, as in `worker.model_process`. The process is started by `worker.scanning`; it says how
far it is in lines of JSON on its standard output, the last is the result, and it ends when its standard input does.
"""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from worker import environment
from worker.archive import Archive
from worker.client import SESSIONS
from worker.journal import read
from worker.model_process import hang_on_lifeline, user_errors

FORMATS = ("ply", "glb", "colmap", "nerfstudio", "gaussian")
DEPTHS = ("network", "stereo", "external")
Progress = Callable[[float, str], None]
_NICE = 10
"""A scan gives way to the walk that goes on beside it."""


def run(
    arguments: list[str],
    show: Callable[[str], None],
    say: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> int:
    """The verb `launch.py scan`: `show` prints results, `say` notices, `progress` a bar of per cents."""
    options = parser().parse_args(arguments)
    Archive(folder=SESSIONS).find(options.session)
    if not options.without_open3d and find_spec("open3d") is None:
        try:
            environment.prepare(("scan",), say)
        except environment.SetupError as error:
            say(f"{error}; scanning without Open3D")
    report = scan_session(options, SESSIONS, lambda fraction, _: progress(int(100 * fraction), 100))
    if report["notice"]:
        say(report["notice"])
    show(json.dumps(report) if options.json else sentence(report))
    return 0


def parser() -> argparse.ArgumentParser:
    """Options of `launch.py scan`."""
    top = argparse.ArgumentParser(
        prog="launch.py scan",
        description="A session's world as a point cloud or mesh, with a scan.json that explains it.",
    )
    top.add_argument("session", help="a session file, or its name in the folder of sessions")
    top.add_argument("--out", type=Path, required=True, metavar="FILE", help="a file; a folder for colmap, nerfstudio")
    top.add_argument("--format", choices=FORMATS, help="what to write (default: by the ending of FILE, else ply)")
    top.add_argument("--last", type=seconds, metavar="S", help="only the last S seconds of the walk")
    top.add_argument("--mesh", action="store_true", help="a mesh instead of points (ply and glb; needs Open3D)")
    top.add_argument("--voxel", type=seconds, metavar="UNITS", help="distance between points (default: from the scene)")
    top.add_argument("--far", type=seconds, default=30.0, metavar="UNITS", help="ignore what is farther (%(default)s)")
    top.add_argument("--depth", choices=DEPTHS, help="where depth comes from (default: the network; of a released "
                     "preset an installed reconstruction model, else stereo)")  # fmt: skip
    top.add_argument("--without-open3d", action="store_true", help="fuse with NumPy alone; installs nothing")
    top.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return top


def seconds(text: str) -> float:
    """A positive number."""
    with contextlib.suppress(ValueError):
        value = float(text)
        if value > 0 and math.isfinite(value):
            return value
    raise argparse.ArgumentTypeError(f"it is {text}; give a number above 0")


def scan_session(options: argparse.Namespace, sessions: Path, progress: Progress) -> dict[str, Any]:
    """Scan as `options` say; `sessions` is where a bare name is looked up. Returns plain values about what was made.

    Raises the `WanderError` of worker or engine with one sentence for all that a person can mend.
    """
    from engine.reconstruction.fusion import FusionConfig
    from engine.reconstruction.sieve import SieveConfig
    from engine.scan import ScanConfig, scan

    fusion = FusionConfig(
        sieve=SieveConfig(far=max(options.far, 0.5)), voxel=options.voxel, mesh=options.mesh,
        open3d=not options.without_open3d,
    )  # fmt: skip
    config = ScanConfig(seconds=options.last, format=options.format, depth=options.depth, fusion=fusion)
    path = Archive(folder=sessions).find(options.session)
    report = scan(recording(path), options.out, config, progress)
    return {
        "files": [str(file) for file in report.files],
        "points": report.points,
        "triangles": report.triangles,
        "views": report.views,
        "bytes": report.size,
        "notice": report.notice,
    }


def recording(path: Path) -> Any:
    """The walk of a session file as `engine.scan.Recording`. Raises `JournalError` if it cannot be read."""
    from engine.scan import Recording

    history = read(path).history
    chunks = history.chunks
    latents = [np.frombuffer(chunk.latents, np.float16).reshape(chunk.shape) for chunk in chunks]
    poses = [np.frombuffer(chunk.poses, np.float32).reshape(-1, 4, 4).astype(np.float64) for chunk in chunks]
    return Recording(
        latents=np.concatenate(latents) if latents else np.zeros((0, 1, 1, 1), np.float16),
        poses=np.concatenate(poses) if poses else np.zeros((0, 4, 4)),
        session=str(path),
        preset=history.spec.preset,
        seed=history.spec.seed,
        prompt=chunks[-1].prompt if chunks else history.spec.prompt,
        checksum=history.checksum,
    )


def sentence(report: dict[str, Any]) -> str:
    """What was made, for the person."""
    made = f"{report['triangles']:,} triangles" if report["triangles"] else f"{report['points']:,} points"
    return f"{made} from {report['views']} views, {report['bytes'] / 1e6:.1f} MB: {report['files'][0]}"


def main(arguments: str) -> None:
    """Scan as the JSON list `arguments` says, told as JSON lines: `{"fraction", "stage"}`, at last `{"report"}` or
    `{"error"}`."""
    hang_on_lifeline()
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary files are cleaned up
    sessions, *rest = json.loads(arguments)

    def tell(line: dict[str, Any]) -> None:
        os.write(1, json.dumps(line).encode() + b"\n")

    try:
        options = parser().parse_args(rest)
        report = scan_session(
            options, Path(sessions), lambda fraction, stage: tell({"fraction": fraction, "stage": stage})
        )
        tell({"report": report})
    except user_errors() as error:
        tell({"error": str(error)[:2_000]})


if __name__ == "__main__":
    main(sys.argv[1])
