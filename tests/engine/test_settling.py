"""Settled depth ends where colours end, and lets the ground be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.depth import Depth, ground_disparity, level_camera
from engine.geometry import POCKET_LENS
from engine.settling import SETTLING, settled

H, W = 96, 160
GROUND = ground_disparity(level_camera()[None], H, W, POCKET_LENS)
NEAR, FAR = 1 / 4, 1 / 20
EDGE = 70


def scene() -> tuple[Tensor, Tensor]:
    """A picture of a thing before another, and its disparity."""
    picture = torch.full((1, 3, H, W), 0.4)
    picture[..., :EDGE] = -0.4
    return picture, torch.where(torch.arange(W) < EDGE, NEAR, FAR).expand(1, H, W).clone()


def known(disparity: Tensor) -> Depth:
    nothing = torch.zeros_like(disparity)
    return Depth(disparity, nothing - 3, nothing - 5, nothing - 5)


def ramped(disparity: Tensor) -> Tensor:
    """The same as a network says it: a ramp across the edge."""
    found, steps = disparity.clone(), torch.linspace(0, 1, 5)
    found[..., EDGE - 2 : EDGE + 3] = NEAR * (FAR / NEAR) ** steps
    return found


def test_a_ramp_between_two_things_becomes_an_edge_where_the_colours_change():
    picture, truth = scene()
    found = settled(known(ramped(truth)), picture, GROUND - 10).disparity
    assert ((ramped(truth) / truth).log().abs() > 0.2).sum() > 2 * H
    assert torch.allclose(found, truth, rtol=0.05)


def test_where_the_picture_says_nothing_a_median_is_one_of_the_two_sides_and_nothing_between():
    _, truth = scene()
    found = settled(known(truth), torch.zeros(1, 3, H, W), GROUND - 10).disparity
    assert torch.minimum((found / NEAR).log().abs(), (found / FAR).log().abs()).max() < 0.02


def test_what_is_known_well_counts_for_more():
    picture, truth = scene()
    picture[:] = 0
    noisy, unsure = truth.clone(), torch.full_like(truth, -3.0)
    wrong = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    wrong[..., EDGE - 8 :] = False
    noisy[wrong], unsure[wrong] = FAR, 1.0
    trusting, knowing = (
        settled(replace(known(noisy), log_error=each), picture, GROUND - 10).disparity[..., 8 : EDGE - 16]
        for each in (torch.zeros_like(unsure), unsure)
    )
    assert (knowing > NEAR / 1.1).float().mean() > 0.99 > 0.5 > (trusting > NEAR / 1.1).float().mean()


def test_the_ground_stays_as_it_is_exactly():
    picture = torch.rand(1, 3, H, W, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ground = GROUND.clamp(1 / 40, 1.25)
    assert torch.allclose(settled(known(ground), picture, GROUND).disparity, ground, rtol=1e-5)


def test_a_picture_twice_as_large_is_settled_as_far_around():
    picture, truth = scene()
    large, twice = (torch.nn.functional.interpolate(x, scale_factor=2) for x in (picture, ramped(truth)[:, None]))
    here = settled(known(ramped(truth)), picture, GROUND - 10).disparity
    there = settled(known(twice[:, 0]), large, torch.full((1, 2 * H, 2 * W), -10.0)).disparity
    inner = np.s_[:, 16:-16, 16:-16]
    assert torch.allclose(there[:, ::2, ::2][inner], here[inner], rtol=0.05)


def test_colours_and_not_the_order_of_views_decide():
    picture, truth = scene()
    both = settled(
        known(torch.cat([ramped(truth), truth])), torch.cat([picture, picture]), torch.cat([GROUND, GROUND]) - 10
    )
    alone = settled(known(ramped(truth)), picture, GROUND - 10)
    assert torch.equal(both.disparity[:1], alone.disparity)
    assert torch.equal(both.log_error[:1], alone.log_error) and SETTLING.times > 1
