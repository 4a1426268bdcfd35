"""The window's end of the wire: a `WorldLink` to a worker, and the helpers that start or reach one."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec
import zmq

from worker import transport
from worker.codec import pack, unpack
from worker.errors import LaunchError, WireError
from worker.mailbox import merge
from worker.protocol import SCHEMA, Closed, Control, Event, Frames, Hello, Quit, Request, RequestLaneEvent
from worker.transport import LIMITS, Lane

SESSIONS = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "wander/sessions"
LOG = "router.log"
ROOT = Path(__file__).resolve().parent.parent


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


class SocketLink:
    """A `WorldLink` over three sockets, and over the worker process if it was started for this link."""

    def __init__(
        self, directory: Path, *, worker: "subprocess.Popen[bytes] | None" = None, take_over: bool = False
    ) -> None:
        self.directory = directory
        """Private folder of the worker's sockets and logs."""
        self._worker = worker
        self._context: transport.Context = zmq.Context()
        identity = secrets.token_bytes(16).replace(b"\0", b"\1")
        self._sockets = {
            lane: transport.open_socket(self._context, zmq.DEALER, LIMITS[lane], identity) for lane in Lane
        }
        for lane, socket in self._sockets.items():
            socket.connect(transport.ipc_endpoint(directory, lane))
        self._unsent: Control | None = None
        self._requests = 0
        self._closed = False
        self._send(Lane.REQUESTS, Hello(schema=SCHEMA, take_over=take_over))

    def control(self, control: Control) -> None:
        """See `WorldLink.control`. A control that cannot leave is merged into the next one."""
        if self._unsent is not None:
            control = merge(self._unsent, control)
        self._unsent = None if self._send(Lane.CONTROL, control) else control

    def request(self, request: Request) -> int:
        """See `WorldLink.request`. Raises `WireError` if it is too big or too many requests wait for the worker."""
        self._requests += 1
        if not self._send(Lane.REQUESTS, msgspec.structs.replace(request, id=self._requests)):
            raise WireError(f"The worker has not read the last {LIMITS[Lane.REQUESTS].waiting} requests; restart it.")
        return self._requests

    def poll(self) -> list[Event]:
        """See `WorldLink.poll`."""
        if self._closed:
            return []
        if self._unsent is not None and self._send(Lane.CONTROL, self._unsent):
            self._unsent = None
        try:
            events: list[Event] = [*self._receive_events(), *self._receive_frames()]
        except WireError as error:
            events = [Closed(sentence=f"The worker cannot be understood: {error}")]
        if self._worker is not None and self._worker.poll() is not None:
            events.append(Closed(sentence=self._epitaph(self._worker)))
        self._closed = any(isinstance(event, Closed) for event in events)
        return events

    def close(self) -> None:
        """See `WorldLink.close`."""
        if self._context.closed:
            return
        if self._worker is not None:
            self._send(Lane.REQUESTS, Quit())
            _end(self._worker)
            if self._worker.returncode == 0 or not self._log:
                shutil.rmtree(self.directory, ignore_errors=True)
        self._closed = True
        self._context.destroy(linger=200)

    @property
    def _log(self) -> bytes:
        """What the worker wrote to its log."""
        path = self.directory / LOG
        return path.read_bytes() if path.exists() else b""

    def _epitaph(self, worker: "subprocess.Popen[bytes]") -> str:
        where = f"its log is {self.directory / LOG}" if self._log else "it left no log"
        return f"The worker ended with status {worker.returncode} ({where}); start Wander again."

    def _send(self, lane: Lane, message: msgspec.Struct) -> bool:
        return transport.send(self._sockets[lane], [pack(message)], LIMITS[lane])

    def _receive_events(self) -> list[RequestLaneEvent]:
        events = []
        while (frames := transport.receive(self._sockets[Lane.REQUESTS])) is not None:
            transport.check_size(frames, LIMITS[Lane.REQUESTS])
            events.append(unpack(b"".join(frames), RequestLaneEvent))
        return events

    def _receive_frames(self) -> list[Frames]:
        events = []
        while (frames := transport.receive(self._sockets[Lane.FRAMES])) is not None:
            transport.check_size(frames, LIMITS[Lane.FRAMES])
            events.append(attach_pixels(frames))
        return events


def attach_pixels(frames: list[bytes]) -> Frames:
    """The `Frames` whose header and pixels came as two frames. Raises `WireError` if they do not belong together."""
    if len(frames) != 2:
        raise WireError(f"Pictures come as a header and pixels, 2 frames; {len(frames)} arrived.")
    header = unpack(frames[0], Frames)
    expected = header.count * header.height * header.width * 3
    if len(frames[1]) != expected:
        raise WireError(f"Pictures of {expected} bytes were announced and {len(frames[1])} arrived; update the worker.")
    return msgspec.structs.replace(header, pixels=frames[1])


def launch_local(*, sessions: Path = SESSIONS, options: dict[str, float] | None = None) -> SocketLink:
    """Start the worker processes on this machine and give a link to them; they end with the link, or with this process.

    `sessions` is where session files are kept, `options` overrides fields of `worker.supervisor.Deadlines`. Raises
    `LaunchError`.
    """
    directory = Path(tempfile.mkdtemp(prefix="wander-"))
    arguments = json.dumps({"directory": str(directory), "sessions": str(sessions), "deadlines": options or {}})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        with open(directory / LOG, "wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker.router", arguments],
                stdin=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise LaunchError(f"The worker could not be started: {error}.") from error
    return SocketLink(directory, worker=worker)


def connect(directory: Path, *, take_over: bool = False) -> SocketLink:
    """A link to a worker that already serves in `directory`. Raises `LaunchError` if none does."""
    if not (directory / Lane.REQUESTS).exists():
        raise LaunchError(f"No worker serves in {directory}; start one or choose another directory.")
    return SocketLink(directory, take_over=take_over)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    """Ask a worker to end by closing its lifeline, then insist."""
    assert worker.stdin is not None
    worker.stdin.close()
    try:
        worker.wait(timeout=5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()
