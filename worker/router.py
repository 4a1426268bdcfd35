"""The router: the process that owns the sockets, lets one window in, and outlives the model.

It computes nothing and never waits for anybody: it relays. The window is whoever holds the `Lease`; pictures that its
queue has no room for wait in the `Outbox`, and the session stops the model long before they are many.
"""

import contextlib
import logging
import math
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import zmq

from worker import transport
from worker.archive import Archive
from worker.codec import SMALL, UPLOAD, pack, unpack
from worker.director import Director
from worker.door import Door, LocalDoor
from worker.errors import LaunchError, WireError
from worker.group import Group
from worker.lease import Lease
from worker.outbox import Outbox
from worker.protocol import (
    PROTOCOL,
    SCHEMA,
    ClientMessage,
    Closed,
    Control,
    Data,
    Greeting,
    Hello,
    Open,
    Quit,
    Refused,
    RequestLaneEvent,
    Welcome,
    WorldSpec,
)
from worker.supervisor import Deadlines, ModelProcess
from worker.transport import LIMITS, Happening, Lane

MAX_STRIKES = 3
MAX_PEERS = 256
TICK_MS = 250
RETRY_MS = 20
DOUBT_SECONDS = 1.0
MAX_READS = 64
"""Most messages of one lane that are read before the others have their turn."""

log = logging.getLogger(__name__)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the router is started with."""

    directory: str
    """Private folder of the sockets and logs; removed at the end."""
    sessions: str
    deadlines: Deadlines = Deadlines()
    group: Group = Group()
    """The ranks that make a world together."""
    park: float | None = None
    """Seconds for which the session of a window that is lost is kept for it alone. None: windows are this user's own,
    the next one gets the session; only they may end the router and name files anywhere."""
    preset: str = ""
    """The only one that may be opened; empty for any."""
    life: int = 0
    """How often the session was started elsewhere: generations of each start are numbers of its own."""


class Router:
    """The lanes, the window at their other end, and the director behind them."""

    def __init__(self, options: Options, door: Door | None = None) -> None:
        """Open `door` (default: sockets in the directory).

        Raises `LaunchError` if the directory is not private or the sockets cannot be bound.
        """
        self._directory = transport.private_directory(Path(options.directory))
        self._context: transport.Context = zmq.Context()
        self._door = door or LocalDoor(self._directory)
        self._sockets = self._door.open(self._context)
        self._monitor = transport.Monitor(self._sockets[Lane.REQUESTS])
        self._lease = Lease() if options.park is None else Lease(park=options.park)
        self._remote = options.park is not None
        self._ask_again_at = math.inf
        self._strikes: Counter[bytes] = Counter()
        self._pictures = Outbox(thins=self._remote)
        self._models = self._turns = 0
        self._options, self._deadlines = options, options.deadlines
        self._director = Director(
            start_model=self._start_model,
            archive=Archive(folder=Path(options.sessions), confined=self._remote),
            deadlines=options.deadlines,
            tell=self._tell,
            show=lambda latent: self._pictures.put(latent, time.monotonic()),
            life=options.life,
        )

    def resume(self, session: str) -> None:
        """Open a session of the folder before any window has come; to be called before `run`."""
        self._director.request(Open(spec=WorldSpec(session=session)))

    @property
    def beacon(self) -> Data:
        """How far this router and its session have come, for whoever watches over it; any thread may ask."""
        session = self._director.session
        return {
            "turns": self._turns,
            "session": Path(session.path).name if session else "",
            "chunks": session.chunks if session else 0,
            "window": self._lease.window is not None,
            "restarts": self._director.host.restarts,
        }

    def run(self, lifeline: int) -> None:
        """Serve until the descriptor `lifeline` ends or the window quits; then finish the chunk and close."""
        last = None
        while last is None or (not self._director.finished and time.monotonic() < last):
            ready = self._wait(lifeline if last is None else None)
            if lifeline in ready:
                self._director.finish()
            self._serve(ready)
            if self._director.closing and last is None:
                last = time.monotonic() + self._deadlines.goodbye
        self._close()

    def _wait(self, lifeline: int | None) -> set[Any]:
        """The sockets and descriptors on which something happened."""
        poller = zmq.Poller()
        model = self._director.host.process
        lanes = self._sockets[Lane.CONTROL], self._sockets[Lane.REQUESTS]
        for source in (*lanes, self._monitor.socket, *self._door.sources()):
            poller.register(source, zmq.POLLIN)
        if model is not None:
            poller.register(model.socket, zmq.POLLIN)
            for sentinel in model.sentinels:
                poller.register(sentinel, zmq.POLLIN)
        if lifeline is not None:
            poller.register(lifeline, zmq.POLLIN)
        return {source for source, _ in poller.poll(RETRY_MS if self._pictures else TICK_MS)}

    def _serve(self, ready: set[Any]) -> None:
        self._turns += 1
        self._door.serve()
        self._read_requests()
        self._read_controls()
        model = self._director.host.process
        if model is not None and model.died(ready):
            self._director.model_died()
        self._director.read_model()
        self._director.watch()
        self._send_pictures()
        self._miss_window(time.monotonic())
        if self._lease.over(time.monotonic()):
            self._leave()

    # -- the window ---------------------------------------------------------------------------------------------------

    def _read_requests(self) -> None:
        for sender, frames in self._messages(Lane.REQUESTS):
            try:
                transport.check_size(frames, LIMITS[Lane.REQUESTS])
                message: ClientMessage = unpack(frames[0], ClientMessage, UPLOAD)
            except WireError as error:
                self._strike(sender, frames, error)
                continue
            if isinstance(message, Hello):
                self._greet(sender, message)
            elif sender == self._lease.window:
                self._leave() if self._remote and isinstance(message, Quit) else self._director.request(message)
            else:
                self._hang_up(sender, "Say Hello first.")

    def _read_controls(self) -> None:
        for sender, frames in self._messages(Lane.CONTROL):
            try:
                transport.check_size(frames, LIMITS[Lane.CONTROL])
                control = unpack(frames[0], Control, SMALL)
            except WireError as error:
                self._strike(sender, frames, error)
                continue
            if sender == self._lease.window:
                self._pictures.arrived(control, time.monotonic())
                self._director.control(control)

    def _messages(self, lane: Lane) -> Iterator[tuple[bytes, list[bytes]]]:
        """What has arrived on a lane: who sent it and its frames. Peers that have been hung up on are not heard."""
        for _ in range(MAX_READS):
            message = transport.receive(self._sockets[lane])
            if message is None:
                return
            sender, *frames = message
            if frames and self._strikes[sender] < MAX_STRIKES:
                yield sender, frames

    def _greet(self, sender: bytes, hello: Hello) -> None:
        if (hello.protocol, hello.schema) != (PROTOCOL, SCHEMA):
            spoken = ((hello.protocol, hello.schema), (PROTOCOL, SCHEMA))
            window, worker = (f"{number} ({text})" for number, text in spoken)
            self._hang_up(sender, f"This window speaks version {window}, the worker {worker}; update the older one.")
            return
        refusal = self._lease.refusal(sender, hello.token, hello.take_over, time.monotonic())
        if refusal:
            self._hang_up(sender, refusal, held=True)
            return
        if self._lease.window not in (None, sender):
            self._hang_up(self._lease.window, "Another window has taken this session over.", held=True)
        self._lease = self._lease.held(sender, hello.token)
        self._pictures.clear()
        self._welcome()
        self._director.welcome()

    def _miss_window(self, now: float) -> None:
        """Ask whether the window is still there when a connection was lost, and once more `DOUBT_SECONDS` later.

        ZeroMQ tells of a loss before the socket refuses messages to who is gone: the first answer may be too early.
        """
        lost = Happening.LOST in self._monitor.poll()
        if (lost or now >= self._ask_again_at) and self._lease.window is not None and not self._welcome():
            self._forget_window()
        if lost:
            self._ask_again_at = now + DOUBT_SECONDS
        elif now >= self._ask_again_at:
            self._ask_again_at = math.inf

    def _welcome(self) -> bool:
        return self._tell(Welcome(schema=SCHEMA, token=self._lease.token))

    def _strike(self, sender: bytes, frames: list[bytes], error: WireError) -> None:
        """A message that cannot be read. Greetings of other versions are answered; three others end a connection."""
        with contextlib.suppress(WireError):
            greeting = unpack(frames[0], Greeting, SMALL)
            if greeting.protocol != PROTOCOL:
                self._greet(sender, Hello(protocol=greeting.protocol, schema="unknown"))
                return
        self._strikes[sender] += 1
        log.warning("strike %d: %s", self._strikes[sender], error)
        if self._strikes[sender] >= MAX_STRIKES:
            self._hang_up(sender, f"{MAX_STRIKES} messages could not be read; start this window again.")
        else:
            self._send(sender, Refused(sentence=str(error)))
        if len(self._strikes) > MAX_PEERS:
            self._strikes.clear()

    def _hang_up(self, peer: bytes, sentence: str, *, held: bool = False) -> None:
        self._send(peer, Closed(sentence=sentence, held=held))
        if peer == self._lease.window:
            self._forget_window()

    def _forget_window(self) -> None:
        self._lease = self._lease.lost(time.monotonic())
        self._pictures.clear()

    def _leave(self) -> None:
        """The session of a window that does not come back ends; its file stays."""
        self._tell(Closed(sentence="The session was closed."))
        self._forget_window()
        self._lease = self._lease.ended()
        self._director.leave()

    def _tell(self, event: RequestLaneEvent) -> bool:
        """Send to the window, if there is one; False if it is gone or reads nothing."""
        return self._lease.window is not None and self._send(self._lease.window, event)

    def _send(self, peer: bytes, event: RequestLaneEvent) -> bool:
        return transport.send(self._sockets[Lane.REQUESTS], [pack(event)], LIMITS[Lane.REQUESTS], to=peer)

    def _send_pictures(self) -> None:
        window = self._lease.window
        if window is None:
            self._pictures.clear()
        while (latent := self._pictures.next()) is not None:
            if not transport.send(self._sockets[Lane.FRAMES], latent, LIMITS[Lane.FRAMES], to=window):
                return
            self._pictures.sent(time.monotonic())

    # -- beginning and end --------------------------------------------------------------------------------------------

    def _start_model(self, preset: str) -> ModelProcess:
        if self._options.preset not in ("", preset):
            raise LaunchError(
                f"This place was given to 1 session of {self._options.preset}, {preset} needs another one; leave, then "
                "connect again."
            )
        self._models += 1
        group = self._options.group
        return ModelProcess(self._context, self._directory, preset=preset, number=self._models, group=group)

    def _close(self) -> None:
        self._tell(Closed(sentence=""))
        self._director.close()
        self._monitor.close()
        self._context.destroy(linger=200)
        shutil.rmtree(self._directory, ignore_errors=True)


def main(arguments: str) -> None:
    """Serve as the JSON `arguments` (`Options`) say, until standard input ends."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    options = msgspec.json.decode(arguments, type=Options)
    Router(options).run(lifeline=sys.stdin.fileno())


if __name__ == "__main__":
    main(sys.argv[1])
