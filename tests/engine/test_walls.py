"""Walking stops before what is solid, slides along it, and is stopped by nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import KEY_D, KEY_RIGHT, KEY_S, KEY_W, POCKET, Step, heading, latent_poses, start_pose, turn
from engine.depth import ground_disparity
from engine.geometry import POCKET_LENS
from engine.guide import Surface
from engine.hero import PORTRAIT, Hero, HeroConfig, HeroPainter
from engine.walls import RULE, character_ahead, keep_clear, lookouts, obstacles
from tests.engine.tiny import tiny_weights, tiny_world

H, W = 96, 160
SURE = np.ones((H, W))


def camera(yaw: float = 0.0, pitch: float = 0.0) -> np.ndarray:
    pose = start_pose(POCKET)
    pose[:3, :3] = turn(math.radians(yaw), math.radians(pitch))
    return pose


def ground(pose: np.ndarray) -> np.ndarray:
    """Disparity of open ground under the sky."""
    return ground_disparity(pose, H, W, POCKET_LENS).numpy().clip(0)


def wall(pose: np.ndarray, across: tuple[float, float], distance: float, tall: float = 3.0) -> np.ndarray:
    """Open ground with a wall whose points (x, z) fulfil `across . (x, z) = distance`, from the ground to `tall`."""
    x = ((np.arange(W) + 0.5) / W - 0.5) / POCKET_LENS.fx
    y = ((np.arange(H) + 0.5) / H - 0.5) / POCKET_LENS.fy
    rays = np.stack([np.broadcast_to(x, (H, W)), np.broadcast_to(y[:, None], (H, W)), np.ones((H, W))], -1)
    rays = rays @ pose[:3, :3].T
    near = (across[0] * rays[..., 0] + across[1] * rays[..., 2]) / distance  # 1 / depth where the ray meets the wall
    height = 1.6 - rays[..., 1] / np.where(near > 0, near, np.inf)
    return np.maximum(ground(pose), np.where((near > 0) & (height > 0) & (height < tall), near, 0))


def walked(disparity: np.ndarray, pose: np.ndarray, keys: int, latents: int = 4, sure: np.ndarray = SURE) -> np.ndarray:
    poses = latent_poses([Step(keys=keys)] * latents, POCKET, pose)
    return keep_clear(obstacles(disparity, sure, pose, POCKET_LENS), poses)


def wanted(pose: np.ndarray, keys: int, latents: int = 4) -> np.ndarray:
    return latent_poses([Step(keys=keys)] * latents, POCKET, pose)


@pytest.mark.parametrize("pitch", [-25, 0, 25])
@pytest.mark.parametrize("distance", [1.4, 1.7, 2.0, 2.4])
def test_a_wall_in_the_way_is_met_at_arms_length(distance, pitch):
    pose = camera(pitch=pitch)
    reached = walked(wall(pose, (0, 1), distance), pose, KEY_W)[-1, 2, 3]
    assert distance - RULE.clearance - 0.1 <= reached <= distance - RULE.clearance + 0.05


@pytest.mark.parametrize("pitch", [-25, -10, 0, 10, 25])
@pytest.mark.parametrize("keys", [KEY_W, KEY_S, KEY_D, KEY_W | KEY_D, KEY_W | KEY_RIGHT])
def test_open_ground_and_sky_stop_nobody(keys, pitch):
    pose = camera(pitch=pitch)
    assert np.allclose(walked(ground(pose), pose, keys), wanted(pose, keys))


def test_the_ground_stops_nobody_though_its_depth_is_a_quarter_wrong():
    pose = camera()
    wrong = np.random.default_rng(0).uniform(0.75, 1.25, (H, W))
    assert np.allclose(walked(ground(pose) * wrong, pose, KEY_W), wanted(pose, KEY_W))


def test_a_wall_that_is_not_sure_stops_nobody():
    pose = camera()
    found = walked(wall(pose, (0, 1), 1.5), pose, KEY_W, sure=np.full((H, W), RULE.sure - 0.01))
    assert np.allclose(found, wanted(pose, KEY_W))


def test_a_kerb_and_a_blade_of_grass_stop_nobody_and_a_pole_does():
    pose = camera()
    blade, pole = ground(pose), ground(pose)
    column = wall(pose, (0, 1), 1.5, tall=1.0)[:, W // 2]
    blade[:, W // 2], pole[:, W // 2] = column, 1 / 1.5
    assert not np.allclose(walked(pole, pose, KEY_W), wanted(pose, KEY_W)), "a pixel wide, from knee to head"
    for picture in (wall(pose, (0, 1), 1.5, tall=0.3), blade):
        assert np.allclose(walked(picture, pose, KEY_W), wanted(pose, KEY_W))


def test_a_lintel_above_the_head_stops_nobody():
    pose = camera(pitch=20)
    picture = wall(pose, (0, 1), 2.0)
    picture[obstacle_rows(picture, pose, 2.3)] = 0
    assert np.allclose(walked(picture, pose, KEY_W), wanted(pose, KEY_W))


def obstacle_rows(picture: np.ndarray, pose: np.ndarray, least: float) -> np.ndarray:
    """Pixels of a picture that are lower than `least` above the ground."""
    y = ((np.arange(H) + 0.5) / H - 0.5) / POCKET_LENS.fy
    x = ((np.arange(W) + 0.5) / W - 0.5) / POCKET_LENS.fx
    down = pose[1, 0] * x + pose[1, 1] * y[:, None] + pose[1, 2]
    return 1.6 - down / np.where(picture > 0, picture, np.inf) < least


@pytest.mark.parametrize("side", [-1, 1])
def test_a_wall_met_at_an_angle_is_slid_along(side):
    across = (side * math.sin(math.radians(50)), math.cos(math.radians(50)))
    pose = camera()
    last = walked(wall(pose, across, 1.4), pose, KEY_W, latents=8)[-1, [0, 2], 3]
    assert RULE.clearance - 0.1 <= 1.4 - float(np.dot(across, last)) <= RULE.clearance + 0.1  # beside the wall
    assert np.linalg.norm(last) > 1.2 and last[0] * side < 0  # and well along it, away from where it comes nearer


def test_a_corner_is_a_dead_end_and_can_be_left_again():
    pose = camera()
    corner = np.maximum(
        wall(pose, (math.sin(0.8), math.cos(0.8)), 1.2), wall(pose, (-math.sin(0.8), math.cos(0.8)), 1.2)
    )
    plan = obstacles(corner, SURE, pose, POCKET_LENS)
    there = keep_clear(plan, wanted(pose, KEY_W, 12))
    assert np.allclose(there[-1], there[-4], atol=0.02)
    back = wanted(there[-1], KEY_S)
    assert np.allclose(keep_clear(plan, back), back)


def test_who_stands_too_near_already_may_only_not_come_nearer():
    pose = camera()
    picture = wall(pose, (0, 1), 0.3)
    assert np.allclose(walked(picture, pose, KEY_W)[-1, :3, 3], pose[:3, 3], atol=1e-6)
    assert np.allclose(walked(picture, pose, KEY_S), wanted(pose, KEY_S))


def path(*places: tuple[float, float], yaw: float = 0.0) -> np.ndarray:
    poses = np.stack([camera(yaw)] * len(places))
    poses[:, [0, 2], 3] = places
    return poses


def test_walls_are_seen_from_where_one_stands_and_from_places_apart_however_long_one_has_stood():
    walk = path((0, -9), (0, 0), (0, 0.2), (0, 2), *[(0, 4)] * 500)
    everywhere = np.arange(len(walk))
    assert lookouts(walk, everywhere) == [len(walk) - 1, 3, 2]  # one place is too far, one too near to another
    assert lookouts(walk, np.array([1, 3, 100])) == [100, 3, 1]
    assert lookouts(path((0, 0)), np.array([0])) == [0]


def test_a_look_elsewhere_counts_as_another_place_and_there_are_only_so_many():
    walk = np.concatenate([path((0, 0), yaw=degrees) for degrees in range(0, 360, 30)])
    assert lookouts(walk, np.arange(12)) == [11, 10, 9, 8, 7, 6, 5, 4][: RULE.places]


def walked_behind(picture: np.ndarray, ahead: float, pose: np.ndarray, keys: int = KEY_W) -> np.ndarray:
    return keep_clear(obstacles(picture, SURE, pose, POCKET_LENS), wanted(pose, keys, 12), ahead=ahead)


def test_a_character_ahead_is_met_by_a_wall_before_the_camera_is():
    pose = camera()
    picture = wall(pose, (0, 1), 5.5)
    assert walked_behind(picture, 4.0, pose)[-1, 2, 3] == pytest.approx(5.5 - 4.0 - RULE.clearance, abs=0.1)
    assert walked_behind(picture, 0.0, pose)[-1, 2, 3] > 2.0


def test_a_character_looks_where_the_camera_does():
    pose = camera(yaw=90)
    reached = walked_behind(wall(pose, (1, 0), 5.5), 4.0, pose)[-1]
    assert reached[0, 3] == pytest.approx(5.5 - 4.0 - RULE.clearance, abs=0.1)
    assert np.allclose(walked_behind(wall(pose, (1, 0), 5.5), 4.0, pose, KEY_S), wanted(pose, KEY_S, 12))


def surface(stands: np.ndarray | None, disparity: np.ndarray) -> Surface:
    return Surface(
        torch.zeros(3, H, W),
        torch.from_numpy(disparity.astype(np.float32)),
        camera(),
        None if stands is None else torch.from_numpy(stands),
    )


def test_who_walks_ahead_is_seen_in_the_middle_of_the_picture_by_how_far_away_they_are():
    stands, disparity = np.ones((H, W), dtype=bool), np.full((H, W), 1 / 20)
    assert character_ahead(surface(None, disparity)) == character_ahead(surface(stands, disparity)) == 0
    stands[40:90, 70:90], disparity[40:90, 70:90] = False, 1 / 4
    assert character_ahead(surface(stands, disparity)) == pytest.approx(4)
    assert character_ahead(surface(np.roll(stands, 60, axis=1), np.roll(disparity, 60, axis=1))) == 0, "somebody beside"
    assert character_ahead(surface(stands, np.full((H, W), 1 / 20))) == 0, "somebody far away"


@pytest.mark.parametrize("ahead", [0.0, 1.0])
def test_who_walks_ahead_is_stopped_in_the_camera_s_stead(monkeypatch, ahead):
    monkeypatch.setattr("engine.walls.obstacles", lambda *_: np.array([[0.0, 2.5]]))
    hero = Hero(ahead, torch.zeros(1, 512), torch.zeros(1, 12, *PORTRAIT)) if ahead else None
    monkeypatch.setattr("engine.surfaces.meet", lambda *_: hero and (hero, torch.zeros(3, 32, 64)))
    weights = replace(tiny_weights(), hero=HeroPainter(HeroConfig()).eval())
    world = tiny_world(weights, image=np.full((32, 64, 3), 128, np.uint8))
    for _ in range(6):
        list(world.step([Step(keys=KEY_W, walls=True)] * 2))
        world.commit()
    assert world.pose[2, 3] == pytest.approx(2.5 - ahead - RULE.clearance, abs=0.1)


plans = st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), max_size=30)


@settings(max_examples=100, deadline=None)
@given(plans, st.lists(st.integers(0, 255), min_size=1, max_size=6), st.floats(-3, 3))
def test_whatever_stands_around_the_way_is_never_longer_nor_nearer_and_looks_where_it_should(plan, keys, yaw):
    places = np.array(plan, dtype=float).reshape(-1, 2)
    pose = camera(yaw=math.degrees(yaw))
    asked = latent_poses([Step(keys=key) for key in keys], POCKET, pose)
    found = keep_clear(places, asked)
    assert np.array_equal(found[:, :3, :3], asked[:, :3, :3]) and np.array_equal(found[:, 1, 3], asked[:, 1, 3])
    steps, most = (np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1) for poses in (found, asked))
    assert (steps <= most + 1e-9).all()
    if len(places):
        gaps = np.linalg.norm(found[:, None, [0, 2], 3] - places, axis=-1)
        assert (gaps >= np.minimum(RULE.clearance, gaps[0]) - 0.02).all()
    assert np.allclose(heading(found)[0], heading(asked)[0])
