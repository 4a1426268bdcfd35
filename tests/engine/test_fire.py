"""A fire has a place in the world: what stands best in view; its flames lap over it and its smoke rises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import POCKET, start_pose
from engine.fire import MAPS, Site, burning, puffs, site_of, tongues
from engine.geometry import POCKET_LENS
from engine.guide import Surface, rays

LEVEL = start_pose(POCKET)
HOUSE = Site(x=2.0, z=12.0, size=4.0, radius=2.0)


def scene(*houses: tuple[float, float, float, float]) -> Surface:
    """What a level camera sees of flat ground and of walls that face it: left, right, how far, how high."""
    through = rays(96, 160, POCKET_LENS, torch.device("cpu")).double()
    depth = torch.where(through[..., 1] > 0.02, 1.6 / through[..., 1].clamp_min(0.02), torch.inf)
    for left, right, away, high in houses:
        at = through * away
        wall = (at[..., 0] > left) & (at[..., 0] < right) & (at[..., 1] > 1.6 - high) & (at[..., 1] < 1.6)
        depth = torch.where(wall & (away < depth), away, depth)
    disparity = torch.where(torch.isfinite(depth), 1 / depth, 0.0).float()
    return Surface(torch.zeros(3, 96, 160), disparity, LEVEL)


def test_what_stands_in_the_middle_at_a_good_distance_is_what_burns():
    site = site_of(scene((-1.5, 1.5, 11.0, 4.0), (-9.0, -6.0, 12.0, 5.0), (1.9, 2.2, 4.0, 3.0)), POCKET_LENS)
    assert abs(site.x) < 1.5 and 10.5 < site.z < 13.0
    assert 3.4 < site.size < 4.2 and 0.9 < site.radius < 2.0


def test_of_two_things_that_stand_as_well_one_burns_and_not_the_gap_between_them():
    posts = (-4.7, -4.5, 11.0, 4.0), (4.5, 4.7, 11.0, 4.0)
    site = site_of(scene(*posts, (-20.0, 20.0, 24.0, 9.0)), POCKET_LENS)
    assert 4.0 < abs(site.x) < 6.0 and np.isfinite([site.z, site.size, site.radius]).all()


def test_what_passes_by_does_not_burn():
    walls = scene((-0.4, 0.4, 11.0, 2.0), (3.0, 6.0, 13.0, 4.0))
    stands = torch.ones(96, 160, dtype=torch.bool)
    stands[:, 70:90] = False
    assert site_of(walls, POCKET_LENS).x == pytest.approx(0, abs=0.5)
    assert site_of(Surface(walls.picture, walls.disparity, LEVEL, stands), POCKET_LENS).x > 2.5


def test_where_nothing_stands_a_bonfire_burns_on_the_ground_ahead():
    site = site_of(scene(), POCKET_LENS)
    assert (site.x, site.z, site.size) == (0.0, 8.0, 2.0)


@given(st.floats(0, 100), st.floats(0.1, 1))
def test_flames_burn_upwards_over_the_thing_and_smoke_rises_from_above_it(time_s, amount):
    feet, tips, broad = tongues(HOUSE, amount, time_s)
    middles, radii, age = puffs(HOUSE, amount, time_s)
    assert (tips[:, 1] < feet[:, 1]).all() and (feet[:, 1] <= 0).all() and (broad > 0).all()
    assert (np.hypot(feet[:, 0] - HOUSE.x, feet[:, 2] - HOUSE.z) <= HOUSE.radius + 1e-6).all()
    assert (middles[:, 1] < -0.8 * HOUSE.size).all() and (radii >= 0).all() and ((age >= 0) & (age < 1)).all()
    order = np.argsort(age)
    assert (np.diff(middles[order, 1]) < 0).all(), "older smoke is higher"


@settings(deadline=None)
@given(st.floats(0, 30))
def test_a_fire_grows_with_how_far_it_is_there(time_s):
    covers = [burning(HOUSE, amount, time_s, LEVEL, 48, 80, POCKET_LENS) for amount in (0.0, 0.3, 1.0)]
    assert all(maps.shape == (MAPS, 48, 80) and maps.dtype == np.float32 for maps in covers)
    assert all(maps.min() >= 0 and maps.max() <= 1 for maps in covers)
    flames, light = ([float(maps[k].sum()) for maps in covers] for k in (0, -1))
    assert flames[0] < flames[1] < flames[2] and light[0] == 0 < light[1] < light[2]


def test_who_turns_away_from_a_fire_sees_nothing_of_it():
    away = LEVEL.copy()
    away[:3, :3] = np.diag([-1.0, 1.0, -1.0])
    assert burning(HOUSE, 1.0, 3.0, away, 48, 80, POCKET_LENS).sum() == 0
