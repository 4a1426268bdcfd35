"""Committed keys and values are a cache: bounded, rebuilt at will, never state."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.kv_cache import Committed, KvCache, read_context, read_under
from tests.engine.tiny import play, tiny_pocket, tiny_weights, tiny_world


class Maker:
    """Commits chunks and remembers which."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, chunk: int, text: tuple[str, ...] = ()) -> Committed:
        self.made.append(chunk)
        rows = torch.full((1, 6, 2, 16), float(chunk))
        return Committed([rows], [rows], latents=3, text=text)


def test_a_chunk_is_committed_once():
    maker = Maker()
    cache = KvCache(4, maker)
    assert cache.get(2, ()) is cache.get(2, ())
    assert maker.made == [2]


def test_it_never_holds_more_than_its_capacity_and_drops_the_least_recently_used():
    maker = Maker()
    cache = KvCache(3, maker)
    for chunk in (0, 1, 2, 0, 3):
        cache.get(chunk, ())
        assert len(cache) <= 3
    cache.get(0, ())
    assert maker.made == [0, 1, 2, 3]
    cache.get(1, ())
    assert maker.made == [0, 1, 2, 3, 1]


def test_a_chunk_of_another_text_is_committed_anew_when_it_is_asked_for():
    maker = Maker()
    cache = KvCache(3, maker)
    cache.get(0, ("day",))
    cache.get(1, ("day",))
    assert cache.get(1, ("night",)).text == ("night",) and maker.made == [0, 1, 1]


def test_forgetting_drops_a_chunk_and_all_later_ones():
    maker = Maker()
    cache = KvCache(5, maker)
    for chunk in range(4):
        cache.get(chunk, ())
    cache.forget_from(2)
    assert len(cache) == 2
    cache.get(1, ())
    cache.get(2, ())
    assert maker.made == [0, 1, 2, 3, 2]


def test_a_cache_without_room_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        KvCache(0, Maker())


def test_the_rows_of_a_latent_are_its_own_tokens():
    chunk = Maker()(0)
    assert [chunk.rows(t) for t in range(3)] == [slice(0, 2), slice(2, 4), slice(4, 6)]


def test_no_history_is_no_context():
    assert read_context(tiny_pocket().positions, [], None).keys is None  # type: ignore[arg-type]


@given(st.integers(0, 60), st.integers(1, 12))
def test_new_words_reach_one_recent_chunk_with_every_chunk_and_no_chunk_is_read_under_words_from_before_its_own(
    first, recent
):
    """Chunk `first` is the first that is made under new words."""
    told = [{chunk for chunk in range(made) if read_under(chunk, made, recent) >= first} for made in range(first, 99)]
    for made, (before, now) in enumerate(itertools.pairwise([set(range(first, first)), *told]), first):
        old = {chunk for chunk in now - before if chunk < first}
        assert len([chunk for chunk in old if made - chunk <= recent]) <= 1
        assert before <= now
    assert told[-(-recent // 2)] == set(range(first + -(-recent // 2))), "all of them after half of the recent ones"
    assert all(read_under(chunk, made, recent) > chunk for made in range(1, 40) for chunk in range(made))


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_after_a_prompt_one_old_chunk_at_a_time_is_recomputed_until_all_context_has_it(monkeypatch, chunk):
    world, made = tiny_world(tiny_weights(), chunk=chunk), []
    commit, asked = world._commit_chunk, world._cache.get
    monkeypatch.setattr(world._cache, "_commit", lambda chunk, text: made.append(chunk) or commit(chunk, text))
    read: dict[int, tuple[str, ...]] = {}

    def get(chunk: int, text: tuple[str, ...]) -> Committed:
        read[chunk] = text
        return asked(chunk, text)

    monkeypatch.setattr(world._cache, "get", get)
    play(world, 16 // chunk)
    world.prompt("it starts to rain")
    recent = -(-world.memory.temporal_latents // chunk)
    for _ in range(recent + 1):
        made.clear()
        read.clear()
        play(world, 1)
        old = {each for each in made if each >= world.chunks - 1 - recent} - {world.chunks - 1}
        assert len(old) <= 1, "of the recent ones"
    assert set(read.values()) == {("a village at dusk", "it starts to rain")}
    made.clear()
    play(world, 1)
    assert [each for each in made if each >= world.chunks - 1 - recent] == [world.chunks - 1]
