"""Views that tell of one place agree, and the halves of a way back meet; what does not is measured as it was made."""

import numpy as np
import pytest

from engine.reconstruction.consistency import agreement, alignment
from engine.reconstruction.sieve import SieveConfig
from engine.reconstruction.views import to_world
from tests.engine.reconstruction.scene import HEIGHT, WIDTH, pose, walk, without

LIMITS = SieveConfig(far=15.0)
CENTRES = np.zeros((1, 3))


def plane(count, z=4.0, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([*rng.uniform(-1, 1, (2, count)), np.full(count, z)], axis=1)


def test_exact_depths_agree():
    found = agreement(walk(), LIMITS)
    assert found.median < 0.001 and found.within > 0.97 and found.pairs > 5 * WIDTH * HEIGHT


def test_a_view_that_is_wrong_by_a_tenth_disagrees_by_a_tenth():
    views = walk(pose(-0.3), pose(0.3))
    factor = np.array([1.0, 1.1], np.float32)[:, None, None]
    found = agreement(without(views, depth=views.depth * factor), LIMITS)
    assert found.median == pytest.approx(0.1, abs=0.02) and found.within < 0.2


def test_what_stands_on_the_ground_is_told_apart():
    views = walk(pose(-0.3), pose(0.3))
    points = np.stack([to_world(d, views.lens, p) for d, p in zip(views.depth, views.world_from_camera, strict=True)])
    wall = np.nan_to_num(points[..., 1]) < -0.3
    wrong = np.where(wall, views.depth * np.array([1.0, 1.1], np.float32)[:, None, None], views.depth)
    found = agreement(without(views, depth=wrong.astype(np.float32)), LIMITS)
    assert found.median < 0.01 and found.standing == pytest.approx(0.1, abs=0.02)


def test_what_another_view_hides_is_left_out_and_what_it_looks_through_is_not():
    views = walk(pose(0.0), pose(0.3))
    near = views.depth.copy()
    near[0, :, :32] = 1.0  # a post before one camera, which the other does not see
    found = agreement(without(views, depth=near), LIMITS)
    assert found.hidden > 0.1
    assert found.within < agreement(views, LIMITS).within - 0.1


def test_sky_and_movers_are_not_compared():
    views = walk()
    assert agreement(without(views, static=np.zeros(views.depth.shape, bool)), LIMITS).pairs == 0
    assert np.isnan(agreement(without(views, depth=np.full_like(views.depth, np.inf)), LIMITS).median)


def test_halves_that_are_shifted_along_their_normal_lie_apart_by_the_shift():
    out, back = plane(3000), plane(3000, z=4.2, seed=1)
    found = alignment(out, back, CENTRES)
    assert found.median == pytest.approx(0.2, rel=0.05) and found.alone == 0
    assert found.of_depth == pytest.approx(found.median / 4.2, rel=0.06)


def test_halves_that_never_meet_are_infinitely_far_apart():
    found = alignment(plane(500), plane(500, z=40.0), CENTRES)
    assert np.isinf(found.median) and found.alone == 1
    assert np.isinf(alignment(plane(5), plane(0), CENTRES).median)
