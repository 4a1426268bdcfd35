"""A scan beside the walk: a process of its own, answered whatever becomes of it, and the walk goes on."""

import numpy as np
import pytest

from tests.faults.walker import Walker
from worker.journal import read
from worker.protocol import CancelScan, Scan, Trail


@pytest.fixture
def walker(tmp_path):
    walker = Walker.launch(tmp_path / "sessions")
    walker.open()
    yield walker
    walker.link.close()


def test_a_world_that_cannot_be_scanned_says_so_and_goes_on_and_its_trail_is_that_of_the_journal(walker, tmp_path):
    reply = walker.ask(Scan())
    assert "preset 'fake' cannot be scanned" in reply.error
    assert walker.ask(CancelScan()).ok
    told = [event for event in walker.events if isinstance(event, Trail)]
    assert told[0].whole and told[0].places == b"" and not told[-1].whole
    places = np.frombuffer(b"".join(trail.places for trail in told), np.float32).reshape(-1, 4)
    (session,) = (tmp_path / "sessions").glob("*.wander")
    poses = [np.frombuffer(chunk.poses, np.float32).reshape(-1, 4, 4) for chunk in read(session).history.chunks]
    expected = np.concatenate(poses)[: len(places), [0, 2], 3]
    assert len(places) > 0 and np.array_equal(places[:, :2], expected)
