"""The model process dies, hangs or never starts: the world goes on where it was, and the window says what happens."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.faults.walker import Walker, journal_hash
from worker.journal import read
from worker.protocol import Open, Reply, Restart, Resume, Rewind, SetPrompt, Status, World, WorldSpec

QUICK = {"progress": 0.8, "factor": 1.0, "patience": 2.5, "ready": 20.0}
CHUNKS = 5


@pytest.fixture
def walkers():
    """Walkers to be closed when the test ends."""
    walkers: list[Walker] = []
    yield walkers
    for walker in walkers:
        walker.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[str, dict[int, list[bytes]]]:
    """What a run without faults leaves in the journal, and its pictures."""
    walker = Walker.launch(tmp_path_factory.mktemp("sessions"))
    session = walker.open().data["session"]
    walker.until_chunk(CHUNKS)
    walker.close()
    return journal_hash(session, CHUNKS), walker.seen


@pytest.mark.parametrize("latents_seen", [1, 2])
def test_a_model_killed_within_a_chunk_costs_at_most_that_chunk_and_changes_nothing_else(
    walkers, tmp_path, undisturbed, latents_seen
):
    walkers.append(walker := Walker.launch(tmp_path, fake={"latent_seconds": 0.03}))
    session = walker.open().data["session"]
    pid = walker.model_pid()
    walker.until_chunk(2, latents_seen)
    os.kill(pid, signal.SIGKILL)
    walker.until(lambda: "" in walker.sentences())
    walker.until_chunk(CHUNKS)
    before = [chunk for generation, chunk in walker.starts if generation == 1]
    after = [chunk for generation, chunk in walker.starts if generation == 2]
    assert walker.sentences() == ["The model stopped. Restarting (1 of 3)…", ""]
    assert after[0] in (before[-1], before[-1] + 1)
    assert (journal_hash(session, CHUNKS), walker.seen[CHUNKS - 1]) == (undisturbed[0], undisturbed[1][CHUNKS - 1])


def test_a_stopped_model_is_noticed_then_replaced(walkers, tmp_path, undisturbed):
    walkers.append(walker := Walker.launch(tmp_path, **QUICK))
    session = walker.open().data["session"]
    walker.until_chunk(2)
    pid = walker.model_pid()
    os.kill(pid, signal.SIGSTOP)
    walker.until(lambda: any("Restarting" in sentence for sentence in walker.sentences()))
    assert "has made no progress for" in walker.sentences()[0]
    walker.until_chunk(CHUNKS)
    assert not psutil.pid_exists(pid)
    assert journal_hash(session, CHUNKS) == undisturbed[0]


def test_a_model_that_spins_without_letting_go_of_python_is_noticed_too(walkers, tmp_path, undisturbed):
    walkers.append(walker := Walker.launch(tmp_path, fake={"spin_at": 2}, **QUICK))
    session = walker.open().data["session"]
    walker.until_chunk(CHUNKS)
    assert "has made no progress for" in walker.sentences()[0]
    assert journal_hash(session, CHUNKS) == undisturbed[0]


def test_a_model_that_is_only_slow_is_left_alone(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"latent_seconds": 0.3}, **QUICK))
    walker.open()
    walker.until_chunk(1)
    assert all("Restarting" not in sentence for sentence in walker.sentences())
    assert walker.sentences()[-1:] in ([], [""])


def test_a_person_can_have_a_hanging_model_started_again(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"spin_at": 1}))
    walker.open()
    walker.until_chunk(0)
    assert walker.ask(Restart()).ok
    walker.until_chunk(2)


def test_a_lost_device_costs_the_process_and_the_world_goes_on_in_a_new_one(walkers, tmp_path, undisturbed):
    walkers.append(walker := Walker.launch(tmp_path, fake={"lost_at": 2}))
    session = walker.open().data["session"]
    pid = walker.model_pid()
    walker.until_chunk(CHUNKS)
    assert walker.sentences() == ["The model stopped. Restarting (1 of 3)…", ""]
    assert walker.model_pid() != pid and journal_hash(session, CHUNKS) == undisturbed[0]


def test_an_unstable_chunk_is_neither_shown_nor_written_and_undoing_leads_on(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"unstable_at": 3}))
    session = walker.open().data["session"]
    pid = walker.model_pid()
    walker.until(lambda: any("chunk 3 is not finite" in sentence for sentence in walker.sentences()))
    assert walker.last(World).paused
    assert 3 not in walker.seen and len(read(Path(session)).history.chunks) == 3
    assert walker.ask(Rewind(chunks=1)).ok and walker.ask(Resume()).ok
    walker.until_chunk(4)
    assert walker.sentences()[-1] == "" and walker.model_pid() == pid


def test_a_prompt_outlives_the_model_that_was_given_it(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"latent_seconds": 0.05}))
    walker.open(prompt="a meadow")
    assert walker.ask(SetPrompt(text="it rains")).ok
    os.kill(walker.model_pid(), signal.SIGKILL)
    walker.until(lambda: "" in walker.sentences())
    assert walker.ask(SetPrompt(text="it snows")).ok
    assert walker.last(World).prompt.split("\n") == ["a meadow", "it rains", "it snows"]


def test_after_three_restarts_in_a_row_the_window_is_told_to_open_the_world_again(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path))
    session = walker.open().data["session"]
    for number in range(4):
        os.kill(walker.model_pid(), signal.SIGKILL)
        walker.until(lambda number=number: len(walker.sentences()) >= min(2 * number + 2, 7))
    assert walker.sentences()[-1] == "The model stopped 4 times; open the world again or start Wander anew."
    assert walker.open(session=session).ok
    walker.until_chunk(1)


@pytest.mark.parametrize(
    ("fake", "sentence"),
    [
        ({"refuse": "There is no preset of that size; choose pocket."}, "choose pocket"),
        ({"crash": True}, "The model stopped before this was done: it ended with status"),
    ],
    ids=["refused", "crashed"],
)
def test_a_world_that_cannot_be_opened_says_why_and_leaves_no_file(walkers, tmp_path, fake, sentence):
    walkers.append(walker := Walker.launch(tmp_path, fake=fake))
    reply = walker.open()
    assert sentence in reply.error
    assert not list(tmp_path.iterdir())
    assert walker.ask(Status()).ok


def test_a_model_that_is_never_ready_is_given_up(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"open_seconds": 60}, ready=0.5, patience=2.0))
    reply = walker.open()
    assert not reply.ok


def test_opening_something_impossible_leaves_the_open_world_as_it_was(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path))
    walker.open()
    walker.until_chunk(1)
    for spec in (
        WorldSpec(preset="fake", image=b"no picture"),
        WorldSpec(preset="fake", session="nowhere"),
        WorldSpec(preset="no-such-preset"),
    ):
        reply: Reply = walker.ask(Open(spec=spec))
        assert not reply.ok
    chunks = int(walker.ask(Status()).data["chunks"])
    walker.until_chunk(chunks + 1)
    assert len(list(tmp_path.glob("*.wander"))) == 1
