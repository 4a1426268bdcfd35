"""What is fused and what never is."""

import numpy as np
import pytest

from engine.reconstruction.sieve import SieveConfig, edges, sift, sure
from tests.engine.reconstruction.scene import pose, walk, without

CONFIG = SieveConfig()


def test_of_exact_depth_almost_everything_near_is_kept_and_stays_as_exact():
    views = walk()
    sifted, keep = sift(views, CONFIG)
    limits = (views.depth <= CONFIG.far) & (views.depth >= CONFIG.near)
    assert keep[views.depth < 12].mean() > 0.98 and not keep[~limits].any()
    assert np.median(np.abs(sifted.depth[keep] / views.depth[keep] - 1)) < 1e-4


@pytest.mark.parametrize("what", ["sky", "movers", "doubt"])
def test_sky_movers_and_doubtful_pixels_are_never_fused(what):
    views = walk()
    patch = np.zeros(views.depth.shape, bool)
    patch[:, 20:30, 10:30] = True
    if what == "sky":
        views = without(views, depth=np.where(patch, np.inf, views.depth))
    elif what == "movers":
        views = without(views, static=~patch)
    else:
        views = without(views, confidence=np.where(patch, np.float32(0.1), views.confidence))
    assert not sift(views, CONFIG)[1][patch].any()


def test_a_surface_that_the_other_views_look_through_is_dropped():
    views = walk()
    ghost = views.depth.copy()
    ghost[2, 10:20, 25:40] = 2.0
    assert not sift(without(views, depth=ghost), CONFIG)[1][2, 11:19, 26:39].any()


def test_a_surface_that_one_view_alone_can_see_is_kept():
    views = walk(pose(), pose(0.5, yaw=np.pi))
    assert sift(views, CONFIG)[1][1].sum() == sure(views, CONFIG)[1].sum() > 300


def test_errors_that_differ_from_view_to_view_are_averaged_away():
    views = walk(*(pose(x, 0.1) for x in np.linspace(-0.8, 0.8, 9)))
    factors = np.exp(np.random.default_rng(0).normal(0, 0.03, 9)).astype(np.float32)
    noisy = without(views, depth=views.depth * factors[:, None, None])
    sifted, keep = sift(noisy, CONFIG)
    before, after = (np.abs(found.depth[keep] / views.depth[keep] - 1).mean() for found in (noisy, sifted))
    assert after < 0.6 * before


def test_pixels_in_mid_air_between_a_near_and_a_far_surface_are_edges():
    depth = np.full((3, 9), 2.0, np.float32)
    depth[:, 5:] = 10.0
    assert not edges(depth, 0.25).any()
    depth[:, 4] = 4.0
    assert edges(depth, 0.25)[:, 4].all() and edges(depth, 0.25).sum() == 3


def test_ground_at_a_grazing_angle_is_no_edge():
    views = walk()
    ground = (views.depth < 10) & (np.arange(40) > 22)[:, None]
    assert not edges(views.depth, CONFIG.edge)[ground].any()


def test_limits_that_cross_are_refused():
    with pytest.raises(ValueError, match="near must lie"):
        SieveConfig(near=5, far=2)
