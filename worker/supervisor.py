"""The model process from outside: how it is started, watched, and ended so that nothing of it remains.

The process hangs on a lifeline, the pipe of its standard input: it ends when the router ends, however that happens.
Its standard output is the other line: it closes at the moment the process dies. ZeroMQ's heartbeats only prove that
its socket thread lives, so progress is watched by a deadline on the job at hand.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq

from worker import transport
from worker.codec import pack
from worker.errors import LaunchError
from worker.model_protocol import Generate, Job, Load, Order
from worker.transport import MODEL_LIMITS

REMEMBERED_CHUNKS = 200
LAST_WORDS_BYTES = 4_096


class Deadlines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the router waits, in seconds."""

    ready: float = 180.0
    """For a sign of life while a world is opened, and for the first chunk after it."""
    progress: float = 5.0
    """For a sign of life while a chunk is made, at least."""
    factor: float = 4.0
    """... and at least this many times the slowest of 100 chunks."""
    patience: float = 3.0
    """After this many deadlines without progress the model is restarted."""
    goodbye: float = 3.0
    """For the chunk in the making when the worker ends."""


@dataclass(kw_only=True, slots=True)
class Watchdog:
    """Whether the job at hand still makes progress. All times are seconds of one monotonic clock."""

    deadlines: Deadlines
    durations: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_CHUNKS))
    """How long the last chunks took."""
    _limit: float = 0.0
    _alive: float | None = None
    _warm: bool = False

    def begin(self, job: Job, now: float) -> None:
        """A job was given out."""
        self._warm = self._warm and not isinstance(job, Load)
        self._limit = self.progress_limit if self._warm else self.deadlines.ready
        self._alive = now

    def sign_of_life(self, now: float) -> None:
        """Something arrived from the model."""
        self._alive = None if self._alive is None else now

    def end(self, job: Job, seconds: float = 0.0) -> None:
        """The job is done; `seconds` is what it took if it was a chunk."""
        self._alive = None
        if isinstance(job, Generate):
            self._warm = True
            self.durations.append(seconds)

    def rest(self) -> None:
        """There is no process to watch."""
        self._alive, self._warm = None, False

    def silence(self, now: float) -> tuple[float, float]:
        """Seconds since the last sign of life of the job at hand (0 without a job), and how many are allowed."""
        return (0.0 if self._alive is None else now - self._alive), self._limit

    @property
    def progress_limit(self) -> float:
        """Seconds without a sign of life after which a warm model counts as hanging."""
        return max(self.deadlines.progress, self.deadlines.factor * percentile(self.durations, 0.99))


def percentile(values: "deque[float]", share: float) -> float:
    """The value below which `share` of `values` lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class ModelProcess:
    """One running model process and the socket to it."""

    def __init__(self, context: transport.Context, directory: Path, *, preset: str, number: int) -> None:
        """Start a process for `preset`. `number` makes its socket's name unique. Raises `LaunchError`."""
        self.preset = preset
        self.socket = transport.open_socket(context, zmq.PAIR, MODEL_LIMITS)
        self._endpoint = transport.ipc_endpoint(directory, f"model-{number}")
        self._log = directory / "model.log"
        self.socket.connect(self._endpoint)
        arguments = json.dumps({"endpoint": self._endpoint, "preset": preset})
        try:
            with open(self._log, "ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "worker.model_process", arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        except OSError as error:
            self.socket.close()
            raise LaunchError(f"The model process could not be started: {error}.") from error
        assert self._process.stdout is not None
        self.sentinel = self._process.stdout.fileno()
        """A descriptor that reaches its end when the process dies."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def give(self, job: Order) -> bool:
        """Hand over a job; False if the process does not take it."""
        return transport.send(self.socket, [pack(job)], MODEL_LIMITS)

    def died(self) -> bool:
        """To be asked when `sentinel` is readable: whether the process has ended, rather than written something."""
        if os.read(self.sentinel, 65_536):
            return False
        self._process.kill()
        self._process.wait()
        return True

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.returncode

    def last_words(self) -> str:
        """How it ended, with the last line that it wrote to its log."""
        lines = (
            self._log.read_bytes()[self._log_start :][-LAST_WORDS_BYTES:].decode(errors="replace").strip().splitlines()
        )
        words = f": {lines[-1].strip()[:300]}" if lines else ""
        return f"it ended with status {self._process.returncode}{words}"

    def end(self, timeout: float = 0.0) -> None:
        """Cut the lifeline, wait at most `timeout` seconds, then kill; nothing of the process remains."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=timeout or 0.001)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self.socket.close(linger=0)
        Path(self._endpoint.removeprefix("ipc://")).unlink(missing_ok=True)
