"""Two panoramas become one along the seam on which they are most alike, in one light."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.blending import extended, joined, patched, relit, seam, seam_of
from engine.panorama import EYE, Panorama, falls, shape_of

H, W = shape_of(48)
LEVEL = (falls(H) / EYE).clamp_min(0).expand(H, W)


def place(sky: float, ground: float, stands: float | None = None) -> Panorama:
    """Level ground under the sky, each with some texture, and a wall in a tenth of it."""
    texture = 0.1 * torch.sin(torch.arange(W) * 0.7)
    picture = torch.where(LEVEL > 0, ground, sky) + texture
    disparity = LEVEL.clone()
    if stands is not None:
        wall = (slice(H // 3, 2 * H // 3), slice(0, W // 10))
        picture[wall], disparity[wall] = stands + texture[: W // 10], 0.3
    return Panorama(picture.expand(3, H, W).clone(), disparity, torch.ones(H, W, dtype=torch.bool))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(3, 7))
def test_no_way_from_top_to_bottom_is_cheaper_than_the_seam(seed, rows, columns):
    cost = np.random.default_rng(seed).random((rows, columns))
    way = seam(cost)
    assert (np.abs(np.diff(way)) <= 1).all()
    best = cost[0]
    for row in cost[1:]:
        best = row + [best[max(0, c - 1) : c + 2].min() for c in range(columns)]
    assert cost[np.arange(rows), way].sum() == pytest.approx(best.min())


def test_a_seam_goes_where_both_are_alike():
    front, back = place(0.5, 0.0), place(-0.5, 0.4)
    back.picture[:, :, 120:124] = front.picture[:, :, 120:124]
    assert set(seam_of(front, back, 100, 140).tolist()) <= set(range(120, 124))


def test_where_all_is_alike_the_picture_in_front_ends_at_once():
    assert (seam_of(place(0.5, 0.0), place(0.5, 0.0), 100, 140) == 100).all()


def test_the_picture_in_front_is_kept_left_of_the_seam_and_what_is_behind_takes_its_light_there():
    front, back, way = place(0.5, 0.0), place(0.1, 0.3), np.full(H, 100)
    whole = joined(front, back, way)
    assert torch.equal(whole.picture[..., :100], front.picture[..., :100])
    step = (whole.picture[..., 100] - front.picture[..., 100]).abs()
    assert step.median() < 0.02 < 0.2 < (back.picture[..., 100] - front.picture[..., 100]).abs().median()
    assert torch.allclose(whole.picture[..., -5:], back.picture[..., -5:], atol=0.02), "far off it has its own"
    assert torch.equal(whole.disparity[:, 100:], back.disparity[:, 100:])


def test_what_stands_behind_does_not_take_the_light_of_the_sky():
    front, back = place(0.5, 0.0), place(0.1, 0.3, stands=-0.6)
    back = back.turned(-110)
    stands = joined(front, back, np.full(H, 100)).picture[:, H // 2 - 2, 112:130]
    assert torch.allclose(stands, back.picture[:, H // 2 - 2, 112:130], atol=0.02)


def test_in_another_light_sky_and_ground_have_the_colours_of_the_other_place():
    lit = relit(place(0.1, 0.3), place(0.1, 0.3), place(0.5, -0.2))
    assert torch.allclose(lit.picture, place(0.5, -0.2).picture, atol=0.01)


def test_a_change_is_bounded_and_of_its_hue_a_share_is_taken():
    red = place(0.1, 0.3)
    red.picture[0] += 0.3
    full, half = (
        relit(place(0.1, 0.3), place(0.1, 0.3), red, ((hue, 2.0),) * 3).picture.mean((1, 2)) for hue in (1.0, 0.5)
    )
    assert float(half[0] - half[1]) == pytest.approx(float(full[0] - full[1]) / 2, abs=0.01)
    assert float(half.mean()) == pytest.approx(float(full.mean()), abs=0.01), "as bright"
    most = (
        relit(place(0.1, 0.3), place(0.1, 0.3), place(0.9, -0.9), ((1.0, 0.2),) * 3).picture - place(0.1, 0.3).picture
    )
    assert float(most.abs().max()) <= 0.2 + 0.03


def test_what_a_place_lacks_changes_as_everything_does():
    there = place(0.3, 0.5)
    lit = relit(place(0.1, 0.3, stands=-0.5), place(0.1, 0.3), there)
    wall = lit.picture[:, H // 2 - 2, : W // 10].mean()
    assert float(wall) > -0.5 + 0.1


def test_a_patch_takes_the_light_that_is_around_it_for_sky_and_ground_apart():
    front, back = place(0.5, 0.0), place(0.1, 0.3, stands=-0.6)
    hole = torch.ones(H, W, dtype=torch.bool)
    hole[H // 4 : -H // 4, W // 4 : W // 2] = False
    whole = patched(front.only(hole), back)
    assert whole.known.all() and torch.equal(whole.picture[:, hole], front.picture[:, hole])
    assert float((whole.picture - front.picture)[:, ~hole].abs().mean()) < 0.06 < 0.25
    assert float((back.picture - front.picture)[:, ~hole].abs().mean()) > 0.25, "it had another light"


def test_what_stands_goes_on_by_so_much_and_level_ground_to_the_bottom():
    whole = place(0.5, 0.0, stands=-0.6)
    known = torch.zeros(H, W, dtype=torch.bool)
    top, bottom = H // 3 + 2, H - 8
    known[top:bottom] = True
    more = extended(Panorama(whole.picture, torch.where(known, whole.disparity, 0.77), known), 0.1)
    wall, open_ = slice(0, W // 10), slice(W // 10, W)
    assert more.known[bottom:].all() and torch.allclose(more.disparity[bottom:], whole.disparity[bottom:], atol=1e-4)
    assert not more.known[:top, open_].any(), "what is over the sky another place may know"
    raised = round(0.1 / (1.42) * H)
    assert more.known[top - raised : top, wall].all() and not more.known[: top - raised, wall].any()
    assert torch.equal(more.picture[:, top - 1, wall], more.picture[:, top, wall])
