"""Geometric consistency: earlier pictures of a place confirm depth, correct it, or leave it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engine.consistency import CONSISTENCY, consistent, earlier_than
from engine.geometry import POCKET_LENS
from engine.guide import Surface

H, W = 24, 40
CAMERA = np.eye(4)


def surface(disparity: float | torch.Tensor, sure: float | torch.Tensor, picture: float = 0.0) -> Surface:
    """A picture of one colour, seen from where the others are."""
    blank = torch.zeros(H, W)
    return Surface(torch.full((3, H, W), picture), blank + disparity, CAMERA, None, blank + sure)


def test_a_picture_is_held_against_the_worlds_first_and_the_newest_that_lie_apart():
    assert earlier_than(0) == []
    assert earlier_than(3) == [0]
    assert earlier_than(31) == [0, 19, 23, 27]


def test_a_worlds_first_picture_stays_as_it_is():
    first = surface(0.5, 0.0)
    assert consistent(first, [], POCKET_LENS) is first


def test_depth_that_earlier_pictures_agree_with_keeps_most_of_what_they_said_however_unsure_it_is():
    found = consistent(surface(0.5, 0.1, picture=0.7), [surface(0.45, 0.9)], POCKET_LENS)
    expected = 0.45**CONSISTENCY.share * 0.5 ** (1 - CONSISTENCY.share)
    assert torch.allclose(found.disparity, torch.full((H, W), expected), rtol=1e-4)
    assert bool(found.kept.all()) and float(found.picture.mean()) > 0.69


def test_what_disagrees_is_not_drawn_where_it_is_unsure_and_stays_where_it_is_sure():
    left = torch.arange(W) < W // 2
    new = surface(0.5, torch.where(left, 0.1, 0.9).expand(H, W))
    found = consistent(new, [surface(0.2, 0.9)], POCKET_LENS)
    assert torch.equal(found.kept, ~left.expand(H, W))
    assert torch.equal(found.disparity, new.disparity)


def test_what_no_earlier_picture_shows_is_drawn_where_it_is_sure_alone():
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])  # looks the other way
    for disparity, sure, kept in ((0.5, 0.1, False), (0.002, 0.1, False), (0.5, 0.9, True)):
        earlier = [replace(surface(0.5, 0.9), world_from_camera=behind)]
        found = consistent(surface(disparity, sure), earlier, POCKET_LENS)
        assert bool(found.kept.all()) is kept and bool(found.kept.any()) is kept


def test_the_sky_stays_the_sky_and_is_always_drawn():
    for earlier in (0.0, 0.3):
        found = consistent(surface(0.0, 0.05), [surface(earlier, 0.9)], POCKET_LENS)
        assert bool((found.disparity == 0).all()) and bool(found.kept.all())


def test_a_doubtful_speck_stays_with_what_is_around_it():
    sure = torch.full((H, W), 0.9)
    sure[10, 20] = 0.1
    found = consistent(surface(0.5, sure), [surface(0.2, 0.9)], POCKET_LENS)
    assert bool(found.kept.all())
