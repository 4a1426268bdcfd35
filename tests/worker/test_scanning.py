"""Scans for the window: one at a time, told about, answered once, cancelled at will."""

import json
import sys
import time
from typing import get_args, get_type_hints

import msgspec
import numpy as np
import pytest

import worker.scanning as scanning
from worker import protocol as wire
from worker.codec import pack, unpack
from worker.entries import ChunkEntry, Header, RewindEntry
from worker.errors import JournalError, WanderError
from worker.journal import Journal
from worker.protocol import RequestLaneEvent, Step, WorldSpec
from worker.scanning import Scans, scan_path
from worker.trail import MAX_PLACES, trail

REPORT = {"files": ["/a.ply", "/a.ply.scan.json"], "points": 5, "triangles": 0, "views": 2, "bytes": 9, "notice": ""}


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A function (program) -> scans whose process runs that Python program, and what the window was told."""
    made = []

    def make(program):
        real = scanning.subprocess.Popen
        monkeypatch.setattr(
            scanning.subprocess, "Popen", lambda command, **pipes: real([sys.executable, "-c", program], **pipes)
        )
        told = []
        made.append(Scans(tmp_path / "sessions", told.append))
        return made[-1], told

    yield make
    for each in made:
        each.stop()


def replies(scans, told, seconds=60):
    last = time.monotonic() + seconds
    while not any(isinstance(event, wire.Reply) for event in told) and time.monotonic() < last:
        scans.watch()
        time.sleep(0.02)
    return [event for event in told if isinstance(event, wire.Reply)]


def lines(*said):
    return "".join(f"print({json.dumps(json.dumps(line))}, flush=True);" for line in said)


def test_progress_and_the_result_reach_the_window(scans):
    program = lines({"fraction": 0.5, "stage": "Fusing surfaces"}, {"report": REPORT})
    each, told = scans(program)
    each.start(wire.Scan(id=4), "/s/walk.wander")
    (reply,) = replies(each, told)
    assert reply.id == 4 and reply.ok and reply.data["file"] == "/a.ply" and reply.data["points"] == 5
    heard = [event for event in told if isinstance(event, wire.Progress)]
    assert [event.fraction for event in heard] == [0.0, 0.5] and {event.stage for event in heard} == {"scan"}


def test_an_error_of_the_scan_is_the_answer(scans):
    each, told = scans(lines({"error": "no surface was found"}))
    each.start(wire.Scan(id=1), "walk")
    assert replies(each, told)[0].error == "no surface was found"


def test_a_scan_that_dies_is_answered_too_and_another_may_follow(scans):
    each, told = scans("import sys; sys.exit(7)")
    each.start(wire.Scan(id=1), "walk")
    assert "status 7" in replies(each, told)[0].error
    each.start(wire.Scan(id=2), "walk")


def test_only_one_scan_runs_and_cancelling_it_answers_it(scans):
    each, told = scans("import time; time.sleep(60)")
    each.start(wire.Scan(id=1), "walk")
    with pytest.raises(WanderError, match="1 scan is under way"):
        each.start(wire.Scan(id=2), "walk")
    each.cancel()
    assert [(reply.id, reply.error) for reply in replies(each, told)] == [(1, "The scan was cancelled.")]


def test_nobody_is_answered_once_the_window_has_gone(scans):
    each, told = scans(lines({"report": REPORT}))
    each.start(wire.Scan(id=1), "walk")
    each.forget()
    last = time.monotonic() + 30
    while each._process is not None and time.monotonic() < last:
        each.watch()
        time.sleep(0.02)
    assert not any(isinstance(event, wire.Reply) for event in told)


def test_names_end_as_the_format_wants(tmp_path):
    assert scan_path(tmp_path, "walk", "ply").name.startswith("walk-")
    endings = [scan_path(tmp_path, "walk", name).name[11:] for name in ("ply", "glb", "gaussian", "colmap")]
    assert endings == [".ply", ".glb", ".gaussians.ply", "-colmap"]


def test_window_wire_command_line_and_engine_name_the_same_formats():
    from app.panel_scan import FORMATS as offered
    from engine.scan import FORMAT_NAMES
    from worker.scan_process import FORMATS

    told = get_args(get_type_hints(wire.Scan)["format"])
    assert set(told) == set(offered) == set(FORMATS) == set(FORMAT_NAMES)


def test_a_session_that_is_not_there_is_told_before_anything_is_installed(tmp_path, monkeypatch):
    from worker import scan_process

    def install(sections, say):
        raise AssertionError("nothing is worth installing")

    monkeypatch.setattr(scan_process.environment, "prepare", install)
    monkeypatch.setattr(scan_process, "find_spec", lambda name: None)
    with pytest.raises(JournalError, match="There is no session nowhere"):
        scan_process.run(["nowhere", "--out", str(tmp_path / "a.ply")], print, print, lambda done, total: None)


def test_a_session_is_read_as_the_walk_that_stands(tmp_path):
    from worker.scan_process import recording

    journal = Journal.create(tmp_path / "a.wander", Header(spec=WorldSpec(preset="pocket", seed=7, prompt="a wall")))
    for index in range(3):
        here = np.eye(4)
        here[0, 3] = index
        entry = chunk(index, here, here)
        latents = np.full((2, 1, 1, 1), index, np.float16).tobytes()
        journal.append(msgspec.structs.replace(entry, latents=latents, prompt="a wall\nrain"))
    journal.append(RewindEntry(chunks=2))
    journal.close()
    walk = recording(tmp_path / "a.wander")
    assert walk.latents.ravel().tolist() == [0, 0, 1, 1] and walk.poses[:, 0, 3].tolist() == [0, 0, 1, 1]
    assert (walk.preset, walk.seed, walk.prompt) == ("pocket", 7, "a wall\nrain")


def chunk(index, *cameras):
    poses = np.stack(cameras).astype(np.float32)
    return ChunkEntry(generation=1, index=index, steps=(Step(),) * len(poses), shape=(len(poses), 1, 1, 1), latents=b"",
                      poses=poses.tobytes(), actions=bytes(2 * len(poses)), prompt="")  # fmt: skip


def test_the_trail_tells_place_heading_and_chunk_of_every_latent():
    ahead, right = np.eye(4), np.eye(4)
    ahead[:3, 3] = 1, -1.6, 2
    right[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # a quarter turn to the right
    told = trail([chunk(0, ahead), chunk(1, right)], whole=True)
    places = np.frombuffer(told.places, np.float32).reshape(-1, 4)
    assert np.allclose(places, [[1, 2, 0, 0], [0, 0, np.pi / 2, 1]])


def test_the_longest_trail_fits_into_a_message():
    told = trail([chunk(0, *[np.eye(4)] * 16)] * 600, whole=True)
    assert len(told.places) == 16 * MAX_PLACES
    assert unpack(pack(told), RequestLaneEvent) == told
    assert trail([], whole=True).places == b""
