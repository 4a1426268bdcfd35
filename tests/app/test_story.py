"""The story of a walk: times that a person can read, and prompts that end one event and no other."""

from app.panel_events import events_of, rows_of
from app.settings import QUICK_EVENTS
from app.story import latents_before, other_branches, time_of, without
from engine.text import revise
from worker import protocol as wire


def world(prompt: str = "", branches: tuple[wire.Branch, ...] = ()) -> wire.World:
    return wire.World(
        generation=1, preset="fake", seed=7, prompt=prompt, width=32, height=20, fps=24.0, chunk=2, chunks=0,
        paused=False, session="a", branch=0, branches=branches,
    )  # fmt: skip


def branch(number: int, name: str = "", latents: int = 40, chunks: int = 10) -> wire.Branch:
    return wire.Branch(number=number, name=name, seed=7, latents=latents, shared=0, made=1, chunks=chunks)


def test_a_walk_grows_by_the_present_chunk_size_since_the_worker_told_of_it():
    told = world(branches=(branch(0),))
    assert latents_before(told, 13) == 40 + 3 * 2
    assert time_of(told, 13) == "0:07"


def test_named_branches_come_first_then_the_newest():
    told = world(branches=(branch(0), branch(1), branch(2, "fire"), branch(3)))
    assert [other.number for other in other_branches(told)] == [2, 3, 1]


def test_ending_one_event_leaves_the_caption_and_the_others_as_they_were():
    lines = ("a village", "rain", "fire", "rain")
    told = world("\n".join(lines))
    assert revise(lines, without(told, "fire")) == ("a village", "rain", "rain")
    assert revise(("a village", "fog"), without(world("a village\nfog"), "fog")) == ("a village",)
    assert revise(("", "fog"), without(world("\nfog"), "fog")) == ("",)


def test_edited_quick_events_come_back_as_they_were_typed():
    assert events_of(rows_of(QUICK_EVENTS)) == QUICK_EVENTS
    rows = rows_of(QUICK_EVENTS[:2])
    rows[2] = ["", " a dragon appears "]
    assert [(event.label, event.words) for event in events_of(rows)][2:] == [("a", "a dragon appears")]
