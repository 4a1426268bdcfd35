"""What is unrolled from a cylinder around the eye is what one sees again when one looks from there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import POCKET, start_pose, turn
from engine.geometry import POCKET_LENS
from engine.guide import Surface, look
from engine.panorama import DOWN, EYE, FAR, UP, Backdrop, Panorama, falls, kinds, seen_from, shape_of, unrolled
from tests.engine.test_guide import H, W, ground_picture


def looking(yaw: float, pitch: float = 0.0, x: float = 0.0, z: float = 0.0) -> np.ndarray:
    camera = start_pose(POCKET)
    camera[:3, :3], camera[[0, 2], 3] = turn(yaw, pitch), (x, z)
    return camera


def all_round(middle: float = 0.0) -> Panorama:
    """The checkered plane of `ground_picture`, from views all round."""
    views = [ground_picture(looking(math.tau * i / 12, pitch)) for pitch in (0.4, 0.0) for i in range(12)]
    return unrolled(views, middle, POCKET_LENS, flying=True)


def test_a_panorama_is_as_wide_as_the_horizon_and_as_high_as_from_its_top_to_the_end_of_a_picture():
    rows, columns = shape_of(192)
    assert columns == round(math.tau * POCKET_LENS.fy * 192)
    assert rows / columns == pytest.approx((UP + DOWN) / math.tau, abs=1e-3), "square pixels"
    fall = falls(rows)
    assert float(fall[0]) == pytest.approx(-UP, abs=0.01) and float(fall[-1]) == pytest.approx(DOWN, abs=0.01)


@settings(max_examples=12, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(0.0, 0.25), st.floats(-3.1, 3.1))
def test_what_is_seen_from_the_eye_is_what_stands_there(yaw, pitch, middle):
    camera = looking(yaw, pitch)
    seen, truth = seen_from(all_round(middle), camera, middle, (H, W), POCKET_LENS), ground_picture(camera)
    assert seen.stands is not None and seen.stands.float().mean() > 0.8
    inside = seen.stands & ((truth.disparity > 0.05) | (truth.disparity == 0))
    inside[[0, -1]] = inside[:, [0, -1]] = False
    level = inside & (truth.disparity > 0) & (seen.disparity > 0)
    assert float((seen.disparity - truth.disparity)[level].abs().max()) < 0.02
    near = inside & (truth.disparity > 0.1)
    assert not near.any() or float((seen.picture - truth.picture)[:, near].abs().mean()) < 0.06


def test_a_turned_panorama_is_the_same_place_from_another_heading():
    whole = all_round()
    columns = whole.known.shape[1] // 4
    turned = seen_from(whole.turned(columns), looking(0.0), 0.0, (H, W), POCKET_LENS)
    straight = seen_from(whole, looking(math.tau * columns / whole.known.shape[1]), 0.0, (H, W), POCKET_LENS)
    assert torch.allclose(turned.picture, straight.picture, atol=0.05)


def test_mirrored_twice_it_is_itself_and_once_left_is_right():
    whole = all_round()
    assert torch.equal(whole.mirrored().mirrored().picture, whole.picture)
    left, right = (seen_from(p, looking(y), 0.0, (H, W), POCKET_LENS) for p, y in ((whole.mirrored(), -1), (whole, 1)))
    assert torch.allclose(left.picture, right.picture.flip(-1), atol=0.1)


def test_the_former_of_surfaces_show_where_the_later_do_not():
    camera = looking(0.0)
    grey = Surface(torch.full((3, H, W), 0.5), torch.full((H, W), 0.1), camera)
    hole = torch.ones(H, W, dtype=torch.bool)
    hole[:, W // 2 :] = False
    white = Surface(torch.ones(3, H, W), torch.full((H, W), 0.1), camera, hole)
    seen = unrolled([grey, white], 0.0, POCKET_LENS)
    middle = seen.picture[0, seen.known.any(1).nonzero()[:, 0].median(), seen.known.any(0)]
    assert middle[:10].eq(1.0).all() and middle[-10:].eq(0.5).all()


def test_sky_ground_and_what_stands_are_told_apart():
    whole = all_round()
    sky, ground, stands = kinds(whole)
    assert not (sky & ground).any() and (sky | ground | stands).all()
    below = falls(len(sky)).expand_as(sky) > 0.06
    assert ground[below & whole.known].all() and sky[~below & (falls(len(sky)) < -0.02)].all()
    wall = Panorama(whole.picture, torch.full_like(whole.disparity, 0.2), whole.known)
    assert kinds(wall)[2][falls(len(sky)).expand_as(sky) < 0.2].all()


def test_what_is_beside_something_nearer_is_not_crisp():
    whole = all_round()
    far = whole.disparity.clone().fill_(0.0)
    far[:, 100] = 0.2
    crisp = Panorama(whole.picture, far, torch.ones_like(whole.known)).crisp().known
    assert not crisp[:, [99, 101]].any() and crisp[:, [98, 100, 102]].all()


@settings(max_examples=12, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-2, 2), st.floats(-2, 2))
def test_level_ground_behind_everything_is_where_it_is_wherever_one_stands(yaw, x, z):
    camera = looking(yaw, 0.0, x, z)
    backdrop = Backdrop(all_round(0.3), looking(0.0)[:3, 3], 0.3)
    truth, bare = ground_picture(camera), torch.ones(1, H, W, dtype=torch.bool)
    colours, disparity, known = (
        part.unflatten(-1, (H, W)) for part in backdrop.behind(bare, camera[None], POCKET_LENS)
    )
    assert torch.allclose(disparity, truth.disparity, atol=1e-3)
    sharp = known & (truth.disparity > 0.12) & (truth.disparity < 0.25)
    assert float((colours - truth.picture)[:, sharp].abs().mean()) < 0.15


def test_the_sky_behind_everything_does_not_come_nearer():
    backdrop, bare = Backdrop(all_round(), looking(0.0)[:3, 3], 0.0), torch.zeros(2, H, W, dtype=torch.bool)
    bare[:, :10] = True
    here, there = backdrop.behind(bare, np.stack([looking(1.0), looking(1.0, 0.0, 30.0, -9.0)]), POCKET_LENS)[0].chunk(
        2, 1
    )
    assert torch.allclose(here, there)


def test_a_backdrop_shows_only_where_no_source_does_and_is_the_oldest_of_all():
    camera, source = looking(0.4), ground_picture(looking(0.0))
    backdrop = Backdrop(all_round(), looking(0.0)[:3, 3], 0.0)
    alone, seen, _ = look([source], camera[None], POCKET_LENS)
    picture, origin, near = look([source], camera[None], POCKET_LENS, 0, backdrop)
    assert torch.equal(origin == 0, seen == 0) and (origin[seen < 0] == 1).float().mean() > 0.9
    assert torch.equal(picture.movedim(1, -1)[seen == 0], alone.movedim(1, -1)[seen == 0])
    assert near[0, -4, -4] == pytest.approx(DOWN / EYE, rel=0.2)
    stale = look([source], camera[None], POCKET_LENS, 1, backdrop)[1]
    assert (stale == 0).sum() == (origin == 0).sum() and (stale == 1).sum() < (origin == 1).sum(), "no stale rims"


def test_far_is_farther_than_an_eye_is_high():
    assert FAR > 10 * EYE
