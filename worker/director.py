"""What the router does for a world: it turns requests and controls into jobs for the model, and keeps the journal.

The model has one job at a time. Between jobs the requests that change the world are carried out in their order, and
when none waits the next chunk starts, if the session allows it. Whatever happens to the model process, the journal
and the steps of the chunk in the making are here, so it can be started again and go on as if nothing had happened.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from worker import model_protocol as model
from worker import protocol as wire
from worker.archive import Archive, notice
from worker.entries import ChunkEntry, Entry, KeepEntry, WeightsEntry, chunk_entry
from worker.errors import WanderError, WireError
from worker.history import History
from worker.host import ModelHost
from worker.jobs import job_for, outcome
from worker.journal import Contents, Journal
from worker.mailbox import Mailbox
from worker.scanning import Scans
from worker.session import Session
from worker.supervisor import Deadlines, ModelProcess
from worker.trail import trail

MAX_WAITING = 64
NOBODY = 0
"""The id of a request whose window has gone: it gets no reply."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Undertaking:
    """The job at hand, the request that it answers if any, and what was prepared for it."""

    job: model.Job
    request: wire.Request | None = None
    journal: Journal | None = None
    """For `Open`: the session's file, written or read as far as it goes."""
    contents: Contents | None = None
    """For the `Open` of a session that exists: what its file holds."""


class Director:
    """One world, its journal and its model process."""

    def __init__(
        self,
        *,
        start_model: Callable[[str], ModelProcess],
        archive: Archive,
        deadlines: Deadlines,
        tell: Callable[[wire.RequestLaneEvent], object],
        show: Callable[[list[bytes]], None],
        life: int = 0,
    ) -> None:
        """`start_model` starts a process for a preset; `tell` and `show` send to the window; `life`: see `Session`."""
        self._life = life
        self._archive, self._tell, self._show = archive, tell, show
        self._waiting: deque[wire.Request] = deque()
        self._at_hand: Undertaking | None = None
        self._closing = False
        self._veiled = False
        self._before: Session | None = None
        """The session that was given up, which the next one follows."""
        self.session: Session | None = None
        self.host = ModelHost.make(start_model, deadlines)
        self._scans = Scans(archive.folder, tell)

    # -- from the window ----------------------------------------------------------------------------------------------

    def welcome(self) -> None:
        """A window has come: it hears of the world, and nothing that another one asked or did concerns it."""
        self._waiting.clear()
        self._scans.forget()
        if self._at_hand is not None and self._at_hand.request is not None:
            self._at_hand = replace(self._at_hand, request=msgspec.structs.replace(self._at_hand.request, id=NOBODY))
        if self.session is not None:
            self.session = replace(self.session, mailbox=Mailbox()).renewed()
            self._tell(self.session.world)
            self._tell(trail(self.session.history.chunks, whole=True))

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
                    self._all_well()
                    self._tell(self.session.world)
                    self._reply(request)
                case wire.Status():
                    self._reply(request, data=self.host.figures() | (self.session.figures if self.session else {}))
                case wire.Save():
                    self._reply(request, data={"session": str(self._archive.save(request.name))})
                case wire.Keep():
                    entry = KeepEntry(name=request.name.strip())
                    self._record(entry, self._opened.then(entry))
                    self._tell(self._opened.world)
                    self._reply(request)
                case wire.Restart():
                    self._reply(request)
                    self.host.restarts = 0
                    self._lost()
                case wire.Scan():
                    self._scans.start(request, self._opened.path)
                case wire.CancelScan():
                    self._scans.cancel()
                    self._reply(request)
                case wire.Quit():
                    self.finish()
                    self._reply(request)
                case _ if len(self._waiting) >= MAX_WAITING:
                    raise WanderError(f"{MAX_WAITING} requests wait already, no more fit; ask again later.")
                case _:
                    if isinstance(request, wire.SetPrompt) and self._at_hand is not None:
                        self.host.foresee(request.text)
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
        except WanderError as error:
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
        self._scans.watch()
        hangs, sentence = self.host.news()
        if sentence is not None:
            self._veil(sentence)
        if hangs:
            self._lost()
            self._advance()

    def finish(self) -> None:
        """Start nothing more."""
        self._closing = True

    def leave(self) -> None:
        """Close the session and end its model; another one may be opened."""
        self._waiting.clear()
        if self._at_hand is not None:
            self._drop(self._at_hand, "The session was closed.")
            self._at_hand = None
        self._give_up("")

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
        self._scans.stop()
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
            try:
                self._make()
            except WanderError as error:
                log.error("model: %s", error)
                self._lost()

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
        else:
            self._give(Undertaking(job=job_for(request, self._opened), request=request))

    def _open(self, request: wire.Open) -> None:
        spec, contents = request.spec, None
        if spec.session:
            journal, contents = self._archive.resume(self._archive.find(spec.session))
            spec = contents.history.spec
        else:
            journal = self._archive.create(spec)
        try:
            self.host.ensure(spec.preset)
            job = model.Load(spec=spec, journal=str(journal.path))
            self._give(Undertaking(job=job, request=request, journal=journal, contents=contents))
        except WanderError:
            self._archive.release(journal, discard=contents is None)
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
        self.host.finished(at_hand.job, message)
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
        self._record(entry, before.committed(entry), message.recalled)
        after = self._opened
        if (after.unsaved, after.reads) != (before.unsaved, before.reads):
            self._tell(after.world)

    def _done(self, message: model.Done, at_hand: Undertaking) -> None:
        generation = self._opened.generation
        self._record(*outcome(at_hand.job, self._opened, message.reads))
        if self._opened.generation != generation:
            self._all_well()
        self._tell(self._opened.world)
        data: wire.Data = {"chunk": message.chunk, "generation": self._opened.generation}
        self._reply(at_hand.request, data=data | ({"notice": message.remark} if message.remark else {}))

    def _failed(self, sentence: str, at_hand: Undertaking) -> None:
        self._drop(at_hand, sentence)
        session = self.session
        if session is None:
            return
        if self.host.process is not None and self.host.process.preset != session.spec.preset:
            self._rebuild(session)
        elif isinstance(at_hand.job, model.Generate):
            self.session = replace(session, making=None, paused=True)
            self._tell(self.session.world)
            self._veil(sentence)

    def _loaded(self, message: model.Loaded, at_hand: Undertaking) -> None:
        match at_hand.request:
            case wire.Open(spec=spec):
                self._begin(message, spec, at_hand)
            case wire.SetChunk() | wire.Switch():
                self._record(*outcome(at_hand.job, self._opened))
            case _:
                self._go_on(message)
        session = self._opened
        self._tell(session.world)
        data: wire.Data = {"chunk": message.chunks, "generation": session.generation, "session": session.path}
        self._reply(at_hand.request, data=data | {"notice": notice(at_hand.contents, message.checksum)})

    def _begin(self, loaded: model.Loaded, spec: wire.WorldSpec, opened: Undertaking) -> None:
        """A world was opened: its session begins, or goes on where its journal ends."""
        assert opened.journal is not None
        history = opened.contents.history if opened.contents else History.begin(spec)
        self._archive.adopt(opened.journal)
        session = Session.begin(loaded, history, str(opened.journal.path), self.session or self._before, self._life)
        self._record(WeightsEntry(checksum=loaded.checksum), session)
        self._all_well()

    def _go_on(self, loaded: model.Loaded) -> None:
        """The model is back after a restart: the chunk that was in the making is made again from the same steps."""
        session = self._opened.renewed()
        if loaded.chunks < session.chunks:
            session = session.cut(loaded.chunks)
        lost, self.session = session.making, replace(session, making=None)
        self._all_well()
        if lost is not None and lost.chunk == session.chunks:
            self.session = self.session.restarted(lost)
            self._make()

    # -- trouble and small things -------------------------------------------------------------------------------------

    def _lost(self) -> None:
        """The model process is gone, or must go: end it, and start it again from the journal."""
        at_hand, self._at_hand = self._at_hand, None
        words = self.host.stop()
        log.warning("the model process stopped: %s", words)
        if at_hand is not None:
            self._drop(at_hand, f"The model stopped before this was done: {words}.")
        if self.session is None or self._closing:
            return
        remedy = self.host.remedy(self.session)
        if not remedy.again:
            self._give_up(remedy.sentence)
            return
        self._veil(remedy.sentence)
        if remedy.chunk is not None:  # a chunk of the old size would only run out of memory again
            self.session = replace(self.session, making=None)
            self._waiting.appendleft(wire.SetChunk(id=NOBODY, chunk=remedy.chunk))
        self._rebuild(self.session)

    def _rebuild(self, session: Session) -> None:
        """Have the session's world rebuilt from its journal by a model process that has it not."""
        try:
            self.host.ensure(session.spec.preset)
            self._give(Undertaking(job=model.Load(spec=session.spec, journal=session.path)))
        except WanderError as error:
            self._give_up(str(error))

    def _drop(self, undertaking: Undertaking, sentence: str) -> None:
        """Something asked for could not be done: say so and put back what was prepared for it."""
        if undertaking.journal is not None:
            self._archive.release(undertaking.journal, discard=undertaking.contents is None)
        self._reply(undertaking.request, error=sentence)

    def _veil(self, sentence: str) -> None:
        self._veiled = bool(sentence)
        self._tell(wire.WorkerState(sentence=sentence, restarts=self.host.restarts))

    def _all_well(self) -> None:
        if self._veiled:
            self._veil("")

    def _give_up(self, sentence: str) -> None:
        self._veil(sentence)
        self.host.restarts = 0
        self.host.stop()
        self._archive.close()
        self._before, self.session = self.session, None

    def _record(self, entry: Entry, session: Session, recalled: tuple[int, ...] = ()) -> None:
        """Write what has happened and make `session` the state."""
        self._archive.record(entry)
        self.session = replace(session, unsaved=self._archive.unsaved)
        new = isinstance(entry, ChunkEntry)
        self._tell(trail([entry] if new else self.session.history.chunks, whole=not new, recalled=recalled))

    def _reply(self, request: wire.Request | None, error: str = "", data: wire.Data | None = None) -> None:
        if request is not None and request.id != NOBODY:
            self._tell(wire.Reply(id=request.id, error=error[:2_000], data=data or {}))

    @property
    def _opened(self) -> Session:
        """The open session. Raises `WanderError` if there is none."""
        if self.session is None:
            raise WanderError("No world is open; open one first.")
        return self.session
