"""The window's own walk, with the real model behind `serve` on the loopback device."""

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from app.hud import pace
from app.input import Controls
from app.start_screen import loading_sentence
from app.walk import Phase, Picture, Walk
from app.world_spec import spec_for
from tests.wire.server import start
from tests.wire.test_remote import cut
from worker.client import known, reach

SECONDS = 90.0
"""What loading and two chunks may take on a machine that has much else to do."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[object]:
    server = start(tmp_path_factory.mktemp("server"))
    yield server
    assert server.end() == 0


class Window:
    """What the window does with a walk, and what it shows."""

    def __init__(self, server) -> None:
        self.walk = Walk(reach(server.address, keys=server.away.folder), size=(160, 96))
        self.shown: list[tuple[float, Picture]] = []
        self.said: list[str] = []

    def until(self, ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not ready():
            now = time.monotonic()
            assert now < deadline, f"waited {SECONDS} s; {self.walk.state.phase}; {self.said[-3:]}"
            if picture := self.walk.tick(now, Controls(keys=1)):
                self.shown.append((now, picture))
            said = loading_sentence(SimpleNamespace(walk=self.walk.state))
            said = self.walk.state.veil or said
            self.said += [said] if said not in self.said[-1:] else []
            time.sleep(0.004)

    def chunks(self, count: int) -> None:
        until = count + max((picture.chunk for _, picture in self.shown), default=-1)
        self.until(lambda: self.shown and self.shown[-1][1].chunk >= until)


def test_loading_is_told_the_pace_is_the_models_and_a_broken_connection_is_taken_up_again(server):
    assert known(server.away.folder) == ((server.address,), "")
    window = Window(server)
    walk = window.walk
    try:
        walk.open(spec_for("pocket", seed=3, prompt="a village", chunk=1))
        window.until(lambda: walk.state.phase is Phase.WALKING)
        assert "Opening the world" in window.said
        window.chunks(3)
        made, world = walk.pacer.production_fps, walk.state.world
        assert made is not None and world is not None
        slow = pace(SimpleNamespace(makes=made, left_out=0.0, walk=walk.state))
        assert bool(slow) == (made < 0.95 * world.fps) and walk.pacer.fps <= world.fps
        cut(server)
        window.until(lambda: "Reconnecting" in walk.state.veil)
        window.until(lambda: not walk.state.veil)
        window.chunks(2)
        assert walk.state.world is not None and walk.state.world.session == world.session
        numbers = [(picture.generation, picture.index) for _, picture in window.shown]
        assert numbers == sorted(set(numbers)), "a picture came twice or out of order"
    finally:
        walk.close()
