"""Texts: a caption and events, revised by what the user types, in English and Chinese."""

from __future__ import annotations

import numpy as np
import pytest

import engine.text as sentences
from engine.text import MAX_ROWS, TEXT_WIDTH, encode, is_stop, lines_of, revise, rows_of
from engine.world import WorldSpec, open_world


def test_a_line_adds_an_event():
    assert revise(("a village",), " it starts to rain ") == ("a village", "it starts to rain")


def test_several_lines_replace_caption_and_events():
    assert revise(("a village", "rain"), "a desert\n\nsnow\n") == ("a desert", "snow")


@pytest.mark.parametrize("text", ["it stops", "It stops.", "the rain has stopped", "stop the rain", "the fire is over",
                                  "停了", "雨停了", "大火熄灭了", "停下来"])  # fmt: skip
def test_a_stop_ends_the_newest_event(text):
    assert revise(("a village", "snow", "rain"), text) == ("a village", "snow")


@pytest.mark.parametrize(
    "text", ["it starts to rain", "a man stops at the door", "the bus stop", "开始下雨", "停车场", "fog"]
)
def test_other_words_are_no_stop(text):
    assert not is_stop(text)


def test_a_stop_without_events_leaves_the_caption():
    assert revise(("a village",), "it stops") == ("a village",)


def test_only_as_many_events_are_kept_as_are_read():
    lines = ("a village",)
    for i in range(7):
        lines = revise(lines, f"event {i}")
    assert lines == ("a village", "event 3", "event 4", "event 5", "event 6")
    assert rows_of(lines) == [*lines]


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_typed_changes_nothing(text):
    assert revise(("a village", "rain"), text) == ("a village", "rain")


@pytest.mark.parametrize("lines", [("",), ("", "rain"), ("a village",), ("a village", "rain", "snow")])
def test_a_text_that_is_written_down_is_read_back_the_same(lines):
    assert lines_of("\n".join(lines)) == lines


def test_rows_are_the_caption_its_clauses_and_the_newest_events():
    assert rows_of(("a village, at dusk", "rain")) == ["a village, at dusk", "a village", "at dusk", "rain"]
    many = rows_of((", ".join(f"clause {i}" for i in range(20)), *(f"event {i}" for i in range(9))))
    assert len(many) == MAX_ROWS and many[-4:] == [f"event {i}" for i in range(5, 9)]


def test_no_text_has_no_rows():
    assert encode(("",)).shape == (0, TEXT_WIDTH)


def test_rows_have_unit_length():
    assert np.allclose(np.linalg.norm(encode(("a village at dusk", "it starts to rain")), axis=1), 1, atol=1e-3)


def test_chinese_and_english_of_one_meaning_are_each_others_nearest_rows():
    english = encode(("", "it starts to rain", "the house catches fire", "night falls", "it begins to snow"))
    chinese = encode(("", "开始下雨", "房子着火了", "夜幕降临", "开始下雪"))
    near = english @ chinese.T
    assert (near.argmax(0) == np.arange(4)).all() and (near.argmax(1) == np.arange(4)).all()


def test_a_world_that_opens_without_words_has_the_encoder_ready_for_the_first_prompt():
    sentences._encoder.cache_clear()
    open_world(WorldSpec(seed=1))
    assert sentences._encoder.cache_info().currsize == 1


def test_texts_read_ahead_are_not_read_again_and_mean_the_same(monkeypatch):
    texts = [("a harbour at noon, with a crane", "hail falls"), ("ein Hafen am Mittag",), ("中午的港口",)]
    monkeypatch.setattr(sentences, "_known", {})
    alone = [encode(lines) for lines in texts]
    monkeypatch.setattr(sentences, "_known", {})
    sentences.read_ahead(texts, batch=2)
    monkeypatch.setattr(sentences, "_encoder", None)
    for before, lines in zip(alone, texts, strict=True):
        assert np.allclose(encode(lines), before, atol=1e-4)


def test_only_the_newest_rows_are_kept(monkeypatch):
    monkeypatch.setattr(sentences, "_known", {})
    monkeypatch.setattr(sentences, "_KEPT", 2)
    for line in ("one", "two", "three"):
        encode((line,))
    assert [*sentences._known] == ["two", "three"]
