"""The sockets: what ZeroMQ does not guard is guarded here, and the facts that the design rests on are pinned."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from worker import transport
from worker.codec import pack
from worker.errors import LaunchError, WireError
from worker.link import attach_pixels
from worker.protocol import Frames
from worker.transport import (
    Happening,
    LaneLimits,
    Monitor,
    check_size,
    ipc_endpoint,
    open_socket,
    private_directory,
    receive,
    send,
)

ROOT = Path(__file__).resolve().parents[2]
LIMITS = LaneLimits(frame=64 * 1024, total=64 * 1024, count=2, waiting=4)


@pytest.fixture
def context() -> Iterator[transport.Context]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


def pair(context: transport.Context, directory: Path, **kinds: int) -> tuple[transport.Socket, transport.Socket]:
    """A bound and a connected socket that have met."""
    bound = open_socket(context, kinds.get("bound", zmq.ROUTER), LIMITS)
    bound.bind(ipc_endpoint(directory, "x"))
    connected = open_socket(context, kinds.get("connected", zmq.DEALER), LIMITS, b"peer")
    connected.connect(ipc_endpoint(directory, "x"))
    connected.send(b"hello")
    assert bound.poll(2_000)
    bound.recv_multipart()
    return bound, connected


def test_the_library_limits_frames_and_not_messages_so_that_we_must(context, tmp_path):
    bound, connected = pair(context, tmp_path)
    connected.send_multipart([b"x" * 60_000] * 50)
    assert bound.poll(2_000)
    frames = receive(bound)[1:]
    assert sum(map(len, frames)) == 3_000_000 > LIMITS.total
    with pytest.raises(WireError, match="50 frames, at most 2"):
        check_size(frames, LIMITS)


@pytest.mark.parametrize("frames", [[b"x" * 65_537], [b"x" * 40_000] * 2, [b""] * 3])
def test_a_message_that_is_too_big_is_not_even_sent(context, tmp_path, frames):
    bound, _ = pair(context, tmp_path)
    with pytest.raises(WireError):
        send(bound, frames, LIMITS, to=b"peer")


def test_an_oversized_frame_does_not_stop_the_router_from_hearing_others(context, tmp_path):
    bound, bad = pair(context, tmp_path)
    bad.send(b"x" * (LIMITS.frame + 1))
    good = open_socket(context, zmq.DEALER, LIMITS, b"good")
    good.connect(ipc_endpoint(tmp_path, "x"))
    good.send(b"here")
    assert bound.poll(2_000)
    assert receive(bound) == [b"good", b"here"]


def test_sending_to_a_peer_that_is_gone_or_full_says_so(context, tmp_path):
    bound, connected = pair(context, tmp_path)
    assert not send(bound, [b"x"], LIMITS, to=b"nobody")
    assert send(bound, [b"x"], LIMITS, to=b"peer")
    sent = 0
    while send(bound, [b"x" * 60_000], LIMITS, to=b"peer"):
        sent += 1
        assert sent < 1_000
    assert connected.poll(1_000)


def test_the_end_of_a_peer_is_heard_at_once(context, tmp_path):
    bound, connected = pair(context, tmp_path)
    monitor = Monitor(bound)
    connected.close()
    deadline = time.monotonic() + 2
    while not (happened := [what for what in monitor.poll() if what is Happening.LOST]) and time.monotonic() < deadline:
        monitor.socket.poll(100)
    monitor.close()
    assert happened == [Happening.LOST]


FLOOD_AND_LEAVE = """
import sys, time, zmq
from pathlib import Path
from worker.transport import LaneLimits, ipc_endpoint, open_socket
few = LaneLimits(frame=1000, total=1000, count=1, waiting=1)
context = zmq.Context()
bound, flood = open_socket(context, zmq.ROUTER, few), open_socket(context, zmq.DEALER, few)
if sys.argv[1] == "heartbeats":
    bound.setsockopt(zmq.HEARTBEAT_IVL, 300)
    bound.setsockopt(zmq.HEARTBEAT_TIMEOUT, 60_000)
bound.bind(ipc_endpoint(Path(sys.argv[2]), "x"))
flood.connect(ipc_endpoint(Path(sys.argv[2]), "x"))
while flood.poll(100, zmq.POLLOUT):
    flood.send(b"x" * 900)
flood.close(linger=0)
time.sleep(1.0)
"""


@pytest.mark.parametrize(("setting", "status"), [("heartbeats", -signal.SIGABRT), ("ours", 0)])
def test_a_peer_that_floods_and_leaves_would_end_a_router_with_heartbeats_and_does_not_end_ours(
    tmp_path, setting, status
):
    done = subprocess.run([sys.executable, "-c", FLOOD_AND_LEAVE, setting, str(tmp_path)], cwd=ROOT, timeout=60)
    assert done.returncode == status


def test_nothing_to_read_is_none_and_never_waits(context, tmp_path):
    bound, _ = pair(context, tmp_path)
    assert receive(bound) is None


def test_sockets_live_in_a_folder_that_only_its_owner_can_enter(tmp_path):
    made = private_directory(tmp_path / "run")
    assert made.stat().st_mode & 0o777 == 0o700
    os.chmod(made, 0o755)
    with pytest.raises(LaunchError, match="mode 700, it has 755"):
        private_directory(made)


def test_a_socket_path_that_the_system_would_cut_off_is_refused(tmp_path):
    with pytest.raises(LaunchError, match="at most 107"):
        ipc_endpoint(tmp_path / ("long" * 30), "control")


@pytest.mark.parametrize("pixels", [b"", b"x" * (2 * 2 * 3 - 1), b"x" * (2 * 2 * 3 + 1)])
def test_pixels_that_do_not_fit_their_header_are_refused(pixels):
    header = Frames(
        generation=0, chunk=0, latent=0, index=0, seq=0, width=2, height=2, count=1, produced_ns=0, gen_ms=0.0
    )
    assert attach_pixels([pack(header), b"x" * 12]).pixels == b"x" * 12
    with pytest.raises(WireError):
        attach_pixels([pack(header), pixels])
