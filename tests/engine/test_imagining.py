"""What nothing shows is drawn from mirror images of what was seen, behind all that is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import KEY_RIGHT, POCKET, Step, frame_poses, start_pose, turn
from engine.album import Album, coded, crowd_of, packed, small_of
from engine.depth import DepthHead
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, in_view, look
from engine.imagining import Surroundings, image, turned
from engine.panorama import EYE, FAR, Panorama, falls, kinds, shape_of
from engine.repaint import Paint
from engine.squares import HOME, SIDE
from engine.surfaces import Surfaces
from engine.weights import PocketWeights
from tests.engine.test_guide import H, W, ground_picture
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


def tiny_album() -> Album:
    """Two places under one sky: level ground, and the same with a wall all round, ten metres off."""
    rows, columns = shape_of(H)
    level = (falls(rows) / EYE).clamp_min(0).expand(rows, columns)
    shades = torch.where(level > 0, 0.2, 0.8) + 0.1 * torch.linspace(0, math.tau, columns).sin()
    shades = shades.expand(3, rows, columns)
    walled = (falls(rows).expand(rows, columns) > -0.1) & (level < 0.1)
    places = [
        Panorama(shades, level, torch.ones_like(walled)),
        Panorama(torch.where(walled, -0.7, shades), torch.where(walled, 0.1, level), torch.ones_like(walled)),
    ]
    return Album(
        tuple(packed(((p.picture + 1) * 127.5).byte().permute(1, 2, 0).numpy(), lossless=True) for p in places),
        tuple(packed(coded(p.disparity).numpy(), lossless=True) for p in places),
        torch.stack([small_of(p) for p in places]),
        torch.tensor([crowd_of(p, FAR) for p in places]),
        ("meadow", "meadow"),
    )


def seen_with(surface: Surface, camera: np.ndarray, album: Album | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The picture `[3, H, W]` of a world's first surface and all that is imagined, and where there is something."""
    views, backdrop = Surroundings(album, surface, POCKET_LENS).drawn(camera[None])
    picture, origin, _ = look([*views, surface], camera[None], POCKET_LENS, 0, backdrop)
    return picture[0], origin[0] >= 0


def behind(
    surface: Surface, camera: np.ndarray, album: Album | None = None, path: np.ndarray | None = None
) -> list[Surface]:
    views = camera[None] if path is None else path
    return Surroundings(album, surface, POCKET_LENS).drawn(views)[0]


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(-0.4, 0.4))
def test_an_image_is_what_a_mirror_through_the_side_of_the_picture_shows(yaw, pitch):
    """The mirror stands upright through the camera, in the direction of the picture's right side."""
    camera = looking(yaw, pitch)
    normal = np.array([np.cos(yaw + HALF), 0.0, -np.sin(yaw + HALF)])
    mirror = np.eye(3) - 2 * np.outer(normal, normal)
    found = turned(camera, 2 * HALF)
    assert np.allclose(found[:3, :3], mirror @ camera[:3, :3] @ np.diag([-1, 1, 1]))
    assert np.allclose(found[:3, 3], camera[:3, 3])


def test_every_second_image_is_the_picture_again():
    surface = ground_picture(looking(0.0))
    assert torch.equal(image(surface, 2, looking(2.0)).picture, surface.picture)
    assert torch.equal(image(surface, -1, looking(2.0)).picture, surface.picture.flip(-1))
    assert torch.equal(image(surface, -1, looking(2.0)).disparity, surface.disparity.flip(-1))


@pytest.mark.parametrize("album", [None, tiny_album()], ids=["alone", "with an album"])
@pytest.mark.parametrize("side", [-1, 1])
def test_at_the_side_of_a_picture_it_goes_on_without_a_seam(side, album):
    surface, camera = ground_picture(looking(0.3)), looking(0.3 + side * HALF)
    picture, there = seen_with(surface, camera, album)
    assert there.float().mean() > 0.94
    near = slice(W // 2 - 6, W // 2 + 6)
    assert (picture - picture.flip(-1)).abs()[:, :, near].mean() < 0.1, "left of the side is what is right of it"


@pytest.mark.parametrize("album", [None, tiny_album()], ids=["alone", "with an album"])
@pytest.mark.parametrize("yaw", np.radians([45, 90, 135, -45, -90, -135]))
def test_wherever_one_turns_there_is_something(yaw, album):
    surface = ground_picture(looking(0.0))
    _, alone = known_from([surface], looking(yaw))
    _, there = seen_with(surface, looking(yaw), album)
    assert there.float().mean() > 0.9 > 0.5 > (alone >= 0).float().mean()


def test_what_is_known_hides_what_is_imagined():
    surface = ground_picture(looking(0.0))
    picture, origin = known_from([*behind(surface, looking(0.2)), surface], looking(0.2))
    alone, seen = known_from([surface], looking(0.2))
    inside = (origin == 0) & (seen == 0)
    inside[:, 1:-1] &= inside[:, :-2] & inside[:, 2:]  # where both end, specks are smoothed
    assert inside.float().mean() > 0.7 and torch.allclose(picture[:, inside], alone[:, inside], atol=0.02)


def test_views_that_no_camera_sees_are_not_drawn():
    surface = ground_picture(looking(0.0))
    still, round_ = looking(0.0)[None], np.stack([looking(yaw) for yaw in np.linspace(-3, 3, 9)])
    few, all_ = (len(behind(surface, looking(0.0), tiny_album(), path)) for path in (still, round_))
    assert few < 8 and all_ == 12


def test_far_from_the_sides_of_the_picture_the_place_of_the_album_stands_in_its_light():
    """The world is a wall before the sky: of the two places the walled one goes with it."""
    camera = looking(0.0)
    wall = Surface(torch.full((3, H, W), -0.2), torch.full((H, W), 0.1), camera)
    shown = behind(wall, looking(3.0), tiny_album())
    picture, origin = known_from(shown, looking(3.0))
    middle = picture[:, H // 2 - 2, W // 4 : -W // 4]
    assert (origin[H // 2 - 2] >= 0).all() and float((middle - -0.2).abs().max()) < 0.3, "as dark as the wall"


def test_behind_what_stands_are_ground_and_sky():
    camera = looking(0.0)
    wall = Surface(torch.full((3, H, W), -0.2), torch.full((H, W), 0.1), camera)
    _, backdrop = Surroundings(tiny_album(), wall, POCKET_LENS).drawn(camera[None])
    assert backdrop is not None and not (kinds(backdrop.panorama)[2] & backdrop.panorama.known).any()
    assert backdrop.panorama.known.float().mean() > 0.9
    assert Surroundings(None, wall, POCKET_LENS).drawn(camera[None])[1] is None


def ring_at(x: float, z: float) -> list[Surface]:
    here = looking(0.0)
    here[[0, 2], 3] = x, z
    path = np.stack([here] * 9)
    path[:, :3, :3] = [turn(yaw, 0.0) for yaw in np.linspace(-3, 3, 9)]
    return behind(ground_picture(looking(0.0)), here, tiny_album(), path)


def test_far_from_the_first_picture_another_ring_stands_around_the_eye_behind_that_around_it():
    near, far = ring_at(9.0, -9.0), ring_at(31.0, -9.0)
    home = [view for view in far if np.allclose(view.world_from_camera[:3, 3], looking(0.0)[:3, 3])]
    ring = far[: len(far) - len(home)]
    assert all(np.allclose(view.world_from_camera[:3, 3], looking(0.0)[:3, 3]) for view in near)
    assert len(ring) == 12 and all(np.allclose(view.world_from_camera[:3, 3], [40.0, -1.6, 0.0]) for view in ring)
    assert len(home) == 12 and all(a is b for a, b in zip(far[len(ring) :], home, strict=True)), "and hides it"


def test_what_stood_where_one_has_been_still_stands_and_hides_what_is_met_later():
    around, path = Surroundings(tiny_album(), ground_picture(looking(0.0)), POCKET_LENS), np.stack([looking(0.0)] * 9)
    path[:, :3, :3] = [turn(yaw, 0.0) for yaw in np.linspace(-3, 3, 9)]
    path[:, [0, 2], 3] = 21.0, 19.0
    been = [HOME, (0, 1), (1, 1)]
    views, backdrop = around.drawn(path, (), been)
    places = [tuple(np.round(view.world_from_camera[[0, 2], 3] / SIDE).astype(int)) for view in views]
    assert [*dict.fromkeys(places)] == been[::-1], "the first come last, and hide the others"
    alone = around.drawn(path)[0]
    assert len(alone) < len(views) and {id(view) for view in alone} < {id(view) for view in views}
    back = path.copy()
    back[:, [0, 2], 3] = 2.0, 18.0
    places = [
        tuple(np.round(v.world_from_camera[[0, 2], 3] / SIDE).astype(int)) for v in around.drawn(back, (), been)[0]
    ]
    assert [*dict.fromkeys(places)] == been[::-1], "and when one comes back"
    assert backdrop is not None and np.allclose(backdrop.place[[0, 2]], [SIDE, SIDE]), "the one where one is"


def test_a_square_has_the_same_ring_whenever_one_comes_and_its_neighbour_another():
    def first(x: float, z: float) -> torch.Tensor:
        return ring_at(x, z)[6].picture

    assert torch.equal(first(15.0, 22.0), first(25.0, 18.0))
    around = [first(x, z) for x, z in ((20, 0), (-20, 0), (0, 20), (0, -20), (20, 20))]
    assert all(not torch.equal(a, b) for i, a in enumerate(around) for b in around[:i])


def test_wherever_one_goes_the_horizon_stays():
    surface = ground_picture(looking(0.0))
    around, far = Surroundings(tiny_album(), surface, POCKET_LENS), looking(2.0)
    far[[0, 2], 3] = 60.0, -40.0
    here, there = (around.drawn(camera[None])[1] for camera in (looking(2.0), far))
    assert here is not None and there is not None and np.allclose(there.place, [60.0, -1.6, -40.0])
    sky = kinds(here.panorama)[0]
    assert torch.equal(here.panorama.picture[:, sky], there.panorama.picture[:, sky])


def test_under_words_all_that_is_imagined_is_painted_as_pictures_are_and_nothing_moves():
    surface, camera = ground_picture(looking(0.0)), looking(1.0)[None]
    around = Surroundings(tiny_album(), surface, POCKET_LENS, Darkness(CONFIG).eval())
    (plain, day), (painted, night) = around.drawn(camera), around.drawn(camera, (("night falls", 1.0),))
    assert all(a is b for a, b in zip(plain, around.drawn(camera)[0], strict=True)), "drawn once"
    for light, dark in zip(plain, painted, strict=True):
        assert dark.picture.mean() < light.picture.mean() - 0.1 and dark.disparity is light.disparity
    assert day is not None and night is not None
    assert night.panorama.picture.mean() < day.panorama.picture.mean() - 0.1
    assert torch.equal(night.panorama.known, day.panorama.known)


def test_halfway_to_the_words_it_is_painted_half():
    around, camera = (
        Surroundings(tiny_album(), ground_picture(looking(0.0)), POCKET_LENS, Darkness(CONFIG).eval()),
        looking(1.0),
    )
    none, half, whole = (
        around.drawn(camera[None], paint)[0][0].picture
        for paint in ((), (("night falls", 0.5),), (("night falls", 1.0),))
    )
    assert torch.allclose(half, (none + whole) / 2, atol=1e-3)


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
    monkeypatch.setattr(Surroundings, "drawn", lambda *a: ([], None))
    assert min(with_images) > 0.9 > max(shown())


def test_under_words_that_cannot_be_painted_nothing_is_imagined_as_it_was_before_them(monkeypatch):
    world, asked = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8), chunk=4), []
    monkeypatch.setattr(Surroundings, "drawn", lambda *a: asked.append(a) or ([], None))
    play(world, 2, KEY_RIGHT)
    assert len(asked) == 2
    world.prompt("the colours of everything are swapped")
    play(world, 1, KEY_RIGHT)
    assert len(asked) == 2


def drawn_from(monkeypatch, weights: PocketWeights, stale: int, lacks: tuple[Paint, Paint]) -> tuple[list, int, list]:
    """Sources, how many are stale, and what they begin as, of a guide drawn from a first picture turned away from."""
    asked: list[tuple[list, int, list]] = []

    def make(vae, sources, before, latents, lens, old, begun, backdrop):
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
    assert images and np.allclose(picture.world_from_camera, start_pose(POCKET), atol=0.2)
    assert all(view.stands is not None for view in images), "views of a panorama, not lifted pictures"
    assert old == stale * len(sources)
    weights = replace(tiny_weights(), album=tiny_album())
    sources, old, _ = drawn_from(monkeypatch, weights, stale, ((), ()))
    assert old == stale * (len(sources) + 1), "so is the backdrop"


def test_images_change_with_the_words_as_the_picture_does(monkeypatch):
    weights = replace(tiny_weights(), repainter=Darkness(CONFIG).eval(), phrases=pocket_phrases())
    sources, _, begun = drawn_from(monkeypatch, weights, 0, ((), (("night falls", 1.0),)))
    assert len(sources) == len(begun) > 2
    for dark, light in zip(sources, begun, strict=True):
        assert float(dark.picture.mean()) < float(light.picture.mean()) - 0.1


def test_what_lies_behind_every_camera_is_not_in_view():
    surface = ground_picture(looking(0.0))
    assert in_view(surface.disparity, looking(0.0), looking(0.1)[None], POCKET_LENS)
    assert not in_view(surface.disparity, looking(0.0), looking(np.pi)[None], POCKET_LENS)
