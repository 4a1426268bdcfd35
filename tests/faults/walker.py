"""A scripted window: it walks forward for ever, sees every picture at once, and remembers what it saw and was told."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from worker.client import SocketLink, connect, launch_local
from worker.fake import FAULT_VARIABLE
from worker.journal import read
from worker.protocol import (
    Closed,
    Control,
    Event,
    Frames,
    Open,
    Reply,
    Request,
    Status,
    WorkerState,
    World,
    WorldSpec,
)

T = TypeVar("T")
FORWARD = 1
SECONDS = 90.0
"""How long anything may take on a machine that has much else to do; a quiet one needs a second."""


class Walker:
    """A window without a person, at the end of a real link."""

    def __init__(self, link: SocketLink) -> None:
        self.link = link
        self.events: list[Event] = []
        self.seen: dict[int, list[bytes]] = {}
        """Pictures of each chunk as it was last seen, a hash for every latent."""
        self.starts: list[tuple[int, int]] = []
        """(generation, chunk) in the order in which chunks began to arrive."""
        self.generation = 0
        self.shown = 0
        self.seq = 0

    @classmethod
    def launch(cls, sessions: Path, *, fake: dict[str, object] | None = None, **deadlines: float) -> "Walker":
        """A walker with a worker of its own, whose fake engine behaves as `fake` says."""
        os.environ[FAULT_VARIABLE] = json.dumps(fake or {})
        try:
            return cls(launch_local(sessions=sessions, options=deadlines))
        finally:
            del os.environ[FAULT_VARIABLE]

    @classmethod
    def join(cls, other: "Walker", *, take_over: bool = False) -> "Walker":
        """A second window on the worker of another."""
        return cls(connect(other.link.directory, take_over=take_over))

    def open(self, **spec: object) -> Reply:
        """Open a world of the fake engine; the reply."""
        return self.ask(Open(spec=WorldSpec(**{"preset": "fake", "seed": 3, "chunk": 2, **spec})))

    def ask(self, request: Request, *, walk: bool = True) -> Reply:
        """The reply to a request; while it comes the walk goes on, or stands still."""
        number = self.link.request(request)
        return self.until(lambda: self.last(Reply, lambda reply: reply.id == number), walk=walk)

    def model_pid(self) -> int:
        """Process id of the model."""
        return int(self.ask(Status()).data["model_pid"])

    def last(self, kind: type[T], where: Callable[[T], bool] = lambda _: True) -> T | None:
        """The newest event of a kind."""
        return next((event for event in reversed(self.events) if isinstance(event, kind) and where(event)), None)

    def sentences(self) -> list[str]:
        """What the window was told about the model."""
        return [event.sentence for event in self.events if isinstance(event, WorkerState | Closed)]

    def until(self, ready: Callable[[], T], seconds: float = SECONDS, walk: bool = True) -> T:
        """Walk until `ready` gives something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (result := ready()):
            assert time.monotonic() < deadline, f"waited {seconds} s; the last events: {self.told()[-6:]}"
            self.turn(walk)
            time.sleep(0.003)
        return result

    def rest(self, seconds: float, *, walk: bool = True) -> None:
        """Let time go by, walking or only looking."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end, walk=walk)

    def told(self) -> list[Event]:
        """All events but pictures."""
        return [event for event in self.events if not isinstance(event, Frames)]

    def until_chunk(self, chunk: int, latents: int = 2) -> None:
        """Walk until `latents` latents of a chunk have been seen."""
        self.until(lambda: len(self.seen.get(chunk, [])) >= latents)

    def turn(self, walk: bool = True) -> None:
        """One turn of the window's loop."""
        for event in self.link.poll():
            self.events.append(event)
            if isinstance(event, World):
                self._enter(event.generation)
            if isinstance(event, Frames) and event.generation >= self.generation:
                self._see(event)
        if walk and self.generation:
            self.seq += 1
            control = Control(seq=self.seq, generation=self.generation, keys=FORWARD, shown=self.shown)
            self.link.control(control)

    def close(self) -> None:
        """End the link."""
        self.link.close()

    def _enter(self, generation: int) -> None:
        if generation > self.generation:
            self.generation, self.shown = generation, 0

    def _see(self, frames: Frames) -> None:
        self._enter(frames.generation)
        self.shown = frames.index + frames.count
        if frames.latent == 0:
            self.starts.append((frames.generation, frames.chunk))
            self.seen[frames.chunk] = []
        self.seen[frames.chunk].append(hashlib.sha256(frames.pixels).digest())


def journal_hash(session: str | Path, chunks: int) -> str:
    """Fingerprint of the first chunks of a session: steps, latents and poses."""
    history = read(Path(session)).history
    assert len(history.chunks) >= chunks
    digest = hashlib.sha256()
    for chunk in history.chunks[:chunks]:
        digest.update(repr(chunk.steps).encode() + chunk.latents + chunk.poses + chunk.prompt.encode())
    return digest.hexdigest()
