"""The guide moves known surfaces as the camera moves, covers nothing it does not know, and leaves no ghosts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.actions import KEY_D, KEY_LEFT, KEY_RIGHT, KEY_S, KEY_UP, KEY_W, POCKET, Step, frame_poses, start_pose
from engine.depth import ground_disparity
from engine.drawing import _tidy
from engine.drawing import fill as fill_on_cpu
from engine.flow import sample
from engine.geometry import POCKET_LENS
from engine.guide import Surface, cameras_between, fill, lifted, look, look_on_cpu, look_through, make_guide, tidy
from engine.sources import BEFORE, away
from engine.streamer import PocketWorld
from engine.telling import NEWS
from tests.engine.tiny import play, tiny_weights, tiny_world

H, W = 48, 80


def ground_picture(camera: np.ndarray) -> Surface:
    """A checkered plane under a sky that is brighter to the east, drawn exactly."""
    x = ((np.arange(W) + 0.5) / W - 0.5) / POCKET_LENS.fx
    y = ((np.arange(H) + 0.5) / H - 0.5) / POCKET_LENS.fy
    rays = np.stack([*np.meshgrid(x, y), np.ones((H, W))], -1) @ camera[:3, :3].T
    disparity = np.maximum(ground_disparity(camera, H, W, POCKET_LENS).numpy(), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = camera[:3, 3] + rays / disparity[..., None]
        checks = np.sin(place[..., 0] * 0.5) * np.sin(place[..., 2] * 0.5)
    sky = np.arctan2(rays[..., 0], rays[..., 2]) / np.pi
    picture = np.where(disparity > 0, np.where(np.isfinite(checks), checks, 0), sky)
    return Surface(torch.from_numpy(np.stack([picture] * 3)).float(), torch.from_numpy(disparity).float(), camera)


@pytest.mark.parametrize("keys", [KEY_W, KEY_D, KEY_LEFT, KEY_RIGHT | KEY_W, KEY_UP])
def test_a_plane_seen_from_the_next_cameras_is_the_plane_drawn_from_them(keys):
    path = frame_poses([Step(keys=keys)] * 2, POCKET, start_pose(POCKET))
    picture, origin, _ = look([ground_picture(path[0])], path[[4, 8]], POCKET_LENS)
    for found, seen, camera in zip(picture, origin >= 0, path[[4, 8]], strict=True):
        error = (found[0] - ground_picture(camera).picture[0]).abs()
        near = (ground_picture(camera).disparity > 0.08) & seen
        assert seen.float().mean() > 0.7
        assert error[near].mean() < 0.06


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0, KEY_W, KEY_D, KEY_LEFT, KEY_RIGHT | KEY_W]), st.floats(-0.05, 0.05), st.integers(1, 3))
def test_cameras_between_two_latents_are_those_of_their_frames(keys, yaw, count):
    steps = [Step(keys=keys, yaw=yaw)] * count
    path = frame_poses(steps, POCKET, start_pose(POCKET))
    found = cameras_between(path[0], path[4::4]).reshape(-1, 4, 4)
    assert np.abs(found - path[1:]).max() < 0.02


def test_a_still_camera_sees_its_own_picture():
    surface = ground_picture(start_pose(POCKET))
    picture, origin, _ = look([surface], start_pose(POCKET)[None], POCKET_LENS)
    assert (origin == 0).float().mean() > 0.97
    assert torch.where(origin == 0, (picture[0] - surface.picture).abs(), torch.zeros(())).max() < 0.02


def test_what_has_moved_since_leaves_no_ghost():
    camera = start_pose(POCKET)
    now, before = ground_picture(camera), ground_picture(camera)
    picture, disparity = before.picture.clone(), before.disparity.clone()
    picture[:, 20:44, 30:40], disparity[20:44, 30:40] = 5.0, 0.5
    picture_after, *_ = look([Surface(picture, disparity, camera), now], camera[None], POCKET_LENS)
    assert picture_after.max() < 2


def test_turning_round_covers_nothing_from_one_source_and_all_of_it_from_an_older_one():
    ahead, behind = start_pose(POCKET), start_pose(POCKET)
    behind[:3, :3] = np.diag([-1.0, 1.0, -1.0])
    _, none, _ = look([ground_picture(ahead)], behind[None], POCKET_LENS)
    picture, both, _ = look([ground_picture(behind), ground_picture(ahead)], behind[None], POCKET_LENS)
    assert (none == -1).all()
    assert (both == 1).float().mean() > 0.97
    assert torch.allclose(picture[0][:, 40:], ground_picture(behind).picture[:, 40:], atol=0.05)


@pytest.mark.parametrize("drawing", [look_on_cpu, look_through])
def test_what_only_an_older_picture_shows_is_from_that_one(drawing):
    path = frame_poses([Step(keys=KEY_RIGHT)] * 4, POCKET, start_pose(POCKET))
    _, origin, _ = drawing([ground_picture(path[0]), ground_picture(path[16])], path[[8]], POCKET_LENS)
    assert (origin[0, 40:, -20:] == 0).all(), "the newest picture was taken further to the right"
    assert (origin[0, 40:, :4] == 1).all()


@pytest.mark.parametrize("drawing", [look_on_cpu, look_through])
@pytest.mark.parametrize("times", [1.5, 3.0, 6.0])
def test_a_wall_that_came_nearer_has_no_holes_and_shows_its_own_colours(drawing, times):
    camera, wide = start_pose(POCKET), torch.linspace(-1, 1, W)
    wall = Surface(wide.expand(3, H, W), torch.full((H, W), 0.25), camera)
    nearer = camera.copy()
    nearer[:3, 3] += camera[:3, 2] * (4 - 4 / times)
    picture, origin, _ = drawing([wall], nearer[None], POCKET_LENS)
    assert (origin == 0).all()
    assert (picture[0] - wide / times).abs().max() < 0.03


def test_specks_are_taken_away_and_small_holes_closed_by_both_drawings():
    origin = torch.full((1, 16, 24), -1, dtype=torch.int8)
    origin[:, :, 12:] = 1
    origin[0, 7, 5:7], origin[0, 0, 3], origin[0, 8, 17] = 0, 0, -1  # specks, one at the border, and a hole
    picture, near = torch.rand(1, 3, 16, 24), torch.rand(1, 16, 24)
    shown, found, depth = tidy(picture, origin, near)
    expected = origin.clone()
    expected[0, 7, 5:7], expected[0, 0, 3], expected[0, 8, 17] = -1, -1, 1
    assert torch.equal(found, expected)
    around = [(row, column) for row in (7, 8, 9) for column in (16, 17, 18) if (row, column) != (8, 17)]
    assert torch.allclose(shown[0, :, 8, 17], torch.stack([picture[0, :, r, c] for r, c in around]).mean(0), atol=1e-6)
    arrays = [x[0].numpy().copy() for x in (picture, near, origin)]
    _tidy(*arrays, np.empty((16, 24), np.int8), np.empty((17, 25), np.int32))
    known = (expected[0] >= 0).numpy()
    assert np.array_equal(arrays[2], found[0].numpy())
    assert np.allclose(arrays[0][:, known], shown[0].numpy()[:, known], atol=1e-6)
    assert np.allclose(arrays[1][known], depth[0].numpy()[known], atol=1e-6)


def test_holes_continue_what_is_around_them_and_known_pixels_stay():
    picture, known = torch.rand(2, 3, 13, 21), (torch.rand(2, 1, 13, 21) > 0.6).float()
    filled = fill(picture, known)
    assert torch.equal(filled * known, picture * known)
    assert filled.min() >= 0 and filled.max() <= 1


@pytest.mark.parametrize(("rows", "columns"), [(48, 80), (13, 7), (1, 5), (2, 3)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_filling_compiled_is_filling_with_tensors(rows: int, columns: int, share: float):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, rows, columns, generator=generator)
    known = torch.rand(3, rows, columns, generator=generator) < share
    filled = pictures.clone()
    fill_on_cpu(filled.numpy(), known.numpy())
    assert torch.allclose(filled, fill(pictures, known[:, None].float()), atol=1e-5)


def test_the_newest_and_every_fourth_latent_before_it_are_lifted():
    assert lifted(range(12)) == [3, 7, 11]
    assert lifted([0, 1, 2, 3, 20, 21, 22, 23, 24, 25, 26, 27]) == [3, 23, 27]
    assert lifted([0]) == [0]


def test_what_is_drawn_is_stale_while_the_words_are_new():
    weights = tiny_weights()
    seen = []
    weights.model.register_forward_pre_hook(lambda _, a: seen.append(a[5]) if len(a) > 5 else None)
    world = tiny_world(weights, image=np.full((32, 64, 3), 90, np.uint8))

    def stale() -> float:
        seen.clear()
        play(world, 1, keys=0)
        return float(next(g for g in seen if g is not None)[..., -1, :, :].mean())

    assert [stale() for _ in range(2)] == [0, 0]
    world.prompt("it starts to rain")
    until = NEWS // world.chunk  # chunks in which the words are new
    found = [stale() for _ in range(until + 2)]
    assert min(found[:until]) > 0.5 > 5 * max(found[until:])


def worth_in(world: PocketWorld) -> np.ndarray:
    """What the pictures of a world's latents are worth for its next chunk."""
    telling = world._telling
    return telling.worth(telling.lacks(telling.latents + world.chunk))


def test_when_something_stops_the_place_is_drawn_as_it_was_before_it_began():
    weights, drawn = tiny_weights(), list[tuple[list[int], int]]()
    world = tiny_world(weights, image=np.full((32, 64, 3), 90, np.uint8))
    pictures = world._pictures
    world._pictures = lambda *a: drawn.append(pictures(*a)) or drawn[-1]  # type: ignore[method-assign]
    play(world, 4, keys=0)
    before = len(world._owner)
    world.prompt("it starts to rain")
    play(world, 2 + NEWS // world.chunk, keys=0)
    shown, stale = drawn[-1]
    assert stale < len(shown) and min(shown[stale:]) >= before + NEWS
    world.prompt("it stops")
    play(world, 1, keys=0)
    shown, stale = drawn[-1]
    assert shown[stale:] and max(shown[stale:]) < before, "what hides the rest was made before the rain"
    assert all(latent >= before for latent in shown[:stale])


def after_the_first(worth: np.ndarray) -> np.ndarray:
    """Worth of a world under words that its first picture can't be painted under."""
    worth[0] = BEFORE
    return worth


@pytest.mark.parametrize("keys", [KEY_W, KEY_S, KEY_LEFT])
def test_what_was_seen_from_nearest_to_where_the_camera_goes_hides_the_rest(keys: int):
    """Backwards from a wall too: its newest pictures show it from a hand's breadth."""
    world = tiny_world(chunk=2)
    play(world, 10, KEY_W)
    path = world._path([Step(keys=keys)] * 4)
    path = np.concatenate([world._poses, path[-4:]])
    shown, stale = world._pictures(path, list(range(20)), 20, after_the_first(worth_in(world)))
    way = np.linalg.norm(path[shown, :3, 3] - path[-1, :3, 3], axis=-1)
    assert stale == int(0 in shown) and len(shown) >= 5 and (np.diff(way[stale:]) < 0.01).all()
    assert shown[-1] == 19 if keys != KEY_S else shown[-1] < 19


def test_the_picture_seen_from_nearest_is_drawn_even_if_others_show_the_same_but_not_without_memory():
    world = tiny_world(chunk=2)
    play(world, 8, KEY_W)
    play(world, 8, 0)
    path = np.concatenate([world._poses, world._path([Step(keys=KEY_S)] * 10)[-10:]])
    ends = range(1, 32, 2)
    nearest = min(ends, key=lambda i: np.linalg.norm(path[i, :3, 3] - path[-1, :3, 3]))
    chosen = list(range(28, 32))
    worth = after_the_first(worth_in(world))
    assert nearest < 8 and world._pictures(path, chosen, 32, worth)[0][-1] == nearest
    world.memory = replace(world.memory, retrieves=False)
    assert nearest not in world._pictures(path, chosen, 32, worth)[0]


@pytest.mark.parametrize("keys", [KEY_W, KEY_S, KEY_LEFT])
def test_wherever_one_goes_the_place_is_drawn_from_the_picture_it_was_begun_with_but_not_without_memory(keys: int):
    world = tiny_world(chunk=2)
    play(world, 8, keys)
    path = np.concatenate([world._poses, world._path([Step(keys=keys)] * 2)[-2:]])
    assert world._pictures(path, list(range(12, 16)), 16, worth_in(world)) == ([0], 0)
    world.memory = replace(world.memory, retrieves=False)
    assert 0 not in world._pictures(path, list(range(12, 16)), 16, worth_in(world))[0]


def test_what_is_drawn_for_nearness_is_as_the_words_in_force_have_it():
    world = tiny_world(chunk=2)
    play(world, 6, KEY_W)
    world.prompt("it starts to rain")
    play(world, 12, KEY_W)
    path = np.concatenate([world._poses, world._path([Step(keys=KEY_S)] * 36)[-36:]])
    shown, stale = world._pictures(path, list(range(32, 36)), 36, worth_in(world))
    assert shown[-1] == 13, "the first of the rain is nearest to the beginning"
    assert all(latent < 12 for latent in shown[:stale])


def test_what_no_source_shows_is_filled():
    here, aside = start_pose(POCKET), frame_poses([Step(keys=KEY_RIGHT)] * 3, POCKET)[-1:]
    source = ground_picture(here)
    picture, origin, _ = look([source], aside, POCKET_LENS)
    bare, _, _ = look_on_cpu([source], aside, POCKET_LENS)
    assert 0.1 < (origin < 0).float().mean() < 0.9
    assert torch.allclose(picture, fill(bare, (origin >= 0)[:, None].float()), atol=1e-5)
    assert not torch.allclose(picture, bare, atol=0.05)


def test_a_camera_that_looks_elsewhere_is_farther_away():
    ahead, here = frame_poses([Step(keys=KEY_W)], POCKET)[-1], start_pose(POCKET)
    aside = frame_poses([Step(keys=KEY_LEFT)] * 6, POCKET)[-1]
    near, far, same = away(np.stack([ahead, aside, here]), here)
    assert same == 0 and near == pytest.approx(4 * 0.12, abs=0.01)
    assert far == pytest.approx(np.radians(6 * 4 * 1.1), abs=0.01)


def test_while_words_are_new_pictures_older_than_them_hide_those_of_the_change():
    weights, drawn = tiny_weights(), list[tuple[list[int], int]]()
    world = tiny_world(weights, image=np.full((32, 64, 3), 90, np.uint8))
    pictures = world._pictures
    world._pictures = lambda *a: drawn.append(pictures(*a)) or drawn[-1]  # type: ignore[method-assign]
    play(world, 4, keys=0)
    told = len(world._owner)
    world.prompt("it starts to rain")
    play(world, 2, keys=0)
    shown, stale = drawn[-1]
    assert stale == len(shown) and shown[0] >= told > shown[-1]


def test_noise_is_renewed_where_the_guide_shows_what_the_words_leave_as_it_is(monkeypatch):
    renewed = list[torch.Tensor | float]()

    def spy(velocity, noises, levels, lead, new):
        renewed.append(new)
        return sample(velocity, noises, levels, lead, new)

    monkeypatch.setattr("engine.streamer.sample", spy)
    world = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8))
    play(world, 3, keys=0)
    assert float(torch.as_tensor(renewed[-1]).mean()) > 0.9
    world.prompt("it starts to rain")
    play(world, 1, keys=0)
    assert float(torch.as_tensor(renewed[-1]).mean()) < 0.1


def test_a_world_shows_its_network_the_surfaces_it_knows():
    weights = tiny_weights()
    seen = []
    weights.model.register_forward_pre_hook(lambda _, a: seen.append(a[5] if len(a) > 5 else None))
    world = tiny_world(weights, image=np.full((32, 64, 3), 90, np.uint8))
    play(world, 2)
    guides = [g for g in seen if g is not None]
    assert guides and all(g.shape[2:] == (9, 2, 4) for g in guides)
    assert float(guides[0][0, 0].abs().max()) == 0, "the given latent has no guide"
    assert float(guides[-1][0, :, 4:8].max()) > 0.5, "the second chunk is covered by the first"


@pytest.mark.parametrize("keys", [KEY_W, KEY_D, KEY_LEFT, KEY_RIGHT | KEY_W, KEY_UP])
def test_the_compiled_drawing_shows_what_the_plain_one_shows(keys):
    path = frame_poses([Step(keys=keys)] * 8, POCKET, start_pose(POCKET))
    sources = [ground_picture(path[0]), ground_picture(path[8])]
    plain, origin, _ = look_through(sources, path[[12, 20, 32]], POCKET_LENS)
    compiled, seen, _ = look_on_cpu(sources, path[[12, 20, 32]], POCKET_LENS)
    assert (origin == seen).float().mean() > 0.998
    both = ((origin == seen) & (origin >= 0))[:, None].expand_as(plain)
    assert (plain - compiled)[both].abs().mean() < 0.03  # one is bilinear, the other sharper


def test_what_is_drawn_from_a_drawing_again_and_again_stays_sharp():
    path = frame_poses([Step(yaw=0.004)] * 40, POCKET, start_pose(POCKET))
    noise = torch.rand(3, H, W, generator=torch.Generator().manual_seed(0)).repeat_interleave(2, 2)[..., :W]

    def energy_after(drawing) -> float:
        surface = Surface(noise, torch.full((H, W), 0.01), path[0])
        for camera in path[1::4]:
            picture, _, _ = drawing([surface], camera[None], POCKET_LENS)
            surface = Surface(picture[0], surface.disparity, camera)
        return float(surface.picture[..., W // 4 : -W // 4].diff(dim=-1).square().mean())

    assert energy_after(look_on_cpu) > 1.5 * energy_after(look_through)


@pytest.mark.parametrize("drawing", [look_on_cpu, look_through])
def test_a_character_is_not_drawn_from_other_cameras(drawing):
    surface = ground_picture(start_pose(POCKET))
    stands = torch.ones(H, W, dtype=torch.bool)
    stands[20:40, 35:45] = False
    _, origin, _ = drawing([replace(surface, stands=stands)], start_pose(POCKET)[None], POCKET_LENS)
    covered = origin >= 0
    assert not covered[0, 22:38, 37:43].any() and covered[0, :, :30].float().mean() > 0.97


def test_nothing_stale_is_drawn_in_seams_and_rims_of_what_is_current():
    cameras = frame_poses([Step(keys=KEY_RIGHT)] * 4, POCKET, start_pose(POCKET))
    sources, view = [ground_picture(cameras[-1]), ground_picture(cameras[0])], cameras[8:9]
    calm = look(sources, view, POCKET_LENS)[1]
    origin = look(sources, view, POCKET_LENS, 1)[1]
    assert (calm == 0).any() and (calm == 1).any()
    assert torch.equal(calm == 0, origin == 0), "what is current stays"
    old, current = (origin[0] == 1).nonzero(), (origin[0] == 0).nonzero()
    assert len(old) and (old[:, None] - current[None]).abs().amax(-1).min() > 4
    calm, told = (make_guide(tiny_weights().vae, sources, view[0], view, POCKET_LENS, stale) for stale in (0, 1))
    assert (calm.covered & ~told.covered).any() and not (told.covered & ~calm.covered).any()


def test_a_guide_tells_the_disparity_of_what_it_shows_and_nothing_of_the_rest():
    weights, view = tiny_weights(), start_pose(POCKET)[None]
    wall = Surface(torch.zeros(3, 32, 64), torch.full((32, 64), 1 / 8), view[0])
    nearer = view.copy()
    nearer[:, :3, 3] += 2 * view[0, :3, 2]
    guide = make_guide(weights.vae, [wall], nearer[0], nearer, POCKET_LENS)
    torch.testing.assert_close(guide.disparity[guide.covered], torch.full_like(guide.disparity[guide.covered], 1 / 6))
    away = view.copy()
    away[:, 0, 3] += 6.0
    beside = make_guide(weights.vae, [wall], away[0], away, POCKET_LENS)
    assert not beside.covered.all() and not beside.disparity[~beside.covered].any()
