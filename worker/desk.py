"""The front desk of a cluster: it lets known windows in, finds a machine for each one's session, and sends them there.

A window greets the desk as it would a worker. When it opens a world, the planner says what that takes, and either a
machine has room (the window is told where: `Moved`) or it is refused with the two numbers. The desk then watches over
each session by its beacon; one whose machine is lost, or whose beacon stands still, is started on another one from its
journal, and the window, which has come back to the desk by itself, is sent after it. One session for each user.

No picture passes through here. What runs the sessions is a `Fleet`; `worker.cluster` has the one of Ray.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import zmq

from worker import transport
from worker.codec import UPLOAD, pack, unpack
from worker.door import NetworkDoor
from worker.errors import WanderError, WireError
from worker.journal import SUFFIX, spec_of
from worker.moved import Moved
from worker.placement import Need, Node, NoRoom, choose
from worker.protocol import (
    PROTOCOL,
    SCHEMA,
    ClientMessage,
    Closed,
    Hello,
    Open,
    Quit,
    Reply,
    RequestLaneEvent,
    Status,
    Welcome,
    WorkerState,
    WorldSpec,
)
from worker.tenant import Lease
from worker.transport import LIMITS, Lane

TICK_MS = 100
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
"""A window that waits hears so often that somebody is there."""
GOODBYE_SECONDS = 1.0
"""For the sessions to close their files when the desk ends."""
IDLE_SECONDS = 30.0
"""How long a machine is kept for a user who has neither a world nor a window there."""
MOST_STARTS = 5
"""Starts in a row in which no chunk was made: the session is given up."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What a fleet says of a session: where it can be reached, its beacon, or why it is lost."""

    address: str = ""
    key: str = ""
    beacon: dict[str, Any] | None = None
    lost: str = ""


class Running(Protocol):
    """A session that a fleet runs."""

    def news(self) -> list[News]:
        """What has happened since the last call. Does not wait."""
        ...

    def end(self, *, at_once: bool) -> None:
        """End it, whatever state it is in, or let it close its files first. Does not wait."""
        ...


class Fleet(Protocol):
    """The machines of a cluster."""

    def nodes(self) -> list[Node]:
        """Those that are alive."""
        ...

    def start(self, node: Node, need: Need, lease: Lease) -> Running:
        """Start a session on a node."""
        ...


@dataclass(kw_only=True, slots=True)
class Stay:
    """A user's session, on a machine or between two."""

    preset: str
    need: Need
    node: Node | None = None
    running: Running | None = None
    session: str = ""
    """File name of its journal, once it is known."""
    place: Moved | None = None
    """Where the window can go; None while the session is started."""
    chunks: int = 0
    starts: int = 0
    """All starts of this session."""
    barren: int = 0
    """Starts in a row that made no chunk."""
    resumes: bool = False
    """It was started to go on with `session`."""
    open: bool = False
    """It has a world."""
    turns: int = -1
    started_at: float = 0.0
    moved_at: float = 0.0
    """When the beacon last moved."""
    used_at: float = 0.0
    """When there was last a world or a window."""
    lost_at: float = 0.0
    retry_at: float = 0.0
    sentence: str = ""
    """What the window is told while it waits."""
    told_at: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether a window can go there."""
        return self.place is not None and self.turns >= 0 and (self.open or not self.resumes)


@dataclass(slots=True)
class Guest:
    """A user with the windows that wait at the desk."""

    name: str
    key: str
    windows: set[bytes] = field(default_factory=set)
    came_at: float = 0.0
    """When the last of them came."""
    asked: list[tuple[bytes, int]] = field(default_factory=list)
    """`Open`s that wait for a place."""
    stay: Stay | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How the desk works."""

    sessions: Path
    """The folder that all machines see; each user has one in it."""
    park: float
    models: str = ""
    still: float = 10.0
    """Seconds after which a beacon that stands still means that its machine is lost."""
    start: float = 120.0
    """Seconds that a session may take to be reachable."""


class Desk:
    """The desk itself: one thread, which never waits for a machine."""

    def __init__(
        self,
        door: NetworkDoor,
        fleet: Fleet,
        needs: Callable[[str], Need],
        rules: Rules,
        say: Callable[[str], object] = log.info,
    ) -> None:
        """`needs` says what a session of a preset takes, or raises `WanderError`. Raises `LaunchError`, `KeyFault`."""
        self._door, self._fleet, self._needs, self._rules, self._say = door, fleet, needs, rules, say
        self._guests: dict[str, Guest] = {}
        self._context: transport.Context = zmq.Context()
        self._sockets = door.open(self._context)

    def run(self, lifeline: int) -> None:
        """Serve until the descriptor `lifeline` ends; then end all sessions, whose files stay."""
        poller = zmq.Poller()
        for source in (self._sockets[Lane.REQUESTS], *self._door.sources(), lifeline):
            poller.register(source, zmq.POLLIN)
        while lifeline not in dict(poller.poll(TICK_MS)):
            self._door.serve()
            self._read()
            for guest in list(self._guests.values()):
                self._watch(guest, time.monotonic())
        for guest in self._guests.values():
            self._tell(guest, Closed(sentence="The cluster's front desk was closed."))
            if guest.stay is not None and guest.stay.running is not None:
                guest.stay.running.end(at_once=False)
        time.sleep(GOODBYE_SECONDS if self._guests else 0)
        self._context.destroy(linger=200)

    def places(self) -> dict[str, tuple[str, str, int]]:
        """Who is where: user -> (machine, session, starts)."""
        stays = {name: guest.stay for name, guest in self._guests.items()}
        return {
            name: (stay.node.label if stay.node else "", stay.session, stay.starts)
            for name, stay in stays.items() if stay is not None
        }  # fmt: skip

    # -- windows ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        lane = self._sockets[Lane.REQUESTS]
        while lane.poll(0):
            sender, *frames = lane.recv_multipart(zmq.NOBLOCK, copy=False)
            name = str(frames[0].get("User-Id")) if frames else ""
            try:
                raw = [frame.bytes for frame in frames]
                transport.check_size(raw, LIMITS[Lane.REQUESTS])
                key = self._door.keyring.allowed().get(name, "")
                message: ClientMessage = unpack(b"".join(raw), ClientMessage, UPLOAD)
            except (WanderError, WireError) as error:
                self._send(sender.bytes, Closed(sentence=str(error)[:2_000]))
                continue
            guest = self._guests.setdefault(name, Guest(name, key))
            guest.key = key
            self._heard(guest, sender.bytes, message)

    def _heard(self, guest: Guest, window: bytes, message: ClientMessage) -> None:
        match message:
            case Hello() if (message.protocol, message.schema) != (PROTOCOL, SCHEMA):
                spoken = f"{message.protocol} ({message.schema}), the cluster {PROTOCOL} ({SCHEMA})"
                self._send(window, Closed(sentence=f"This window speaks version {spoken}; update the older one."))
            case Hello():
                self._greet(guest, window)
            case _ if window not in guest.windows:
                self._send(window, Closed(sentence="Say Hello first."))
            case Open():
                self._asked(guest, window, message)
            case Status():
                self._send(window, Reply(id=message.id))
            case Quit():
                guest.windows.discard(window)
            case _:
                self._send(window, Reply(id=message.id, error="No world is open; open one first."))

    def _greet(self, guest: Guest, window: bytes) -> None:
        guest.windows.add(window)
        guest.came_at = time.monotonic()
        if guest.stay is None:
            self._send(window, Welcome(schema=SCHEMA))
        elif not guest.stay.ready:
            self._send(window, WorkerState(sentence=guest.stay.sentence))

    def _asked(self, guest: Guest, window: bytes, message: Open) -> None:
        """A window wants a world: have a place made for it, unless there is one."""
        try:
            if guest.stay is None:
                preset = self._preset(guest, message.spec)
                need = self._needs(preset)
                guest.stay = Stay(preset=preset, need=need)
                self._start(guest, guest.stay, time.monotonic())
            guest.asked.append((window, message.id))
        except WanderError as error:
            guest.stay = None
            self._send(window, Reply(id=message.id, error=str(error)[:2_000]))

    def _preset(self, guest: Guest, spec: WorldSpec) -> str:
        """What a world is to be made with; a session's file says it itself."""
        if not spec.session:
            return spec.preset
        path = self._folder(guest) / (Path(spec.session).name.removesuffix(SUFFIX) + SUFFIX)
        return spec_of(path).preset

    def _folder(self, guest: Guest) -> Path:
        return self._rules.sessions / guest.name

    # -- sessions -----------------------------------------------------------------------------------------------------

    def _start(self, guest: Guest, stay: Stay, now: float) -> None:
        """Start the session on a machine with room. Raises `NoRoom`."""
        taken: dict[str, list[Need]] = {}
        for other in self._stays():
            if other.node is not None and other.running is not None:
                taken.setdefault(other.node.name, []).append(other.need)
        before = stay.node.name if stay.node else ""
        node = choose(stay.preset, stay.need, self._fleet.nodes(), taken, avoid=before)
        lease = Lease(
            guest=guest.name, key=guest.key, host=node.label, sessions=str(self._folder(guest)), preset=stay.preset,
            session=stay.session, starts=stay.starts, park=self._rules.park, models=self._rules.models,
        )  # fmt: skip
        stay.running, stay.node = self._fleet.start(node, stay.need, lease), node
        stay.place, stay.turns, stay.starts, stay.barren = None, -1, stay.starts + 1, stay.barren + 1
        stay.resumes, stay.open = bool(stay.session), False
        stay.started_at = stay.moved_at = stay.used_at = now
        self._say(f"{guest.name}: {stay.preset} on {node.label} ({node.name[:8]}), start {stay.starts}")
        why = "The machine of your world was lost. It is being started again" if stay.resumes else "It is being started"
        self._patience(guest, f"{why} on {node.label}\N{HORIZONTAL ELLIPSIS}")

    def _stays(self) -> Iterable[Stay]:
        return (guest.stay for guest in self._guests.values() if guest.stay is not None)

    def _watch(self, guest: Guest, now: float) -> None:
        """Take in what is said of a session; start it again where it is lost."""
        stay = guest.stay
        if stay is None:
            return
        if not stay.ready and now - stay.told_at > PATIENCE_SECONDS:
            stay.told_at = now
            self._patience(guest, stay.sentence)
        if stay.running is None:
            if now >= stay.retry_at:
                self._again(guest, stay, now)
            return
        for news in stay.running.news():
            if news.lost:
                self._lost(guest, stay, news.lost, now)
                return
            if news.address:
                stay.place = Moved(address=news.address, key=news.key)
                stay.moved_at = stay.used_at = now
            if news.beacon is not None:
                self._beacon(stay, news.beacon, now)
        self._judge(guest, stay, now)

    def _beacon(self, stay: Stay, beacon: dict[str, Any], now: float) -> None:
        if beacon["turns"] != stay.turns and beacon["alive"]:
            stay.turns, stay.moved_at = beacon["turns"], now
        if beacon["session"] or stay.open:  # a world that was left is not gone on with
            stay.session = beacon["session"]
        stay.open = bool(beacon["session"])
        if beacon["chunks"] > stay.chunks:
            stay.barren = 0
        stay.chunks = beacon["chunks"] or stay.chunks
        if beacon["session"] or beacon["window"]:
            stay.used_at = now

    def _judge(self, guest: Guest, stay: Stay, now: float) -> None:
        """Whether the window can go there, the session is lost, or nobody needs it any more."""
        if not stay.ready and now - stay.started_at > self._rules.start:
            self._lost(guest, stay, f"it could not be reached within {self._rules.start:.0f} s", now)
        elif stay.turns >= 0 and now - stay.moved_at > self._rules.still:
            self._lost(guest, stay, f"its beacon has stood still for {now - stay.moved_at:.0f} s", now)
        elif stay.ready and not guest.windows and now - stay.used_at > IDLE_SECONDS:
            self._forget(guest, "")
        elif stay.ready and stay.place is not None and guest.windows and stay.moved_at > guest.came_at:
            # only after a beacon that is younger than the window's coming: it may have come because the machine died
            if stay.lost_at:
                self._say(f"{guest.name}: goes on after {now - stay.lost_at:.1f} s")
                stay.lost_at = 0.0
            self._tell(guest, stay.place)
            guest.windows.clear()
            guest.asked.clear()

    def _lost(self, guest: Guest, stay: Stay, why: str, now: float) -> None:
        """The machine is gone, or its session: end what is left of it, and start again if there is a journal."""
        assert stay.running is not None
        self._say(f"{guest.name}: lost on {stay.node.label if stay.node else '?'}: {why}")
        stay.running.end(at_once=True)
        stay.running, stay.place, stay.lost_at = None, None, stay.lost_at or now
        if not stay.session:
            self._forget(guest, f"The session could not be started: {why}.")
        elif stay.barren >= MOST_STARTS:
            self._forget(guest, f"The session was started {stay.barren} times and made 0 chunks; open it again later.")
        else:
            self._again(guest, stay, now)

    def _again(self, guest: Guest, stay: Stay, now: float) -> None:
        """Start a session that was lost; while no machine has room, try again."""
        try:
            self._start(guest, stay, now)
        except NoRoom as error:
            stay.retry_at = now + RETRY_SECONDS
            self._patience(guest, f"Your machine was lost, the session waits. {error}")

    def _forget(self, guest: Guest, sentence: str) -> None:
        """The user has no session any more; `sentence` says why to the windows that wait for one."""
        stay, guest.stay = guest.stay, None
        if stay is not None and stay.running is not None:
            stay.running.end(at_once=False)
        for window, number in guest.asked:
            self._send(window, Reply(id=number, error=sentence[:2_000]))
        asked = {window for window, _ in guest.asked}
        guest.asked.clear()
        for window in guest.windows - asked:  # a world that never began can be asked for again
            over = stay is not None and stay.session
            self._send(window, Closed(sentence=sentence[:2_000]) if over else Welcome(schema=SCHEMA))

    def _patience(self, guest: Guest, sentence: str) -> None:
        if guest.stay is not None:
            guest.stay.sentence = sentence[:2_000]
        self._tell(guest, WorkerState(sentence=sentence[:2_000]))

    def _tell(self, guest: Guest, event: RequestLaneEvent | Moved) -> None:
        for window in list(guest.windows):
            if not self._send(window, event):
                guest.windows.discard(window)

    def _send(self, window: bytes, event: RequestLaneEvent | Moved) -> bool:
        lane = Lane.REQUESTS
        return transport.send(self._sockets[lane], [pack(event)], LIMITS[lane], to=window)
