"""What is said is read in words that the network has learnt, and what can't be is left as it is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from app.settings import QUICK_EVENTS
from engine.errors import WanderError
from engine.evaluation.events_protocol import events_protocol
from engine.phrases import Phrasebook, load_phrases
from engine.weights import POCKET_FOLDER
from render.phrases import OTHER, PARAPHRASES, phrasebook, written
from render.vocabulary import EVENTS
from tests.engine.tiny import play, tiny_weights, tiny_world

PATH = POCKET_FOLDER / "phrases.json"
SUBJECTS = {"en": {"thing": "house", "one": "a deer"}, "zh": {"thing": "房子", "one": "一只鹿"}}


@pytest.fixture(scope="module")
def book() -> Phrasebook:
    found = load_phrases(PATH)
    assert found is not None
    return found


def test_the_file_beside_the_weights_is_what_the_vocabulary_gives():
    assert PATH.read_text(encoding="utf-8") == written(), "write it anew: python -m render.phrases " + str(PATH)


def test_no_wording_that_evaluation_asks_with_is_in_the_book():
    asked = {
        words.format(**SUBJECTS[language])
        for family in events_protocol().wordings.values()
        for language, options in family.items()
        for words in options
    } | {words for languages in EVENTS.values() for each in languages.values() for words in each.heldout}
    found = phrasebook()["families"]
    known = {
        words
        for languages in found.values()
        for roles in languages.values()
        for each in roles.values()
        for words in each
    }
    assert not asked & (known | set(OTHER))


@pytest.mark.parametrize("family", sorted(EVENTS))
def test_learnt_words_are_read_as_they_are_and_others_of_the_family_as_some_of_them(book, family):
    for language, roles in phrasebook()["families"][family].items():
        assert [book.read(words) for words in roles["learnt"]] == roles["learnt"]
        for words in roles["also"]:
            assert book.read(words) in roles["learnt"], (language, words, book.read(words))


@pytest.mark.parametrize("lines", [("a village",), ("a village", "fog rolls in"), ("a village", "night falls", "rain")])
def test_words_that_nobody_wrote_down_begin_their_event_too(book, lines):
    """Nine in ten of the protocol's, which are in nobody's list."""
    asked = [
        (family, words.format(**SUBJECTS[language]))
        for family, languages in events_protocol().wordings.items()
        for language, options in languages.items()
        for words in options
    ]
    read = [(family, book.revise(lines, words)) for family, words in asked]
    assert np.mean([book.family(after[-1]) == family and set(lines) <= {*after} for family, after in read]) >= 0.9


@pytest.mark.parametrize("family", sorted(EVENTS))
def test_every_end_of_the_book_ends_its_event_and_every_beginning_begins_it(book, family):
    for roles in phrasebook()["families"][family].values():
        event = roles["learnt"][0]
        for words in roles["ends"]:
            assert book.revise(("a village", event, "a castle"), words) == ("a village", "a castle"), words
        for words in (*roles["learnt"], *roles["also"]):
            assert book.family(book.revise(("a village", "a castle"), words)[-1]) == family, words


def test_what_the_keys_1_to_9_say_is_understood(book):
    lines = {book.revise(("a village",), event.words) for event in QUICK_EVENTS if event.words != "it stops"}
    assert len({book.family(event) for _, event in lines} - {None}) == len(QUICK_EVENTS) - 1


def test_a_third_language_is_read_as_well(book):
    assert [book.family(book.read(words)) for words in ("il commence à pleuvoir", "es schneit", "夜になる")] == [
        "rain", "snow", "nightfall",
    ]  # fmt: skip


def test_who_comes_stays_who_comes(book):
    assert "horse" in book.read("look over there, a horse") and "羊" in book.read("快看,一只羊")


@pytest.mark.parametrize(
    "words", ["a castle appears", "turn left", "hello", "birds sing", "走快一点", "the road is made of glass"]
)
def test_what_no_family_means_is_read_as_it_is(book, words):
    assert book.read(f" {words} ") == words


def test_an_event_is_added_in_learnt_words_and_takes_the_place_of_one_that_is_read_the_same(book):
    once = book.revise(("a village",), "rain begins to fall")
    twice = book.revise((*once, "night falls"), "rain begins to fall ")
    assert once == ("a village", "rain begins to fall") and twice == ("a village", "night falls", "rain begins to fall")


LINES = ("a village", "fog rolls in", "it starts to rain")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("it stops", ("fog rolls in",)),
        ("停了", ("fog rolls in",)),
        ("the rain stops", ("fog rolls in",)),
        ("the fog lifts", ("it starts to rain",)),
        ("雾散了", ("it starts to rain",)),
        ("stop the fog", ("it starts to rain",)),
        ("the snow melts", LINES[1:]),
        ("it no longer rains", ("fog rolls in",)),
        ("雾没了", ("it starts to rain",)),
        ("", LINES[1:]),
    ],
)
def test_words_that_end_an_event_end_the_newest_of_its_kind(book, words, left):
    assert book.revise(LINES, words) == ("a village", *left)


@pytest.mark.parametrize("words", ["it stops", "the rain stops", "no more snow", "雨停了"])
def test_what_is_not_there_does_not_end_and_does_not_begin(book, words):
    assert book.revise(("a village",), words) == ("a village",)


def test_the_morning_ends_the_night_where_there_is_one_and_else_it_comes(book):
    assert book.revise(("a village", "night falls"), "day breaks") == ("a village",)
    assert book.family(book.revise(("a village",), "day breaks")[-1]) == "dawn"


def test_several_lines_replace_everything_and_a_text_without_caption_keeps_none(book):
    assert book.revise(LINES, "a desert\nit starts to snow") == ("a desert", "it starts to snow")
    assert book.revise(("",), "night falls") == ("", "night falls") and book.revise(LINES, "a desert\n") == (
        "a desert",
    )


def test_a_world_reads_words_as_its_weights_have_learnt_them_and_end_the_event_that_they_name(book):
    worded = replace(tiny_weights(), phrases=book)
    world = tiny_world(worded)
    world.prompt("rain is coming down")
    world.prompt("浓浓的大雾")
    rain, fog = world.lines[1:]
    assert {rain, fog} <= {*EVENTS["rain"]["en"].begins, *EVENTS["fog"]["zh"].begins}
    play(world, 1)
    assert world.records[0].prompt == f"a village at dusk\n{rain}\n{fog}", "what is read is what is kept"
    assert tiny_world(worded, world.records).lines == world.lines
    world.prompt("no more rain")
    assert (world.lines, world.remark) == (("a village at dusk", fog), "")
    world.prompt("a castle appears")
    assert world.lines[-1] == "a castle appears" and world.remark.startswith(
        'The model never read anything like "a castle appears": little may happen. It knows rain, snow, fog'
    )
    world.prompt("it stops")
    assert world.remark == ""


def test_without_a_book_there_is_none_and_a_damaged_one_is_a_sentence(tmp_path):
    assert load_phrases(tmp_path / "phrases.json") is None
    (tmp_path / "torn.json").write_text(json.dumps(phrasebook())[:-40])
    with pytest.raises(WanderError, match=r"torn\.json can't be read"):
        load_phrases(tmp_path / "torn.json")


def test_paraphrases_are_no_captions():
    for family, languages in PARAPHRASES.items():
        for language, words in languages.items():
            wordings = EVENTS[family][language]
            assert len(words) >= 4 and not {*words} & {*wordings.begins, *wordings.heldout}
