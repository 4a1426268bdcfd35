"""What nothing shows is drawn from mirror images of what was seen, behind all that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import KEY_RIGHT, KEY_S, KEY_W, POCKET, Step, frame_poses, start_pose, turn
from engine.depth import DepthHead
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, look
from engine.imagining import beside, image, mirrored_from, turned
from engine.memory import pocket
from tests.engine.test_guide import ground_picture
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
    found = turned(camera, 1, POCKET_LENS)
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
        [*beside(surface, POCKET_LENS, looking(0.3 + side * HALF)[None]), surface], looking(0.3 + side * HALF)
    )
    assert (origin >= 0).float().mean() > 0.94, "all but what lies above and below a corner"
    assert (picture - picture.flip(-1)).abs()[:, :, 2:-2].mean() < 0.05, "left of the side is what is right of it"


@pytest.mark.parametrize("yaw", np.radians([45, 90, 135, -45, -90, -135]))
def test_wherever_one_turns_there_is_something(yaw):
    surface = ground_picture(looking(0.0))
    _, alone = known_from([surface], looking(yaw))
    _, origin = known_from([*beside(surface, POCKET_LENS, looking(yaw)[None]), surface], looking(yaw))
    assert (origin >= 0).float().mean() > 0.9 > 0.5 > (alone >= 0).float().mean()


def test_what_is_known_hides_what_is_imagined():
    surface = ground_picture(looking(0.0))
    picture, origin = known_from([*beside(surface, POCKET_LENS, looking(0.2)[None]), surface], looking(0.2))
    alone, seen = known_from([surface], looking(0.2))
    inside = (origin == 0) & (seen == 0)
    inside[:, 1:-1] &= inside[:, :-2] & inside[:, 2:]  # where both end, specks are smoothed
    assert inside.float().mean() > 0.7 and torch.allclose(picture[:, inside], alone[:, inside], atol=0.02)


def test_images_that_no_camera_sees_are_not_drawn():
    surface = ground_picture(looking(0.0))
    ahead = frame_poses([Step(keys=KEY_W)] * 4, POCKET, start_pose(POCKET))
    aside = frame_poses([Step(keys=KEY_RIGHT)] * 4, POCKET, start_pose(POCKET))
    back = frame_poses([Step(keys=KEY_S)] * 4, POCKET, start_pose(POCKET))
    assert [len(beside(surface, POCKET_LENS, path)) for path in (ahead, aside, back)] == [0, 1, 2]


def chosen(path: np.ndarray, worth: list[int] | None = None, **changes: bool) -> int:
    ends = np.arange(3, len(path), 4)
    found = np.zeros(len(path), np.int64) if worth is None else np.array(worth, np.int64)
    return mirrored_from(path, ends, found, replace(pocket(), **changes))


def test_one_picture_is_mirrored_until_the_walk_is_far_from_it():
    path = frame_poses([Step(keys=KEY_W)] * 60, POCKET, start_pose(POCKET))[4::4]
    found = [chosen(path[:length]) for length in range(4, len(path), 4)]
    assert found[0] == 3 and sorted(found) == found and 2 <= len(set(found)) <= 5
    places = path[sorted(set(found)), 2, 3]
    assert (np.diff(places) > 8).all() and (np.diff(places) < 8 + 4 * 0.48).all()


def test_turning_alone_changes_nothing_about_it():
    path = frame_poses([Step(keys=KEY_RIGHT)] * 60, POCKET, start_pose(POCKET))[4::4]
    assert {chosen(path[:length]) for length in range(4, len(path), 4)} == {3}


def test_a_picture_of_the_ground_is_mirrored_only_if_there_is_no_other():
    down = np.tile(looking(0.0, -0.4), (12, 1, 1))
    assert chosen(down) == 3
    level = np.concatenate([down[:8], np.tile(looking(0.0), (4, 1, 1))])
    assert chosen(level) == 11


def test_a_picture_as_the_words_have_it_is_mirrored_rather_than_an_older_one():
    path = np.tile(looking(0.0), (12, 1, 1))
    assert chosen(path, [0] * 4 + [2] * 8) == 7


def test_without_memory_what_is_older_than_the_context_is_not_mirrored():
    path = np.tile(looking(0.0), (60, 1, 1))
    assert chosen(path) == 3
    assert chosen(path, retrieves=False) >= 59 - pocket().context_latents


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
    monkeypatch.setattr("engine.surfaces.beside", lambda surface, lens, views: [])
    assert min(with_images) > 0.9 > max(shown())


def test_what_is_imagined_is_as_stale_as_what_words_have_made_of_the_rest():
    world = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8), chunk=4)
    play(world, 2, KEY_RIGHT)
    (calm,) = guides_of(world, 1, KEY_RIGHT)
    world.prompt("the colours of everything are swapped")
    (told,) = guides_of(world, 1, KEY_RIGHT)
    assert float(calm.latents[:, -1].max()) == 0
    assert float(told.latents[:, -1].mean()) == pytest.approx(float(told.covered.float().mean()), abs=0.01)
