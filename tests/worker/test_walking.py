"""The three processes together, with the fake engine: what a person can ask for, and taking a world up again."""

import itertools
import time
from pathlib import Path

import pytest

from tests.faults.walker import Walker, journal_hash
from worker.journal import read
from worker.protocol import Frames, Pause, Reset, Resume, Rewind, Save, SetChunk, SetPrompt, Status, Welcome, World


@pytest.fixture(scope="module")
def walker(tmp_path_factory):
    """A walker in a world of its own; the tests here go on from each other's world, whatever state it is in."""
    walker = Walker.launch(tmp_path_factory.mktemp("sessions"))
    walker.open(prompt="a meadow")
    yield walker
    walker.close()


def chunks(walker: Walker) -> int:
    return int(walker.ask(Status()).data["chunks"])


def test_the_first_thing_heard_is_a_welcome_and_the_first_picture_is_one(walker):
    walker.until_chunk(0)
    assert isinstance(walker.events[0], Welcome)
    first = next(event for event in walker.events if isinstance(event, Frames))
    assert (first.chunk, first.latent, first.index, first.count) == (0, 0, 0, 1)


def test_the_pictures_of_a_generation_are_numbered_without_gaps_and_in_order(walker):
    walker.until_chunk(chunks(walker) + 2)
    frames = [event for event in walker.events if isinstance(event, Frames) and event.generation == walker.generation]
    for before, after in itertools.pairwise(frames):
        assert after.index == before.index + before.count
        assert (after.chunk, after.latent) in {(before.chunk, before.latent + 1), (before.chunk + 1, 0)}
        assert before.last == (after.latent == 0)


def test_pictures_carry_the_number_of_the_control_that_shaped_them(walker):
    seq = walker.seq
    walker.until_chunk(max(walker.seen) + 3)
    newest = walker.last(Frames)
    assert seq < newest.seq <= walker.seq


def test_the_pictures_of_a_latent_come_before_the_next_latent_is_made(tmp_path):
    slow = Walker.launch(tmp_path, fake={"latent_seconds": 0.3})
    slow.open(chunk=4)
    slow.until_chunk(0, latents=1)
    first_seen_ns = time.monotonic_ns()
    slow.until_chunk(0, latents=4)
    slow.close()
    assert first_seen_ns < slow.last(Frames).produced_ns


def test_a_prompt_applies_from_the_chunk_that_its_reply_names(walker):
    at = int(walker.ask(SetPrompt(text="it rains")).data["chunk"])
    walker.until_chunk(at + 1)
    session = read(Path(walker.last(World).session)).history
    assert session.chunks[at - 1].prompt == "a meadow"
    assert session.chunks[at].prompt == "a meadow\nit rains"


def test_what_a_world_remarks_on_words_comes_back_with_their_reply(tmp_path):
    remarking = Walker.launch(tmp_path, fake={"remark": "It knows no rain."})
    remarking.open()
    assert remarking.ask(SetPrompt(text="it rains")).data["notice"] == "It knows no rain."
    assert "notice" not in remarking.ask(Rewind(chunks=0)).data
    remarking.close()


def test_undo_goes_back_to_the_chunk_and_to_the_text_of_then_in_a_new_generation(walker):
    generation = walker.generation
    walker.until_chunk(3)
    assert walker.ask(Rewind(chunks=1)).ok
    assert (walker.last(World).chunks, walker.last(World).prompt) == (1, "a meadow")
    walker.until(lambda: walker.starts[-1][0] > generation)
    assert walker.starts[-1][1] == 1
    refused = walker.ask(Rewind(chunks=10_000))
    assert "cannot go back to 10000" in refused.error


def test_a_paused_world_makes_nothing_until_it_is_resumed(walker):
    walker.ask(Pause())
    before = chunks(walker)
    walker.rest(1.0)
    assert chunks(walker) <= before + 1, "only the chunk in the making may be finished"
    walker.ask(Resume())
    walker.until_chunk(before + 3)


def test_another_chunk_size_takes_effect_without_losing_the_world(walker):
    before = chunks(walker)
    reply = walker.ask(SetChunk(chunk=1))
    assert int(reply.data["chunk"]) >= before
    walker.until_chunk(int(reply.data["chunk"]) + 2, latents=1)
    assert walker.last(Frames).last
    walker.ask(SetChunk(chunk=2))


def test_reset_with_a_seed_is_another_world_and_reset_without_one_the_same_again(walker):
    for seed, differs in ((None, False), (99, True), (3, False)):
        walker.ask(Reset(seed=seed))
        generation = walker.generation
        walker.until(lambda generation=generation: (generation, 1) in walker.starts)
        first = walker.seen[0]
        if seed is None:
            original = first
        assert (first != original) == differs


def test_a_saved_session_is_taken_up_where_it_was(walker, tmp_path):
    walker.until_chunk(3)
    saved = walker.ask(Save(name="harbour")).data["session"]
    count = len(read(Path(saved)).history.chunks)
    with open(saved, "ab") as file:
        file.write(b"\x30\x00\x00\x00torn")
    before = journal_hash(saved, count)
    again = Walker.launch(tmp_path)
    reply = again.open(session=saved)
    assert (reply.data["chunk"], reply.data["session"]) == (count, saved)
    assert "last 8 bytes of the session were unfinished" in reply.data["notice"]
    again.until_chunk(count + 1)
    again.close()
    assert again.starts[0][1] == count
    assert journal_hash(saved, count) == before
    assert len(read(Path(saved)).history.chunks) > count
