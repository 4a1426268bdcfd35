"""Replay: a session's pictures follow from its journal, and a pixel that differs is noticed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from engine.actions import POCKET, WORLDPLAY, latent_poses
from engine.released_world import ReleasedWorld
from tests.engine.tiny import one_thread
from tests.engine.tiny_released import tiny_released
from tests.faults.walker import Walker
from worker import replay
from worker.errors import JournalError
from worker.history import History
from worker.model_process import engine_steps
from worker.protocol import Keep, Rewind, SetChunk, SetPrompt, World


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """A walk with words, an undo, a named branch and another chunk size."""
    walker = Walker.launch(tmp_path_factory.mktemp("sessions"))
    walker.open(prompt="a meadow")
    walker.until_chunk(2)
    walker.ask(SetPrompt(text="it rains"))
    walker.until_chunk(5)
    walker.ask(Keep(name="rain"))
    walker.ask(Rewind(chunks=2))
    walker.until_chunk(3)
    walker.ask(SetChunk(chunk=1))
    walker.ask(SetPrompt(text="it stops"))
    walker.until_chunk(6, latents=1)
    path = Path(walker.last(World).session)
    walker.close()
    return path


def outcome(session: Path, branch: str | None = None) -> replay.Outcome:
    """A verified replay."""
    chosen = replay.chosen(str(session), session.parent, branch)[1]
    return replay.play(chosen, verify=True, show=lambda _: None)


@pytest.mark.parametrize("branch", [None, "rain", "0"])
def test_every_branch_of_a_session_comes_out_pixel_for_pixel(session, branch):
    made = outcome(session, branch)
    assert made.chunks > 4 and made.differing == []


def test_a_picture_that_differs_is_found_and_named(session):
    branch = replay.chosen(str(session), session.parent, "rain")[1]
    back = tuple(msgspec.structs.replace(step, keys=2) for step in branch.chunks[3].steps)
    changed = msgspec.structs.replace(branch.chunks[3], steps=back)
    chunks = (*branch.chunks[:3], changed, *branch.chunks[4:])
    made = replay.play(replace(branch, chunks=chunks), verify=True, show=lambda _: None)
    assert made.differing is not None and made.differing[0] == 3
    assert "the first is chunk 3" in replay.sentence(made)


def test_a_branch_that_is_not_there_is_refused_with_those_that_are(session):
    with pytest.raises(JournalError, match="no branch 'snow'; its 2 branches are 0 rain, 1"):
        replay.chosen(str(session), session.parent, "snow")


def test_a_session_without_fingerprints_cannot_be_verified(session):
    branch = replay.chosen(str(session), session.parent, None)[1]
    bare = History.begin(branch.spec).then(msgspec.structs.replace(branch.chunks[0], digest=b"")).branch
    with pytest.raises(JournalError, match="1 of 1 chunks have no fingerprint"):
        replay.play(bare, verify=True, show=lambda _: None)


def test_the_keys_and_words_of_a_session_play_with_another_preset_on_its_own_steps(session):
    branch, worlds = replay.chosen(str(session), session.parent, "rain")[1], []
    model = tiny_released("worldplay-5b")

    def opening(spec: Any, records: list[Any]) -> Any:
        assert spec.preset == "worldplay-5b" and spec.size is None
        worlds.append(ReleasedWorld(model, spec, records))
        return worlds[-1]

    short = replace(branch, chunks=branch.chunks[:3])
    with one_thread():
        made = replay.play(short, verify=False, show=lambda _: None, opening=opening, preset="worldplay-5b")
    records, steps = worlds[-1].records, [step for chunk in short.chunks for step in engine_steps(chunk.steps)]
    assert (made.chunks, made.differing, made.approximate) == (3, None, "worldplay-5b")
    assert "approximate" in replay.sentence(made)
    walked = np.concatenate([record.poses for record in records])
    assert np.allclose(walked, latent_poses(steps[1:], WORLDPLAY), atol=1e-5)
    assert not np.allclose(walked, latent_poses(steps[1:], POCKET), atol=1e-2)
    assert [record.prompt.split("\n")[1:] for record in records] == [
        chunk.prompt.split("\n")[1:] for chunk in short.chunks
    ]


def test_another_preset_has_nothing_to_be_compared_with(session):
    branch = replay.chosen(str(session), session.parent, None)[1]
    with pytest.raises(JournalError, match="made with fake, pocket shows another walk"):
        replay.play(branch, verify=True, show=lambda _: None, preset="pocket")
