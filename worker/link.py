"""The window's end of the wire: what it knows of a worker, and that over three sockets."""

import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import zmq

from worker import transport
from worker.codec import pack, unpack
from worker.errors import WireError
from worker.mailbox import merge
from worker.moved import Heard, Moved
from worker.protocol import SCHEMA, Closed, Control, Event, Frames, Hello, Quit, Request, RequestLaneEvent
from worker.transport import LIMITS, Context, Lane, Socket

LOG = "router.log"


class WorldLink(Protocol):
    """All that the window knows of a worker. Not for use by several threads; no call waits."""

    def control(self, control: Control) -> None:
        """Say what the person does. `seq` must increase by every call."""
        ...

    def request(self, request: Request) -> int:
        """Ask for something; returns the `id` of the `Reply` that will come."""
        ...

    def poll(self) -> list[Event]:
        """Everything that arrived since the last call, pictures in their order.

        The first event is `Welcome` or `Closed`.
        """
        ...

    def close(self) -> None:
        """End the connection, and the worker if this link started it. May be called twice."""
        ...


class Lanes:
    """The three sockets of a window and what goes over them."""

    def __init__(self, context: Context, sockets: Mapping[Lane, Socket], requests: int = 0) -> None:
        """`sockets` are made by `open_lanes` and connected by the caller; `requests` were numbered before."""
        self._context, self._sockets = context, sockets
        self._unsent: Control | None = None
        self.requests = requests
        """The newest `Request.id`."""

    def hello(self, *, take_over: bool = False, token: str = "") -> None:
        """Ask to be let in; to be repeated on every new connection."""
        self._send(Lane.REQUESTS, Hello(schema=SCHEMA, take_over=take_over, token=token))

    def quit(self) -> None:
        """Ask the worker to end."""
        self._send(Lane.REQUESTS, Quit())

    def control(self, control: Control) -> None:
        """See `WorldLink.control`. A control that cannot leave is merged into the next one."""
        if self._unsent is not None:
            control = merge(self._unsent, control)
        self._unsent = None if self._send(Lane.CONTROL, control) else control

    def numbered(self, request: Request) -> Request:
        """The request with an `id` of its own."""
        self.requests += 1
        return msgspec.structs.replace(request, id=self.requests)

    def request(self, numbered: Request) -> int:
        """Send it; returns its `id`. Raises `WireError` if it is too big or too many wait for the worker."""
        if not self._send(Lane.REQUESTS, numbered):
            raise WireError(f"The worker has not read the last {LIMITS[Lane.REQUESTS].waiting} requests; restart it.")
        return numbered.id

    def poll(self) -> list[Heard]:
        """What has arrived; `Closed` where it makes no sense."""
        if self._unsent is not None and self._send(Lane.CONTROL, self._unsent):
            self._unsent = None
        try:
            return [*self._receive_events(), *self._receive_frames()]
        except WireError as error:
            return [Closed(sentence=f"The worker cannot be understood: {error}")]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._context.closed

    def close(self, linger: int = 200) -> None:
        """Close the sockets; what was sent may leave for `linger` milliseconds."""
        self._context.destroy(linger=linger)

    def _send(self, lane: Lane, message: msgspec.Struct) -> bool:
        return transport.send(self._sockets[lane], [pack(message)], LIMITS[lane])

    def _receive_events(self) -> list[RequestLaneEvent | Moved]:
        events: list[RequestLaneEvent | Moved] = []
        while (frames := transport.receive(self._sockets[Lane.REQUESTS])) is not None:
            transport.check_size(frames, LIMITS[Lane.REQUESTS])
            events.append(unpack(b"".join(frames), RequestLaneEvent | Moved))
        return events

    def _receive_frames(self) -> list[Frames]:
        events = []
        while (frames := transport.receive(self._sockets[Lane.FRAMES])) is not None:
            transport.check_size(frames, LIMITS[Lane.FRAMES])
            events.append(attach_pixels(frames))
        return events


def open_lanes(context: Context) -> dict[Lane, Socket]:
    """Three sockets of one window, not connected yet."""
    identity = secrets.token_bytes(16).replace(b"\0", b"\1")
    return {lane: transport.open_socket(context, zmq.DEALER, LIMITS[lane], identity) for lane in Lane}


class SocketLink:
    """A `WorldLink` to a worker on this machine, and the worker process itself if it was started for this link."""

    def __init__(
        self, directory: Path, *, worker: "subprocess.Popen[bytes] | None" = None, take_over: bool = False
    ) -> None:
        self.directory = directory
        """Private folder of the worker's sockets and logs."""
        self._worker = worker
        self._closed = False
        context: Context = zmq.Context()
        sockets = open_lanes(context)
        for lane, socket in sockets.items():
            socket.connect(transport.ipc_endpoint(directory, lane))
        self._lanes = Lanes(context, sockets)
        self._lanes.hello(take_over=take_over)
        self.control = self._lanes.control

    def request(self, request: Request) -> int:
        """See `WorldLink.request`. Raises `WireError` if it is too big or too many wait for the worker."""
        return self._lanes.request(self._lanes.numbered(request))

    def poll(self) -> list[Event]:
        """See `WorldLink.poll`."""
        if self._closed:
            return []
        events = [event for event in self._lanes.poll() if not isinstance(event, Moved)]
        if self._worker is not None and self._worker.poll() is not None:
            events.append(Closed(sentence=self._epitaph(self._worker)))
        end = next((number for number, event in enumerate(events) if isinstance(event, Closed)), None)
        self._closed = end is not None
        return events if end is None else events[: end + 1]  # what was said to a stranger after it is not for us

    def close(self) -> None:
        """See `WorldLink.close`."""
        if self._lanes.closed:
            return
        if self._worker is not None:
            self._lanes.quit()
            _end(self._worker)
            if self._worker.returncode == 0 or not self._log:
                shutil.rmtree(self.directory, ignore_errors=True)
        self._closed = True
        self._lanes.close()

    @property
    def _log(self) -> bytes:
        """What the worker wrote to its log."""
        path = self.directory / LOG
        return path.read_bytes() if path.exists() else b""

    def _epitaph(self, worker: "subprocess.Popen[bytes]") -> str:
        where = f"its log is {self.directory / LOG}" if self._log else "it left no log"
        return f"The worker ended with status {worker.returncode} ({where}); start Wander again."


def attach_pixels(frames: list[bytes]) -> Frames:
    """The `Frames` whose header and pixels came as two frames. Raises `WireError` if they do not belong together."""
    if len(frames) != 2:
        raise WireError(f"Pictures come as a header and pixels, 2 frames; {len(frames)} arrived.")
    header = unpack(frames[0], Frames)
    expected = header.count * header.height * header.width * 3
    if len(frames[1]) != expected:
        raise WireError(f"Pictures of {expected} bytes were announced and {len(frames[1])} arrived; update the worker.")
    return msgspec.structs.replace(header, pixels=frames[1])


def _end(worker: "subprocess.Popen[bytes]") -> None:
    """Ask a worker to end by closing its lifeline, then insist."""
    assert worker.stdin is not None
    worker.stdin.close()
    try:
        worker.wait(timeout=5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
