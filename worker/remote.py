"""A worker on another machine: its key is pinned, failures of the handshake have names, a lost connection is resumed.

A connection that breaks is taken up again by itself. The worker keeps the session for the holder of the token that came
with its `Welcome`; the token is kept beside the keys, so that it also outlives this process.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from enum import Enum, auto

import zmq

from worker import transport
from worker.keys import KeyFault, Keyring, fingerprint
from worker.lease import PARK_SECONDS
from worker.link import Lanes, open_lanes
from worker.protocol import Closed, Event, Reply, Request, Welcome, WorkerState
from worker.transport import Address, Context, Happening, Lane, Monitor

ANSWER_SECONDS = 10.0
"""How long a worker may take to answer at all."""
REFUSALS = 3
"""Handshakes in a row that must break before the key is blamed: one may break because the worker is just ending."""
RECONNECT_MS = (200, 2_000)
GREETING = bytes([0xFF, *[0] * 8, 0x7F, 3, 1])
"""How a ZMTP 3.1 connection begins (RFC 37): signature and version; 20 bytes that name the mechanism follow."""


class State(Enum):
    """Where a connection stands."""

    CALLING = auto()
    """Nobody has answered yet."""
    UP = auto()
    DOWN = auto()
    """Lost; being taken up again."""


class RemoteLink:
    """A `WorldLink` over an encrypted connection."""

    def __init__(
        self,
        address: Address,
        keyring: Keyring,
        *,
        take_over: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `KeyFault` if this machine has no key or does not know the worker's."""
        own, server = keyring.own(), keyring.trusted().get(str(address))
        if server is None:
            raise KeyFault(
                f"The key of {address} is not known here; ask for it there ('launch.py keys list' shows it), then "
                f"'launch.py keys trust {address} KEY'."
            )
        self._address, self._keyring, self._own, self._server = address, keyring, own.public, server
        self._take_over, self._clock = take_over, clock
        self._state, self._since, self._refusals = State.CALLING, clock(), 0
        self._token = keyring.token(str(address))
        self._closed = False
        self._held: list[Request] = []
        self._open: set[int] = set()
        context: Context = zmq.Context()
        sockets = open_lanes(context)
        for each in sockets.values():
            transport.over_network(each, address)
            each.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a connection that is not there
            each.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS[0])
            each.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS[1])
            each.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(server))
            each.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(own.public))
            each.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(own.secret))
        self._monitor = Monitor(sockets[Lane.REQUESTS])
        for lane, each in sockets.items():
            each.connect(address.endpoint(lane))
        self._lanes = Lanes(context, sockets)
        self.control = self._lanes.control

    def request(self, request: Request) -> int:
        """See `worker.link.WorldLink.request`. What is asked before the worker has answered waits until then."""
        numbered = self._lanes.numbered(request)
        self._open.add(numbered.id)
        if self._state is State.UP:
            return self._lanes.request(numbered)
        self._held.append(numbered)
        return numbered.id

    def poll(self) -> list[Event]:
        """See `worker.link.WorldLink.poll`."""
        if self._closed:
            return []
        events: list[Event] = [event for what in self._monitor.poll() for event in self._happened(what)]
        events += [told for event in self._lanes.poll() for told in self._heard(event)]
        events += self._overdue()
        end = next((number for number, event in enumerate(events) if isinstance(event, Closed)), None)
        self._closed = end is not None
        return events if end is None else events[: end + 1]

    def close(self) -> None:
        """Leave; the worker keeps the session for a while."""
        if not self._lanes.closed:
            self._closed = True
            self._monitor.close()
            self._lanes.close()

    def _happened(self, what: Happening) -> list[Event]:
        """What a change of the connection means to the window."""
        match what:
            case Happening.READY:
                self._refusals = 0
                self._lanes.hello(take_over=self._take_over and self._state is State.CALLING, token=self._token)
            case Happening.LOST if self._state is State.UP:
                return self._lost()
            case Happening.WRONG_KEY:
                self._refusals += 1
                if self._refusals >= REFUSALS:
                    encrypted = offers_encryption(self._address)
                    return [Closed(sentence=self._wrong_key() if encrypted else self._not_encrypted())]
            case Happening.NOT_ALLOWED:
                return [Closed(sentence=self._not_allowed())]
            case Happening.NOT_ENCRYPTED:
                return [Closed(sentence=self._not_encrypted())]
            case _:
                pass
        return []

    def _lost(self) -> list[Event]:
        """The connection broke: what was asked over it gets no other answer."""
        self._state, self._since = State.DOWN, self._clock()
        error = "The connection was lost before this was answered; ask again."
        replies = [Reply(id=number, error=error) for number in sorted(self._open)]
        self._open.clear()
        return [*replies, WorkerState(sentence=f"The connection to {self._address} was lost. Reconnecting…")]

    def _heard(self, event: Event) -> list[Event]:
        if isinstance(event, Reply):
            self._open.discard(event.id)
        if not isinstance(event, Welcome):
            return [event]
        back = self._state is State.DOWN
        self._state = State.UP
        while self._held:
            self._lanes.request(self._held.pop(0))
        if event.token != self._token:
            self._token = event.token
            self._keyring.keep_token(str(self._address), event.token)
        return [event, WorkerState(sentence="")] if back else [event]

    def _overdue(self) -> list[Event]:
        waited = self._clock() - self._since
        if self._state is State.CALLING and waited > ANSWER_SECONDS:
            why = f"No worker answered at {self._address} within {ANSWER_SECONDS:.0f} s; is 'launch.py serve' running?"
            return [Closed(sentence=why)]
        if self._state is State.DOWN and waited > PARK_SECONDS:
            why = f"{self._address} could not be reached for {PARK_SECONDS / 60:.0f} minutes, 0 are left; connect anew."
            return [Closed(sentence=why)]
        return []

    def _wrong_key(self) -> str:
        return (
            f"{self._address} does not hold the key {fingerprint(self._server)} that is trusted here; compare it with "
            f"'launch.py keys list' there. If the key was changed: launch.py keys trust --replace {self._address} KEY"
        )

    def _not_encrypted(self) -> str:
        return (
            f"{self._address} does not encrypt as Wander does, so no key could be compared; check the port, "
            "'launch.py serve' prints it."
        )

    def _not_allowed(self) -> str:
        return (
            f"{self._address} does not let this machine's key {fingerprint(self._own)} in; "
            f"there: launch.py keys allow NAME {self._own}"
        )


def offers_encryption(address: Address, seconds: float = 1.0) -> bool:
    """Whether the peer's greeting names CURVE, or cannot be read.

    Where a worker does not encrypt, both sides break the handshake off, and whichever is second only sees a connection
    that ends, as with a wrong key: so the greeting is read once more, by hand.
    """
    target = (address.host, address.port + list(Lane).index(Lane.REQUESTS))
    heard = b""
    with contextlib.suppress(OSError), socket.create_connection(target, seconds) as peer:
        peer.sendall(GREETING)
        while len(heard) < 32 and (more := peer.recv(32 - len(heard))):
            heard += more
    return len(heard) < 32 or heard[12:32].rstrip(b"\0") == b"CURVE"
