"""Walks for training data."""

import math

import numpy as np
import pytest

from engine.actions import KEY_D, KEY_S, KEY_W, POCKET, Step, advance, heading
from engine.trajectories import BODY, KINDS, SHARES, facing_and_stride, plan

EMPTY = np.empty((0, 3))
WALL = np.array([[x, 6.0, 1.0] for x in np.arange(-30, 31, 1.5)])


@pytest.mark.parametrize("kind", KINDS)
def test_poses_follow_exactly_from_keys_and_mouse(kind):
    walk = plan(np.random.default_rng(1), WALL, 93, kind=kind, start=(0, 0, 0.3))
    for f in range(1, 93):
        step = Step(int(walk.keys[f]), float(walk.mouse[f, 0]), float(walk.mouse[f, 1]))
        assert np.array_equal(walk.poses[f], advance(walk.poses[f - 1], step, POCKET))


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_keeps_out_of_obstacles_and_inside_the_bounds(kind):
    for seed in range(6):
        walk = plan(np.random.default_rng(seed), WALL, 93, kind=kind, start=(0, 2, 0.0), bounds=12.0)
        at = walk.poses[:, (0, 2), 3]
        gap = np.linalg.norm(at[:, None] - WALL[None, :, :2], axis=-1) - WALL[:, 2]
        assert gap.min() >= BODY - 1e-9 and np.abs(at).max() <= 12.0


def test_a_walker_before_a_wall_stands_still_and_its_key_is_released():
    walk = plan(np.random.default_rng(0), WALL, 93, kind="approach", start=(0.75, 3.0, 0.0))
    moved = np.linalg.norm(np.diff(walk.poses[:, (0, 2), 3], axis=0), axis=-1) > 1e-6
    held = (walk.keys[1:] & (KEY_W | KEY_S | KEY_D)) != 0
    assert np.array_equal(moved, held) and walk.keys[1] & KEY_W and not moved[25]


def test_out_and_back_ends_where_it_began():
    for seed in range(8):
        walk = plan(np.random.default_rng(seed), EMPTY, 93, kind="out-and-back", start=(1, 2, 0.5))
        away = np.linalg.norm(walk.poses[:, :3, 3] - walk.poses[0, :3, 3], axis=-1)
        turned = abs(float(heading(walk.poses[-1])[0]) - 0.5)
        assert away[-1] < 0.35 and turned < math.radians(2) and away.max() > 0.5


def test_looking_around_comes_back_to_the_first_view():
    walk = plan(np.random.default_rng(3), EMPTY, 93, kind="look-around", start=(0, 0, 0.5))
    yaw = np.unwrap(heading(walk.poses)[0])
    assert abs(yaw[-1] - yaw[0]) < math.radians(3) and np.abs(yaw - yaw[0]).max() > math.radians(20)


def test_more_than_half_of_the_clips_come_back_to_what_they_saw():
    assert sum(SHARES.values()) == pytest.approx(1) and set(SHARES) == set(KINDS)
    assert SHARES["out-and-back"] + SHARES["look-around"] + SHARES["loop"] >= 0.6


def test_keys_change_mostly_but_not_only_on_latent_boundaries():
    changes = [
        np.flatnonzero(np.diff(plan(np.random.default_rng(seed), EMPTY, 93, kind="compound").keys[1:])) + 2
        for seed in range(30)
    ]
    on_boundary = np.mean(np.concatenate(changes) % 4 == 1)  # latent j covers frames 4 j - 3 to 4 j
    assert 0.6 < on_boundary < 0.97


def test_the_mouse_never_turns_faster_than_play_allows():
    for seed in range(20):
        walk = plan(np.random.default_rng(seed), EMPTY, 93)
        assert np.abs(walk.mouse).max() <= math.radians(2.2) + 1e-6


def test_a_spot_before_the_camera_is_kept_free_for_a_character():
    for seed in range(6):
        walk = plan(np.random.default_rng(seed), WALL, 61, kind="approach", start=(0, 0, 0.0), ahead=3.2)
        yaw = heading(walk.poses)[0]
        spot = walk.poses[:, (0, 2), 3] + 3.2 * np.stack([np.sin(yaw), np.cos(yaw)], -1)
        moving = (walk.keys & KEY_W) != 0
        gap = np.linalg.norm(spot[:, None] - WALL[None, :, :2], axis=-1) - WALL[:, 2]
        assert gap[moving].min() >= BODY - 1e-9


def test_the_same_stream_gives_the_same_walk():
    a, b = (plan(np.random.default_rng(9), WALL, 93) for _ in range(2))
    assert a.kind == b.kind and np.array_equal(a.poses, b.poses) and np.array_equal(a.keys, b.keys)


def test_a_character_turns_to_where_it_walks_and_stops_its_legs_when_the_keys_are_up():
    keys = np.array([0] * 4 + [KEY_D] * 40 + [0] * 30, np.uint8)
    actor = facing_and_stride(keys)
    assert actor[3, 1] == 0 and actor[43, 1] > 0.95 and actor[-1, 1] < 0.05
    assert actor[43, 0] == pytest.approx(math.pi / 2, abs=0.05)
    assert np.abs(np.diff(actor[:, 0])).max() < 0.6


def test_an_unknown_kind_and_an_empty_walk_are_refused():
    with pytest.raises(ValueError, match="choose one of"):
        plan(np.random.default_rng(0), EMPTY, 9, kind="fly")
    with pytest.raises(ValueError, match="got 0"):
        plan(np.random.default_rng(0), EMPTY, 0)
