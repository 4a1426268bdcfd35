"""The tree of a session: one can always go back, and nothing that was walked is ever lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.chunks import chunk_of
from worker.entries import KeepEntry, PromptEntry, ResetEntry, RewindEntry, SwitchEntry
from worker.errors import JournalError
from worker.history import History
from worker.protocol import WorldSpec
from worker.told import branches, happenings

SPEC = WorldSpec(preset="fake", seed=7, prompt="a village", chunk=2)
FRESH = History.begin(SPEC)


def grown(history: History, chunks: int, generation: int = 1) -> History:
    """The session after some more chunks."""
    for _ in range(chunks):
        branch = history.branch
        history = history.then(chunk_of(len(branch.chunks), branch.reads, generation=generation))
    return history


def asked(history: History, text: str, *lines: str) -> History:
    """The session after a prompt, the model reading the caption and `lines` from then on."""
    return history.then(PromptEntry(text=text, reads="\n".join(("a village", *lines))))


def test_what_an_undo_leaves_is_kept_as_a_branch_and_one_can_go_on_from_its_end():
    first = grown(FRESH, 5)
    other = grown(first.then(RewindEntry(chunks=2)), 1, generation=2)
    assert [len(branch.chunks) for branch in other.branches] == [5, 3]
    back = other.then(SwitchEntry(branch=0))
    assert back.chunks == first.chunks
    assert back.then(SwitchEntry(branch=1)).chunks == other.chunks


def test_undoing_step_by_step_leaves_one_branch_not_many():
    history = grown(FRESH, 5)
    for chunks in (4, 3, 2):
        history = history.then(RewindEntry(chunks=chunks))
    assert [len(branch.chunks) for branch in history.branches] == [5, 2]
    assert len(history.then(SwitchEntry(branch=0)).branches) == 1, "the undone piece is part of it"


def test_a_name_stays_with_the_line_that_was_named():
    history = grown(FRESH, 4).then(KeepEntry(name="the fire")).then(RewindEntry(chunks=1))
    history = grown(history, 1, generation=2)
    assert [(branch.name, len(branch.chunks)) for branch in history.branches] == [("the fire", 4), ("", 2)]


def test_a_reset_leaves_the_line_behind_with_its_seed():
    history = grown(grown(FRESH, 3).then(ResetEntry(seed=9)), 1, generation=2)
    assert [branch.spec.seed for branch in history.branches] == [7, 9]
    assert history.then(SwitchEntry(branch=0)).spec.seed == 7


def test_the_prompts_of_a_branch_come_back_with_it():
    history = asked(grown(FRESH, 2), "it rains", "it rains")
    history = asked(grown(history, 2), "snow", "it rains", "snow")
    left = grown(history.then(RewindEntry(chunks=2)), 1, generation=2)
    assert (left.branch.reads, left.branch.said) == ("a village", ())
    back = left.then(SwitchEntry(branch=0)).branch
    assert (back.reads, back.pending) == ("a village\nit rains\nsnow", ("snow",))


def test_switching_to_a_branch_that_is_not_there_is_refused_with_the_numbers():
    with pytest.raises(JournalError, match="no branch 5 to switch to; there are none"):
        FRESH.then(SwitchEntry(branch=5))


def test_an_event_that_is_read_in_other_words_is_told_in_those_that_were_typed_and_lasts_as_long_as_it_is_read():
    history = grown(asked(grown(FRESH, 1), "cats and dogs", "it starts to rain"), 1)
    (rain,) = happenings(history.branch)
    assert (rain.text, rain.active) == ("cats and dogs", True)
    ended = asked(history, "no more of this rain")
    rain, stop = happenings(ended.branch)
    assert (rain.active, stop.ended) == (False, "it starts to rain")
    nothing = asked(history, "the snow melts", "it starts to rain")
    rain, snow = happenings(nothing.branch)
    assert rain.active and not snow.active, "words that change nothing are no event that lasts"


def test_words_that_stop_an_event_are_told_as_what_they_ended_never_as_an_event():
    history = grown(asked(grown(FRESH, 1), "it rains", "it rains"), 2)
    history = asked(history, "it stops")
    rain, stop = happenings(history.branch)
    assert (rain.text, rain.chunk, rain.active) == ("it rains", 1, False)
    assert (stop.chunk, stop.active, stop.ended) == (3, False, "it rains")
    assert history.branch.reads == "a village"


def test_the_window_is_told_how_long_branches_are_and_what_they_share():
    history = grown(grown(FRESH, 5).then(RewindEntry(chunks=2)), 1, generation=2)
    first, second = branches(history)
    assert (first.latents, first.shared, first.made, first.chunks) == (10, 4, 1, 5)
    assert (second.latents, second.shared, second.made) == (6, 6, 2)


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(-9, -1), st.integers(0, 9), st.just("reset"), st.just("grow")), max_size=40))
def test_whatever_is_undone_reset_or_switched_no_chunk_is_ever_lost(acts):
    history, made = FRESH, set()
    for number, act in enumerate(acts):
        match act:
            case "reset":
                history = history.then(ResetEntry(seed=number))
            case "grow":
                history = grown(history, 2, generation=number)
            case int() if act < 0:
                history = history.then(RewindEntry(chunks=max(0, len(history.chunks) + act)))
            case _ if act in {branch.number for branch in history.left}:
                history = history.then(SwitchEntry(branch=act))
        made |= {(chunk.generation, chunk.index) for chunk in history.chunks}
        kept = {(chunk.generation, chunk.index) for branch in history.branches for chunk in branch.chunks}
        assert kept == made
        assert len({branch.number for branch in history.branches}) == len(history.branches)
