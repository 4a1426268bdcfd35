"""Camera motion from frames alone, on clips whose motion is known."""

import numpy as np
import pytest

from engine.actions import (
    KEY_A,
    KEY_D,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_S,
    KEY_UP,
    KEY_W,
    POCKET,
    Step,
    heading,
    poses_from_steps,
)
from engine.evaluation.following import CLASSES, chunk_motions, score
from engine.evaluation.motion import (
    RATES,
    camera_distance,
    estimate_in_pieces,
    estimate_motions,
    motions_from_poses,
    path_errors,
    path_length,
    poses_from_motions,
)
from engine.evaluation.protocol import short_protocol
from engine.geometry import POCKET_LENS
from tests.engine.evaluation.conftest import film

RULE = short_protocol().following


def estimated(clip):
    poses = clip.poses[::4]
    return estimate_motions(clip.frames[::4], clip.depth[::4], heading(poses)[1], POCKET_LENS)


def test_motions_lead_back_to_the_poses_they_came_from():
    rng = np.random.default_rng(2)
    poses = poses_from_steps([Step(int(keys), *rng.normal(0, 0.01, 2)) for keys in rng.integers(0, 256, 40)], POCKET)
    np.testing.assert_allclose(poses_from_motions(poses[0], motions_from_poses(poses)), poses, atol=1e-9)


@pytest.mark.parametrize(
    "keys", [0, KEY_W, KEY_S, KEY_D, KEY_A, KEY_RIGHT, KEY_LEFT, KEY_UP, KEY_W | KEY_RIGHT, KEY_D | KEY_LEFT]
)
def test_known_motion_over_a_plain_is_found_within_an_eighth_of_a_key(walk_of, keys):
    clip = walk_of(keys, 16)
    error = estimated(clip) - motions_from_poses(clip.poses[::4])
    assert np.abs(error.mean(0) / RATES).max() < 0.125


@pytest.mark.parametrize("degrees", [-3.3, 3.3])
def test_the_fastest_turn_is_found_too(degrees):
    clip = film([Step(yaw=np.radians(degrees))] * 8)
    error = estimated(clip) - motions_from_poses(clip.poses[::4])
    assert np.abs(error / RATES).max() < 0.1


def test_pictures_without_texture_report_no_motion():
    grey, depths = np.full((4, 96, 160, 3), 128, np.uint8), np.full((4, 96, 160), 9.0)
    assert np.abs(estimate_motions(grey, depths, np.zeros(4), POCKET_LENS)).max() < 1e-3


def test_a_flash_of_light_is_no_motion(walk_of):
    clip = walk_of(0, 8)
    frames = clip.frames[::4].copy()
    frames[1] = np.minimum(frames[1].astype(int) + 40, 255)
    assert np.abs(estimate_motions(frames, clip.depth[::4], np.zeros(3), POCKET_LENS) / RATES).max() < 0.1


def test_frames_that_stand_still_do_not_follow_the_keys(walk_of):
    asked = motions_from_poses(walk_of(KEY_W | KEY_RIGHT, 28).poses[::4])
    card = score([asked], [asked * 0], RULE)
    assert card.recall["forward"] == card.recall["yaw"] == 0 and card.recall["none"] == 1


def test_the_commanded_motion_itself_scores_perfectly_with_gain_one():
    poses = poses_from_steps([Step(KEY_W)] * 12 + [Step(KEY_S | KEY_RIGHT)] * 16 + [Step(KEY_A | KEY_UP)] * 16, POCKET)
    asked = motions_from_poses(poses[::4])
    card = score([asked], [asked], RULE)
    assert card.accuracy == 1 and all(card.recall[name] == 1 for name in CLASSES)
    assert all(gain == pytest.approx(1) for gain in card.gain.values())


def test_motion_along_axes_at_rest_is_counted_as_wrong():
    asked = np.zeros((7, 4))
    asked[:, 0] = RATES[0]
    drifting = asked + [0, RATES[1], 0, 0]
    assert score([asked], [drifting], RULE).recall["none"] == pytest.approx(2 / 3)


def test_a_key_held_for_a_quarter_of_a_chunk_counts_neither_way():
    asked = np.zeros((3, 4))
    asked[0, 0] = RATES[0]
    assert score([asked], [asked], RULE).counts["forward"] == 0


def test_chunks_are_three_motions_first_then_four():
    motions = np.repeat(np.arange(1.0, 12.0)[:, None], 4, 1) * RATES
    np.testing.assert_allclose(chunk_motions(motions)[:, 0], [2, 5.5, 9.5])
    assert len(chunk_motions(motions[:10])) == 2


def test_camera_distances_are_the_angle_and_the_metres_between_paths():
    truth = poses_from_steps([Step()] * 4, POCKET)
    other = truth.copy()
    other[1:, 0, 3] += 3.0
    assert camera_distance(other, truth) == (pytest.approx(0, abs=1e-6), pytest.approx(3))
    turned = poses_from_steps([Step(yaw=0.2), Step(), Step(), Step()], POCKET)
    assert camera_distance(turned, truth)[0] == pytest.approx(0.2)


def test_errors_along_a_path_are_degrees_and_a_share_of_its_length():
    truth = poses_from_steps([Step(KEY_W)] * 50, POCKET)  # six metres
    aside = truth.copy()
    aside[1:, 0, 3] += 0.6
    assert path_errors(aside, truth) == (pytest.approx(0, abs=1e-5), pytest.approx(0.1))
    turned = poses_from_steps([Step(KEY_W, yaw=np.radians(2))] + [Step(KEY_W)] * 49, POCKET)
    assert path_errors(turned, truth)[0] == pytest.approx(2)
    assert path_length(truth) == pytest.approx(6)


def test_a_camera_that_only_turns_has_no_path_to_err_along():
    truth = poses_from_steps([Step(KEY_RIGHT)] * 20, POCKET)
    angle, share = path_errors(truth, truth)
    assert angle == pytest.approx(0, abs=1e-5) and np.isnan(share)


def test_estimating_in_pieces_changes_nothing(walk_of):
    clip = walk_of(KEY_W | KEY_RIGHT, 24, width=64, height=32)
    frames, depths, pitches = clip.frames[::4], clip.depth[::4], np.zeros(7)
    whole = estimate_motions(frames, depths, pitches, POCKET_LENS)
    np.testing.assert_allclose(estimate_in_pieces(frames, depths, pitches, POCKET_LENS, piece=2), whole, atol=1e-6)
