"""The window scans, shows how far it is, and maps the walk."""

import numpy as np
import pytest

from app.input import Controls
from app.minimap import on_map, seen_from
from app.walk import Walk
from app.world_spec import spec_for
from worker import protocol as wire

STILL = Controls(keys=0, taps=0, yaw=0.0, pitch=0.0)


@pytest.fixture
def walk(link):
    walk = Walk(link)
    walk.open(spec_for("fake", seed=7))
    link.world()
    walk.tick(0.0, STILL)
    return walk


def test_a_scan_is_asked_for_once_followed_and_remembered(walk, link):
    walk.scan(seconds=10.0, format="ply", mesh=False)
    walk.scan(seconds=10.0, format="ply", mesh=False)
    assert link.asked(wire.Scan) == [wire.Scan(id=0, seconds=10.0, format="ply")]
    link.events.append(wire.Progress(stage="scan", fraction=0.4, sentence="Estimating depth"))
    walk.tick(0.1, STILL)
    assert (walk.state.scan.fraction, walk.state.scan.stage, walk.state.progress) == (0.4, "Estimating depth", None)
    link.reply(file="/scans/a.ply", points=1200, triangles=0, views=9, notice="")
    walk.tick(0.2, STILL)
    assert not walk.state.scan.running and str(walk.state.scan.file) == "/scans/a.ply"
    assert walk.state.notices == ["Scanned: 1,200 points from 9 views"]


def test_a_scan_that_fails_says_why_and_another_may_be_asked_for(walk, link):
    walk.scan(seconds=0, format="glb", mesh=True)
    link.reply(error="The scan was cancelled.")
    walk.tick(0.1, STILL)
    assert walk.state.notices == ["The scan was cancelled."] and not walk.state.scan.running
    walk.scan(seconds=0, format="glb", mesh=True)
    assert len(link.asked(wire.Scan)) == 2


def test_the_trail_grows_with_every_chunk_and_starts_over_when_the_walk_does(walk, link):
    def places(*rows):
        return np.array(rows, np.float32).tobytes()

    link.events.append(wire.Trail(whole=True, places=places((0, 0, 0, 0), (0, 1, 0, 0))))
    link.events.append(wire.Trail(whole=False, places=places((0, 2, 0, 1))))
    walk.tick(0.1, STILL)
    assert walk.state.path.places[:, 1].tolist() == [0, 1, 2]
    assert len(walk.state.path.until(0)) == 2
    link.events.append(wire.Trail(whole=True, places=places((0, 0, 0, 0))))
    walk.tick(0.2, STILL)
    assert len(walk.state.path.places) == 1


def test_the_places_that_memory_recalls_are_those_of_the_newest_chunk(walk, link):
    def told(z, recalled, whole=False):
        rows = np.array([[0, z, 0, z], [0, z + 1, 0, z]], np.float32)
        link.events.append(wire.Trail(whole=whole, places=rows.tobytes(), recalled=recalled))
        walk.tick(0.1, STILL)
        return walk.state.path.recalled[:, 1].tolist()

    assert told(0, (), whole=True) == []
    assert told(2, (3, 2)) == [0, 1]
    assert told(4, (4, 99)) == [1]  # what is older than all that is known is left out
    assert told(0, (), whole=True) == []


def test_on_the_map_ahead_is_up_and_the_walker_is_in_the_middle():
    east = np.array([[0, 0, np.pi / 2, 0], [4, 0, np.pi / 2, 0]], np.float32)  # walked along x, looking along x
    points, headings, reach = on_map(east)
    assert np.allclose(points[-1], 0) and points[0][1] < -0.5 and abs(points[0][0]) < 1e-6
    assert np.allclose(headings, 0) and reach >= 4
    turned = np.array([[0, 4, 0, 0], [0, 0, 0, 0]], np.float32)  # a place straight ahead
    assert on_map(turned)[0][0][1] > 0.5
    right, ahead, turn = seen_from(east[-1], np.array([[4, -3, np.pi, 0]], np.float32))[0]  # a place to the right
    assert np.allclose((right, ahead, turn), (3, 0, np.pi / 2), atol=1e-5)
