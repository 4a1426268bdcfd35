"""What is in the air of a world moves by itself, is shown and not remembered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from engine import weather
from engine.actions import POCKET, start_pose
from engine.air import AirConfig, AirPainter
from engine.depth import DepthHead
from engine.falling import Falling
from engine.fire import Site, hidden
from engine.telling import ONSET, Stretch, Telling
from engine.visitors import Cards, Stance, VisitorConfig, VisitorPainter
from engine.weather import lightning
from engine.weights import PocketWeights, load_visitor, pocket_phrases
from tests.engine.tiny import play, tiny_weights, tiny_world

FLAKES = Falling(count=80, room=(13.0, 8.0, 13.0), fall=(0.5, 1.5, 0.0), flutter=0.3, size=(0.1, 0.1))
GREY = np.full((32, 64, 3), 128, np.uint8)


class Sleet(AirPainter):
    """Whatever is said, all that covers a pixel is white."""

    def forward(self, pictures: Tensor, covers: Tensor, light: Tensor, sentences: Tensor) -> Tensor:
        return torch.where(covers.amax(1, keepdim=True) > 0, 1.0, pictures)


class Ghost(VisitorPainter):
    """Whatever is said, a card is white."""

    def forward(self, pictures: Tensor, cards: Cards, sentences: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(cards.shown[:, None], 1.0, pictures), cards.shown.float()

    def near(self, pictures: Tensor, cards: Cards, sentences: Tensor) -> Tensor:
        return cards.shown


@pytest.fixture(scope="module")
def weights() -> PocketWeights:
    air, visitor = Sleet(AirConfig(falling=(FLAKES,))).eval(), Ghost(VisitorConfig()).eval()
    return replace(tiny_weights(), air=air, visitor=visitor, phrases=pocket_phrases())


def changed(shown: np.ndarray, plain: np.ndarray) -> list[int]:
    """Pixels of each frame that differ."""
    return [int((a != b).any(-1).sum()) for a, b in zip(shown, plain, strict=True)]


def two_worlds(weights, said: list[str], chunks: int) -> tuple[np.ndarray, np.ndarray, list, list]:
    """Frames and records of the same walk with and without what is in the air."""
    frames, records = [], []
    for known in (weights, replace(weights, air=None, visitor=None)):
        world = tiny_world(known, image=GREY)
        shown = [play(world, 1)]
        for words in said:
            world.prompt(words)
            shown.append(play(world, chunks))
        frames.append(np.concatenate(shown))
        records.append(world.records)
    return frames[0], frames[1], records[0], records[1]


@given(st.integers(0, 2**40), st.floats(0, 1000))
def test_lightning_flashes_at_most_three_times_a_second_for_the_sake_of_eyes(seed, start):
    light = np.array([lightning(seed, start + k / 240) for k in range(240)])
    assert light.min() >= 0 and light.max() <= 1 and (np.diff(light) > 0.3).sum() <= 3


def test_lightning_strikes_now_and_then_at_moments_of_the_worlds_own():
    mine, its = ([lightning(seed, k / 24) for k in range(24 * 30)] for seed in (1, 2))
    assert mine != its and max(mine) > 0.5 and np.median(mine) < 0.01


def test_what_is_in_the_air_is_shown_and_not_remembered(weights):
    shown, plain, mine, its = two_worlds(weights, ["it starts to rain"], 3)
    before, after = changed(shown, plain)[:5], changed(shown, plain)[-8:]
    assert not any(before) and min(after) > 0
    for a, b in zip(mine, its, strict=True):
        assert np.array_equal(a.latents, b.latents) and np.array_equal(a.picture, b.picture)


def test_it_comes_and_goes_by_degrees(weights):
    shown, plain, *_ = two_worlds(weights, ["it starts to rain", "it stops"], ONSET // 2 + 1)
    count = np.convolve(changed(shown, plain), np.ones(8) / 8, "valid")
    full = 5 + 4 * ONSET
    assert count[5] < 0.5 * count[full], "an eighth of it a latent"
    assert changed(shown, plain)[-1] == 0 and count[-8] < 0.5 * count[full]


def test_it_comes_frame_by_frame(weights, monkeypatch):
    amounts, maps = [], weather.maps_of
    monkeypatch.setattr(weather, "maps_of", lambda *a: amounts.append(a[4]) or maps(*a))
    world = tiny_world(weights, image=GREY)
    play(world, 1)
    world.prompt("it starts to rain")
    play(world, ONSET // world.chunk)
    assert amounts == pytest.approx([(k + 1) / (4 * ONSET) for k in range(4 * ONSET)])


@pytest.mark.parametrize("words", ["night falls", "fog", "a castle appears"])
def test_under_other_events_the_air_is_empty(weights, words):
    shown, plain, *_ = two_worlds(weights, [words], 2)
    assert np.array_equal(shown, plain)


def test_a_picture_that_is_given_is_shown_as_it_was_given(weights):
    world = tiny_world(weights, image=GREY, prompt="a village\nit starts to rain")
    frames = play(world, 1)
    assert np.array_equal(frames[0], GREY) and (frames[1:] == 255).all(-1).any((1, 2)).all()


@pytest.mark.parametrize("words", ["it starts to snow", "a house is on fire", "a deer appears"])
def test_a_world_goes_on_with_the_same_flakes_flames_and_visitors_from_its_records(weights, words):
    assert weights.depth is not None
    solid = replace(weights, depth=DepthHead(weights.depth.config).eval())  # untrained: bare ground, where a fire burns
    world = tiny_world(solid)
    play(world, 1)
    world.prompt(words)
    play(world, 2)
    rebuilt = tiny_world(solid, world.records)
    shown = play(world, 2)
    assert np.array_equal(shown, play(rebuilt, 2)) and (shown == 255).all(-1).any()


def test_a_world_that_is_reset_to_another_seed_has_the_flakes_of_that_seed(weights):
    world, fresh = (tiny_world(weights, image=GREY, seed=seed, prompt="\nit starts to snow") for seed in (7, 8))
    play(world, 1)
    world.reset(seed=8)
    assert np.array_equal(play(world, 2), play(fresh, 2))


def test_another_seed_has_other_flakes(weights):
    shown = []
    for seed in (7, 8):
        world = tiny_world(weights, seed=seed)
        world.prompt("it starts to snow")
        shown.append((play(world, 1) == 255).all(-1))
    assert not np.array_equal(*shown)


def test_what_burns_stays_where_it_is_while_one_walks_and_another_fire_burns_elsewhere(weights, monkeypatch):
    world, chosen = tiny_world(weights, image=GREY), []
    site_of = weather.site_of
    monkeypatch.setattr(weather, "site_of", lambda surface, lens: chosen.append(surface) or site_of(surface, lens))
    play(world, 2)
    for words in ("a house is on fire", "the fire goes out", "a house is on fire"):
        world.prompt(words)
        play(world, 5)
    cameras = np.concatenate([record.poses for record in world.records])[[3, 23]]
    found = np.stack([surface.world_from_camera for surface in chosen])
    np.testing.assert_allclose(found, cameras, err_msg="the last latents before each of the words")


def test_a_fire_is_hidden_by_what_stands_before_it_and_not_by_what_burns():
    site, camera = Site(0.0, 12.0, 4.0, 1.5), start_pose(POCKET)[None]
    wall, house, behind, unknown = (
        hidden(site, camera, torch.full((1, 2, 2), d)) for d in (1 / 5, 1 / 10, 1 / 20, 0.0)
    )
    assert wall.all() and not (house.any() or behind.any() or unknown.any())


@pytest.mark.parametrize("words", ["a house is on fire", "a deer appears"])
def test_frames_show_nothing_of_a_fire_or_a_visitor_where_the_place_stands_before_it(weights, words, monkeypatch):
    monkeypatch.setattr(weather, "site_of", lambda surface, lens: Site(0.5, 9.0, 2.0, 1.0))
    world, frames = tiny_world(weights, image=GREY), np.stack([GREY] * 4)
    play(world, 1)
    world.prompt(words)
    play(world, 2)
    moment = frames, world._poses, len(world._poses) - 1, world._telling
    free, behind = (world._weather.over(*moment, torch.full((4, 32, 64), near)) for near in (0.0, 2.0))
    assert (free == 255).all(-1).any((1, 2)).all() and np.array_equal(behind, frames)


@pytest.mark.parametrize("words", ["a deer appears", "有一匹马"])
def test_who_comes_along_is_shown_and_neither_remembered_nor_invented(weights, words):
    shown, _, records, _ = two_worlds(weights, [words], 3)
    deaf = tiny_world(replace(weights, visitor=None), image=GREY)
    plain = play(deaf, 4)
    assert sum(n > 0 for n in changed(shown, plain)) >= 12
    for ours, theirs in zip(records, deaf.records, strict=True):
        assert np.array_equal(ours.latents, theirs.latents), "the transformer wasn't told"
        assert ours.picture is not None and theirs.picture is not None
        assert np.array_equal(ours.picture, theirs.picture)


def test_context_is_made_anew_for_words_that_the_transformer_reads_and_for_no_others(weights, monkeypatch):
    world, made = tiny_world(weights), []
    commit = world._commit_chunk
    monkeypatch.setattr(world._cache, "_commit", lambda chunk, text: made.append(chunk) or commit(chunk, text))
    play(world, 3)
    for words, again in (("a deer appears", False), ("it starts to rain", True)):
        world.prompt(words)
        made.clear()
        play(world, 1)
        assert (len(made) > 1) is again, words


def test_a_visitor_grows_out_of_nothing_and_goes_as_it_came(weights):
    world, calm = (tiny_world(weights, image=GREY) for _ in range(2))
    shown = [play(world, 1)]
    for words in ("a deer appears", "the deer is gone"):
        world.prompt(words)
        shown.append(play(world, 3))
    white = np.array(changed(np.concatenate(shown), play(calm, 7)))
    first, last = np.flatnonzero(white)[[0, -1]]
    assert white[first] < white.max() / 4 and first < last < len(white) - 4


def test_who_is_near_is_painted_at_half_the_size_and_looks_the_same(weights, monkeypatch):
    known, shown = replace(weights, visitor=load_visitor()), []
    for near in (0.0, 100.0):
        monkeypatch.setattr(weather, "_LARGE", near)
        world = tiny_world(known, image=GREY)
        world.prompt("a horse comes along")
        shown.append(play(world, 3)[-16:].astype(float))
    calm = play(tiny_world(known, image=GREY), 3)[-16:].astype(float)
    change = [np.abs(frames - calm).mean() for frames in shown]
    assert change[0] > 1 and abs(change[1] / change[0] - 1) < 0.2
    assert 0 < np.abs(shown[0] - shown[1]).mean() < 0.5 * change[0]


def test_visitors_of_other_worlds_walk_elsewhere(weights):
    cards = []
    for seed in (7, 8):
        world = tiny_world(weights, seed=seed)
        world.prompt("a deer appears")
        cards.append((play(world, 3) == 255).all(-1))
    assert not np.array_equal(*cards)


def test_the_transformer_reads_every_event_but_who_comes_along(weights):
    lines = ("a deer appears", "it starts to rain", "a deer appears", "a house is on fire")
    assert weights.read(lines) == ("a deer appears", "it starts to rain", "a house is on fire"), "the caption stays"
    assert replace(weights, visitor=None).read(lines) == lines
    assert weights.spares("a deer appears") and not replace(weights, visitor=None).spares("a deer appears")


def test_a_fire_leaves_the_place_as_it_is_so_its_pictures_are_as_good_as_before():
    past = (Stretch(4, "", ()), Stretch(8, "", ("fire",)))
    burns = Telling(past, "", ("fire",), lambda event: False, lambda event: event == "fire")
    assert burns.untold is None and burns.lacks(8) == [()] * 8
    other = Telling(past, "", ("fire",), lambda event: False)
    assert other.untold is not None and other.lacks(8)[0] is None


def test_an_event_is_told_since_the_latents_before_the_words_that_told_it_last():
    past = tuple(Stretch(end, "", ("fire",) if end in (8, 12, 20) else ()) for end in (4, 8, 12, 16, 20, 24))
    over, burning = (Telling(past[:n], "", said, bool) for n, said in ((6, ()), (5, ("fire",))))
    assert (over.since("fire"), burning.since("fire")) == (16, 16)
    assert Telling(past[:4], "", ("fire",), bool).since("fire") == 16, "just said"
    assert Telling(past[:3], "", ("fire",), bool).since("fire") == 4
    assert Telling((), "", ("fire",), bool).since("fire") == 0


@pytest.mark.parametrize(
    ("width", "away", "painted"), [(320, 6.0, 160), (160, 6.0, 160), (160, 3.0, 80), (320, 9.0, 320)]
)
def test_who_is_large_in_the_picture_is_painted_at_half_its_size(width, away, painted):
    asked: list[int] = []

    class Shy(Ghost):
        def near(self, pictures: Tensor, cards: Cards, sentences: Tensor) -> Tensor:
            asked.append(pictures.shape[3])
            return cards.shown

    camera, height = start_pose(POCKET), width * 3 // 5
    shots = weather.Shots(torch.zeros(1, 3, height, width), camera[None], np.zeros(1), torch.zeros(1, height, width))
    shown = weather._put(shots, [Stance(0.0, away, 0.0, 0.0)], Shy(VisitorConfig()), torch.zeros(1, 512))
    assert asked == [painted] and shown.shape == (1, 3, height, width) and (shown > 0.5).any()
