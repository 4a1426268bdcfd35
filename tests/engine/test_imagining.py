"""What nothing shows is drawn from mirror images of what was seen, behind all that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import KEY_RIGHT, KEY_S, KEY_W, POCKET, Step, frame_poses, heading, start_pose, turn
from engine.depth import DepthHead
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, in_view, look
from engine.imagining import image, imagined, places
from engine.repaint import Paint
from engine.surfaces import Surfaces
from engine.weights import PocketWeights
from tests.engine.test_guide import ground_picture
from tests.engine.test_repaint import CONFIG, Darkness, pocket_phrases
from tests.engine.tiny import play, tiny_weights, tiny_world

HALF = float(np.arctan(0.5 / POCKET_LENS.fx))


def looking(yaw: float, pitch: float = 0.0) -> np.ndarray:
    camera = start_pose(POCKET)
    camera[:3, :3] = turn(yaw, pitch)
    return camera


def known_from(sources: list[Surface], camera: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture `[3, H, W]` from a camera, and which source each pixel is from, counted from the last."""
    picture, origin, _ = look(sources, camera[None], POCKET_LENS)
    return picture[0], origin[0]


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(-0.4, 0.4))
def test_an_image_is_what_a_mirror_through_the_side_of_the_picture_shows(yaw, pitch):
    """The mirror stands upright through the camera, in the direction of the picture's right side."""
    camera = looking(yaw, pitch)
    normal = np.array([np.cos(yaw + HALF), 0.0, -np.sin(yaw + HALF)])
    mirror = np.eye(3) - 2 * np.outer(normal, normal)
    found = dict(places(camera, camera, POCKET_LENS))[1]
    assert np.allclose(found[:3, :3], mirror @ camera[:3, :3] @ np.diag([-1, 1, 1]))
    assert np.allclose(found[:3, 3], camera[:3, 3])


def test_every_second_image_is_the_picture_again():
    surface = ground_picture(looking(0.0))
    assert torch.equal(image(surface, 2, looking(2.0)).picture, surface.picture)
    assert torch.equal(image(surface, -1, looking(2.0)).picture, surface.picture.flip(-1))
    assert torch.equal(image(surface, -1, looking(2.0)).disparity, surface.disparity.flip(-1))


@pytest.mark.parametrize("side", [-1, 1])
def test_at_the_side_of_a_picture_it_goes_on_without_a_seam(side):
    surface = ground_picture(looking(0.3))
    picture, origin = known_from(
        [*imagined(surface, POCKET_LENS, looking(0.3 + side * HALF)[None]), surface], looking(0.3 + side * HALF)
    )
    assert (origin >= 0).float().mean() > 0.94, "all but what lies above and below a corner"
    assert (picture - picture.flip(-1)).abs()[:, :, 2:-2].mean() < 0.05, "left of the side is what is right of it"


@pytest.mark.parametrize("yaw", np.radians([45, 90, 135, -45, -90, -135]))
def test_wherever_one_turns_there_is_something(yaw):
    surface = ground_picture(looking(0.0))
    _, alone = known_from([surface], looking(yaw))
    _, origin = known_from([*imagined(surface, POCKET_LENS, looking(yaw)[None]), surface], looking(yaw))
    assert (origin >= 0).float().mean() > 0.9 > 0.5 > (alone >= 0).float().mean()


def test_what_is_known_hides_what_is_imagined():
    surface = ground_picture(looking(0.0))
    picture, origin = known_from([*imagined(surface, POCKET_LENS, looking(0.2)[None]), surface], looking(0.2))
    alone, seen = known_from([surface], looking(0.2))
    inside = (origin == 0) & (seen == 0)
    inside[:, 1:-1] &= inside[:, :-2] & inside[:, 2:]  # where both end, specks are smoothed
    assert inside.float().mean() > 0.7 and torch.allclose(picture[:, inside], alone[:, inside], atol=0.02)


def test_images_that_no_camera_sees_are_not_drawn():
    surface = ground_picture(looking(0.0))
    ahead = frame_poses([Step(keys=KEY_W)] * 4, POCKET, start_pose(POCKET))
    aside = frame_poses([Step(keys=KEY_RIGHT)] * 4, POCKET, start_pose(POCKET))
    back = frame_poses([Step(keys=KEY_S)] * 4, POCKET, start_pose(POCKET))
    assert [len(imagined(surface, POCKET_LENS, path)) for path in (ahead, aside, back)] == [0, 1, 2]


def cameras_at(x: float, z: float) -> list[np.ndarray]:
    here = looking(1.0)
    here[[0, 2], 3] = x, z
    return [camera for _, camera in places(looking(0.0), here, POCKET_LENS)]


def test_far_from_the_first_picture_a_ring_of_images_stands_around_the_eye_too():
    near, far = cameras_at(9.0, -9.0), cameras_at(31.0, -9.0)
    assert len(near) == 4 and all(np.allclose(camera[:3, 3], looking(0.0)[:3, 3]) for camera in near)
    ring, home = far[:5], far[5:]
    assert np.allclose(home, near), "what is around the first picture hides what is farther off"
    assert all(np.allclose(camera[:3, 3], [40.0, -1.6, 0.0]) for camera in ring)
    headings = np.sort([float(heading(camera)[0]) % (2 * np.pi) for camera in ring])
    assert np.diff(headings).min() > 1.2, "five pictures stand side by side"


def test_a_square_has_the_same_ring_whenever_one_comes_and_its_neighbour_another():
    def facing(x: float, z: float) -> float:
        return float(heading(cameras_at(x, z)[0])[0])

    assert facing(15.0, 22.0) == facing(25.0, 18.0)
    assert len({round(facing(x, z), 6) for x, z in ((20, 0), (-20, 0), (0, 20), (0, -20), (20, 20))}) == 5


def guides_of(world, chunks: int, keys: int) -> list[Guide]:
    found, make = [], world._surfaces.guide
    world._surfaces.guide = lambda *a: found.append(make(*a)) or found[-1]
    play(world, chunks, keys)
    return found


def test_a_world_that_turns_into_the_unknown_is_shown_more_than_it_has_seen(monkeypatch):
    grey, drawn = np.full((32, 64, 3), 90, np.uint8), tiny_weights()
    assert drawn.depth is not None
    weights = replace(drawn, depth=DepthHead(drawn.depth.config).eval())  # untrained: bare ground under the sky

    def shown() -> list[float]:
        guides = guides_of(tiny_world(weights, image=grey, chunk=4), 4, KEY_RIGHT)
        return [float(guide.covered[-1].float().mean()) for guide in guides]

    with_images = shown()
    monkeypatch.setattr("engine.surfaces.imagined", lambda first, lens, views: [])
    assert min(with_images) > 0.9 > max(shown())


def test_under_words_that_cannot_be_painted_nothing_is_imagined_as_it_was_before_them(monkeypatch):
    world, asked = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8), chunk=4), []
    monkeypatch.setattr("engine.surfaces.imagined", lambda *a: asked.append(a) or [])
    play(world, 2, KEY_RIGHT)
    assert len(asked) == 2
    world.prompt("the colours of everything are swapped")
    play(world, 1, KEY_RIGHT)
    assert len(asked) == 2


def drawn_from(monkeypatch, weights: PocketWeights, stale: int, lacks: tuple[Paint, Paint]) -> tuple[list, int, list]:
    """Sources, how many are stale, and what they begin as, of a guide drawn from a first picture turned away from."""
    asked: list[tuple[list, int, list]] = []

    def make(vae, sources, before, latents, lens, old, begun):
        asked.append((list(sources), old, list(begun)))
        return Guide.nothing(len(latents), weights.model.guide_channels, weights.grid)

    monkeypatch.setattr("engine.surfaces.make_guide", make)
    grey = np.full((32, 64, 3), 90, np.uint8)
    surfaces = Surfaces(weights, lambda i: torch.zeros(4, 2, 4), lambda i: grey)
    path = frame_poses([Step(keys=KEY_RIGHT)] * 6, POCKET, start_pose(POCKET))[4::4]
    surfaces.guide(path, [0], 2, stale, lambda index: lacks)
    return asked[0]


@pytest.mark.parametrize("stale", [0, 1])
def test_images_are_drawn_behind_the_picture_and_are_as_stale_as_it_is(monkeypatch, stale):
    sources, old, _ = drawn_from(monkeypatch, tiny_weights(), stale, ((), ()))
    *images, picture = sources
    assert len(images) == 1 and np.allclose(picture.world_from_camera, start_pose(POCKET), atol=0.2)
    assert not np.allclose(images[0].world_from_camera, picture.world_from_camera, atol=0.2)
    assert old == stale * len(sources)


def test_images_change_with_the_words_as_the_picture_does(monkeypatch):
    weights = replace(tiny_weights(), repainter=Darkness(CONFIG).eval(), phrases=pocket_phrases())
    sources, _, begun = drawn_from(monkeypatch, weights, 0, ((), (("night falls", 1.0),)))
    assert len(sources) == len(begun) == 2
    for dark, light in zip(sources, begun, strict=True):
        assert float(dark.picture.mean()) < float(light.picture.mean()) - 0.1


def test_what_lies_behind_every_camera_is_not_in_view():
    surface = ground_picture(looking(0.0))
    assert in_view(surface.disparity, looking(0.0), looking(0.1)[None], POCKET_LENS)
    assert not in_view(surface.disparity, looking(0.0), looking(np.pi)[None], POCKET_LENS)
