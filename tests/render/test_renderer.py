"""Pictures of worlds."""

import time

import numpy as np
import pytest

from render.biomes import BIOMES
from render.camera import intrinsics
from render.clips import at_place
from render.events import FAMILIES, state_at
from render.renderer import AHEAD, Renderer
from render.scene import make_world


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two pictures, in levels."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_a_picture_is_the_same_whatever_was_drawn_before_it(renderer, start):
    scene = make_world(2, biome="village")
    camera = start(scene)
    renderer.load(scene)
    first, _ = renderer.render(camera, 1.0)
    renderer.load(make_world(9, biome="coast"))
    renderer.render(camera, 3.0)
    renderer.load(scene)
    again, _ = renderer.render(camera, 1.0)
    assert np.array_equal(first, again)


def test_another_renderer_draws_the_same_picture(renderer, start):
    scene = make_world(2, biome="town")
    other = Renderer(160, 96)
    renderer.load(scene)
    ours, _ = renderer.render(start(scene), 1.0)
    other.load(make_world(3))
    other.load(scene)
    assert np.array_equal(ours, other.render(start(scene), 1.0)[0])
    assert np.array_equal(ours, renderer.render(start(scene), 1.0)[0])


@pytest.mark.parametrize("biome", BIOMES)
def test_every_biome_fills_the_picture_with_a_range_of_colours(renderer, start, biome):
    scene = make_world(8, biome=biome, mood="noon")
    renderer.load(scene)
    picture, _ = renderer.render(start(scene))
    assert picture.std() > 15 and 40 < picture.mean() < 230


def test_the_sky_is_above_and_the_ground_below(renderer, stand):
    scene = make_world(1, biome="meadow", mood="noon", third_person=False)
    renderer.load(scene)
    _, up = renderer.render(stand(0, 0, 0, 0.43), depth=True)
    _, down = renderer.render(stand(0, 0, 0, -0.43), depth=True)
    assert np.isinf(up[:8]).mean() > 0.5
    assert np.isfinite(down[-8:]).all()


def test_ground_depth_is_where_geometry_says(renderer, stand):
    scene = make_world(1, biome="desert", third_person=False)
    renderer.load(scene)
    _, depth = renderer.render(stand(*scene.good_start(np.random.default_rng(1))), depth=True)
    focal, middle = intrinsics(160, 96)[1, 1:]
    rows = np.arange(80, 96)
    expected = 1.6 * focal / (rows + 0.5 - middle)
    on_ground = np.abs(depth[rows] - expected[:, None]) < 0.02 * expected[:, None]
    assert on_ground.mean() > 0.6


def test_the_nearest_corner_of_the_world_projects_to_a_pixel_with_its_depth(renderer, start):
    scene = make_world(6, biome="village", third_person=False)
    renderer.load(scene)
    camera = start(scene)
    _, depth = renderer.render(camera, depth=True)
    seen = (np.linalg.inv(camera) @ np.c_[scene.vertices[:, :3], np.ones(len(scene.vertices))].T).T[:, :3]
    seen = seen[(seen[:, 2] > 1) & (seen[:, 2] < 60)]
    pixel = (intrinsics(160, 96) @ (seen / seen[:, 2:]).T).T[:, :2]
    inside = (pixel > 2).all(1) & (pixel[:, 0] < 157) & (pixel[:, 1] < 93)
    pixel, z = pixel[inside].astype(int), seen[inside, 2]
    found = np.stack([depth[pixel[:, 1] + y, pixel[:, 0] + x] for x in (-1, 0, 1) for y in (-1, 0, 1)])
    nearest = np.abs(found - z).min(0)
    assert len(z) > 100
    assert (found.min(0) < 1.05 * z).mean() > 0.97  # a corner is seen or hidden, but for poles thinner than a pixel
    assert (nearest < 0.03 * z).mean() > 0.2  # and what isn't hidden is exactly where it should be


@pytest.mark.parametrize("family", FAMILIES)
def test_an_event_changes_the_picture_from_its_start_and_not_before(renderer, start, family):
    mood = "night" if family == "dawn" else "noon"
    scene = make_world(11, biome="forest", mood=mood, third_person=False)
    camera = start(scene)
    event = at_place(family, np.random.default_rng(2), scene, camera, 1.0)
    assert event is not None
    renderer.load(scene)
    before, after = (renderer.render(camera, t, state_at([event], t))[0] for t in (0.99, 3.5))
    calm_before, calm_after = (renderer.render(camera, t)[0] for t in (0.99, 3.5))
    assert np.array_equal(before, calm_before)
    assert difference(after, calm_after) > 0.4


@pytest.mark.parametrize("family", ["rain", "fog", "nightfall", "flood"])
def test_an_event_that_stops_leaves_the_place_as_it_was(renderer, start, family):
    scene = make_world(11, biome="meadow", mood="noon", third_person=False)
    camera = start(scene)
    event = at_place(family, np.random.default_rng(2), scene, camera, 0.0, 3.0)
    assert event is not None
    renderer.load(scene)
    assert np.array_equal(renderer.render(camera, 6.0, state_at([event], 6.0))[0], renderer.render(camera, 6.0)[0])


def test_the_character_of_a_third_person_world_walks_in_the_lower_middle(renderer, stand):
    with_hero, without = (make_world(7, biome="meadow", mood="noon", third_person=third) for third in (True, False))
    camera = stand(*with_hero.good_start(np.random.default_rng(3)))
    pictures = []
    for scene in (with_hero, without):
        renderer.load(scene)
        pictures.append(renderer.render(camera, depth=True))
    changed = np.abs(pictures[0][0].astype(int) - pictures[1][0]).sum(-1) > 30
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 100
    assert 70 < columns.mean() < 90 and rows.mean() > 48
    assert abs(np.median(pictures[0][1][changed]) - AHEAD) < 0.5


@pytest.mark.parametrize(("family", "levels"), [("fire", 60), ("visitor", 60), ("rain", 30), ("snow", 30)])
def test_what_passes_is_what_changes_a_picture_of_a_place_that_stays_as_it_is(renderer, start, family, levels):
    """By more than the light of the flames does."""
    scene = make_world(11, biome="forest", mood="noon", third_person=False)
    renderer.load(scene)
    camera = start(scene)
    event = at_place(family, np.random.default_rng(2), scene, camera, 0.0)
    assert event is not None
    moments = [(t, state_at([event], t)) for t in (3.0, 3.5)]
    (first, second), (there, later) = (
        [seen(camera, *moment) for moment in moments] for seen in (lambda *a: renderer.render(*a)[0], renderer.passing)
    )
    changed = np.abs(first.astype(int) - second).max(-1) > levels
    assert 0.0005 < there.mean() < 0.3
    assert changed.sum() > 10 and (there | later)[changed].mean() > 0.9


def test_nothing_passes_through_a_calm_place_nor_are_its_clouds_that(renderer, stand):
    scene = make_world(1, biome="meadow", mood="noon", third_person=False)
    renderer.load(scene)
    assert not renderer.passing(stand(0, 0, 0, 0.2)).any()


def test_the_character_passes_and_hides_none_of_the_ground_behind_it(renderer, stand):
    with_hero, without = (make_world(7, biome="meadow", mood="noon", third_person=third) for third in (True, False))
    camera = stand(*with_hero.good_start(np.random.default_rng(3)))
    depths = []
    for scene in (without, with_hero):
        renderer.load(scene)
        depths.append(renderer.render(camera, depth=True)[1])
    assert np.array_equal(renderer.passing(camera), depths[1] < depths[0])


def test_the_characters_legs_move_while_it_walks_and_rest_while_it_stands(renderer, stand):
    scene = make_world(7, biome="meadow", mood="noon", third_person=True)
    renderer.load(scene)
    camera = stand(*scene.good_start(np.random.default_rng(3)))

    def change(stride: float) -> float:
        return difference(*(renderer.render(camera, t, actor=(0.0, stride))[0] for t in (0.0, 0.17)))

    assert change(0.0) == 0.0 and change(1.0) > 0.05


def test_drawing_before_a_scene_is_loaded_is_refused(stand):
    with pytest.raises(ValueError, match="call load"):
        Renderer(32, 32).render(stand(0, 0, 0))


def test_a_small_picture_takes_milliseconds(renderer, start):
    scene = make_world(3, biome="village", third_person=False)
    renderer.load(scene)
    camera = start(scene)
    renderer.render(camera)
    begun = time.process_time()
    for k in range(20):
        renderer.render(camera, k / 24)
    assert (time.process_time() - begun) / 20 < 0.05
