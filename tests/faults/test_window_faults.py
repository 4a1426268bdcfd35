"""The window dies, lies or comes twice: the worker ends or serves on, and a world is never in two hands."""

import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import msgpack
import psutil
import pytest
import zmq

from app.input import Controls
from app.walk import Phase, Walk
from tests.faults.walker import Walker, journal_hash
from worker import transport
from worker.client import connect
from worker.codec import pack
from worker.protocol import SCHEMA, Closed, Control, Hello, Refused, Status, Welcome, World, WorldSpec
from worker.transport import LIMITS, Lane

ROOT = Path(__file__).resolve().parents[2]
WINDOW = """
    import sys
    from pathlib import Path
    from tests.faults.walker import Walker
    from worker.protocol import Status
    walker = Walker.launch(Path(sys.argv[1]), fake={"latent_seconds": 0.05}, goodbye=0.5)
    walker.open()
    walker.until_chunk(1)
    pids = walker.ask(Status()).data
    print(pids["router_pid"], pids["model_pid"], walker.link.directory, flush=True)
    walker.until(lambda: False, seconds=60)
"""


def in_a_world(sessions: Path) -> Iterator[Walker]:
    """A walker in an open world, closed afterwards."""
    walker = Walker.launch(sessions)
    walker.open()
    walker.until_chunk(0)
    yield walker
    walker.close()


@pytest.fixture
def walker(tmp_path):
    """A walker for tests that nothing survives."""
    yield from in_a_world(tmp_path)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A walker for tests that its worker must survive: all of them meet the same one."""
    yield from in_a_world(tmp_path_factory.mktemp("sessions"))


class Stranger:
    """A raw peer of the router's sockets."""

    def __init__(self, directory: Path) -> None:
        self.context: transport.Context = zmq.Context()
        identity = b"s" + secrets.token_hex(8).encode()
        self.sockets = {lane: transport.open_socket(self.context, zmq.DEALER, LIMITS[lane], identity) for lane in Lane}
        for lane, socket in self.sockets.items():
            socket.connect(transport.ipc_endpoint(directory, lane))

    def hear(self) -> dict[str, object]:
        """The next message on the request lane, as a map."""
        assert self.sockets[Lane.REQUESTS].poll(3_000), "nothing came"
        return msgpack.unpackb(self.sockets[Lane.REQUESTS].recv())

    def say(self, *frames: bytes, lane: Lane = Lane.REQUESTS) -> None:
        """Send anything."""
        self.sockets[lane].send_multipart(frames)

    def close(self) -> None:
        """Leave."""
        self.context.destroy(linger=0)


@pytest.fixture
def stranger(host):
    """A raw peer of the host's router."""
    stranger = Stranger(host.link.directory)
    yield stranger
    stranger.close()


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    """Whether all these processes end within `seconds`."""
    deadline = time.monotonic() + seconds
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.parametrize("hung_model", [False, True], ids=["walking", "hung model"])
def test_a_killed_window_leaves_no_process_and_no_socket_behind_and_the_session_whole(tmp_path, hung_model):
    window = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WINDOW), str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    router, model, directory = window.stdout.readline().split()
    if hung_model:
        os.kill(int(model), signal.SIGSTOP)
    window.kill()
    window.wait()
    window.stdout.close()
    assert gone([int(router), int(model)])
    assert not Path(directory).exists()
    assert journal_hash(next(tmp_path.glob("*.wander")), 1)


def test_a_killed_router_takes_the_model_with_it_and_the_window_is_told(walker):
    pids = walker.ask(Status()).data
    os.kill(int(pids["router_pid"]), signal.SIGKILL)
    closed = walker.until(lambda: walker.last(Closed))
    assert "ended with status -9" in closed.sentence
    assert gone([int(pids["model_pid"])])


def test_a_closed_link_ends_its_processes_at_once_and_takes_its_folder_along(walker):
    pids = walker.ask(Status()).data
    walker.close()
    assert gone([int(pids["router_pid"]), int(pids["model_pid"])], seconds=2.0)
    assert not walker.link.directory.exists()


def test_a_second_window_is_refused_and_may_take_over_if_it_asks_to(walker):
    second = Walker.join(walker)
    refused = second.until(lambda: second.last(Closed))
    assert "already open in another window" in refused.sentence and refused.held
    third = Walker.join(walker, take_over=True)
    third.until(lambda: third.last(World))
    third.until_chunk(int(third.ask(Status()).data["chunks"]) + 1)
    assert "taken this session over" in walker.until(lambda: walker.last(Closed)).sentence
    for other in (second, third):
        other.close()


def test_a_window_that_left_makes_room_for_the_next_one(walker):
    first = Walker.join(walker, take_over=True)
    first.until(lambda: first.last(Welcome))
    first.close()
    for _ in range(50):
        second = Walker.join(walker)
        second.until(lambda second=second: second.last(Welcome) or second.last(Closed))
        if second.last(Welcome):
            break
        second.close()
        time.sleep(0.05)
    assert second.last(Welcome)
    second.close()


def test_the_world_waits_for_a_window_that_shows_nothing(host):
    host.until_chunk(2)
    host.rest(1.0, walk=False)
    figures = host.ask(Status(), walk=False).data
    assert figures["produced"] - figures["shown"] < 2 * 8, "one chunk is being seen and one waits"


GARBAGE = [
    b"",
    b"\xc1",
    b"\x00" * 100,
    b"\x91" * 3_000,
    b"\xdf\xff\xff\xff\xff",
    msgpack.packb({"type": "open"}),
    msgpack.packb({"type": "hello", "protocol": "one"}),
    msgpack.packb([1, 2, 3]),
]


def test_rubbish_from_strangers_leaves_the_router_serving_its_window(host, stranger):
    for lane in Lane:
        for rubbish in GARBAGE * 20:
            stranger.say(rubbish, lane=lane)
        stranger.say(b"x" * 60_000, b"y" * 60_000, b"z" * 60_000, lane=lane)
    started = time.monotonic()
    chunks = host.ask(Status()).data["chunks"]
    assert time.monotonic() - started < 1.0
    host.until_chunk(int(chunks) + 2)
    assert not host.last(Refused)


def test_three_messages_that_cannot_be_read_end_a_connection(stranger):
    for _ in range(5):
        stranger.say(b"\xc1")
    assert [stranger.hear()["type"] for _ in range(3)] == ["refused", "refused", "closed"]
    assert not stranger.sockets[Lane.REQUESTS].poll(200)


def test_a_window_of_another_version_is_told_both_versions_whatever_else_its_greeting_holds(stranger):
    stranger.say(msgpack.packb({"type": "hello", "protocol": 99, "colour": "blue"}))
    answer = stranger.hear()
    assert answer["type"] == "closed"
    assert "speaks version 99" in answer["sentence"] and "the worker 1" in answer["sentence"]


def test_a_window_with_other_messages_under_the_same_number_is_told_so(stranger):
    stranger.say(pack(Hello(schema="0123456789abcdef")))
    assert "0123456789abcdef" in stranger.hear()["sentence"]
    assert SCHEMA != "0123456789abcdef"


def test_a_stranger_can_neither_ask_nor_steer(host, stranger):
    stranger.say(pack(Status(id=1)))
    assert stranger.hear() == {"type": "closed", "sentence": "Say Hello first.", "held": False}
    before = host.ask(Status()).data["controls_ignored"]
    stranger.say(pack(Control(seq=10**9, generation=1, keys=255)), lane=Lane.CONTROL)
    host.until_chunk(max(host.seen) + 2)
    assert host.ask(Status()).data["controls_ignored"] == before


def test_controls_sent_again_are_counted_and_change_nothing(host):
    control = Control(seq=host.seq, generation=host.generation, keys=255, yaw=3.0)
    before = host.ask(Status()).data["controls_ignored"]
    for _ in range(10):
        host.link.control(control)
    host.until(lambda: host.ask(Status()).data["controls_ignored"] == before + 10)


def test_a_refused_window_takes_the_session_over_at_the_press_of_a_button_and_walks_on(walker):
    walk = Walk(connect(walker.link.directory))
    walk.open(WorldSpec(preset="fake", seed=5))

    def tick():
        walk.tick(time.monotonic(), Controls(keys=1))
        return walk.state

    walker.until(lambda: tick().phase is Phase.CLOSED)
    assert walk.state.held and "another window" in walk.state.veil
    walk.take_over(connect(walker.link.directory, take_over=True))
    walker.until(lambda: tick().phase is Phase.WALKING, walk=False)
    assert walk.state.world.seed == 3 and not walk.state.held
    chunk = walk.state.world.chunks
    walker.until(lambda: tick().picture is not None and walk.state.picture.chunk > chunk, walk=False)
    walk.close()
