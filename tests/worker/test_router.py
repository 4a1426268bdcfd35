"""The router and its window, in one process."""

import os
import threading
import time
from collections.abc import Iterator

import pytest
import zmq

from worker import transport
from worker.codec import pack
from worker.protocol import SCHEMA, Hello
from worker.router import Options, Router
from worker.transport import LIMITS, Lane

FIRST, SECOND = b"first", b"second"


@pytest.fixture
def router(tmp_path) -> Iterator[Router]:
    """A router that serves in `tmp_path`."""
    lifeline, end = os.pipe()
    router = Router(Options(directory=str(tmp_path / "sockets"), sessions=str(tmp_path)))
    thread = threading.Thread(target=router.run, args=(lifeline,))
    thread.start()
    yield router
    os.close(end)
    thread.join(20.0)
    os.close(lifeline)
    assert not thread.is_alive()


def test_a_window_that_has_gone_is_missed_even_if_the_socket_takes_one_more_message_for_it(
    router, tmp_path, monkeypatch
):
    sent, send = [], transport.send

    def late(socket, frames, limits, to=None):
        """ZeroMQ under load: the welcome and the first question after the loss both seem to arrive."""
        sent.append(to)
        return send(socket, frames, limits, to) or sent.count(FIRST) == 2

    monkeypatch.setattr(transport, "send", late)
    context: transport.Context = zmq.Context()
    windows = [transport.open_socket(context, zmq.DEALER, LIMITS[Lane.REQUESTS], each) for each in (FIRST, SECOND)]
    for window in windows:
        window.connect(transport.ipc_endpoint(tmp_path / "sockets", Lane.REQUESTS))

    def answer(window: transport.Socket) -> bytes:
        window.send(pack(Hello(schema=SCHEMA)))
        assert window.poll(10_000), "the router answers nothing"
        return window.recv()

    first, second = windows
    assert b"welcome" in answer(first)
    first.close(linger=0)
    while sent.count(FIRST) < 2:
        time.sleep(0.01)
    deadline = time.monotonic() + 10.0
    while b"welcome" not in (heard := answer(second)):
        assert b"already open in another window" in heard
        assert time.monotonic() < deadline
        time.sleep(0.1)
    context.destroy(linger=0)
