"""A hundred events, starts, undos and resets in any order: the journals tell the very worlds that the window was told
and shown, and pictures go on coming evenly."""

import msgspec
import pytest

from tests.faults.judge import disagreements, made_again
from tests.faults.random_session import Pace, run
from worker.entries import ChunkEntry
from worker.history import Branch, History, Said
from worker.model_process import engine_of, engine_spec, engine_steps
from worker.model_protocol import fingerprint
from worker.protocol import Step, World, WorldSpec
from worker.told import branches, happenings


def test_after_a_hundred_random_acts_every_session_is_what_was_told_and_shown_and_pictures_came_evenly(tmp_path):
    spec = WorldSpec(preset="fake", seed=3, chunk=2)
    verdict, report = run(tmp_path, spec=spec, acts=100, seed=1, pace=Pace(between=(0.0, 0.05)), calm_s=1.0)
    assert not verdict.wrong and not report["refused"] and not report["troubles"]
    assert sum(report["acts"].values()) == 100 and min(report["acts"].values()) > 0
    assert verdict.sessions > 5 and verdict.branches > verdict.sessions and verdict.seen > 20
    assert report["busy"]["interval_p50_ms"] == pytest.approx(1000 / 24, abs=8)
    assert not report["stops"], "a picture stood still for half a second that no jump explains"


@pytest.mark.slow
def test_a_hundred_random_acts_with_the_shipped_model_leave_sessions_that_replay_to_the_pixel(tmp_path):
    spec = WorldSpec(preset="pocket", seed=3, size=(160, 96))
    verdict, report = run(tmp_path, spec=spec, acts=100, seed=2, pace=Pace(between=(0.2, 1.0)), calm_s=20.0)
    assert not verdict.wrong and not report["refused"] and not report["troubles"]
    assert sum(report["acts"].values()) == 100 and min(report["acts"].values()) > 0
    calm, busy = report["calm"]["interval_p99_ms"], report["busy"]["interval_p99_ms"]
    assert busy < 2 * calm + 100, (calm, busy)


@pytest.fixture(scope="module")
def walked():
    """A branch of two chunks that the fake engine has made, with words before the second."""
    spec, said = WorldSpec(preset="fake", seed=3, chunk=1, prompt="a meadow"), "snow begins to fall"
    world, chunks = engine_of("fake")(engine_spec(spec), []), []
    for index in range(2):
        if index:
            world.prompt(said)
        digest, steps = fingerprint(), (Step(keys=1),)
        for frames in world.step(engine_steps(steps)):
            digest.update(frames.tobytes())
        record = world.commit()
        chunks.append(
            ChunkEntry(generation=1, index=index, steps=steps, shape=record.latents.shape, prompt=record.prompt,
                       latents=record.latents.tobytes(), poses=record.poses.tobytes(),
                       actions=record.actions.tobytes(), digest=digest.digest())
        )  # fmt: skip
    return Branch(spec=spec, chunks=tuple(chunks), said=(Said(text=said, chunk=1),), reads=f"a meadow\n{said}")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"digest": bytes(16)}, ["pictures of chunk 1 differ"]),
        ({"poses": bytes(64)}, ["places of chunk 1 differ"]),
        ({"prompt": "a meadow"}, ["words of chunk 1 differ"]),
    ],
)
def test_a_branch_that_does_not_come_out_as_it_is_kept_is_found(walked, change, found):
    first, second = walked.chunks
    kept = msgspec.structs.replace(second, **change)
    branch = Branch(spec=walked.spec, chunks=(first, kept), said=walked.said, reads=walked.reads)
    assert made_again(branch) == found


@pytest.mark.parametrize(
    ("change", "settled", "found"),
    [
        ({}, True, 0),
        ({"chunks": 1}, False, 0),
        ({"chunks": 1}, True, 1),
        ({"chunks": 3}, False, 1),
        ({"prompt": "a meadow"}, False, 1),
        ({"seed": 4}, False, 1),
        ({"happenings": ()}, False, 1),
        ({"branches": ()}, True, 2),
    ],
)
def test_a_window_that_was_told_something_else_is_found(walked, change, settled, found):
    history = History(branch=walked)
    told = World(generation=1, preset="fake", seed=3, prompt=walked.reads, width=64, height=32, fps=24.0, chunk=1,
                 chunks=2, paused=True, session="/tmp/a.wander", branches=branches(history),
                 happenings=happenings(walked))  # fmt: skip
    assert len(disagreements(msgspec.structs.replace(told, **change), history, settled)) == found
