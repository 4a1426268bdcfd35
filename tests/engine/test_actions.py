"""Keys, poses and action labels: the released rules exactly, and `pocket`'s own walking."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import actions
from engine.actions import POCKET, POCKET_LABELS, WORLDPLAY, LabelRule, Motion, Step
from engine.errors import WanderError

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "actions.json"
angles = st.floats(-3.0, 3.0)
steps = st.builds(Step, st.integers(0, 255), st.floats(-0.15, 0.15), st.floats(-0.15, 0.15))


@pytest.fixture(scope="module")
def released() -> dict:
    return json.loads(FIXTURE.read_text())


def test_every_released_pose_string_gives_the_released_cameras_and_labels(released):
    for case in released["pose_strings"]:
        poses = actions.latent_poses(actions.parse_pose_string(case["pose"]), WORLDPLAY)
        np.testing.assert_allclose(np.linalg.inv(poses), case["w2c"], atol=released["tolerance"]["w2c"])
        assert actions.actions_from_poses(poses).tolist() == case["labels"]


def test_every_malformed_pose_string_is_refused_in_a_sentence(released):
    for text in [*released["pose_string_errors"], "w-inf", "w-nan", "w-1e9", "w-1,", ","]:
        with pytest.raises(WanderError):
            actions.parse_pose_string(text)


def test_all_81_key_combinations_have_their_released_pose_and_label(released):
    for case in released["compounds"]:
        step = Step(actions.keys_from_names(case["keys"]))
        poses = actions.poses_from_steps([step] * case["steps"], WORLDPLAY)
        np.testing.assert_allclose(np.linalg.inv(poses[-1]), case["w2c_last"], atol=1e-9)
        assert actions.action_from_poses(poses[-2], poses[-1]) == case["label"] == actions.action_from_keys(step.keys)
    assert len({case["label"] for case in released["compounds"]}) == actions.ACTIONS


def test_released_motion_lists_and_orbits_move_the_camera_as_released(released):
    for case in released["motion_lists"]:
        pose = np.eye(4)
        for motion, expected in zip(case["motions"], case["w2c"][1:], strict=True):
            names = {"orbit" if name == "third_yaw" else name: value for name, value in motion.items()}
            pose = actions.fly(pose, Motion(**names))
            np.testing.assert_allclose(np.linalg.inv(pose), expected, atol=1e-9)


def test_labels_of_any_released_trajectory_are_exact(released):
    for case in released["motion_lists"] + released["c2w_trajectories"]:
        poses = np.linalg.inv(np.array(case["w2c"]))
        assert actions.actions_from_poses(poses).tolist() == case["labels"], case["name"]
        third_person = actions.actions_from_poses(poses, LabelRule(third_person=True))
        assert third_person.tolist() == case["labels_third_person"], case["name"]


@given(st.lists(steps, min_size=1, max_size=12))
def test_frame_poses_pass_through_the_latent_poses(walked):
    np.testing.assert_array_equal(actions.frame_poses(walked, POCKET)[::4], actions.latent_poses(walked, POCKET))


@given(st.integers(0, 255), angles, st.floats(-0.3, 0.3))
def test_in_pocket_the_label_of_the_poses_is_the_label_of_the_keys_at_any_heading_and_pitch(keys, yaw, pitch):
    start = actions.walk(actions.start_pose(POCKET), Motion(yaw=yaw, pitch=pitch))
    before, after = actions.latent_poses([Step(keys)], POCKET, start)
    assert actions.action_from_poses(before, after, POCKET_LABELS) == actions.action_from_keys(keys)


@given(st.lists(steps, max_size=20))
def test_walking_keeps_the_eye_height_the_horizon_and_the_pitch_limit(walked):
    poses = actions.frame_poses(walked, POCKET)
    np.testing.assert_allclose(poses[:, 1, 3], -POCKET.eye_height)
    np.testing.assert_allclose(poses[:, 1, 0], 0, atol=1e-12)
    assert np.abs(actions.heading(poses)[1]).max() <= POCKET.max_pitch + 1e-12


@given(st.lists(steps, max_size=10), angles, angles, angles)
@settings(max_examples=50)
def test_moving_the_world_origin_on_the_ground_changes_no_label(walked, yaw, x, z):
    poses = actions.latent_poses(walked, POCKET)
    moved = actions.walk(np.eye(4), Motion(yaw=yaw, right=x, forward=z)) @ poses
    shift, turned, tilted = actions.relative_motion(poses[:-1], poses[1:], True)
    for left, right in zip((shift, turned, tilted), actions.relative_motion(moved[:-1], moved[1:], True), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-9)


def test_walking_a_second_forward_covers_24_frames_of_ground():
    pose = actions.latent_poses([Step(actions.KEY_W)] * 6, POCKET)[-1]
    np.testing.assert_allclose(pose[:3, 3], [0, -1.6, 24 * 0.12])


def test_opposite_keys_cancel():
    both = Step(actions.keys_from_names(["w", "s", "left", "right"]))
    np.testing.assert_array_equal(actions.advance(np.eye(4), both, POCKET), np.eye(4))
    assert actions.action_from_keys(both.keys) == 0


def test_the_mouse_part_of_a_step_is_spread_over_its_frames_and_kept_whole():
    poses = actions.frame_poses([Step(0, yaw=0.08)], POCKET)
    np.testing.assert_allclose(actions.heading(poses)[0], [0, 0.02, 0.04, 0.06, 0.08])


@given(st.floats(-2, 2))
def test_mouse_look_over_the_limit_is_carried_and_never_lost(pending):
    spent, rest = actions.spend_look(pending, POCKET)
    assert abs(spent) <= 4 * math.radians(2.2) + 1e-12
    assert spent + rest == pytest.approx(pending)
