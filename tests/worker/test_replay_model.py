"""The real network: the same seed, keys and words give the same pixels, whatever was undone on the way."""

from pathlib import Path

import pytest

from engine.errors import WanderError
from engine.weights import load_pocket
from tests.worker.test_resume import Process
from worker import model_protocol as model
from worker import replay
from worker.entries import PromptEntry, RewindEntry
from worker.history import History
from worker.journal import Header, Journal
from worker.protocol import WorldSpec

SPEC = WorldSpec(preset="pocket", seed=7, prompt="a village", chunk=2)


def test_a_walk_with_words_and_an_undo_replays_to_the_pixel_on_both_of_its_branches(tmp_path: Path):
    try:
        load_pocket()
    except WanderError as error:
        pytest.skip(f"no weights: {error}")
    journal = Journal.create(tmp_path / "walk.wander", Header(spec=SPEC))
    process, history = Process(journal.path), History.begin(SPEC)
    for number, chunk in enumerate((0, 1, "it starts to rain", 2, -1, 1, "it stops", 2)):
        match chunk:
            case str():
                done = process.answer(model.ApplyPrompt(text=chunk))[-1][0]
                history = history.then(PromptEntry(text=chunk, reads=done.reads))  # type: ignore[union-attr]
            case -1:
                process.answer(model.ApplyRewind(chunks=1))
                history = history.then(RewindEntry(chunks=1))
            case _:
                history = history.then(process.generate(chunk, generation=number)[1])
    assert len(history.branches) == 2
    for branch in history.branches:
        outcome = replay.play(branch, verify=True, show=lambda _: None)
        assert outcome.differing == [] and outcome.chunks == 3
