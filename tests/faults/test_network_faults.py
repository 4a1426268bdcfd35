"""The network is slow, far, lossy, breaks or swallows everything: the walk goes on, late pictures are left out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.network import Network, Quality
from tests.faults.walker import Walker, journal_hash
from tests.wire.server import Server, free_port, start
from worker.client import reach
from worker.journal import read
from worker.protocol import Closed, Control, Frames, SetPrompt, Status, World
from worker.transport import Address, Lane

PICTURE = 320 * 192 * 3
PACE = 1.0 / 24 * 4
"""Seconds in which the fake engine makes a latent: as fast as it is shown."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDER_FAKE", f'{{"latent_seconds": {PACE}}}')
        server = start(tmp_path_factory.mktemp("server"))
    yield server
    assert server.end() == 0


@pytest.fixture
def network(server) -> Iterator[Network]:
    near = Address("127.0.0.1", free_port())
    server.away.trust(str(near), server.here.own().public)
    with Network(Address.parse(server.address), near) as network:
        yield network


@pytest.fixture
def walker(network, server) -> Iterator[Walker]:
    walker = Walker(reach(str(network.near), keys=server.away.folder, take_over=True))
    assert walker.open().ok
    walker.until_chunk(1)
    yield walker
    walker.close()


def pictures(walker: Walker) -> list[Frames]:
    """The pictures that came in the present life of the world."""
    return [event for event in walker.events if isinstance(event, Frames) and event.generation == walker.generation]


def left_out(walker: Walker) -> int:
    """How many pictures never came, by the gaps in their numbers."""
    came = pictures(walker)
    return came[-1].index + came[-1].count - sum(frames.count for frames in came)


def reconnected(walker: Walker, why: str) -> None:
    """Wait until the window was told that the connection broke, then that all is well, and new pictures come."""
    walker.until(lambda: any(why in sentence for sentence in walker.sentences()))
    walker.until(lambda: walker.sentences()[-1] == "")
    goes_on(walker)
    assert walker.last(Closed) is None


def goes_on(walker: Walker) -> None:
    chunk = max(walker.seen)
    walker.until(lambda: max(walker.seen) >= chunk + 2)


def test_over_a_network_that_carries_them_no_picture_is_left_out(walker):
    goes_on(walker)
    assert left_out(walker) == 0


def test_over_a_slow_network_the_world_keeps_its_pace_and_pictures_are_left_out(walker, network):
    network.quality = Quality(bandwidth=1.5e6)  # 8 pictures a second of 24
    walker.rest(2.5)
    before, came = walker.shown, len(pictures(walker))
    walker.rest(3.0)
    newer = pictures(walker)[came:]
    pace = (walker.shown - before) / 3.0
    assert left_out(walker) > 0
    assert sum(frames.count for frames in newer) < 0.6 * (walker.shown - before)
    assert pace > 1.3 * network.quality.bandwidth / PICTURE, "the world is faster than its pictures fit"


def test_pictures_never_come_out_of_order_and_each_latent_shows_its_newest(walker, network):
    network.quality = Quality(bandwidth=1e6, jitter=0.05)
    walker.rest(3.0)
    came = pictures(walker)
    ends = [frames.index + frames.count for frames in came]
    assert ends == sorted(set(ends))
    assert [(each.chunk, each.latent) for each in came] == sorted({(each.chunk, each.latent) for each in came})
    assert all(end % 4 == 1 for end in ends), "a world's first latent is one picture, every other one four"


def test_what_waits_for_a_network_that_carries_next_to_nothing_stays_bounded(walker, network):
    network.quality = Quality(bandwidth=50_000)
    figures = walker.ask(Status()).data
    walker.rest(2.0)
    later = walker.ask(Status()).data
    assert int(later["produced"]) - int(figures["produced"]) <= 2 * 8, "the world waits"
    network.quality = Quality()
    goes_on(walker)


def test_when_the_network_is_fast_again_all_pictures_come_again(walker, network):
    network.quality = Quality(bandwidth=1e6)
    walker.until(lambda: left_out(walker) > 8, 20)
    network.quality = Quality()
    walker.until(lambda: all(frames.count == 4 for frames in pictures(walker)[-6:]))


def test_over_a_far_and_lossy_network_the_newest_control_is_the_one_that_counts(walker, network):
    network.quality = Quality(delay=0.08, jitter=0.04, loss=0.05)
    ignored = walker.ask(Status()).data["controls_ignored"]
    for keys in [1, 2, 4, 8] * 50:  # a person who cannot decide, then stands still
        walker.seq += 1
        walker.link.control(Control(seq=walker.seq, generation=walker.generation, keys=keys, shown=walker.shown))
    walker.seq += 1
    last = walker.seq
    walker.link.control(Control(seq=last, generation=walker.generation, keys=0, shown=walker.shown))
    walker.until(lambda: pictures(walker)[-1].seq >= last, 20)
    assert walker.ask(Status()).data["controls_ignored"] == ignored


def test_a_prompt_over_a_slow_and_lossy_network_is_answered_before_the_pictures_that_wait(walker, network):
    network.quality = Quality(bandwidth=1e6, delay=0.05, loss=0.02)
    walker.rest(1.0)
    assert walker.ask(SetPrompt(text="it rains")).ok
    assert "it rains" in walker.last(World).prompt


@pytest.mark.parametrize("lanes", [tuple(Lane), *((lane,) for lane in Lane)], ids=["all", *Lane])
def test_a_cut_of_any_lane_is_mended_and_the_session_goes_on(walker, network, lanes):
    session, chunk = walker.last(World).session, max(walker.seen)
    network.cut(lanes)
    reconnected(walker, "was lost. Reconnecting")
    assert walker.last(World).session == session
    assert max(walker.seen) > chunk


def test_a_network_that_breaks_again_and_again_loses_nothing_of_the_session(walker, network):
    session = Path(str(walker.last(World).session))
    walker.until_chunk(3)
    begun = journal_hash(session, 2)
    for _ in range(4):
        network.cut()
        walker.rest(0.4)
    reconnected(walker, "was lost")
    assert journal_hash(session, 2) == begun
    assert len(read(session).history.chunks) >= max(walker.seen), "none is missing, seen or not"


def test_a_network_that_is_away_for_a_while_is_waited_for(walker, network):
    network.refuses = True
    network.cut()
    walker.rest(2.0)
    assert "Reconnecting" in walker.sentences()[-1]
    network.refuses = False
    reconnected(walker, "was lost")


@pytest.mark.parametrize("lanes", [tuple(Lane), (Lane.FRAMES,)], ids=["all", "frames"])
def test_connections_that_stand_and_carry_nothing_are_made_anew(walker, network, lanes):
    network.swallow(lanes)
    reconnected(walker, "carries nothing any more")


def test_the_real_model_is_walked_in_over_a_slow_far_and_lossy_network_that_breaks(network, server):
    network.quality = Quality(bandwidth=1.5e6, delay=0.03, jitter=0.02, loss=0.01)
    walker = Walker(reach(str(network.near), keys=server.away.folder, take_over=True))
    try:
        session = walker.open(preset="pocket", prompt="a village").data["session"]
        walker.until_chunk(2)
        network.cut()
        reconnected(walker, "was lost")
        assert walker.last(World).session == session
    finally:
        walker.close()
