"""Whether two pictures show the same place."""

import numpy as np
import pytest

from engine.actions import KEY_RIGHT
from engine.evaluation.structure import EDGES, LAYOUT, agreement, changed


@pytest.fixture(scope="module")
def place(walk_of):
    frames = walk_of(KEY_RIGHT, 40, width=96, height=64).frames
    return frames[:1], frames[-1:]


@pytest.mark.parametrize("sigma", [EDGES, LAYOUT])
def test_a_place_agrees_with_itself_in_the_dark_in_haze_and_as_a_negative(place, sigma):
    here, _ = place
    dark, hazy, negative = here // 3, (here * 0.25 + 150).astype(np.uint8), 255 - here
    assert agreement(here, here, sigma)[0] == pytest.approx(1)
    for changed_light in (dark, hazy, negative):
        assert agreement(here, changed_light, sigma)[0] > 0.7


@pytest.mark.parametrize("sigma", [EDGES, LAYOUT])
def test_another_view_and_noise_agree_far_less(place, sigma):
    here, there = place
    noise = np.random.default_rng(0).integers(0, 256, here.shape, dtype=np.uint8)
    assert agreement(here, there, sigma)[0] < 0.6
    assert abs(agreement(here, noise, sigma)[0]) < 0.2


def test_a_blank_picture_keeps_nothing_and_has_nothing_to_keep(place):
    blank = np.full_like(place[0], 90)
    assert agreement(place[0], blank, EDGES)[0] == pytest.approx(0)
    assert np.isnan(agreement(blank, place[0], EDGES)[0])


def test_the_share_of_changed_pixels_is_counted_in_any_colour():
    one = np.zeros((1, 4, 5, 3), np.uint8)
    other = one.copy()
    other[0, 0, :, 2] = 30
    other[0, 1, 0, 0] = 24
    assert changed(one, other, 24)[0] == pytest.approx(5 / 20)
