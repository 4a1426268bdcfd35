"""How windows get to the router: over sockets in a private folder, or over an encrypted network with a list of guests.

A door opens the three lanes. `NetworkDoor` is also the judge that libzmq asks about every key (ZAP, RFC 27): one that
is not on the allow-list ends the handshake, before a single message is read.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import zmq

from worker import transport
from worker.errors import LaunchError
from worker.keys import KeyFault, Keyring, fingerprint
from worker.transport import LIMITS, Address, Context, Lane, Socket

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"wander"

log = logging.getLogger(__name__)


class Door(Protocol):
    """Where the router's lanes are."""

    def open(self, context: Context) -> dict[Lane, Socket]:
        """The three lanes, bound. Raises `LaunchError`."""
        ...

    def sources(self) -> list[Socket]:
        """Further sockets to wait for."""
        ...

    def serve(self) -> None:
        """Answer what has arrived on `sources`."""
        ...


@dataclass(frozen=True, slots=True)
class LocalDoor:
    """Sockets in a folder that only its owner can enter."""

    directory: Path

    def open(self, context: Context) -> dict[Lane, Socket]:
        """See `Door.open`."""
        lanes = {lane: transport.open_socket(context, zmq.ROUTER, LIMITS[lane]) for lane in Lane}
        for lane, socket in lanes.items():
            socket.bind(transport.ipc_endpoint(self.directory, lane))
        return lanes

    def sources(self) -> list[Socket]:
        """None."""
        return []

    def serve(self) -> None:
        """Nothing."""


@dataclass(slots=True)
class NetworkDoor:
    """Encrypted sockets at `address`, for the keys that `keyring` allows at the moment of each handshake."""

    address: Address
    keyring: Keyring
    tell: Callable[[str], object]
    """Says a sentence to the person who serves."""
    _judge: list[Socket] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)

    def open(self, context: Context) -> dict[Lane, Socket]:
        """See `Door.open`. Raises `KeyFault` without a key of its own or without anybody to let in."""
        own = self.keyring.own()
        if not self.keyring.allowed():
            raise KeyFault(
                "Nobody is allowed to connect, 0 keys are on the list; add one with 'launch.py keys allow NAME KEY'."
            )
        judge = context.socket(zmq.REP)
        judge.setsockopt(zmq.LINGER, 0)
        judge.bind(ZAP_ENDPOINT)
        self._judge.append(judge)
        lanes = {lane: transport.open_socket(context, zmq.ROUTER, LIMITS[lane]) for lane in Lane}
        for lane, socket in lanes.items():
            transport.over_network(socket, self.address)
            socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, bytes.fromhex(own.secret))
            try:
                socket.bind(self.address.endpoint(lane))
            except zmq.ZMQError as error:
                raise LaunchError(
                    f"{self.address.endpoint(lane)} cannot be listened on ({error.strerror}); three ports from "
                    f"{self.address.port} on are needed, choose others."
                ) from error
        return lanes

    def sources(self) -> list[Socket]:
        """The socket on which libzmq asks."""
        return self._judge

    def serve(self) -> None:
        """Answer the question about a key, if there is one."""
        for judge in self._judge:
            while (question := transport.receive(judge)) is not None:
                judge.send_multipart(self._answer(question))

    def _answer(self, question: list[bytes]) -> list[bytes]:
        version, request, _domain, address, _identity, mechanism, *credentials = question
        key = credentials[0].hex() if mechanism == b"CURVE" and credentials else ""
        name = next((name for name, allowed in self._guests().items() if key and allowed == key), "")
        if not name:
            self._turned_away(key, address.decode(errors="replace"))
        status, text = (b"200", b"OK") if name else (b"400", b"unknown key")
        return [version, request, status, text, name.encode(), b""]

    def _guests(self) -> dict[str, str]:
        """Who may come in; nobody while the list cannot be read."""
        try:
            return self.keyring.allowed()
        except KeyFault as error:
            log.error("%s", error)
            return {}

    def _turned_away(self, key: str, address: str) -> None:
        """Name a key that was refused, once."""
        if key and key not in self._refused and len(self._refused) < 64:
            self._refused.add(key)
            self.tell(
                f"An unknown key {fingerprint(key)} from {address} was refused; to let it in: "
                f"launch.py keys allow NAME {key}"
            )
