"""The classifier of events, on changes that are easy to see."""

from functools import partial

import numpy as np
import pytest

from engine.errors import WanderError
from engine.evaluation.recogniser import (
    NOTHING,
    Example,
    describe,
    learn,
    load_recogniser,
    save_recogniser,
    soften,
)

FAMILIES = ("nightfall", "fire")
teach = partial(learn, families=FAMILIES, decay=0.001, blur=1.0)


def places(seed, count):
    """Blotchy pictures [count, 32, 64, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 220, (count, 4, 8, 3))
    fine = np.repeat(np.repeat(coarse, 8, 1), 8, 2) + rng.integers(-20, 20, (count, 32, 64, 3))
    return fine.astype(np.uint8)


def after(family, picture):
    """What the picture looks like once it has happened."""
    if family == "nightfall":
        return (picture * 0.3).astype(np.uint8)
    out = picture.copy()
    if family == "fire":
        out[8:24, 24:40] = (255, 140, 20)
    return out


def lessons(seed=0, count=10):
    """Things that happen, and places in which they had happened long before."""
    found = []
    for picture in places(seed, count):
        places_like_it = [picture, *(after(family, picture) for family in FAMILIES)]
        found += [Example(family=NOTHING, frames=np.stack([each, each])) for each in places_like_it]
        found += [Example(family=each, frames=np.stack([picture, after(each, picture)])) for each in FAMILIES]
    return found


@pytest.fixture(scope="module")
def known():
    return teach(lessons())


def call(recogniser, before, later):
    seen = describe(np.stack([before, *later]))
    return recogniser.classes[int(recogniser.probabilities(seen[0], seen[1:]).argmax())]


def test_it_recognises_in_places_that_it_has_not_seen_what_happened_there(known):
    for picture in places(9, 3):
        assert [call(known, picture, [after(family, picture)]) for family in known.classes] == list(known.classes)


def test_what_was_there_before_is_no_event(known):
    for family in FAMILIES:
        picture = after(family, places(11, 1)[0])
        assert call(known, picture, [picture, picture]) == NOTHING


def test_probabilities_are_those_of_all_classes(known):
    seen = describe(places(3, 3))
    found = known.probabilities(seen[0], seen[1:])
    assert found.shape == (3,) and found.sum() == pytest.approx(1) and (found > 0).all()


def test_the_same_lessons_give_the_same_weights(known):
    assert np.array_equal(teach(lessons()).weight, known.weight)


def test_it_is_kept_for_the_lessons_it_has_learnt_from_and_for_no_others(known, tmp_path):
    path = tmp_path / "recogniser.safetensors"
    assert load_recogniser(path, {}) is None
    save_recogniser(path, known, {"pictures": "a"})
    again = load_recogniser(path, {"pictures": "a"})
    assert again is not None and again.classes == known.classes and np.array_equal(again.weight, known.weight)
    assert load_recogniser(path, {"pictures": "b"}) is None


def test_a_family_without_a_lesson_is_said():
    with pytest.raises(WanderError, match="0 examples of fire"):
        teach([lesson for lesson in lessons(count=1) if lesson.family != "fire"])


def test_a_radius_of_nothing_leaves_a_picture_as_it_is():
    pictures = places(0, 2)
    softened = soften(pictures, (0.0, 1.5))
    assert np.array_equal(softened[0], pictures[0]) and not np.array_equal(softened[1], pictures[1])
