"""Cameras: rigid transforms, lenses and projective matrices."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import geometry
from engine.actions import Motion, fly
from engine.errors import WanderError

angles, shifts = st.floats(-3, 3), st.floats(-1e3, 1e3)
poses = st.builds(lambda yaw, pitch, x, z: fly(np.eye(4), Motion(yaw=yaw, pitch=pitch, right=x, forward=z)),
                  angles, angles, shifts, shifts)


@given(poses)
def test_a_rigid_inverse_undoes_the_transform(pose):
    np.testing.assert_allclose(geometry.rigid_inverse(pose) @ pose, np.eye(4), atol=1e-9)


@given(poses, poses)
def test_rebased_cameras_keep_their_relative_motion_and_start_at_the_identity(first, second):
    cameras = geometry.rigid_inverse(np.stack([first, second]))
    rebased = geometry.rebase(cameras)
    np.testing.assert_allclose(rebased[0], np.eye(4), atol=1e-9)
    relative = [c[1] @ geometry.rigid_inverse(c[0]) for c in (cameras, rebased)]
    np.testing.assert_allclose(*relative, atol=1e-8)


def test_released_pixel_intrinsics_give_the_released_lens():
    header = json.loads((Path(__file__).parents[1] / "parity" / "fixtures" / "actions.json").read_text())
    for case in header["c2w_trajectories"]:
        lens = geometry.lens_from_pixels(case["K_pixels"])
        np.testing.assert_allclose([lens.fx, lens.fy], np.diag(case["K"])[:2], atol=header["tolerance"]["K"])
    default = header["pose_strings"][0]["K"]
    np.testing.assert_allclose([geometry.WORLDPLAY_LENS.fx, geometry.WORLDPLAY_LENS.fy], np.diag(default)[:2])


def test_whole_number_intrinsics_are_not_truncated_to_zero():
    assert geometry.lens_from_pixels(np.array([[970, 0, 960], [0, 970, 540], [0, 0, 1]])).fx == 970 / 1920


def test_a_lens_knows_its_field_of_view():
    across, down = geometry.POCKET_LENS.field_of_view
    assert across == pytest.approx(70) and down == pytest.approx(45.58, abs=0.01)


def test_the_edge_of_the_picture_projects_to_one_half():
    lens = geometry.POCKET_LENS
    edge = np.array([np.tan(np.radians(35)), 0, 1, 1])
    assert (geometry.image_from_world(np.eye(4), lens) @ edge)[0] == pytest.approx(0.5)


def test_intrinsics_without_a_focal_length_are_refused():
    with pytest.raises(WanderError, match="above 0"):
        geometry.lens_from_pixels([[0, 0, 960], [0, 970, 540], [0, 0, 1]])
