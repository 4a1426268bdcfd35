"""The score: what it counts, and what fusion gains on a place that is known exactly."""

from dataclasses import replace

import numpy as np
import pytest

from engine.reconstruction.accuracy import distance_to_cameras, nearest, nearest_of_depth, score
from engine.reconstruction.back_projection import back_project
from engine.reconstruction.fusion import FusionConfig, fuse
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.truth import true_surface
from tests.engine.reconstruction.scene import pose, walk

CONFIG = SieveConfig(far=15.0)


def test_the_nearest_neighbour_is_that_of_comparing_all_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-3, 3, (200, 3)), rng.uniform(-3, 3, (150, 3))
    all_pairs = np.linalg.norm(a[:, None] - b[None], axis=-1).min(1)
    assert np.allclose(nearest(a, b, 9.0), all_pairs, atol=1e-5)
    found = nearest(a, b, 0.7)
    assert np.allclose(found[all_pairs < 0.69], all_pairs[all_pairs < 0.69], atol=1e-5)
    assert np.isinf(found[all_pairs > 0.71]).all()


def test_thresholds_grow_with_the_distance_to_the_nearest_camera():
    cameras = np.array([[0.0, 0, 0], [100.0, 0, 0]])
    truth = np.array([[0.0, 0, 10], [100.0, 0, 40]])
    assert distance_to_cameras(truth, cameras).tolist() == [10, 40]
    off = truth + [[0, 0.3, 0], [0, 0.3, 0]]
    one, two, five = score(off, truth, truth, cameras)
    assert (one.precision, two.precision, five.precision) == (0.5, 0.5, 1.0) and one.recall == 0.5


def test_shares_of_depth_are_those_of_comparing_all_pairs():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(-20, 20, (400, 3)), rng.uniform(-20, 20, (3000, 3))
    centres = np.array([[0.0, 0, 0], [3.0, 0, 0]])
    depth = np.linalg.norm(a[:, None] - centres, axis=-1).min(1)
    shares = np.linalg.norm(a[:, None] - b[None], axis=-1).min(1) / depth
    found = nearest_of_depth(a, b, centres, 0.2)
    assert np.allclose(distance_to_cameras(a, centres), depth)
    assert (
        np.allclose(found[shares < 0.199], shares[shares < 0.199], atol=1e-5) and np.isinf(found[shares > 0.201]).all()
    )


def test_half_a_surface_is_accurate_but_not_complete():
    truth = np.random.default_rng(0).uniform(0, 4, (500, 3))
    half = score(truth[truth[:, 0] < 2], truth, truth, np.array([[2.0, 2, -3]]))[0]
    assert half.precision == 1.0 and half.recall < 0.65 and half.f_score < 0.8
    assert score(truth[:0], truth, truth, np.array([[2.0, 2, -3]]))[0].f_score == 0.0


@pytest.fixture(scope="module")
def place():
    """A walk, its true surface from in-between views as well, and a depth that is wrong in its own way in each view."""
    stations = np.linspace(-1, 1, 9)
    views, dense = walk(*(pose(x, 0.2) for x in stations)), walk(*(pose(x, 0.2) for x in np.linspace(-1, 1, 25)))
    factors = np.exp(np.random.default_rng(1).normal(0, 0.03, 9)).astype(np.float32)
    truth, seen = (true_surface(dense, CONFIG, 0.01, finer=finer) for finer in (3, 1))
    return views, truth, seen, replace(views, depth=views.depth * factors[:, None, None])


def test_exact_depth_gives_an_almost_perfect_cloud(place):
    views, truth, seen, _ = place
    fused = fuse(views, FusionConfig(sieve=CONFIG, open3d=False, voxel=0.1))
    one, two, five = score(fused.cloud.xyz, truth, seen, views.centres)
    assert one.precision > 0.98 and two.precision == 1.0
    assert one.recall > 0.95 and five.recall == 1.0


def test_fusion_beats_naive_back_projection_where_depth_is_uncertain(place):
    views, truth, seen, noisy = place
    fused = fuse(noisy, FusionConfig(sieve=CONFIG, open3d=False, voxel=0.1)).cloud
    naive = back_project(noisy, noisy.depth <= CONFIG.far, 0.1)
    fused_score, naive_score = (score(cloud.xyz, truth, seen, views.centres) for cloud in (fused, naive))
    assert all(one.f_score > other.f_score for one, other in zip(fused_score[:2], naive_score[:2], strict=True))
    assert fused_score[0].precision > naive_score[0].precision + 0.5 and fused_score[0].recall > 0.8
