"""Walks that come back, and which of their frames count as a return."""

import numpy as np
import pytest

from engine.actions import KEY_RIGHT, KEY_S, KEY_W, POCKET, Step, advance, heading, poses_from_steps
from engine.evaluation.revisits import find_revisits, overlap
from engine.evaluation.routes import ROUTES, plan_route
from engine.geometry import POCKET_LENS
from engine.trajectories import BODY
from tests.engine.evaluation.conftest import route_clips, shoot

EMPTY, POSTS = np.empty((0, 3)), np.array([[x, z, 0.4] for x in (-9, -6, 6, 9) for z in (-9, -6, -2, 2, 6, 9)])
RULE = {"recent": 48, "overlap_below": 0.1, "every": 4}


def route(name, seed=0, obstacles=EMPTY):
    return plan_route(np.random.default_rng(seed), obstacles, 253, route=name)


@pytest.mark.parametrize("name", ["there-and-back", "away-and-back"])
def test_the_way_back_shows_the_poses_of_the_way_out_to_the_bit(name):
    for seed in range(4):
        poses = route(name, seed).poses
        assert len(poses) == 253 and np.array_equal(poses, poses[::-1])
        assert abs(np.degrees(heading(poses[126])[0])) > 80


def test_a_circuit_closes_and_goes_on_along_its_beginning():
    for seed in range(4):
        poses = route("circuit", seed).poses
        there = np.linalg.norm(poses[150:, :3, 3] - poses[0, :3, 3], axis=-1)
        period = 150 + int(there.argmin())
        assert period % 8 == 0 and 176 <= period <= 200
        np.testing.assert_allclose(poses[period:], poses[: 253 - period], atol=1e-3)


@pytest.mark.parametrize("name", ROUTES)
def test_keys_and_mouse_lead_along_the_poses_within_six_millimetres_a_frame(name):
    for seed in range(3):
        walk = route(name, seed, POSTS)
        for f in range(1, 253):
            step = Step(int(walk.keys[f]), *(float(angle) for angle in walk.mouse[f]))
            off = advance(walk.poses[f - 1], step, POCKET) - walk.poses[f]
            assert np.abs(off[:3, 3]).max() < 6e-3 and np.abs(off[:3, :3]).max() < 1e-5
        assert np.abs(walk.mouse).max() <= np.radians(2.2) + 1e-6


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_keeps_out_of_obstacles_and_still_comes_back(name):
    for seed in range(6):
        poses = route(name, seed, POSTS).poses
        gap = np.linalg.norm(poses[:, None, (0, 2), 3] - POSTS[None, :, :2], axis=-1) - POSTS[:, 2]
        away = np.linalg.norm(poses[150:, :3, 3] - poses[1, :3, 3], axis=-1)
        assert gap.min() >= BODY - 1e-9 and away.min() < 0.02


def test_a_circuit_with_no_room_turns_on_the_spot():
    walls = np.array([[x, z, 0.1] for x, z in ((0.8, 0), (-0.8, 0), (0, 0.8), (0, -0.8))])
    poses = route("circuit", 0, walls).poses
    assert np.abs(poses[:, (0, 2), 3]).max() == 0 and np.ptp(np.unwrap(heading(poses)[0])) > 2 * np.pi


@pytest.mark.parametrize(("name", "frames"), [("zigzag", 253), ("circuit", 252)])
def test_an_unknown_route_and_part_of_a_latent_are_refused(name, frames):
    with pytest.raises(ValueError, match=r"choose one of|ask for 4 k"):
        plan_route(np.random.default_rng(0), EMPTY, frames, route=name)


@pytest.mark.parametrize("name", ROUTES)
def test_every_route_has_returns_that_only_memory_can_know(name):
    (clip,) = route_clips(name)
    pairs = find_revisits(clip.poses, clip.depth, POCKET_LENS, **RULE)
    assert len(pairs) >= 5
    assert (pairs.again - pairs.first > 96).all() and (pairs.first > 0).all()
    np.testing.assert_allclose(clip.poses[pairs.first], clip.poses[pairs.again], atol=0.01)
    for first, again in zip(pairs.first, pairs.again, strict=True):
        assert overlap(clip.poses, clip.depth, POCKET_LENS, first, (first + again) // 2) < 0.1


def test_walking_out_and_back_without_looking_away_counts_nothing():
    clip = shoot(poses_from_steps([Step(KEY_W)] * 126 + [Step(KEY_S)] * 126, POCKET), 64, 32)
    assert len(find_revisits(clip.poses, clip.depth, POCKET_LENS, **RULE)) == 0


def test_what_the_recent_window_still_holds_at_the_turning_point_does_not_count():
    out = poses_from_steps([Step(KEY_RIGHT, yaw=np.radians(1.1))] * 60, POCKET)  # 132 degrees
    clip = shoot(np.concatenate([out, out[-2::-1]]), 64, 32)
    pairs = find_revisits(clip.poses, clip.depth, POCKET_LENS, **RULE)
    assert pairs.first.tolist() == [8, 4] and pairs.again.tolist() == [112, 116]


def test_the_overlap_of_a_turn_is_the_strip_that_stays_in_view():
    poses = poses_from_steps([Step(KEY_RIGHT)] * 70, POCKET)
    depths = np.full((71, 32, 64), np.inf)
    shares = [overlap(poses, depths, POCKET_LENS, 0, turning) for turning in (0, 32, 64)]
    strip = 0.5 - POCKET_LENS.fx * np.tan(np.radians(32 * 1.1) - np.radians(35))
    assert shares[0] == 1 and shares[1] == pytest.approx(strip, abs=0.06) and shares[2] == 0
