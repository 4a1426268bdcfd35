"""What is lifted: the picture that was shown where one is kept, else the decoder's own, and it comes back exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.actions import KEY_W, POCKET, Step, frame_poses, start_pose
from engine.consistency import consistent
from engine.depth import estimate, estimate_twice, ground_disparity, signed
from engine.geometry import POCKET_LENS
from engine.guide import Surface
from engine.imagining import Surroundings as Mirrors
from engine.precision import autocast
from engine.settling import settled
from engine.squares import HOME, SIDE, Square
from engine.surfaces import CAPACITY, Surfaces, surfaces_of
from engine.vae import decode_clip, stills
from tests.engine.tiny import tiny_weights

LATENTS = torch.randn(6, 4, 2, 4, generator=torch.Generator().manual_seed(0))
PATH = frame_poses([Step(keys=KEY_W)] * (CAPACITY + 8), POCKET, start_pose(POCKET))[1:]
STRIDE = float(PATH[0, 2, 3])
SHOWN = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)


def test_the_picture_that_was_shown_is_lifted_and_elsewhere_the_decoded_one():
    weights = tiny_weights()
    surfaces = Surfaces(weights, lambda i: LATENTS[i], lambda i: SHOWN if i == 3 else None)
    with torch.inference_mode(), autocast(LATENTS.device):
        decoded = decode_clip(weights.vae, LATENTS[None])[0, ::4]
    for index, picture in ((3, torch.from_numpy(SHOWN)), (4, decoded[4])):
        found = surfaces.get(index, PATH).picture
        assert torch.allclose((found.permute(1, 2, 0) + 1) * 127.5, picture.float(), atol=1e-3)


def test_a_world_and_its_mirror_image_begin_as_deep_as_each_other():
    weights, straight = tiny_weights(), start_pose(POCKET)[None]

    def lifted(picture: np.ndarray) -> Surface:
        latent = stills(weights.vae, torch.from_numpy(picture.copy())[None])[0]
        return Surfaces(weights, lambda i: latent, lambda i: picture).get(0, straight)

    here, there = lifted(SHOWN), lifted(SHOWN[:, ::-1])
    alike = torch.isclose(here.disparity, there.disparity.flip(-1), rtol=0.03, atol=1e-4)
    assert alike.float().mean() > 0.98, "all but what lies between two depths, where bfloat16 decides"


def test_depth_that_was_estimated_is_settled_and_held_against_earlier_pictures_before_it_is_lifted():
    weights, camera = tiny_weights(), PATH[[3]]
    surfaces = Surfaces(weights, lambda i: LATENTS[i % 6], lambda i: SHOWN)
    shown = torch.from_numpy(SHOWN)[None]
    assert weights.depth is not None
    depth = estimate(weights.depth, LATENTS[[3]], camera, shown)
    ground = ground_disparity(camera, 32, 64, POCKET_LENS)
    [alone] = surfaces_of(depth, signed(shown), camera)
    assert torch.equal(alone.disparity, settled(depth, signed(shown), ground).seen()[0])
    assert not torch.equal(alone.disparity, depth.seen()[0])
    expected = consistent(alone, [surfaces.get(0, PATH)], POCKET_LENS)
    assert torch.equal(surfaces.get(3, PATH).disparity, expected.disparity)
    assert not torch.equal(expected.disparity, alone.disparity)


def test_no_latent_is_decoded_anew_to_be_compared_with():
    asked: list[int] = []

    def latent(index: int) -> torch.Tensor:
        asked.append(index)
        return LATENTS[index % 6]

    Surfaces(tiny_weights(), latent, lambda i: SHOWN if i in (0, 3, 7, 11) else None).get(13, PATH)
    assert set(asked) == {0, 3, 7, 11, 12, 13}, (
        "13 after the two before it; 9, 5 and 1 by the pictures kept before them"
    )


def test_what_was_forgotten_comes_back_the_same_and_rewinding_forgets():
    asked: list[int] = []

    def latent(index: int) -> torch.Tensor:
        asked.append(index)
        return LATENTS[index % 6]

    surfaces = Surfaces(tiny_weights(), latent, lambda i: None)
    first = surfaces.get(2, PATH)
    for index in range(3, 3 + CAPACITY):
        surfaces.get(index, PATH)
    again = surfaces.get(2, PATH)
    assert torch.equal(again.picture, first.picture) and torch.equal(again.disparity, first.disparity)
    asked.clear()
    surfaces.get(2, PATH)
    assert not asked
    surfaces.forget_from(2)
    surfaces.get(2, PATH)
    assert asked


def test_a_wall_seen_from_afar_still_stands_when_the_newest_picture_shows_nothing_of_it(monkeypatch):
    seen: list[int] = []

    def plan_of(disparity: torch.Tensor, camera: np.ndarray) -> np.ndarray:
        seen.append(round(float(camera[2, 3]) / STRIDE))
        return np.array([[0.0, 3.0]]) if len(seen) > 1 else np.zeros((0, 2))

    monkeypatch.setattr("engine.surfaces.plan_of", plan_of)
    surfaces = Surfaces(tiny_weights(), lambda i: LATENTS[i % 6], lambda i: None)
    for _ in range(2):
        assert surfaces.walls(PATH[:8], np.array([1, 7])).tolist() == [[0.0, 3.0]]
    assert seen == [8, 2]  # newest first, each once
    surfaces.forget_from(7)
    surfaces.walls(PATH[:8], np.array([1, 7]))
    assert seen == [8, 2, 8]


def standing(distance: float, camera: np.ndarray) -> Surface:
    """A wall straight ahead of a camera."""
    return Surface(torch.zeros(3, 32, 64), torch.full((32, 64), 1 / distance), camera)


@pytest.mark.parametrize("begun", [0, 3])
def test_solid_is_what_is_drawn_of_the_picture_a_world_was_begun_with_and_of_what_is_imagined(begun, monkeypatch):
    path = np.concatenate([np.repeat(PATH[:1], begun, axis=0), PATH[:9]])
    surfaces = Surfaces(tiny_weights(), lambda i: LATENTS[i % 6], lambda i: SHOWN, begun)
    ahead = {begun: 5.0}
    monkeypatch.setattr(surfaces, "get", lambda index, walk: standing(ahead[index], walk[index]))
    monkeypatch.setattr(surfaces, "_imagined", lambda lacks, walk, since: ([], None))
    wall, ends = PATH[0, 2, 3] + 5.0, np.array([begun + 4, begun + 8])
    assert np.abs(surfaces.walls(path, ends)[:, 1] - wall).max() < 0.25, "from nearer it stands where it stood"
    surfaces.forget_from(begun + 1)
    nearer = standing(2.0, path[-1])
    monkeypatch.setattr(surfaces, "_imagined", lambda lacks, walk, since: ([(nearer, nearer)], None))
    ahead[begun] = 60.0
    far = replace(standing(60.0, path[begun]), sure=torch.zeros(32, 64))
    monkeypatch.setattr(surfaces, "get", lambda index, walk: far)
    assert np.abs(surfaces.walls(path, ends)[:, 1] - (path[-1, 2, 3] + 2.0)).max() < 0.25
    surfaces.forget_from(begun + 1)
    surfaces.imagines = False
    assert not len(surfaces.walls(path, ends))


def test_what_is_imagined_goes_with_the_picture_that_a_world_was_begun_with(monkeypatch):
    met: list[Surface] = []
    monkeypatch.setattr(
        "engine.surfaces.Surroundings",
        lambda album, first, lens, painter: met.append(first) or Mirrors(album, first, lens),
    )
    for begun in (0, 3):
        surfaces = Surfaces(tiny_weights(), lambda i: LATENTS[i % 6], lambda i: SHOWN, begun)
        surfaces.guide(PATH[:8], [begun], 6)
        assert met.pop().world_from_camera is surfaces.get(begun, PATH).world_from_camera
        surfaces.forget_from(begun + 1)
        surfaces.guide(PATH[:8], [begun], 6)
        assert not met
        surfaces.forget_from(begun)
        surfaces.guide(PATH[:8], [begun], 6)
        assert met.pop()


def test_what_is_imagined_is_told_in_which_squares_one_has_been(monkeypatch):
    surfaces = Surfaces(tiny_weights(), lambda i: LATENTS[i % 6], lambda i: SHOWN)
    surfaces.guide(PATH[:4], [0], 2)
    told: list[list[Square]] = []
    drawn = Mirrors.drawn

    def watched(self, views, paint=(), been=()):
        told.append(list(been))
        return drawn(self, views, paint, been)

    monkeypatch.setattr(Mirrors, "drawn", watched)
    path = PATH[:6].copy()
    path[1:, 2, 3] += SIDE
    surfaces.guide(path, [0], 3)
    assert told == [[HOME, (0, 1)]]


def test_the_picture_a_world_was_begun_with_is_looked_at_twice_and_no_later_one(monkeypatch):
    twice: list[float] = []
    whole = estimate_twice

    def watched(vae, head, latents, cameras, pictures):
        twice.append(float(cameras[0, 2, 3]))
        return whole(vae, head, latents, cameras, pictures)

    monkeypatch.setattr("engine.surfaces.estimate_twice", watched)
    surfaces = Surfaces(tiny_weights(), lambda i: LATENTS[i % 6], lambda i: SHOWN, 3)
    for index in (3, 7):
        surfaces.get(index, PATH)
    assert float(PATH[3, 2, 3]) in twice and float(PATH[7, 2, 3]) not in twice
