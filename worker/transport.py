"""Sockets: the options that make ZeroMQ safe to rely on, guards that it lacks, and its silent failures told.

Facts behind the choices, each pinned by a test in tests/wire: `MAXMSGSIZE` bounds one frame and not the message, so
count and total are checked here; a ROUTER drops silently unless it is mandatory; a wrong key looks like a slow
network unless the socket monitor is read. ZeroMQ's heartbeats are off: libzmq 4.3.5 aborts the process when one falls
due for a peer that left while its queue here was full, so any peer could end the router.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from worker.errors import LaunchError, WireError

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]


class Lane(StrEnum):
    """The three lanes of ARCHITECTURE.md; each is a socket of its own, so that pictures never delay an answer."""

    CONTROL = "control"
    FRAMES = "frames"
    REQUESTS = "requests"


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneLimits:
    """What one message of a lane may be, and how many may wait."""

    frame: int
    """Bytes of one ZeroMQ frame."""
    total: int
    """Bytes of all frames of a message together."""
    count: int
    """Frames of a message, addressing not counted."""
    waiting: int
    """Messages that may wait in a queue."""


LIMITS = {
    Lane.CONTROL: LaneLimits(frame=4 * 1024, total=4 * 1024, count=1, waiting=256),
    Lane.FRAMES: LaneLimits(frame=64 * 1024 * 1024, total=65 * 1024 * 1024, count=2, waiting=64),
    Lane.REQUESTS: LaneLimits(frame=20 * 1024 * 1024, total=20 * 1024 * 1024, count=1, waiting=256),
}
MODEL_LIMITS = LaneLimits(frame=64 * 1024 * 1024, total=65 * 1024 * 1024, count=2, waiting=16)

MAX_IPC_PATH = 107

KEEPALIVE = {zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 10, zmq.TCP_KEEPALIVE_INTVL: 5, zmq.TCP_KEEPALIVE_CNT: 3}
"""TCP's own probes, seconds: a peer that vanished without a word is noticed after 25 s."""


class Happening(Enum):
    """What a socket's monitor tells of its connections."""

    READY = auto()
    """The handshake succeeded."""
    LOST = auto()
    WRONG_KEY = auto()
    """The peer does not hold the key that was expected of it (or broke off the handshake)."""
    NOT_ALLOWED = auto()
    """The peer does not let our key in."""
    NOT_ENCRYPTED = auto()
    """One side encrypts and the other does not."""


_HAPPENINGS = {
    zmq.EVENT_HANDSHAKE_SUCCEEDED: Happening.READY,
    zmq.EVENT_DISCONNECTED: Happening.LOST,
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: Happening.WRONG_KEY,
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: Happening.NOT_ALLOWED,
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: Happening.NOT_ENCRYPTED,
}


@dataclass(frozen=True, slots=True)
class Address:
    """A worker on a network: its lanes are three ports, one after the other."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """HOST:PORT, [IPV6]:PORT. Raises `LaunchError` for anything else: there is no host that is meant silently."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        number = int(port) if port.isdecimal() and len(port) < 6 else 0
        highest = 65_535 - len(Lane) + 1
        if not (host and colon and 1 <= number <= highest) or any(part in host for part in "*/ "):
            raise LaunchError(f"'{text}' is not HOST:PORT with a port from 1 to {highest}; write 192.168.1.20:5600.")
        return cls(host, number)

    def endpoint(self, lane: Lane) -> str:
        """Address of one lane's socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port + list(Lane).index(lane)}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def private_directory(path: Path) -> Path:
    """Make `path` a directory that only its owner can enter. Raises `LaunchError` if it is somebody else's or open."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise LaunchError(
            f"{path} must belong to you with mode 700, it has {stat.S_IMODE(status.st_mode):o}; chmod 700 it."
        )
    return path


def ipc_endpoint(directory: Path, name: str) -> str:
    """Address of a local socket. Raises `LaunchError` if its path is longer than the system allows."""
    path = str(directory / name)
    if len(os.fsencode(path)) > MAX_IPC_PATH:
        raise LaunchError(
            f"The socket path {path} has {len(path)} characters, at most {MAX_IPC_PATH} work; shorten TMPDIR."
        )
    return f"ipc://{path}"


def open_socket(context: Context, kind: int, limits: LaneLimits, identity: bytes | None = None) -> Socket:
    """A socket with every option that matters set; bind or connect it yourself."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, limits.waiting)
    socket.setsockopt(zmq.RCVHWM, limits.waiting)
    socket.setsockopt(zmq.MAXMSGSIZE, limits.frame)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 100)
    if identity is not None:
        socket.setsockopt(zmq.IDENTITY, identity)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    return socket


def send(socket: Socket, frames: Sequence[bytes], limits: LaneLimits, to: bytes | None = None) -> bool:
    """Send a message without waiting.

    False if the queue is full or the peer is gone; raises `WireError` if it is too big.
    """
    check_size(frames, limits)
    try:
        socket.send_multipart([*([to] if to is not None else []), *frames], flags=zmq.NOBLOCK)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return False
        raise
    return True


def receive(socket: Socket) -> list[bytes] | None:
    """The next message as it came, or None if there is none. Size is the caller's to check, with `check_size`."""
    try:
        return socket.recv_multipart(flags=zmq.NOBLOCK)
    except zmq.Again:
        return None


def check_size(frames: Sequence[bytes], limits: LaneLimits) -> None:
    """Raises `WireError` if a message has too many frames or bytes for its lane."""
    total = sum(len(frame) for frame in frames)
    if len(frames) > limits.count:
        raise WireError(f"A message of {len(frames)} frames, at most {limits.count} are allowed here.")
    if total > limits.total or max(map(len, frames), default=0) > limits.frame:
        raise WireError(f"A message of {total} bytes, at most {limits.total} are allowed here.")


def over_network(socket: Socket, address: Address) -> None:
    """Options of a socket whose peers are on other machines."""
    socket.setsockopt(zmq.IPV6, int(":" in address.host))
    for option, value in KEEPALIVE.items():
        socket.setsockopt(option, value)


class Monitor:
    """What happens to a socket's connections."""

    def __init__(self, socket: Socket) -> None:
        self._watched = socket
        self.socket: Any = socket.get_monitor_socket(sum(_HAPPENINGS))

    def poll(self) -> list[Happening]:
        """What happened since the last call."""
        happened = []
        while self.socket.poll(0):
            happened.append(_HAPPENINGS[recv_monitor_message(self.socket)["event"]])
        return happened

    def close(self) -> None:
        """Stop listening."""
        self._watched.disable_monitor()
