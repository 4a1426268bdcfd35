"""What is new, what a picture of the past lacks of it, and what that picture is worth: all follows from the texts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sources import AS_TOLD, BEFORE, CHANGING, CLEARED, MENDED
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


def test_what_is_over_goes_by_degrees_as_it_came():
    told = telling((), ("rain",), ("rain",), ("rain",), now=())
    lacks, worth = seen(told)
    assert lacks[0] == (("rain", 0.5),), "what was seen before it still shows half of it"
    assert lacks[1] == () and lacks[2:] == [(("rain", -0.5),)] * 2
    assert worth == [AS_TOLD, AS_TOLD, CLEARED, CLEARED] and told.untold is None


def test_once_it_is_gone_only_pictures_made_under_it_have_too_much():
    lacks, worth = seen(telling((), *[("rain",)] * 3, (), (), now=()))
    assert lacks == [(), (("rain", -1.0),), (("rain", -1.0),), (("rain", -1.0),), (("rain", -1.0),), ()]
    assert worth == [AS_TOLD, CLEARED, CLEARED, CLEARED, MENDED, MENDED]


def test_what_the_network_made_can_not_be_painted_away():
    told = telling((), ("a castle",), now=())
    assert seen(told) == ([(), None], [AS_TOLD, BEFORE]) and told.untold is not None


def test_what_is_painted_away_goes_before_what_comes_is_painted():
    told = telling(*[("rain",)] * 3, now=("night",))
    assert seen(told)[0] == [(("rain", -0.5), ("night", 0.5))] * 3


def test_another_caption_is_another_place():
    told = telling((), (), now=(), caption="a desert")
    assert seen(told)[0] == [None, None] and told.untold is not None


def test_an_event_that_the_world_began_with_is_all_there():
    assert seen(telling(("night",), ("night",), now=("night",))) == ([(), ()], [AS_TOLD, AS_TOLD])


def test_a_shower_that_comes_again_before_the_last_is_gone_goes_on_from_there():
    lacks, worth = seen(telling((), *[("rain",)] * 3, (), now=("rain",)))
    assert lacks == [(("rain", 1.0),), (("rain", 1.0),), (), (), (("rain", 1.0),)] and worth[:4] == [AS_TOLD] * 4


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
    for place, lacks in enumerate(told.lacks(latents)[::CHUNK]):
        shown = dict.fromkeys(PAINTED, 0.0) | told._shown[place]
        for event, amount in lacks:
            assert -1 <= amount <= 1 and amount
            shown[event] += amount * (1 - shown[event] if amount > 0 else shown[event])
        assert shown == pytest.approx(dict.fromkeys(PAINTED, 0.0) | told.there(latents))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.booleans())
def test_an_event_comes_and_goes_by_an_eighth_a_latent(said, now):
    told = telling(*(("rain",) if each else () for each in said), now=("rain",) if now else ())
    then = [told.there(latents) for latents in range(told.latents, told.latents + 2 * ONSET)]
    levels = [each.get("rain", 0.0) for each in (*told._shown, *then)]
    assert {abs(b - a) for a, b in pairwise(levels)} <= {0.0, 1 / ONSET, CHUNK / ONSET}
    assert levels[0] == said[0] and levels[-1] == now
