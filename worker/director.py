"""What the router does for a world: it turns requests and controls into jobs for the model, and keeps the journal.

The model has one job at a time. Between jobs the requests that change the world are carried out in their order, and
when none waits the next chunk starts, if the session allows it. Whatever happens to the model process, the journal
and the steps of the chunk in the making are here, so it can be started again and go on as if nothing had happened.
"""

import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from worker import model_protocol as model
from worker import protocol as wire
from worker.archive import Archive, notice
from worker.errors import WanderError, WireError
from worker.history import (
    ChunkSizeEntry,
    Entry,
    Header,
    History,
    PromptEntry,
    ResetEntry,
    RewindEntry,
    chunk_entry,
)
from worker.host import MAX_RESTARTS, ModelHost
from worker.journal import Contents, Journal
from worker.mailbox import Mailbox
from worker.session import Session
from worker.supervisor import Deadlines, ModelProcess, percentile

MAX_WAITING = 64

Answer = dict[str, str | int | float | bool | None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undertaking:
    """The job at hand, the request that it answers if any, and what was prepared for it."""

    job: model.Job
    request: wire.Request | None = None
    resumed: tuple[Journal, Contents] | None = None
    """The journal of a session that is opened again."""


class Director:
    """One world, its journal and its model process."""

    def __init__(
        self,
        *,
        start_model: Callable[[str], ModelProcess],
        archive: Archive,
        deadlines: Deadlines,
        tell: Callable[[wire.RequestLaneEvent], None],
        show: Callable[[list[bytes]], None],
    ) -> None:
        """`start_model` starts a process for a preset; `tell` and `show` send on the window's request and
        frame lane.
        """
        self._archive, self._tell, self._show = archive, tell, show
        self._waiting: deque[wire.Request] = deque()
        self._at_hand: Undertaking | None = None
        self._closing = False
        self.session: Session | None = None
        self.host = ModelHost.make(start_model, deadlines)

    # -- from the window ----------------------------------------------------------------------------------------------

    def welcome(self) -> None:
        """A window has come: it hears of the world, and nothing that another one asked or did concerns it."""
        self._waiting.clear()
        if self._at_hand is not None:
            self._at_hand = replace(self._at_hand, request=None)
        if self.session is not None:
            self.session = replace(self.session, mailbox=Mailbox()).renewed()
            self._tell(self.session.world)

    def control(self, control: wire.Control) -> None:
        """The person does something, or has seen something."""
        if self.session is not None:
            self.session = self.session.controlled(control)
            self._advance()

    def request(self, request: wire.Request) -> None:
        """Carry out a request now if it leaves the world alone, else when its turn comes. It gets exactly one reply."""
        try:
            match request:
                case wire.Pause() | wire.Resume():
                    self.session = replace(self._opened, paused=isinstance(request, wire.Pause))
                    self._tell(self.session.world)
                    self._reply(request)
                case wire.Status():
                    self._reply(request, **self._figures())
                case wire.Save():
                    self._reply(request, session=str(self._archive.save(request.name)))
                case wire.Restart():
                    self._reply(request)
                    self._lost()
                case wire.Quit():
                    self.finish()
                    self._reply(request)
                case _ if len(self._waiting) >= MAX_WAITING:
                    raise WanderError(f"{MAX_WAITING} requests wait already, no more fit; ask again later.")
                case _:
                    self._waiting.append(request)
        except WanderError as error:
            self._reply(request, error=str(error))
        self._advance()

    # -- from the model and about it ----------------------------------------------------------------------------------

    def read_model(self) -> None:
        """Take in what the model has sent. A message that makes no sense costs the model its life."""
        try:
            for message, frames in self.host.answers():
                self._heard(message, frames)
        except WireError as error:
            log.error("model: %s", error)
            self._lost()
        self._advance()

    def model_died(self) -> None:
        """The model process has ended: start it again, or say why not."""
        self.read_model()
        self._lost()
        self._advance()

    def watch(self) -> None:
        """To be called a few times a second: notices a model that hangs."""
        hangs, sentence = self.host.news()
        if sentence is not None:
            self._tell(wire.WorkerState(sentence=sentence, restarts=self.host.restarts))
        if hangs:
            self._lost()
            self._advance()

    def finish(self) -> None:
        """Start nothing more."""
        self._closing = True

    @property
    def closing(self) -> bool:
        """Whether nothing more is started."""
        return self._closing

    @property
    def finished(self) -> bool:
        """Whether nothing is under way any more."""
        return self._closing and (self._at_hand is None or not isinstance(self._at_hand.job, model.Generate))

    def close(self) -> None:
        """End the model process and the session."""
        self.host.stop()
        self._archive.close()

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Give the model its next job if it has none: a waiting request, else a chunk if one may start."""
        while self._at_hand is None and self._waiting and not self._closing:
            request = self._waiting.popleft()
            try:
                self._undertake(request)
            except WanderError as error:
                self._reply(request, error=str(error))
        if self._at_hand is None and self.session is not None and self.session.may_start and not self._closing:
            self.session = self.session.started()
            self._make()

    def _give(self, undertaking: Undertaking) -> None:
        self.host.give(undertaking.job)
        self._at_hand = undertaking

    def _make(self) -> None:
        """Have the chunk made that the session says is in the making."""
        assert self.session is not None and self.session.making is not None
        self._give(Undertaking(job=self.session.making))

    def _undertake(self, request: wire.Request) -> None:
        if isinstance(request, wire.Open):
            self._open(request)
            return
        session, job = self._opened, None
        match request:
            case wire.SetPrompt():
                job = model.ApplyPrompt(text=request.text)
            case wire.Reset():
                job = model.ApplyReset(seed=session.spec.seed if request.seed is None else request.seed)
            case wire.Rewind() if request.chunks <= session.chunks:
                job = model.ApplyRewind(chunks=request.chunks)
            case wire.SetChunk():
                job = model.Load(spec=session.resized(request.chunk).spec, journal=session.path)
        if job is None:
            raise WanderError(
                f"The world has {session.chunks} chunks, it cannot go back to another number; undo fewer."
            )
        self._give(Undertaking(job=job, request=request))

    def _open(self, request: wire.Open) -> None:
        spec, resumed = request.spec, None
        if spec.session:
            resumed = self._archive.resume(self._archive.find(spec.session))
            spec = resumed[1].history.spec
        try:
            self.host.ensure(spec.preset)
            job = model.Load(spec=spec, journal=str(resumed[0].path) if resumed else "")
            self._give(Undertaking(job=job, request=request, resumed=resumed))
        except WanderError:
            if resumed is not None:
                resumed[0].close()
            raise

    # -- answers ------------------------------------------------------------------------------------------------------

    def _heard(self, message: model.ModelMessage, frames: list[bytes]) -> None:
        if isinstance(message, wire.Progress):
            self._tell(message)
            return
        at_hand = self._at_hand
        if at_hand is None:
            raise WireError(f"The model answers with {type(message).__name__} where nothing was asked.")
        if isinstance(message, wire.Frames):
            self._pictured(message, frames)
            return
        self._at_hand = None
        self.host.finished(at_hand.job, message.chunk_ms / 1e3 if isinstance(message, model.Committed) else 0.0)
        match message, at_hand.job:
            case model.Loaded(), model.Load():
                self._loaded(message, at_hand)
            case model.Committed(), model.Generate():
                self._committed(message, frames)
            case model.Done(), _:
                self._done(message, at_hand)
            case model.Failed(), _:
                self._failed(message.sentence, at_hand)
            case _:
                raise WireError(f"The model answers {type(at_hand.job).__name__} with {type(message).__name__}.")

    def _pictured(self, header: wire.Frames, frames: list[bytes]) -> None:
        if len(frames) != 2 or len(frames[1]) != header.count * header.height * header.width * 3:
            raise WireError(f"Pictures of {header.count}x{header.height}x{header.width} came with wrong pixels.")
        if self.session is not None and header.generation == self.session.generation:
            self.session = self.session.pictured(header.count)
            self._show(frames)

    def _committed(self, message: model.Committed, frames: list[bytes]) -> None:
        before = self._opened
        entry = chunk_entry(message, b"".join(frames[1:]), before.chunks)
        self._record(entry, before.committed(message.prompt))
        after = self._opened
        if (after.unsaved, after.prompt) != (before.unsaved, before.prompt):
            self._tell(after.world)

    def _done(self, message: model.Done, at_hand: Undertaking) -> None:
        session = self._opened
        match at_hand.job:
            case model.ApplyPrompt(text=text):
                self._record(PromptEntry(text=text), session.prompted(text))
            case model.ApplyRewind(chunks=chunks):
                self._record(RewindEntry(chunks=chunks), session.rewound(chunks).renewed())
            case model.ApplyReset(seed=seed):
                self._record(ResetEntry(seed=seed), session.reset(seed).renewed())
        self._tell(self._opened.world)
        self._reply(at_hand.request, chunk=message.chunk, generation=self._opened.generation)

    def _failed(self, sentence: str, at_hand: Undertaking) -> None:
        if at_hand.resumed is not None:
            at_hand.resumed[0].close()
        self._reply(at_hand.request, error=sentence)
        if self.session is not None and at_hand.request is None:
            self.session = replace(self.session, making=None, paused=True)
            self._tell(wire.WorkerState(sentence=sentence, restarts=self.host.restarts))
            self._tell(self.session.world)

    def _loaded(self, message: model.Loaded, at_hand: Undertaking) -> None:
        assert isinstance(at_hand.job, model.Load)
        match at_hand.request:
            case wire.Open():
                data = self._begin(message, at_hand.job.spec, at_hand.resumed)
            case wire.SetChunk(chunk=chunk):
                self._record(ChunkSizeEntry(chunk=chunk), self._opened.resized(chunk))
                data = {}
            case _:
                data = {}
                self._go_on(message)
        self._tell(self._opened.world)
        self._reply(at_hand.request, chunk=message.chunks, generation=self._opened.generation, **data)

    def _begin(self, loaded: model.Loaded, spec: wire.WorldSpec, resumed: tuple[Journal, Contents] | None) -> Answer:
        """A world was opened: its session begins, or goes on where its journal ends."""
        history = resumed[1].history if resumed else History(spec=spec, prompt=spec.prompt)
        if resumed is None:
            path = self._archive.create(Header(spec=spec, checksum=loaded.checksum))
        else:
            path = self._archive.adopt(resumed[0])
        self.session = Session.begin(loaded, history, str(path), after=self.session)
        return {"session": str(path), "notice": notice(resumed[1], loaded.checksum) if resumed else ""}

    def _go_on(self, loaded: model.Loaded) -> None:
        """The model is back after a restart: the chunk that was in the making is made again from the same steps."""
        session = self._opened.rewound(loaded.chunks).renewed()
        lost, self.session = session.making, replace(session, making=None)
        self._tell(wire.WorkerState(sentence="", restarts=self.host.restarts))
        if lost is not None and lost.chunk == session.chunks:
            self.session = self.session.restarted(lost)
            self._make()

    # -- trouble and small things -------------------------------------------------------------------------------------

    def _lost(self) -> None:
        """The model process is gone, or must go: end it, and start it again from the journal."""
        at_hand, self._at_hand = self._at_hand, None
        words = self.host.stop()
        log.warning("the model process stopped: %s", words)
        if at_hand is not None and at_hand.resumed is not None:
            at_hand.resumed[0].close()
        if at_hand is not None:
            self._reply(at_hand.request, error=f"The model stopped before this was done: {words}.")
        if self.session is None or self._closing:
            return
        try:
            self._restart(self.session)
        except WanderError as error:
            self._give_up(str(error))

    def _restart(self, session: Session) -> None:
        if not self.host.may_restart():
            raise WanderError(f"The model stopped {MAX_RESTARTS + 1} times; open the world again or start Wander anew.")
        sentence = f"The model stopped. Restarting ({self.host.restarts} of {MAX_RESTARTS})\N{HORIZONTAL ELLIPSIS}"
        self._tell(wire.WorkerState(sentence=sentence, restarts=self.host.restarts))
        self.host.ensure(session.spec.preset)
        self._give(Undertaking(job=model.Load(spec=session.spec, journal=session.path)))

    def _give_up(self, sentence: str) -> None:
        self._tell(wire.WorkerState(sentence=sentence, restarts=self.host.restarts))
        self.host.restarts = 0
        self.host.stop()
        self._archive.close()
        self.session = None

    def _record(self, entry: Entry, session: Session) -> None:
        """Write what has happened and make `session` the state."""
        self._archive.record(entry)
        self.session = replace(session, unsaved=self._archive.unsaved)

    def _reply(self, request: wire.Request | None, error: str = "", **data: str | int | float | None) -> None:
        if request is not None:
            self._tell(wire.Reply(id=request.id, error=error, data=dict(data)))

    def _figures(self) -> Answer:
        session, durations = self.session, self.host.watchdog.durations
        return {
            "generation": session.generation if session else 0,
            "chunks": session.chunks if session else 0,
            "produced": session.produced if session else 0,
            "shown": session.shown if session else 0,
            "controls_ignored": session.mailbox.ignored if session else 0,
            "chunk_ms_p50": 1e3 * percentile(durations, 0.5),
            "chunk_ms_p95": 1e3 * percentile(durations, 0.95),
            "restarts": self.host.restarts,
            "router_pid": os.getpid(),
            "model_pid": self.host.process.pid if self.host.process else 0,
        }

    @property
    def _opened(self) -> Session:
        """The open session. Raises `WanderError` if there is none."""
        if self.session is None:
            raise WanderError("No world is open; open one first.")
        return self.session
