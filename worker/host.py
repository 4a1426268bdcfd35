"""Where the model process lives: it is started here, given jobs, watched, and started again when it is lost."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker import model_protocol as model
from worker import transport
from worker.codec import unpack
from worker.errors import LaunchError
from worker.ladder import LADDER, OUT_OF_MEMORY, next_rung, ran_out
from worker.protocol import Data
from worker.session import Session
from worker.supervisor import Deadlines, ModelProcess, Watchdog, percentile
from worker.transport import MODEL_LIMITS

MAX_RESTARTS = 3
HEALTHY_CHUNKS = 20
"""After so many chunks the restarts before them are forgotten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """What to do about a process that is gone."""

    sentence: str
    again: bool
    """Whether to start another one."""
    chunk: int | None = None
    """Most latents that it may make at once, if that is to change."""


@dataclass(kw_only=True, slots=True)
class ModelHost:
    """At most one model process, and the record of its troubles."""

    start: Callable[[str], ModelProcess]
    """Starts a process for a preset."""
    watchdog: Watchdog
    process: ModelProcess | None = None
    restarts: int = 0
    """Restarts since the model last did well."""
    rung: int = 0
    """How far down the ladder of memory the model is; see `worker.ladder`."""
    starved: bool = False
    """Whether the last process ended because memory ran out."""
    exchanged: tuple[int, int] = (0, 0)
    """Collectives of the last chunk, and the bytes that they moved between the ranks."""
    _healthy: int = field(default=0)
    _warned: bool = False

    @classmethod
    def make(cls, start: Callable[[str], ModelProcess], deadlines: Deadlines) -> "ModelHost":
        """A host without a process."""
        return cls(start=start, watchdog=Watchdog(deadlines=deadlines))

    def ensure(self, preset: str) -> None:
        """Have a process for `preset`, ending one for another preset. Raises `LaunchError`."""
        if self.process is not None and self.process.preset != preset:
            self.stop()
        self.process = self.process or self.start(preset)

    def stop(self, timeout: float = 0.0) -> str:
        """End the process, killing it after `timeout` seconds; returns how it ended."""
        self.watchdog.rest()
        self._warned = False
        if self.process is None:
            return "it was not running"
        self.process.end(timeout)
        self.starved = self.process.status == OUT_OF_MEMORY
        words = self.process.last_words()
        self.process = None
        return words

    def give(self, job: model.Job) -> None:
        """Hand over a job. Raises `LaunchError` if there is no process to take it."""
        if self.process is None or not self.process.give(job):
            raise LaunchError("The model process takes no more work; open the world again.")
        self.watchdog.begin(job, time.monotonic())

    def foresee(self, text: str) -> None:
        """Let the process encode words that it will be asked to read after the job at hand."""
        if self.process is not None:
            self.process.give(model.Foresee(text=text))

    def answers(self) -> Iterator[tuple[model.ModelMessage, list[bytes]]]:
        """What the process has sent: each message with the frames it came in. Raises `WireError` for nonsense."""
        while self.process is not None and (frames := transport.receive(self.process.socket)) is not None:
            transport.check_size(frames, MODEL_LIMITS)
            message: model.ModelMessage = unpack(frames[0], model.ModelMessage)
            self.watchdog.sign_of_life(time.monotonic())
            yield message, frames

    def finished(self, job: model.Job, answer: model.ModelMessage) -> None:
        """The job was answered; enough chunks in a row clear the record of restarts."""
        made = answer if isinstance(answer, model.Committed) else None
        self.watchdog.end(job, made.chunk_ms / 1e3 if made else 0.0)
        self.exchanged = (made.collectives, made.moved) if made else self.exchanged
        if isinstance(job, model.Generate):
            self._healthy += 1
            self.restarts = 0 if self._healthy >= HEALTHY_CHUNKS else self.restarts

    def figures(self) -> Data:
        """The model's part of the reply to `Status`."""
        return {
            "chunk_ms_p50": 1e3 * percentile(self.watchdog.durations, 0.5),
            "chunk_ms_p95": 1e3 * percentile(self.watchdog.durations, 0.95),
            "ranks": self.process.ranks if self.process else 0,
            "collectives_per_chunk": self.exchanged[0],
            "bytes_per_chunk": self.exchanged[1],
            "restarts": self.restarts,
            "memory_saved_by": LADDER[self.rung].words if self.rung else "",
            "router_pid": os.getpid(),
            "model_pid": self.process.pid if self.process else 0,
        }

    def may_restart(self) -> bool:
        """Count a restart; False if the model was started too often already."""
        self.restarts += 1
        self._healthy = 0
        return self.restarts <= MAX_RESTARTS

    def remedy(self, session: Session) -> Remedy:
        """What to do after the process of `session` was lost: one rung down where memory ran out, else a restart."""
        if self.starved:
            chunk, rung = session.spec.chunk, next_rung(self.rung, session.spec.chunk)
            sentence = ran_out(session.width, session.height, chunk, rung)
            self.rung = rung or 0
            return Remedy(sentence=sentence, again=rung is not None, chunk=LADDER[rung].chunk if rung else None)
        if self.may_restart():
            sentence = f"The model stopped. Restarting ({self.restarts} of {MAX_RESTARTS})\N{HORIZONTAL ELLIPSIS}"
            return Remedy(sentence=sentence, again=True)
        sentence = f"The model stopped {MAX_RESTARTS + 1} times; open the world again or start Wander anew."
        return Remedy(sentence=sentence, again=False)

    def news(self) -> tuple[bool, str | None]:
        """Whether the process hangs for good, and what to tell the window if that has changed ("": all is well)."""
        silence, limit = self.watchdog.silence(time.monotonic())
        late = silence > limit
        sentence = f"The model has made no progress for {silence:.0f} s. Wait, or restart it." if late else ""
        changed = late != self._warned
        self._warned = late
        return silence > limit * self.watchdog.deadlines.patience, sentence if changed else None
