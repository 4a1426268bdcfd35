"""The model process, or its group of ranks, from outside: how it is started, watched, and ended so that nothing of it
remains.

The process hangs on a lifeline, the pipe of its standard input: it ends when the router ends, however that happens.
Its standard output is the other line: it closes at the moment the process dies. ZeroMQ's heartbeats only prove that
its socket thread lives, so progress is watched by a deadline on the job at hand.
"""

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq

from worker import transport
from worker.codec import pack
from worker.errors import LaunchError
from worker.group import Group, Place, Start
from worker.ladder import OUT_OF_MEMORY
from worker.model_protocol import Generate, Job, Load, Order
from worker.rank_protocol import RANK_LOST
from worker.transport import MODEL_LIMITS

REMEMBERED_CHUNKS = 200
CAUSE_SECONDS = 1.0
"""How long it may take until the rank has ended that others have lost."""
_ALONE = Group()
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


class RankProcess:
    """One process of the model, with its lifeline and its log."""

    def __init__(self, module: str, start: Start, log: Path, environment: Mapping[str, str]) -> None:
        """Run `module` with `start`. Raises `LaunchError`."""
        self.place = start.place
        self._log = log
        try:
            with open(log, "ab") as file:
                self._log_start = file.tell()
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, msgspec.json.encode(start).decode()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=file,
                    env=dict(environment),
                )
        except OSError as error:
            raise LaunchError(f"The model process could not be started: {error}.") from error
        assert self._process.stdout is not None
        self.sentinel = self._process.stdout.fileno()
        """A descriptor that reaches its end when the process dies."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs."""
        return self._process.returncode

    def heard(self) -> bytes:
        """To be asked when `sentinel` is readable: what the process wrote there; nothing if it has ended."""
        words = os.read(self.sentinel, 65_536)
        if not words:
            self._process.kill()
            self._process.wait()
        return words

    def waits(self, timeout: float) -> None:
        """Give the process so many seconds to end by itself."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=timeout)

    def last_words(self) -> str:
        """How it ended, with the last line that it wrote to its log."""
        lines = (
            self._log.read_bytes()[self._log_start :][-LAST_WORDS_BYTES:].decode(errors="replace").strip().splitlines()
        )
        words = f": {lines[-1].strip()[:300]}" if lines else ""
        name = f"rank {self.place.rank} of {self.place.ranks}" if self.place.ranks > 1 else "it"
        return f"{name} ended with status {self._process.returncode}{words}"

    def cut(self) -> None:
        """Cut the lifeline."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def end(self, timeout: float = 0.0) -> None:
        """Cut the lifeline, wait at most `timeout` seconds, then kill; nothing of the process remains."""
        assert self._process.stdout is not None
        self.cut()
        self.waits(timeout or 0.001)
        if self.status is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class ModelProcess:
    """The running process of a model, or the ranks that share it, and the socket to rank 0: it lives while all do."""

    def __init__(
        self, context: transport.Context, directory: Path, *, preset: str, number: int, group: Group = _ALONE
    ) -> None:
        """Start what makes worlds of `preset`. `number` makes its socket's name unique. Raises `LaunchError`."""
        self.preset, self.ranks = preset, group.ranks
        self.socket = transport.open_socket(context, zmq.PAIR, MODEL_LIMITS)
        self._endpoint = transport.ipc_endpoint(directory, f"model-{number}")
        self._meeting = directory / f"ranks-{number}"
        self.socket.connect(self._endpoint)
        self._first_dead: RankProcess | None = None
        self._processes: list[RankProcess] = []
        try:
            for rank in range(1 if group.torchrun else group.ranks):
                start = Start(preset=preset, endpoint="" if rank else self._endpoint, place=self._place(rank, group))
                log = directory / (f"model-rank-{rank}.log" if rank else "model.log")
                module = "worker.rank_process" if rank else "worker.model_process"
                self._processes.append(RankProcess(module, start, log, group.environment(rank, os.environ)))
        except LaunchError:
            self.end()
            raise

    def _place(self, rank: int, group: Group) -> Place:
        meeting = "" if group.torchrun else str(self._meeting)
        return Place(rank=rank, ranks=group.ranks, interface=group.interface, strips=group.strips, meeting=meeting)

    @property
    def sentinels(self) -> list[int]:
        """Descriptors of which one reaches its end when a process dies."""
        return [process.sentinel for process in self._processes]

    @property
    def pid(self) -> int:
        """Process id of rank 0."""
        return self._processes[0].pid

    def give(self, job: Order) -> bool:
        """Hand over a job; False if the process does not take it."""
        return transport.send(self.socket, [pack(job)], MODEL_LIMITS)

    def died(self, ready: Container[Any]) -> bool:
        """Whether a process has ended, by those sentinels that are readable: then the whole group counts as dead."""
        dead = [process for process in self._processes if process.sentinel in ready and not process.heard()]
        self._first_dead = self._first_dead or next(iter(sorted(dead, key=_is_victim)), None)
        return bool(dead)

    @property
    def status(self) -> int | None:
        """Exit status of the process that died first, unless another has run out of memory; None while all run."""
        found = [process.status for process in self._processes]
        return OUT_OF_MEMORY if OUT_OF_MEMORY in found else self._cause.status

    def last_words(self) -> str:
        """How it ended: the process that brought the others down, with the last line that it wrote to its log."""
        return self._cause.last_words()

    def end(self, timeout: float = 0.0) -> None:
        """Cut the lifelines, wait at most `timeout` seconds, then kill; nothing of the processes remains."""
        if self._first_dead is not None and _is_victim(self._first_dead):
            self._wait_for_the_cause()
        for process in self._processes:
            process.cut()
        for process in self._processes:
            process.end(timeout)
        self.socket.close(linger=0)
        Path(self._endpoint.removeprefix("ipc://")).unlink(missing_ok=True)
        self._meeting.unlink(missing_ok=True)

    @property
    def _cause(self) -> RankProcess:
        return self._first_dead or self._processes[0]

    def _wait_for_the_cause(self) -> None:
        """The one that is known to be dead only noticed that another was lost: that one is about to end, or has."""
        for process in self._processes:
            if process.status is None:
                process.waits(CAUSE_SECONDS / len(self._processes))
            if process.status is not None and not _is_victim(process):
                self._first_dead = process
                return


def _is_victim(process: RankProcess) -> bool:
    """Whether it ended because another rank did."""
    return process.status == RANK_LOST
