"""Scans that the window asks for: one at a time, each by a process of its own beside the model's.

The process (`worker.scan_process`) reads the journal that goes on being written; it gives way to the walk and hangs on
a lifeline. Nothing here waits: `watch` is called a few times a second.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker import protocol as wire
from worker.errors import LaunchError, WanderError

FOLDER = "scans"
"""Beside the folder of sessions."""
SUFFIXES = {"ply": ".ply", "glb": ".glb", "gaussian": ".gaussians.ply"}
"""What a scan's name ends in; folders end in the format's name."""
_GOODBYE_S = 2.0
Tell = Callable[[wire.RequestLaneEvent], object]


class Scans:
    """The scan that is under way, if any."""

    def __init__(self, sessions: Path, tell: Tell) -> None:
        """`tell` sends to the window."""
        self._sessions, self._tell = sessions, tell
        self._process: subprocess.Popen[bytes] | None = None
        self._request = 0
        self._unread = b""

    def start(self, request: wire.Scan, session: str) -> None:
        """Begin to scan a session file. Raises `WanderError` if a scan is under way or no process can be started."""
        if self._process is not None:
            raise WanderError("1 scan is under way already; wait for it, or cancel it first.")
        out = scan_path(self._sessions.parent / FOLDER, Path(session).stem, request.format)
        arguments = [str(self._sessions), session, "--out", str(out), "--format", request.format]
        arguments += ["--last", str(request.seconds)] if request.seconds else []
        arguments += ["--mesh"] if request.mesh else []
        command = [sys.executable, "-m", "worker.scan_process", json.dumps(arguments)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as error:
            raise LaunchError(f"The scan could not be started: {error}.") from error
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._request, self._unread = request.id, b""
        self._tell(wire.Progress(stage="scan", fraction=0.0, sentence="Reading the session"))

    def watch(self) -> None:
        """Pass on what the process has said, and answer the request when it has ended."""
        if self._process is None:
            return
        ended = self._process.poll() is not None
        for line in self._lines():
            if "fraction" in line:
                self._tell(wire.Progress(stage="scan", fraction=line["fraction"], sentence=line["stage"]))
            else:
                self._finish(error=line.get("error", ""), report=line.get("report"))
                return
        if ended:
            status = self._process.returncode
            self._finish(error=f"The scan stopped with status {status}; try fewer seconds of the walk.")

    def cancel(self) -> None:
        """End the scan that is under way; its request is answered with that."""
        if self._process is not None:
            self._finish(error="The scan was cancelled.")

    def forget(self) -> None:
        """The window that asked has gone; the scan goes on, nobody is answered."""
        self._request = 0

    def stop(self) -> None:
        """End everything, without an answer."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.terminate()  # before the lifeline is cut, so that it can take its temporary files away
        try:
            process.wait(timeout=_GOODBYE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def _lines(self) -> list[dict[str, Any]]:
        """The lines that have arrived since the last call."""
        assert self._process is not None and self._process.stdout is not None
        arrived = self._process.stdout.read()
        *lines, self._unread = (self._unread + (arrived or b"")).split(b"\n")
        return [json.loads(line) for line in lines]

    def _finish(self, error: str = "", report: dict[str, Any] | None = None) -> None:
        self.stop()
        data: wire.Data = {}
        if report is not None:
            data = {name: report[name] for name in ("points", "triangles", "views", "bytes", "notice")}
            data |= {"file": report["files"][0], "sidecar": report["files"][1]}
        if self._request:
            self._tell(wire.Reply(id=self._request, error=error[:2_000], data=data))


def scan_path(folder: Path, session: str, format: str) -> Path:
    """A new name for a scan of a session."""
    name = f"{session}-{time.strftime('%H%M%S')}"
    return folder / (name + SUFFIXES.get(format, f"-{format}"))
