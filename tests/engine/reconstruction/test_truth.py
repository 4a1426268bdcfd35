"""The true surface: dense where it is a plane, on the planes, and nothing across an edge."""

import numpy as np

from engine.reconstruction.accuracy import nearest
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.truth import filled, true_surface
from tests.engine.reconstruction.scene import LENS, WALL_Z, off_surface, picture, pose, walk, without

LIMITS = SieveConfig(far=15.0)


def test_every_point_lies_on_the_place_though_pixels_are_coarse():
    truth = true_surface(walk(), LIMITS, 0.01)
    assert off_surface(truth).max() < 1e-5
    assert len(truth) > 2 * len(true_surface(walk(), LIMITS, 0.01, finer=1))


def test_what_the_walk_saw_has_a_point_within_the_fineness_of_its_depth():
    truth = true_surface(walk(), LIMITS, 0.01, finer=6)
    rng = np.random.default_rng(0)
    on_wall = np.stack([rng.uniform(-2.5, 2.5, 400), rng.uniform(-2.5, -0.2, 400), np.full(400, WALL_Z)], axis=1)
    assert nearest(on_wall, truth, 1.0).max() < 0.02 * WALL_Z


def test_nothing_is_filled_in_between_the_wall_and_what_is_seen_beside_it():
    depth, _ = picture(pose())
    depth = np.minimum(depth, 14.0)  # a backdrop in place of the sky, so that every square has four pixels
    points = filled(depth, depth > 0, LENS, pose(), 4)
    backdrop = np.abs(points[:, 2] - 14.0) < 1e-4
    assert backdrop.any() and off_surface(points[~backdrop]).max() < 1e-4


def test_what_moves_is_no_surface_of_the_world():
    views = walk()
    still = np.ones(views.depth.shape, bool)
    still[:, :, :32] = False
    half = true_surface(without(views, static=still), LIMITS, 0.01)
    assert 0 < len(half) < 0.7 * len(true_surface(views, LIMITS, 0.01))
