"""Drops and flakes are points of the world that fall, and cover the pixels where a camera sees them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import POCKET, start_pose
from engine.falling import Falling, ellipses, places, strokes
from engine.geometry import POCKET_LENS, rigid_inverse

DROPS = Falling(count=80, room=(14.0, 9.0, 14.0), fall=(1.0, 15.0, 0.5), flutter=0.0, size=(0.05, 0.4))
FLAKES = Falling(count=80, room=(13.0, 8.0, 13.0), fall=(0.5, 1.5, 0.0), flutter=0.3, size=(0.1, 0.1))
SEEDS = np.random.default_rng(0).random((80, 4))
LEVEL = start_pose(POCKET)


def apart_in(room: tuple[float, float, float], moved: np.ndarray) -> float:
    """The largest of distances, where what is a room away is the same place."""
    half = np.array(room) / 2
    return float(np.abs(np.mod(moved + half, room) - half).max())


@given(st.floats(0, 500), st.floats(-50, 50), st.floats(-50, 50))
def test_points_stay_in_the_room_around_the_eye(time_s, x, z):
    for kind in (DROPS, FLAKES):
        at = places(kind, SEEDS, np.array([x, -1.6, z]), time_s)
        assert (np.abs(at) <= np.array(kind.room) / 2).all()


@given(st.floats(0, 100), st.floats(0, 0.5))
def test_drops_fall_as_fast_as_they_are_said_to_and_come_in_again_on_top(time_s, later):
    eye = np.array([0.0, -1.6, 0.0])
    moved = places(DROPS, SEEDS, eye, time_s + later) - places(DROPS, SEEDS, eye, time_s)
    assert apart_in(DROPS.room, moved - np.array(DROPS.fall) * later) < 1e-6


@given(st.floats(-9, 9), st.floats(-0.2, 0.2), st.floats(-9, 9), st.floats(0, 60))
def test_a_point_is_where_it_is_in_the_world_whoever_looks(x, y, z, time_s):
    here, there = np.array([0.0, -1.6, 0.0]), np.array([x, -1.6 + y, z])
    for kind in (DROPS, FLAKES):
        seen = (places(kind, SEEDS, here, time_s) + here) - (places(kind, SEEDS, there, time_s) + there)
        assert apart_in(kind.room, seen) < 1e-6


@settings(deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-20, 20), st.floats(0, 30))
def test_a_flake_covers_the_pixels_where_it_is_seen(yaw, x, time_s):
    camera = LEVEL.copy()
    camera[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    camera[0, 3] = x
    one = SEEDS[:1]
    covers = strokes(FLAKES, one, camera, time_s, 96, 160, POCKET_LENS)
    seen = rigid_inverse(camera)[:3, :3] @ places(FLAKES, one, camera[:3, 3], time_s)[0]
    column, row = (seen[:2] / seen[2] * [POCKET_LENS.fx, POCKET_LENS.fy] + 0.5) * [160, 96]
    if seen[2] < 1.2:
        assert not covers.any()
    elif 10 < column < 150 and 10 < row < 86:
        rows, columns = np.nonzero(covers > 0.5 * covers.max())
        assert abs(columns.mean() + 0.5 - column) < 1 and abs(rows.mean() + 0.5 - row) < 1


def test_what_is_thinner_than_a_pixel_is_fainter_and_covers_as_much():
    ends = np.array([[[0.0, -2.0, 6.0]], [[0.0, -1.2, 6.0]]])
    totals = [ellipses(ends, np.array([w]), LEVEL, 96, 160, POCKET_LENS).sum() for w in (0.4, 0.02, 0.002)]
    assert totals[1] / totals[2] == pytest.approx(10, rel=1e-3) and 10 < totals[0] / totals[1] < 40
