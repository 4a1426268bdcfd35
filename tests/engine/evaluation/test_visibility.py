"""What the given frame shows of a later one, against scenes whose answer is known."""

import numpy as np

from engine.actions import KEY_RIGHT, KEY_W, POCKET, Step, poses_from_steps, start_pose, turn
from engine.evaluation.metrics import psnr
from engine.evaluation.rollout import repeat_first, shown_pixels, warp_first
from engine.evaluation.visibility import project, rays, rotate_view, visible_in
from engine.geometry import POCKET_LENS

H, W = 96, 160


def test_projecting_a_ray_gives_its_pixel():
    at, depth = project(7.0 * rays(POCKET_LENS, W, H), POCKET_LENS, W, H)
    columns, rows = np.meshgrid(np.arange(W), np.arange(H))
    np.testing.assert_allclose(at, np.stack([columns, rows], -1), atol=1e-9)
    assert (depth == 7).all()


def test_a_camera_that_does_not_move_sees_what_it_saw(walk_of):
    assert shown_pixels(walk_of(0, 2)).all()


def test_turning_by_a_known_angle_reveals_exactly_the_strip_that_enters():
    pose = start_pose(POCKET)
    turned = pose.copy()
    angle = np.radians(20)
    turned[:3, :3] = turn(angle, 0.0)
    far = np.full((H, W), np.inf)
    seen = visible_in(far, pose, far, turned, POCKET_LENS)[H // 2]
    x = ((np.arange(W) + 0.5) / W - 0.5) / POCKET_LENS.fx
    expected = np.arctan(x) + angle < np.radians(35)
    assert abs(int(seen.sum()) - int(expected.sum())) <= 1 and seen[:80].all()


def test_a_wall_hides_what_stands_behind_it():
    pose = start_pose(POCKET)
    given = np.full((H, W), 20.0)
    given[:, 60:100] = 4.0  # a post before the wall
    aside = pose.copy()
    aside[0, 3] += 2.0
    points = rays(POCKET_LENS, W, H) * 20.0 + [2.0, 0.0, 0.0]  # the wall alone, seen from the side
    column = project(points, POCKET_LENS, W, H)[0][..., 0]
    seen = visible_in(given, pose, np.full((H, W), 20.0), aside, POCKET_LENS)
    assert not seen[(column > 62) & (column < 97)].any()
    assert seen[(column > 1) & (column < 57)].all()


def test_walking_forward_shows_little_that_the_first_frame_did_not(walk_of):
    ahead, back = shown_pixels(walk_of(KEY_W, 30))[-1].mean(), shown_pixels(walk_of(1 << 1, 30))[-1].mean()
    assert ahead > 0.97 and back < 0.9


def test_a_pure_rotation_is_warped_exactly_where_the_given_frame_shows_it(walk_of):
    clip = walk_of(KEY_RIGHT, 12)
    shown = shown_pixels(clip)
    assert 0.7 < shown[-1].mean() < 0.9
    assert psnr(warp_first(clip), clip.frames, shown)[-1] > 30
    assert psnr(warp_first(clip), clip.frames)[-1] > psnr(repeat_first(clip), clip.frames)[-1] + 1


def test_the_warp_without_a_turn_is_the_given_frame(walk_of):
    clip = walk_of(KEY_W, 4)
    np.testing.assert_array_equal(warp_first(clip)[-1], clip.frames[0])


def test_holes_of_the_warp_replicate_the_edge():
    picture = np.zeros((H, W, 3), np.uint8)
    picture[:, -1] = 200
    pose = start_pose(POCKET)
    turned = poses_from_steps([Step(yaw=np.radians(30))], POCKET)[-1]
    warped = rotate_view(picture, pose, turned, POCKET_LENS)
    assert (warped[H // 2, -40:] == 200).all() and (warped[H // 2, :40] == 0).all()
