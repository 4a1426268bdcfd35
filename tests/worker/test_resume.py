"""A killed model process, resumed from its journal, goes on with the very frames that it would have shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.actions import KEY_RIGHT, KEY_W
from tests.engine.tiny import tiny_weights
from worker import model_protocol as model
from worker.codec import UPLOAD, pack, unpack
from worker.entries import Entry, Header, PromptEntry, RewindEntry, chunk_entry
from worker.journal import Journal
from worker.model_process import Model
from worker.protocol import Frames, Message, Step, WorldSpec

SPEC = WorldSpec(preset="pocket", seed=7, prompt="a village", chunk=2)
STEPS = (Step(keys=KEY_W), Step(keys=KEY_W | KEY_RIGHT, yaw=0.01))


@pytest.fixture(autouse=True)
def _tiny_model(monkeypatch) -> None:
    weights = tiny_weights()
    monkeypatch.setattr("engine.weights.load_pocket", lambda **_: weights)


class Process:
    """A model process without a socket: jobs in, answers out."""

    def __init__(self, journal: Path) -> None:
        self.sent: list[list[bytes]] = []
        self.coming: list[bytes] = []
        self._model = Model(self, "pocket")  # type: ignore[arg-type]
        self.answer(model.Load(spec=SPEC, journal=str(journal)))

    def send_multipart(self, frames: list[bytes]) -> None:
        self.sent.append(frames)

    def poll(self, timeout: int) -> bool:
        return bool(self.coming)

    def recv(self) -> bytes:
        return self.coming.pop(0)

    def answer(self, job: model.Job) -> list[tuple[Message, bytes]]:
        """Messages of a job, each with what rides behind it."""
        self.sent.clear()
        self._model._do(job)
        return [(unpack(frames[0], model.ModelMessage, UPLOAD), b"".join(frames[1:])) for frames in self.sent]

    def generate(self, chunk: int, generation: int = 1) -> tuple[bytes, Entry]:
        """Pixels of the next chunk, and its journal entry."""
        answers = self.answer(model.Generate(generation=generation, chunk=chunk, index=0, seq=0, steps=STEPS))
        done, latents = answers[-1]
        assert isinstance(done, model.Committed)
        return b"".join(body for head, body in answers if isinstance(head, Frames)), chunk_entry(done, latents, chunk)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.create(tmp_path / "walk.wander", Header(spec=SPEC))


def walked(journal: Journal, chunks: int) -> Process:
    """A process that has made and written down some chunks, under an event from the second on."""
    process = Process(journal.path)
    for index in range(chunks):
        if index == 1:
            process.answer(model.ApplyPrompt(text="a fire breaks out"))
            journal.append(PromptEntry(text="a fire breaks out"))
        journal.append(process.generate(index)[1])
    return process


def test_a_killed_process_resumes_with_the_very_next_frames(journal):
    process = walked(journal, 3)
    assert Process(journal.path).generate(3) == process.generate(3)


@pytest.mark.parametrize(
    "texts", [["it starts to rain"], ["snow", "it stops"], ["停了"], ["a desert\nfog"], ["a desert\n"]]
)
def test_prompts_that_no_chunk_has_read_yet_are_read_after_the_resume(journal, texts):
    process = walked(journal, 2)
    for text in texts:
        assert process.answer(model.ApplyPrompt(text=text))[-1][0].chunk == 2
        journal.append(PromptEntry(text=text))
    resumed = Process(journal.path)
    assert resumed.generate(2) == process.generate(2)


def test_a_prompt_before_the_first_chunk_is_read_after_the_resume(journal):
    process = Process(journal.path)
    process.answer(model.ApplyPrompt(text="fog"))
    journal.append(PromptEntry(text="fog"))
    assert Process(journal.path).generate(0) == process.generate(0)


def test_an_undo_takes_a_pending_prompt_back_also_after_the_resume(journal):
    process = walked(journal, 3)
    for job, entry in (
        (model.ApplyPrompt(text="fog"), PromptEntry(text="fog")),
        (model.ApplyRewind(chunks=1), RewindEntry(chunks=1)),
    ):
        process.answer(job)
        journal.append(entry)
    pixels, entry = process.generate(1)
    assert Process(journal.path).generate(1) == (pixels, entry) and entry.prompt == "a village"  # type: ignore[union-attr]


def test_words_that_come_while_a_chunk_is_made_are_encoded_before_it_ends(journal, monkeypatch):
    process, read = Process(journal.path), []
    monkeypatch.setattr(process._model, "_read_words", lambda words: read.append((words, len(process.sent))))
    process.coming.append(pack(model.Foresee(text="it starts to rain")))
    process.generate(0)
    assert read == [("it starts to rain", 1)], "after the first pictures have left, before the others are made"
