"""Who comes along walks by geometry, is hidden by what stands before it, and looks as a network has learnt."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import POCKET, start_pose, turn
from engine.depth import ground_disparity
from engine.errors import WanderError
from engine.geometry import POCKET_LENS
from engine.guide import Surface
from engine.text import encode
from engine.training.loop import Run, RunConfig
from engine.training.visitors import Guests, evaluate_visitors, load_guests, loss_of
from engine.trajectories import plan
from engine.visitors import Cards, Stance, VisitorConfig, VisitorPainter, Way, cards_of, way_of
from engine.weights import load_visitor
from render.events import VISITS
from render.views import make_views

H, W = 96, 160
LEVEL = start_pose(POCKET)
EYE = -LEVEL[1, 3]
"""Units from the ground to the eye."""


def camera(x: float, z: float, yaw: float, pitch: float = 0.0) -> NDArray[np.float64]:
    """A camera at eye height."""
    pose = LEVEL.copy()
    pose[:3, :3], pose[0, 3], pose[2, 3] = turn(np.float64(yaw), np.float64(pitch)), x, z
    return pose


def card(stance: Stance, view: NDArray[np.float64]) -> Cards:
    return cards_of([stance], view[None], H, W, POCKET_LENS)


def pixel(point: list[float], view: NDArray[np.float64]) -> tuple[int, int]:
    """Row and column of a point of the world."""
    x, y, z = (np.array(point) - view[:3, 3]) @ view[:3, :3]
    return round((y / z * POCKET_LENS.fy + 0.5) * H - 0.5), round((x / z * POCKET_LENS.fx + 0.5) * W - 0.5)


@settings(deadline=None)
@given(
    st.floats(-5, 5), st.floats(-5, 5), st.floats(-3, 3), st.floats(-0.2, 0.2), st.floats(3, 12), st.floats(-0.3, 0.3),
    st.floats(-3, 3), st.floats(0.3, 1.0),
)  # fmt: skip
def test_feet_and_head_are_where_they_stand_on_the_card(x, z, yaw, pitch, away, aside, heading, there):
    view = camera(x, z, yaw, pitch)
    at = x + away * math.sin(yaw + aside), z + away * math.cos(yaw + aside)
    shown = card(Stance(*at, heading, 0.0, there), view)
    for up in (0.0, 1.2):
        row, column = pixel([at[0], -up * there, at[1]], view)
        if 0 <= row < H and 0 <= column < W:
            size = away / (POCKET_LENS.fx * W) / there
            assert abs(float(shown.at[0, 0, row, column])) < size, "metres to its right"
            assert abs(float(shown.at[0, 1, row, column]) - up) < 1.2 * size, "metres above its feet"
            assert shown.shown[0, row, column]


@settings(deadline=None)
@given(st.floats(0.05, 3.0), st.floats(0, 6), st.floats(-0.4, 0.4))
def test_who_looks_to_the_left_is_the_mirror_of_who_looks_to_the_right(heading, phase, aside):
    x, z = 6 * math.sin(aside), 6 * math.cos(aside)
    right, left = (
        card(Stance(x, z, heading + aside, phase), LEVEL),
        card(Stance(-x, z, -heading - aside, phase + math.pi), LEVEL),
    )
    torch.testing.assert_close(right.at, left.at.flip(3), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(right.view[:, :6], left.view[:, :6], atol=1e-4, rtol=1e-4)


def test_what_stands_before_a_visitor_hides_it_and_the_ground_under_its_feet_does_not():
    shown = card(Stance(0.0, 8.0, 1.0, 0.0), LEVEL)
    ground = ground_disparity(LEVEL[None], H, W, POCKET_LENS).clamp_min(0)
    assert not (shown.behind(ground) & shown.shown).any()
    wall = torch.maximum(ground, torch.full_like(ground, 1 / 5))
    row, column = pixel([0.0, -1.0, 8.0], LEVEL)
    assert shown.behind(wall)[0, row, column]
    assert not shown.behind(torch.full_like(ground, 1 / 12))[0, row, column], "it stands before that wall"
    assert not shown.behind(torch.zeros_like(ground)).any(), "where nothing is known"


@settings(deadline=None)
@given(st.floats(-3, 3), st.sampled_from([-0.25, 0.25]), st.floats(0, 20))
def test_a_way_goes_so_far_as_one_walks_and_comes_round_again(heading, bend, units):
    way = Way(1.0, 2.0, heading, bend)
    x, z, facing = way.after(units + np.array([0.0, 1e-3, 2 * math.pi / 0.25]))
    np.testing.assert_allclose([x[0], z[0]], [x[2], z[2]], atol=1e-9)
    step = np.array([x[1] - x[0], z[1] - z[0]])
    np.testing.assert_allclose(step / 1e-3, [math.sin(facing[0]), math.cos(facing[0])], atol=1e-3)


def surface(disparity: Tensor) -> Surface:
    return Surface(torch.zeros(3, H, W), disparity, LEVEL)


@pytest.mark.parametrize("seed", range(4))
def test_visitors_come_where_they_are_in_view_and_nothing_stands_before_them(seed):
    ground = ground_disparity(LEVEL[None], H, W, POCKET_LENS).clamp_min(0)[0]
    wall = ground.clone()
    wall[:, : W // 2 + 8] = torch.maximum(ground, torch.tensor(1 / 3))[:, : W // 2 + 8]
    way = way_of(surface(wall), POCKET_LENS, [seed])
    x, z, _ = way.after(np.linspace(0, 4, 9))
    columns = np.array([pixel([a, -1.0, b], LEVEL)[1] for a, b in zip(x, z, strict=True)])
    assert (columns >= W // 2 + 8).all() and (columns < W).all()
    again = way_of(surface(wall), POCKET_LENS, [seed])
    assert way == again != way_of(surface(wall), POCKET_LENS, [seed + 10])


def test_where_no_card_is_a_picture_stays_exactly_as_it_is():
    torch.manual_seed(0)
    painter, picture = VisitorPainter(VisitorConfig()), torch.rand(1, 3, H, W) * 2 - 1
    cards = card(Stance(1.0, 6.0, 1.0, 0.0), LEVEL)
    cards = cards.where(torch.rand(1, H, W) > 0.5)
    made, covers = painter(picture, cards, torch.from_numpy(encode(("", "a deer appears"))))
    same = (made == picture).all(1)
    assert same[~cards.shown].all() and not same[cards.shown].all() and not covers[~cards.shown].any()


@pytest.mark.parametrize(("stance", "view"), [
    (Stance(0.0, -5.0, 0.0, 0.0), LEVEL), (Stance(0.0, 0.3, 0.0, 0.0), LEVEL), (Stance(0.0, 6.0, 0.0, 0.0, 0.0), LEVEL),
])  # fmt: skip
def test_who_is_behind_us_or_upon_us_or_not_there_is_not_shown(stance, view):
    assert not card(stance, view).shown.any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("guests")
    make_views(made, families=(), worlds=6, views=2, split="train", seed=6, plan=plan, width=W, height=H, show=VISITS)
    return made


@pytest.fixture(scope="module")
def guests(folder) -> Guests:
    return load_guests(folder)


def test_what_a_guest_covers_lies_on_its_card(guests):
    drawn = guests.of(list(range(len(guests.facts))), random.Random(0))
    assert drawn.covered.sum() > 1000 and (drawn.covered & drawn.cards.shown).sum() > 0.97 * drawn.covered.sum()
    changed = (drawn.with_guest - drawn.still).abs().amax(1) > 0.1
    assert (changed & drawn.cards.shown).sum() > 0.97 * changed.sum(), "its shadow as well"


def test_the_painter_learns_how_guests_look(guests, tmp_path):
    torch.manual_seed(0)
    model, rng = VisitorPainter(guests.config), random.Random(0)
    run = Run(model, RunConfig(out=tmp_path, minutes=0.4, lr=4e-3, cooldown=0.5, ema=0.9), lambda line: None)
    first = loss_of(model, guests, random.Random(1), 8)[1]["error"]
    verdict = run.train(lambda _: loss_of(model, guests, rng, 4), lambda: evaluate_visitors(run, model, guests), 900)
    assert loss_of(model, guests, random.Random(1), 8)[1]["error"] < 0.5 * first
    assert verdict["left"] < 0.8 and verdict["overlap"] > 0.5
    assert list(tmp_path.glob("step*.png"))


def test_views_without_guests_teach_nothing_and_are_refused_in_a_sentence(tmp_path):
    make_views(tmp_path, families=("rain",), worlds=1, views=1, split="train", seed=5, plan=plan, width=64, height=32)
    with pytest.raises(WanderError, match="0 of them are without and with a guest"):
        load_guests(tmp_path)


def test_the_painter_that_ships_shows_guests_of_worlds_it_has_never_seen(tmp_path):
    """The repository's weights; three worlds of the held-out split."""
    make_views(tmp_path, families=(), worlds=3, views=2, split="heldout", seed=9, plan=plan, width=W, height=H,
               show=VISITS)  # fmt: skip
    guests, painter = load_guests(tmp_path), load_visitor()
    drawn = guests.of(list(range(len(guests.facts))), random.Random(0))
    with torch.inference_mode():
        made, covers = painter(drawn.still, drawn.cards, drawn.said)
    shown = drawn.cards.shown
    found, truth = (covers > 0.5) & shown, drawn.covered & shown
    assert (found & truth).sum() > 0.8 * (found | truth).sum()
    inside = shown[:, None]
    left = ((made - drawn.with_guest) ** 2 * inside).sum() / ((drawn.still - drawn.with_guest) ** 2 * inside).sum()
    assert left**0.5 < 0.5


@pytest.mark.parametrize(
    ("words", "colour"), [("a child in a red coat appears", 0), ("a farmer in a straw hat appears", 2)]
)
def test_a_red_coat_is_red_and_a_farmer_is_blue(words, colour):
    cards = card(Stance(0.0, 5.0, math.pi / 2, 1.0), LEVEL)
    with torch.inference_mode():
        made, covers = load_visitor()(torch.full((1, 3, H, W), 0.2), cards, torch.from_numpy(encode(("", words))))
    row, column = pixel([0.0, -0.6, 5.0], LEVEL)
    coat = made[0, :, row - 2 : row + 3, column - 2 : column + 3].mean((1, 2))
    assert covers[0, row, column] > 0.8 and int(coat.argmax()) == colour


@pytest.mark.parametrize("away", [2.5, 6.0, 14.0])
def test_looking_where_somebody_may_be_shows_the_same_for_less(away):
    painter, said = load_visitor(), torch.from_numpy(encode(("", "a deer appears")))
    cards, picture = card(Stance(0.3, away, 1.2, 0.7), LEVEL), torch.full((1, 3, H, W), 0.2)
    with torch.inference_mode():
        near = painter.near(picture, cards, said)
        whole, part = painter(picture, cards, said)[0], painter(picture, cards.where(near), said)[0]
    assert (whole - part).abs().max() < 0.06 and near.sum() < 0.75 * cards.shown.sum()
