"""A worker on another machine: its key is pinned, failures of the handshake have names, a lost connection is resumed.

A connection that breaks is taken up again by itself, over new sockets: one lane that fails is the end of all three, so
that nothing of the old connection is waited for. The worker keeps the session for the holder of the token that came
with its `Welcome`; the token is kept beside the keys, so that it also outlives this process. A connection that stands
but carries nothing any more is noticed by questions that stay unanswered (`worker.pulse`).

Where the address is a cluster's front desk, it sends the window to the machine that the session is on (`Moved`); when
that machine is lost, the desk is asked again.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

import msgspec
import zmq

from worker import transport
from worker.errors import LaunchError, WireError
from worker.keys import KeyFault, Keyring, fingerprint
from worker.lease import PARK_SECONDS
from worker.link import Lanes, open_lanes
from worker.moved import Heard, Moved
from worker.protocol import Closed, Control, Event, Reply, Request, Status, Welcome, WorkerState
from worker.pulse import Pulse
from worker.transport import Address, Context, Happening, Lane, Monitor

ANSWER_SECONDS = 10.0
"""How long a worker may take to answer at all."""
PLACE_SECONDS = 5.0
"""How long the machine that the front desk has named may take, before the desk is asked again."""
REFUSALS = 3
"""Handshakes in a row that must break before the key is blamed: one may break because the worker is just ending."""
RECONNECT_MS = (200, 2_000)
HANDSHAKE_MS = 4_000
"""A connection on which no handshake comes about is tried anew; so long that `ANSWER_SECONDS` end before `REFUSALS`."""
GREETING = bytes([0xFF, *[0] * 8, 0x7F, 3, 1])
"""How a ZMTP 3.1 connection begins (RFC 37): signature and version; 20 bytes that name the mechanism follow."""


class State(Enum):
    """Where a connection stands."""

    CALLING = auto()
    """Nobody has answered yet."""
    UP = auto()
    DOWN = auto()
    """Lost; being taken up again."""


@dataclass(frozen=True, slots=True)
class Place:
    """A worker, and the key that it must hold."""

    address: Address
    key: str


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
        self._home, self._keyring, self._own = Place(address, server), keyring, own
        self._take_over, self._clock = take_over, clock
        self._state, self._since = State.CALLING, clock()
        self._token = keyring.token(str(address))
        self._closed = False
        self._held: list[Request] = []
        self._open: dict[int, Request] = {}
        self._join(self._home)

    def _join(self, place: Place, requests: int = 0) -> None:
        """New sockets, to `place`."""
        self._place, self._refusals, self._pulse = place, 0, Pulse()
        self._joined = self._clock()
        context: Context = zmq.Context()
        sockets = open_lanes(context)
        for each in sockets.values():
            transport.over_network(each, place.address)
            each.setsockopt(zmq.IMMEDIATE, 1)  # nothing is queued for a connection that is not there
            each.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS[0])
            each.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS[1])
            each.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
            each.setsockopt(zmq.CURVE_SERVERKEY, bytes.fromhex(place.key))
            each.setsockopt(zmq.CURVE_PUBLICKEY, bytes.fromhex(self._own.public))
            each.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(self._own.secret))
        self._monitors = {lane: Monitor(each) for lane, each in sockets.items()}
        for lane, each in sockets.items():
            each.connect(place.address.endpoint(lane))
        self._lanes = Lanes(context, sockets, requests)

    def _move(self, place: Place) -> None:
        """Leave the sockets at hand and connect to `place`."""
        requests = self._lanes.requests
        self._hang_up(linger=0)
        self._join(place, requests)

    def _hang_up(self, linger: int) -> None:
        for monitor in self._monitors.values():
            monitor.close()
        self._lanes.close(linger)

    def control(self, control: Control) -> None:
        """See `worker.link.WorldLink.control`."""
        self._pulse.steered(control, self._clock())
        self._lanes.control(msgspec.structs.replace(control, arrived=self._pulse.arrived(control.generation)))

    def request(self, request: Request) -> int:
        """See `worker.link.WorldLink.request`. What is asked before the worker has answered waits until then."""
        numbered = self._lanes.numbered(request)
        self._open[numbered.id] = numbered
        if self._state is State.UP:
            return self._lanes.request(numbered)
        self._held.append(numbered)
        return numbered.id

    def poll(self) -> list[Event]:
        """See `worker.link.WorldLink.poll`."""
        if self._closed:
            return []
        happened = [(lane, what) for lane, monitor in self._monitors.items() for what in monitor.poll()]
        lanes, events = self._lanes, list[Event]()
        for event in lanes.poll():  # all that came before a connection broke
            events += self._heard(event) if self._lanes is lanes else []
        for lane, what in happened:
            events += self._happened(lane, what) if self._lanes is lanes else []
        events += self._watch() if self._lanes is lanes else []
        events += self._overdue()
        end = next((number for number, event in enumerate(events) if isinstance(event, Closed)), None)
        self._closed = end is not None
        return events if end is None else events[: end + 1]

    def close(self) -> None:
        """Leave; the worker keeps the session for a while."""
        if not self._lanes.closed:
            self._closed = True
            self._hang_up(linger=200)

    def _happened(self, lane: Lane, what: Happening) -> list[Event]:
        """What a change of a lane's connection means to the window."""
        if what is Happening.LOST:
            return self._lost("was lost") if self._state is State.UP else []
        if lane is not Lane.REQUESTS:
            return []
        if what is Happening.READY:
            self._refusals = 0
            self._lanes.hello(take_over=self._take_over and self._state is State.CALLING, token=self._token)
            return []
        if self._place != self._home:  # somebody else listens where the session was: the desk knows better
            self._move(self._home)
            return []
        match what:
            case Happening.WRONG_KEY:  # once it has held the right one, it is the network that breaks handshakes
                self._refusals += self._state is State.CALLING
                if self._refusals >= REFUSALS:
                    encrypted = offers_encryption(self._home.address)
                    return [Closed(sentence=self._wrong_key() if encrypted else self._not_encrypted())]
                return []
            case Happening.NOT_ALLOWED:
                return [Closed(sentence=self._not_allowed())]
            case _:
                return [Closed(sentence=self._not_encrypted())]

    def _lost(self, how: str) -> list[Event]:
        """The connection broke: what was asked over it gets no other answer."""
        lost = self._place.address
        self._state, self._since = State.DOWN, self._clock()
        error = "The connection was lost before this was answered; ask again."
        replies = [Reply(id=number, error=error) for number in sorted(self._open)]
        self._open.clear()
        self._held.clear()
        self._move(self._home)
        return [*replies, WorkerState(sentence=f"The connection to {lost} {how}. Reconnecting…")]

    def _heard(self, event: Heard) -> list[Event]:
        self._pulse.heard(event, self._clock())
        if isinstance(event, Moved):
            return self._moved(event)
        if isinstance(event, Reply):
            self._open.pop(event.id, None)
            return [] if self._pulse.answered(event, self._clock()) else [event]
        if isinstance(event, WorkerState) and self._state is State.CALLING:
            self._since = self._clock()  # a front desk that asks for patience
        if not isinstance(event, Welcome):
            return [event]
        back = self._state is State.DOWN or self._place != self._home
        self._state = State.UP
        while self._held:
            self._lanes.request(self._held.pop(0))
        if event.token and event.token != self._token:
            self._token = event.token
            self._keyring.keep_token(str(self._home.address), event.token)
        return [event, WorkerState(sentence="")] if back else [event]

    def _moved(self, to: Moved) -> list[Event]:
        """The front desk has named the machine: what was asked of the desk is asked again there."""
        try:
            place = Place(Address.parse(to.address), to.key)
        except LaunchError as error:
            return [Closed(sentence=f"The front desk at {self._home.address} cannot be understood: {error}")]
        self._held = list(self._open.values())
        if self._state is not State.DOWN:
            self._state, self._since = State.CALLING, self._clock()
        self._move(place)
        return []

    def _watch(self) -> list[Event]:
        """Ask for a sign of life now and then, and judge the connection by what comes back."""
        if self._state is not State.UP:
            return []
        now = self._clock()
        if silence := self._pulse.stopped(now):
            return self._lost(f"carries nothing any more, {silence:.0f} s have passed")
        if self._pulse.due(now):
            question = self._lanes.numbered(Status())
            with contextlib.suppress(WireError):
                self._lanes.request(question)
            self._pulse.asked(question.id, now)
        return []

    def _overdue(self) -> list[Event]:
        now = self._clock()
        waited, address = now - self._since, self._home.address
        if self._state is not State.UP and self._place != self._home and now - self._joined > PLACE_SECONDS:
            self._move(self._home)
        if self._state is State.CALLING and waited > ANSWER_SECONDS:
            why = f"No worker answered at {address} within {ANSWER_SECONDS:.0f} s; is 'launch.py serve' running?"
            return [Closed(sentence=why)]
        if self._state is State.DOWN and waited > PARK_SECONDS:
            why = f"{address} could not be reached for {PARK_SECONDS / 60:.0f} minutes, 0 are left; connect anew."
            return [Closed(sentence=why)]
        return []

    def _wrong_key(self) -> str:
        address = self._home.address
        return (
            f"{address} does not hold the key {fingerprint(self._home.key)} that is trusted here; compare it with "
            f"'launch.py keys list' there. If the key was changed: launch.py keys trust --replace {address} KEY"
        )

    def _not_encrypted(self) -> str:
        return (
            f"{self._home.address} does not encrypt as Wander does, so no key could be compared; check the port, "
            "'launch.py serve' prints it."
        )

    def _not_allowed(self) -> str:
        return (
            f"{self._home.address} does not let this machine's key {fingerprint(self._own.public)} in; "
            f"there: launch.py keys allow NAME {self._own.public}"
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
