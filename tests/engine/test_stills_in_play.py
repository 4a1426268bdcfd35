"""What is imagined around the place where a world begins, before anybody has seen it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from engine.actions import KEY_RIGHT, KEY_W, heading
from engine.geometry import POCKET_LENS
from engine.memory import MemoryConfig
from engine.stills import TURNS, StillSampling
from engine.streamer import PocketWorld, Sampling
from engine.weights import PocketWeights
from engine.world import WorldSpec
from tests.engine.tiny import play, tiny_weights, tiny_world

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
IMAGINES = Sampling(steps=2, around=StillSampling(steps=2))


@pytest.fixture(scope="module")
def weights() -> PocketWeights:
    return tiny_weights()


@pytest.fixture
def drawn(monkeypatch) -> Iterator[list[tuple[list[int], int]]]:
    """For every chunk: which pictures are drawn for it, and how many of them are stale."""
    from engine.streamer import PocketWorld

    found, pictures = [], PocketWorld._pictures
    monkeypatch.setattr(PocketWorld, "_pictures", lambda self, *args: found.append(pictures(self, *args)) or found[-1])
    yield found


def world(weights, records=(), **changes):
    return tiny_world(weights, records, **{"sampling": IMAGINES, "image": PICTURE} | changes)


def test_views_stand_where_the_world_begins_and_look_to_both_sides_of_it(weights):
    one = world(weights)
    play(one, 1)
    views = one._surfaces.around(one._poses)
    yaws = [np.degrees(heading(view.world_from_camera)[0]) - np.degrees(heading(one._poses[0])[0]) for view in views]
    assert yaws == pytest.approx(TURNS)
    assert all(np.array_equal(view.world_from_camera[:3, 3], one._poses[0, :3, 3]) for view in views)


def test_every_view_overlaps_one_that_is_known():
    sees = np.degrees(2 * np.arctan(0.5 / POCKET_LENS.fx))
    for number, turn in enumerate(TURNS):
        assert min(abs(turn - known) for known in (0.0, *TURNS[:number])) < 0.7 * sees


@pytest.mark.parametrize("image", [None, PICTURE])
@pytest.mark.parametrize("chunk", [1, 4])
def test_they_are_no_state_a_rebuilt_world_imagines_the_same_and_goes_on_exactly(weights, chunk, image):
    one = world(weights, chunk=chunk, image=image)
    play(one, 2, KEY_RIGHT)
    rebuilt = world(weights, one.records, chunk=chunk, image=image)
    assert np.array_equal(play(rebuilt, 2, KEY_RIGHT), play(one, 2, KEY_RIGHT))
    for kept, anew in zip(one._surfaces.around(one._poses), rebuilt._surfaces.around(one._poses), strict=True):
        assert torch.equal(kept.picture, anew.picture)


def test_they_follow_the_seed_and_the_first_words(weights):
    def imagined(**changes) -> torch.Tensor:
        one = world(weights, **changes)
        play(one, 1)
        return one._surfaces.around(one._poses)[0].picture

    same, other_seed, other_words = imagined(), imagined(seed=8), imagined(prompt="a desert")
    assert torch.equal(same, imagined())
    assert not torch.equal(same, other_seed) and not torch.equal(same, other_words)


def test_words_that_come_later_leave_them_as_they_were_and_make_them_stale(weights, drawn):
    one = world(weights)
    play(one, 1)
    before = one._surfaces.around(one._poses)[0].picture
    one.prompt("it rains")
    rebuilt = world(weights, one.records)
    play(one, 1)
    assert torch.equal(rebuilt._surfaces.around(one._poses)[0].picture, before)
    (_, none_stale), (shown, stale) = drawn
    assert none_stale == 0 and stale == len(shown) and sum(i < 0 for i in shown) == 1


def test_all_that_was_seen_stands_before_the_nearest_of_them(weights, drawn):
    play(world(weights), 10, KEY_RIGHT)
    for shown, _ in drawn:
        assert shown[0] < 0 and all(number >= 0 for number in shown[1:])
    assert drawn[0][0][0] == -1 and TURNS[0] == 40
    assert drawn[-1][0][0] == -3 and TURNS[2] == 80  # after a turn to the right


def test_far_from_where_the_world_began_they_are_not_drawn(weights, drawn):
    one = world(weights)
    for _ in range(40):
        play(one, 1, KEY_W)
    assert any(i < 0 for i in drawn[0][0]) and not any(i < 0 for i in drawn[-1][0])


def test_a_world_begun_again_imagines_anew(weights):
    one = world(weights)
    play(one, 1)
    first = one._surfaces.around(one._poses)[0].picture
    one.reset(seed=9)
    play(one, 1)
    assert not torch.equal(one._surfaces.around(one._poses)[0].picture, first)


def test_a_view_that_is_not_finite_ends_them_and_the_walk_goes_on(weights, monkeypatch):
    import engine.streamer as streamer

    made, make = [], streamer.make_still

    def spoilt(*args, **options):
        made.append(make(*args, **options))
        return made[-1] if len(made) < 2 else made[-1] * float("nan")

    monkeypatch.setattr(streamer, "make_still", spoilt)
    one = world(weights)
    assert play(one, 2).shape[0] == 13
    assert len(one._surfaces.around(one._poses)) == 1 and len(made) == 2


def test_a_world_without_memory_imagines_nothing(weights, drawn):
    memory = MemoryConfig(temporal_latents=4, spatial_latents=2, points=64, retrieves=False)
    one = PocketWorld(
        weights, WorldSpec(seed=7, prompt="a village", image=PICTURE, chunk=2), sampling=IMAGINES, memory=memory
    )
    play(one, 3, KEY_RIGHT)
    assert not any(i < 0 for shown, _ in drawn for i in shown)
