"""Plane-sweep stereo finds depth from pictures and cameras alone."""

import numpy as np

from engine.evaluation.visibility import rays
from engine.reconstruction.stereo import StereoConfig, census, grey, partners, subpixel_minimum, sweep_all
from tests.engine.reconstruction.scene import LENS, pose

CONFIG = StereoConfig(planes=24, near=2.0, far=30.0)


def speckled(camera, plane_z=5.0, lens=LENS):
    """A wall of speckles across the whole view, `[H, W, 3]`, and its depth."""
    way = rays(lens, 64, 40) @ camera[:3, :3].T
    at = camera[:3, 3] + (plane_z - camera[2, 3]) / way[..., 2:] * way
    wave = np.sin(7.1 * at[..., 0]) * np.cos(6.3 * at[..., 1]) + np.sin(3.7 * at[..., 0] + 5.1 * at[..., 1])
    return np.repeat(np.uint8(127 + 60 * wave)[..., None], 3, -1), np.full((40, 64), plane_z - camera[2, 3])


def test_a_speckled_wall_is_found_at_its_depth():
    cameras = np.stack([pose(x) for x in (-0.5, 0.0, 0.5)])
    depth, sure = sweep_all(np.stack([speckled(camera)[0] for camera in cameras]), cameras, LENS, CONFIG)
    inner = (slice(None), slice(4, -4), slice(8, -8))
    assert np.median(np.abs(depth[inner] / 5.0 - 1)) < 0.03
    assert np.median(sure[inner]) > 0.4


def test_blank_pictures_are_not_believed():
    cameras = np.stack([pose(x) for x in (-0.5, 0.5)])
    _, sure = sweep_all(np.full((2, 40, 64, 3), 128, np.uint8), cameras, LENS, CONFIG)
    assert sure.max() == 0


def test_views_from_one_place_have_no_partners_and_no_confidence():
    cameras = np.stack([pose(yaw=yaw) for yaw in (0.0, 0.1)])
    assert len(partners(cameras, 0, CONFIG)) == 0
    rgb = np.stack([speckled(camera)[0] for camera in cameras])
    assert sweep_all(rgb, cameras, LENS, CONFIG)[1].max() == 0


def test_census_is_blind_to_brightness():
    picture = grey(speckled(pose())[0])
    assert np.array_equal(census(picture), census(picture + 64)) and census(picture).std() > 0


def test_the_parabola_finds_a_minimum_between_planes():
    planes = np.arange(9, dtype=np.float32)
    best, offset = subpixel_minimum(np.square(planes - 4.3)[None, None])
    assert np.isclose(best[0, 0] + offset[0, 0], 4.3, atol=1e-5)
