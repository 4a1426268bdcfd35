"""The classifier of events, on changes that are easy to see."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from engine.errors import WanderError
from engine.evaluation.metrics import gradient_energy
from engine.evaluation.recogniser import (
    NOTHING,
    Example,
    describe,
    hazed,
    learn,
    load_recogniser,
    save_recogniser,
    torn,
)

FAMILIES = ("nightfall", "fire")
teach = partial(learn, families=FAMILIES, decay=0.001, false_alarms=0.05)


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


def lesson(family, before, later, shows=True):
    """Two pictures of a walk, of which the second shows what happens, or doesn't."""
    return Example(family=family, frames=np.stack([before, later]), shows=np.array([shows]))


def lessons(seed=0, count=10):
    """Things that happen, and places in which they had happened long before."""
    found = []
    for picture in places(seed, count):
        places_like_it = [picture, *(after(family, picture) for family in FAMILIES)]
        found += [lesson(NOTHING, each, each) for each in places_like_it]
        found += [lesson(each, picture, after(each, picture)) for each in FAMILIES]
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
        teach([each for each in lessons(count=1) if each.family != "fire"])


def test_nobody_learns_from_pictures_that_do_not_show_what_happens():
    unseen = [replace(each, shows=~each.shows) if each.family == "fire" else each for each in lessons()]
    with pytest.raises(WanderError, match="0 examples of fire"):
        teach(unseen)
    late = [
        replace(each, frames=each.frames[[0, 0, 1]], shows=np.array([each.family == NOTHING, True]))
        for each in lessons()
    ]
    picture = places(9, 1)[0]
    assert call(teach(late), picture, [picture]) == NOTHING
    assert call(teach(late), picture, [after("fire", picture)]) == "fire"


@pytest.mark.parametrize("faults", [(hazed,), (torn,), (hazed, torn)])
def test_a_model_that_smears_and_tears_pictures_raises_no_alarm(known, faults):
    rng, calls = np.random.default_rng(5), []
    for picture in places(21, 12):
        frames = np.stack([picture] * 4)
        for fault in faults:
            frames = fault(frames, rng)
        calls.append(call(known, frames[0], frames[1:]))
    assert calls.count(NOTHING) >= 11


def test_it_learns_with_scraps_in_the_pictures(known, monkeypatch):
    monkeypatch.setattr("engine.evaluation.recogniser.torn", lambda frames, rng: frames)
    assert not np.array_equal(teach(lessons()).weight, known.weight)


def test_nothing_is_preferred_until_no_more_calm_walks_aside_are_taken_for_an_event_than_may_be():
    found = []
    for number, picture in enumerate(places(0, 20)):
        calm = after("nightfall", picture) if number in (4, 14) else picture  # two of the four that are kept aside
        found += [lesson(NOTHING, picture, calm)]
        found += [lesson(each, picture, after(each, picture)) for each in FAMILIES]
    dark = [(picture, [after("nightfall", picture)]) for picture in places(31, 3)]
    assert [call(teach(found, false_alarms=1.0), *each) for each in dark] == ["nightfall"] * 3
    assert [call(teach(found, false_alarms=0.0), *each) for each in dark] == [NOTHING] * 3


def test_a_haze_softens_every_picture_and_leaves_the_place_what_it_was():
    pictures = places(0, 8)
    found = hazed(pictures, np.random.default_rng(3))
    assert (gradient_energy(found) < gradient_energy(pictures)).all()
    assert all(np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.7 for one, other in zip(found, pictures, strict=True))


def test_scraps_are_few_and_of_the_picture_itself():
    pictures = places(0, 8)
    found = torn(pictures, np.random.default_rng(3))
    share = (found != pictures).any(-1).mean((1, 2))
    assert 0 < share.max() <= 1 / 12
    assert found.shape == pictures.shape and found.dtype == pictures.dtype


def test_fewer_worlds_than_can_be_kept_aside_are_said():
    few = [each for each in lessons(count=1) if each.family != NOTHING]
    calm = next(each for each in lessons(count=1) if each.family == NOTHING)
    with pytest.raises(WanderError, match="1 worlds, it needs at least 5"):
        teach([calm, *few])
