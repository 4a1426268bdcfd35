"""Words for worlds and events."""

import re

import numpy as np
import pytest

from render.biomes import BIOMES
from render.captions import event_caption
from render.characters import HEROES, VISITORS
from render.events import FAMILIES, Event
from render.landmarks import LANDMARKS
from render.moods import MOODS
from render.scene import make_world
from render.vocabulary import EVENTS, HEROES_ZH, LANDMARKS_ZH, PLACES, VISITORS_ZH
from render.vocabulary import MOODS as MOOD_WORDS

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def event_of(family: str) -> Event:
    return Event(family=family, start=0.0, subject={"fire": "house", "visitor": "deer"}.get(family, ""))


def test_everything_that_can_stand_in_a_world_has_its_words():
    assert set(PLACES) == set(BIOMES) and set(MOOD_WORDS) == set(MOODS) and set(EVENTS) == set(FAMILIES)
    assert set(LANDMARKS_ZH) == set(LANDMARKS)
    assert set(HEROES_ZH) == set(HEROES) and set(VISITORS_ZH) == set(VISITORS)


def test_a_world_is_described_in_many_wordings_of_both_languages():
    scene, rng = make_world(3), np.random.default_rng(0)
    for language in ("en", "zh"):
        captions = {scene.caption(rng, language) for _ in range(40)}
        assert len(captions) > 15
        assert all(bool(CHINESE.search(caption)) == (language == "zh") for caption in captions)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_event_has_many_wordings_for_its_beginning_and_its_end(family):
    rng = np.random.default_rng(0)
    for language, least in (("en", 4), ("zh", 3)):
        begins = {event_caption(event_of(family), rng, language) for _ in range(60)}
        ends = {event_caption(event_of(family), rng, language, stops=True) for _ in range(60)}
        assert len(begins) >= least and len(ends) >= 2 and not begins & ends
        assert not any("{" in caption for caption in begins | ends)


@pytest.mark.parametrize("family", FAMILIES)
def test_heldout_wordings_are_never_read_in_training(family):
    for wordings in EVENTS[family].values():
        assert wordings.heldout and not set(wordings.heldout) & set(wordings.begins + wordings.ends)


def test_a_third_person_world_names_its_character():
    scene = make_world(5, third_person=True)
    assert scene.hero and scene.hero in scene.caption(np.random.default_rng(0))


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match="en, zh"):
        make_world(1).caption(np.random.default_rng(0), "fr")
