"""Play over a network, with real processes and CURVE on the loopback device."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import zmq

from tests.faults.walker import Walker
from tests.wire.server import PATIENCE, Server, free_port, start
from worker import serve
from worker.client import reach
from worker.errors import LaunchError
from worker.keys import KeyFault, KeyPair, Keyring, fingerprint
from worker.protocol import Closed, Open, Reply, Status, Welcome, WorkerState, World, WorldSpec
from worker.remote import offers_encryption
from worker.transport import Address, Context, Lane


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("server"))
    yield server
    children = psutil.Process(server.process.pid).children(recursive=True)
    assert server.end() == 0
    assert not any(child.is_running() for child in children)


@pytest.fixture
def walking(server) -> Iterator[Callable[..., Walker]]:
    walkers: list[Walker] = []

    def walk(**how: object) -> Walker:
        walkers.append(server.walker(**how))
        return walkers[-1]

    yield walk
    for walker in walkers:
        walker.close()


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


def ending(walker: Walker) -> str:
    """The sentence with which a connection ends."""
    try:
        return walker.until(lambda: walker.last(Closed), PATIENCE).sentence
    finally:
        walker.close()


def test_a_known_window_walks_over_the_network(walking):
    walker = walking(take_over=True)
    walker.until(lambda: walker.last(Welcome))
    assert walker.open().ok
    walker.until_chunk(2)
    assert walker.seen[1]


def test_a_connection_that_breaks_is_taken_up_again_and_the_world_goes_on(walking, server):
    walker = walking(take_over=True)
    session = walker.open().data["session"]
    walker.until_chunk(2)
    chunk = max(walker.seen)
    cut(server)
    walker.until(lambda: any("was lost. Reconnecting" in sentence for sentence in walker.sentences()))
    walker.until(lambda: walker.sentences()[-1] == "")
    walker.until(lambda: max(walker.seen) >= chunk + 2, PATIENCE)
    assert walker.last(World).session == session
    assert walker.last(Closed) is None


def walks_on(walker: Walker) -> None:
    """New pictures come."""
    before = len(walker.starts)
    walker.until(lambda: len(walker.starts) >= before + 2, PATIENCE)


def cut(server: Server) -> None:
    """Close the TCP connections of this process to the server, as a network that fails does."""
    ports = {int(server.address.rpartition(":")[2]) + lane for lane in range(3)}
    mine = [each for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port in ports]
    assert len(mine) >= 3
    for each in mine:
        socket.socket(fileno=os.dup(each.fd)).shutdown(socket.SHUT_RDWR)


def test_a_window_that_starts_anew_has_its_session_back_by_token(walking):
    first = walking(take_over=True)
    session = first.open().data["session"]
    first.until_chunk(1)
    first.close()
    second = walking()
    second.until(lambda: second.last(World))
    assert second.last(World).session == session
    walks_on(second)


def test_another_window_does_not_get_a_parked_session_unless_it_takes_it_over(walking, server, tmp_path):
    first = walking(take_over=True)
    first.open()
    first.close()
    other = Keyring(tmp_path / "other")
    server.here.allow("other", other.new().public)
    other.trust(server.address, server.here.own().public)
    refused = ending(walking(keys=other))
    for _ in range(20):  # the worker may not have noticed yet that the first window has gone
        if "already open" not in refused:
            break
        time.sleep(0.1)
        refused = ending(walking(keys=other))
    assert "kept for another window for 10 more minutes" in refused
    taken = walking(keys=other, take_over=True)
    taken.until(lambda: taken.last(World))


def test_a_remote_window_cannot_name_files_of_the_server(walking):
    walker = walking(take_over=True)
    number = walker.link.request(Open(spec=WorldSpec(preset="fake", session="/etc/passwd")))
    reply = walker.until(lambda: walker.last(Reply, lambda reply: reply.id == number))
    assert "There is no session /etc/passwd" in reply.error


def test_a_worker_with_another_key_is_told_apart_with_its_fingerprint_and_the_command(server, tmp_path):
    ring = Keyring(tmp_path)
    server.here.allow("misled", ring.new().public)
    wrong = KeyPair.generate().public
    ring.trust(server.address, wrong)
    sentence = ending(server.walker(ring))
    assert f"does not hold the key {fingerprint(wrong)} that is trusted here" in sentence
    assert f"keys trust --replace {server.address} KEY" in sentence


def test_a_window_that_nobody_allowed_is_told_what_to_run_over_there(server, tmp_path):
    ring = Keyring(tmp_path)
    own = ring.new()
    ring.trust(server.address, server.here.own().public)
    sentence = ending(server.walker(ring))
    assert f"does not let this machine's key {fingerprint(own.public)} in" in sentence
    assert f"launch.py keys allow NAME {own.public}" in sentence


def test_a_port_that_does_not_encrypt_is_told_apart(tmp_path, context):
    plain, port = context.socket(zmq.ROUTER), free_port()
    plain.bind(Address("127.0.0.1", port).endpoint(Lane.REQUESTS))
    ring = Keyring(tmp_path)
    ring.new()
    ring.trust(f"127.0.0.1:{port}", KeyPair.generate().public)
    assert "does not encrypt as Wander does" in ending(Walker(reach(f"127.0.0.1:{port}", keys=ring.folder)))


def test_what_a_peer_offers_is_read_from_its_greeting(context, server):
    plain, port = context.socket(zmq.ROUTER), free_port()
    plain.bind(Address("127.0.0.1", port).endpoint(Lane.REQUESTS))
    assert not offers_encryption(Address("127.0.0.1", port))
    assert offers_encryption(Address.parse(server.address))


def test_a_window_without_keys_is_not_heard_by_the_server(server, context):
    plain = context.socket(zmq.DEALER)
    plain.setsockopt(zmq.LINGER, 0)
    plain.connect(Address.parse(server.address).endpoint(Lane.REQUESTS))
    plain.send(b"let me in")
    assert not plain.poll(400)


def test_a_key_that_is_forgotten_is_refused_from_the_next_handshake_on(server, tmp_path):
    ring = Keyring(tmp_path)
    server.here.allow("guest", ring.new().public)
    ring.trust(server.address, server.here.own().public)
    guest = server.walker(ring, take_over=True)
    guest.until(lambda: guest.last(Welcome))
    guest.close()
    server.here.forget("guest")
    assert "does not let this machine's key" in ending(server.walker(ring))


def test_nobody_at_the_address_is_said_after_a_while(tmp_path):
    ring, address = Keyring(tmp_path), f"127.0.0.1:{free_port()}"
    ring.new()
    ring.trust(address, KeyPair.generate().public)
    assert f"No worker answered at {address} within 10 s" in ending(Walker(reach(address, keys=ring.folder)))


def test_the_session_of_a_window_that_stays_away_ends_and_its_file_stays(tmp_path):
    server = start(tmp_path, park=0.6)
    walker = server.walker()
    session = Path(str(walker.open().data["session"]))
    model = walker.model_pid()
    walker.until_chunk(1)
    walker.close()
    deadline = time.monotonic() + PATIENCE
    while psutil.pid_exists(model):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    later = server.walker()
    later.until(lambda: later.last(Welcome))
    assert later.open(session=session.name).ok
    walks_on(later)
    later.close()
    assert server.end() == 0


def test_a_worker_that_ends_says_so_to_its_window(tmp_path):
    server = start(tmp_path)
    walker = server.walker()
    walker.open()
    assert server.end() == 0
    assert walker.until(lambda: walker.last(Closed) or walker.last(WorkerState)) is not None
    walker.close()


@pytest.mark.parametrize("listen", ["5600", ":5600", "*:5600", "host:0", "host:65534", "host:x"])
def test_no_address_is_meant_silently(listen):
    with pytest.raises(LaunchError, match="is not HOST:PORT"):
        serve.run(["--listen", listen], lambda _: None)


def test_nothing_is_served_without_a_key_or_with_nobody_allowed(tmp_path):
    arguments = ["--listen", f"127.0.0.1:{free_port()}", "--keys", str(tmp_path), "--sessions", str(tmp_path)]
    with pytest.raises(KeyFault, match=r"launch\.py keys new"):
        serve.run(arguments, lambda _: None)
    Keyring(tmp_path).new()
    with pytest.raises(KeyFault, match="0 keys are on the list"):
        serve.run(arguments, lambda _: None)


def test_a_worker_whose_key_nobody_confirmed_is_not_even_called(tmp_path):
    Keyring(tmp_path).new()
    with pytest.raises(KeyFault, match=r"keys trust 127\.0\.0\.1:5600 KEY"):
        reach("127.0.0.1:5600", keys=tmp_path)


def test_the_status_of_a_remote_world_can_be_asked_for(walking):
    walker = walking(take_over=True)
    assert walker.ask(Status()).ok
