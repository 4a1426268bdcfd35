"""Worlds from seeds."""

import math
from dataclasses import replace

import numpy as np
import pytest

from render.biomes import BIOMES
from render.moods import MOODS
from render.scene import SOLID, make_world


def test_a_seed_gives_the_same_world_every_time():
    a, b = make_world(11), make_world(11)
    assert (a.biome, a.mood, a.hero, a.landmarks, a.look) == (b.biome, b.mood, b.hero, b.landmarks, b.look)
    assert np.array_equal(a.vertices, b.vertices) and np.array_equal(a.paint, b.paint)
    assert np.array_equal(a.obstacles, b.obstacles)


def test_the_same_seed_in_the_other_split_is_another_world():
    train, heldout = make_world(11, biome="meadow"), make_world(11, biome="meadow", split="heldout")
    assert train.obstacles.shape != heldout.obstacles.shape or not np.allclose(train.obstacles, heldout.obstacles)


def test_naming_a_mood_leaves_everything_that_stands_in_its_place():
    noon, night = make_world(5, biome="village", mood="noon"), make_world(5, biome="village", mood="night")
    assert np.array_equal(noon.obstacles, night.obstacles) and np.array_equal(noon.vertices, night.vertices)


@pytest.mark.parametrize("biome", BIOMES)
def test_every_biome_has_landmarks_obstacles_and_a_start_that_stands_free(biome):
    scene = make_world(3, biome=biome)
    x, z, _ = scene.good_start(np.random.default_rng(0))
    gap = np.hypot(*(scene.obstacles[:, :2] - (x, z)).T) - scene.obstacles[:, 2]
    assert scene.landmarks and len(scene.obstacles) > 20
    assert gap.min() > 0.55 and max(abs(x), abs(z)) < scene.bounds


@pytest.mark.parametrize("biome", BIOMES)
def test_everything_that_stands_near_the_ground_inside_the_bounds_blocks_the_way_or_is_small(biome):
    scene = make_world(4, biome=biome)
    points = scene.vertices[:, :3].astype(float)
    chest = points[(np.abs(points[:, (0, 2)]).max(1) < 38) & (points[:, 1] < -1.2) & (points[:, 1] > -1.9)]
    gap = np.linalg.norm(chest[:, None, (0, 2)] - scene.obstacles[None, :, :2], axis=-1) - scene.obstacles[:, 2]
    assert (gap.min(1) < 1.7).mean() > 0.99  # crowns and roofs reach out a little over their trunks and walls


def test_starts_look_into_the_open():
    for seed in range(12):
        scene = make_world(seed)
        x, z, yaw = scene.good_start(np.random.default_rng(seed))
        ahead = np.array([x + 2.0 * math.sin(yaw), z + 2.0 * math.cos(yaw)])
        gap = np.hypot(*(scene.obstacles[:, :2] - ahead).T) - scene.obstacles[:, 2]
        assert gap.min() > 0.0


def test_moods_and_biomes_are_drawn_when_not_given():
    scenes = [make_world(seed, split="heldout") for seed in range(24)]
    assert len({scene.biome for scene in scenes}) >= 6
    assert {scene.mood for scene in scenes} == set(MOODS)
    assert 0 < sum(scene.third_person for scene in scenes) < 14


@pytest.mark.parametrize("wrong", [{"biome": "moon"}, {"mood": "bored"}, {"split": "test"}])
def test_an_unknown_name_is_refused_with_the_known_ones(wrong):
    with pytest.raises(ValueError, match="choose one of"):
        make_world(1, **wrong)


@pytest.mark.parametrize("ahead", [0.0, 4.3])
def test_a_near_start_stands_free_a_few_steps_before_something_solid(ahead):
    for seed in range(12):
        scene = make_world(seed, biome="village")
        x, z, yaw = scene.near_start(np.random.default_rng(seed), ahead)
        gaps = np.hypot(*(scene.obstacles[:, :2] - (x, z)).T) - scene.obstacles[:, 2]
        assert 0.6 <= gaps.min() <= ahead + 3.5
        turned = np.arctan2(scene.obstacles[:, 0] - x, scene.obstacles[:, 1] - z) - yaw
        facing = np.abs((turned + np.pi) % (2 * np.pi) - np.pi) < 1.2
        assert gaps[facing & (scene.obstacles[:, 2] >= SOLID)].min() <= ahead + 3.5


def test_a_world_with_nothing_solid_is_started_as_any_other():
    scene = make_world(3, biome="village")
    bare = replace(scene, obstacles=scene.obstacles[:0])
    assert bare.near_start(np.random.default_rng(1)) == bare.good_start(np.random.default_rng(1))
