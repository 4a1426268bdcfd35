"""Views: pixels and points are two ways to say the same."""

import numpy as np
import pytest

from engine.reconstruction.views import look_at, neighbours, to_world
from tests.engine.reconstruction.scene import LENS, pose, walk, without


def test_a_pixels_point_falls_back_into_that_pixel_at_that_depth():
    views = walk()
    points = to_world(views.depth[2], LENS, views.world_from_camera[2])
    solid = np.isfinite(views.depth[2]).ravel()
    seen = look_at(points.reshape(-1, 3)[solid], LENS, views.world_from_camera[2], views.size)
    assert seen.inside.all()
    assert np.array_equal(seen.pixel, np.flatnonzero(solid))
    assert np.allclose(seen.depth, views.depth[2].ravel()[solid], rtol=1e-5)


def test_points_behind_the_camera_are_not_in_the_picture():
    seen = look_at(np.array([[0.0, -1.6, -3.0], [0.0, -1.6, 3.0]]), LENS, pose(), (64, 40))
    assert seen.inside.tolist() == [False, True]


def test_arrays_that_do_not_belong_together_are_refused():
    views = walk()
    with pytest.raises(ValueError, match="frame ids"):
        without(views, frame_ids=np.arange(3))
    with pytest.raises(ValueError, match="maps"):
        without(views, depth=views.depth[:, :5])


def test_a_selection_takes_everything_of_the_chosen_views():
    views = walk()
    chosen = views.select([3, 1])
    assert chosen.frame_ids.tolist() == [12, 4]
    assert np.array_equal(chosen.world_from_camera[0], views.world_from_camera[3])


def test_views_that_look_the_other_way_check_nothing():
    views = walk(pose(), pose(0.5), pose(0.2, yaw=np.pi))
    assert [found.tolist() for found in neighbours(views, 4, 20.0)] == [[1], [0], []]
