"""What is new, what a picture of the past lacks of it, and what that picture is worth: all follows from the texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources import AS_TOLD, BEFORE, CHANGING, MENDED
from engine.telling import NEWS, ONSET, Stretch, Telling

CHUNK = 4
PAINTED = ("rain", "fog", "night")


def telling(*texts: tuple[str, ...], now: tuple[str, ...], caption: str = "a village") -> Telling:
    """A walk of a chunk under each of the texts, and the events in force."""
    past = [Stretch(CHUNK * (k + 1), "a village", events) for k, events in enumerate(texts)]
    return Telling(tuple(past), caption, now, PAINTED.__contains__)


def seen(told: Telling) -> tuple[list, list[int]]:
    """What the pictures of each chunk lack by the end of the next one, and what they are worth."""
    lacks = told.lacks(told.latents + CHUNK)
    return lacks[::CHUNK], told.worth(lacks)[::CHUNK].tolist()


def test_where_nothing_was_said_nothing_lacks_and_nothing_is_new():
    told = telling((), (), now=())
    assert seen(told) == ([(), ()], [AS_TOLD, AS_TOLD]) and told.old is None and told.untold is None


def test_an_event_comes_by_degrees_over_the_pictures_from_before_it():
    lacks, worth = seen(telling((), (), now=("fog",)))
    assert lacks == [(("fog", CHUNK / ONSET),)] * 2 and worth == [AS_TOLD] * 2


def test_a_picture_in_which_a_part_is_there_lacks_the_rest_and_is_worth_least_while_that_is_news():
    told = telling((), ("fog",), now=("fog",))
    lacks, worth = seen(told)
    assert lacks == [(("fog", 1.0),), (("fog", 1.0),)] and worth == [AS_TOLD, MENDED]
    assert told.old == Stretch(CHUNK, "a village", ()) and told.untold is None


def test_after_two_seconds_it_is_no_news_and_pictures_made_under_it_are_worth_most():
    told = telling((), *[("fog",)] * (NEWS // CHUNK), now=("fog",))
    lacks, worth = seen(told)
    assert told.old is None and lacks[-1] == () and set(worth) == {AS_TOLD}


def test_what_can_not_be_painted_is_for_the_network_to_do():
    told = telling((), ("a castle",), now=("a castle",))
    assert seen(told) == ([None, ()], [BEFORE, CHANGING]) and told.untold == told.old != None  # noqa: E711


def test_painted_events_go_on_being_painted_beside_one_that_is_not():
    told = telling((), *[("a castle",)] * 4, now=("a castle", "night"))
    assert seen(told) == ([None, *[(("night", CHUNK / ONSET),)] * 4], [BEFORE, *[AS_TOLD] * 4])
    assert told.untold is None


def test_what_is_over_can_not_be_painted_away():
    told = telling((), ("rain",), ("rain",), ("rain",), now=())
    assert seen(told) == ([(), None, None, None], [AS_TOLD, BEFORE, BEFORE, BEFORE]) and told.untold is not None


def test_another_caption_is_another_place():
    told = telling((), (), now=(), caption="a desert")
    assert seen(told)[0] == [None, None] and told.untold is not None


def test_an_event_that_the_world_began_with_is_all_there():
    assert seen(telling(("night",), ("night",), now=("night",))) == ([(), ()], [AS_TOLD, AS_TOLD])


def test_pictures_of_an_earlier_shower_have_all_of_the_next_one():
    lacks, worth = seen(telling((), *[("rain",)] * 3, (), now=("rain",)))
    assert lacks == [(("rain", 0.5),), (), (), (), (("rain", 0.5),)] and worth == [AS_TOLD] * 5


@pytest.mark.parametrize("latents", [0, 1])
def test_words_before_the_first_chunk_change_the_picture_that_was_given_and_nothing_else(latents):
    past = (Stretch(1, "a village", ()),)[:latents]
    told = Telling(past, "a village", ("fog",), PAINTED.__contains__)
    assert told.lacks(CHUNK) == [(("fog", (CHUNK - 1) / ONSET),)] * latents
    assert (told.old is not None) == bool(latents)


@given(st.lists(st.sets(st.sampled_from(PAINTED)), min_size=1, max_size=9), st.sets(st.sampled_from(PAINTED)))
def test_painting_what_lacks_brings_every_picture_as_far_as_the_events_are(texts, now):
    told = telling(*(tuple(sorted(text)) for text in texts), now=tuple(sorted(now)))
    latents = told.latents + CHUNK
    for stretch, lacks in zip(told.stretches, told.lacks(latents)[::CHUNK], strict=True):
        assert (lacks is None) == (not {*stretch.events} <= now)
        for event, amount in lacks or ():
            there = told._shown(event, stretch)
            assert 0 < amount <= 1 and there + (1 - there) * amount == pytest.approx(told._there(event, latents))
