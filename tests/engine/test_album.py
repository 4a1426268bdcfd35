"""An album keeps panoramas of places, and finds those that go with a picture."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from engine.album import Album, Match, coded, crowd_of, disparity_of, small_of
from engine.errors import WanderError
from engine.geometry import POCKET_LENS
from engine.panorama import EYE, FAR, Panorama, falls, seen_from, shape_of, unrolled
from engine.train import album as stage
from engine.training.album import pack, panorama_of, panoramas
from engine.trajectories import plan
from render.events import AROUND
from render.views import make_views
from tests.engine.test_panorama import looking

H, W = shape_of(192)
BLANK = Panorama(torch.zeros(3, H, W), torch.zeros(H, W), torch.zeros(H, W))


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Looks all round in five training worlds."""
    folder = tmp_path_factory.mktemp("around")
    make_views(folder, families=(), worlds=5, views=1, split="train", seed=11, plan=plan, width=384, height=640,
               show=AROUND)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def album(views: Path, tmp_path_factory: pytest.TempPathFactory) -> Album:
    path = tmp_path_factory.mktemp("album") / "album.safetensors"
    assert pack([views], path) >= 3
    return Album.load(path)


def first_of(panorama: Panorama, yaw: float) -> Panorama:
    """What a picture shows that is taken in a panorama, unrolled."""
    size = round(len(panorama.known) / shape_of(192)[0] * 192), round(len(panorama.known) / shape_of(192)[0] * 320)
    shown = seen_from(panorama, looking(yaw), 0.0, size, POCKET_LENS)
    return unrolled([shown], yaw, POCKET_LENS)


def test_a_look_all_round_shows_six_sixths_of_a_place_with_nobody_ahead(views):
    arrays = load_file(next(iter(sorted(views.glob("*.safetensors")))))
    poses = arrays["poses"][0]
    assert arrays["frames"].shape == (1, 6, 640, 384, 3) and np.allclose(poses[:, :3, 3], poses[0, :3, 3])
    headings = np.unwrap(np.arctan2(poses[:, 0, 2], poses[:, 2, 2]))
    assert np.allclose(np.diff(headings), math.tau / 6, atol=1e-5) and np.allclose(poses[:, 1, 2], 0.0)
    assert np.isfinite(arrays["depth"][0, :, -1]).all(), "ground at the bottom"


def test_the_views_of_a_place_fit_together_where_they_overlap(views):
    whole = next(panoramas(views))[0]
    assert whole.picture.shape == (3, H, W) and whole.known.all()
    *_, ground = (whole.disparity - (falls(H) / EYE).clamp_min(0)).abs().split([H - 30, 30])
    assert float(ground.median()) < 2e-3, "level ground where it should be"
    path = sorted(views.glob("*.safetensors"))[0]
    arrays = {name: torch.from_numpy(array) for name, array in load_file(path).items()}
    once = [arrays[name][0] for name in ("frames", "depth", "poses")]
    turned = [part.roll(-1, 0) for part in once]
    other = panorama_of(*turned[:2], turned[2].double().numpy()).turned(-round(W / 6))
    assert float((other.picture - whole.picture).abs().mean()) < 0.03, "whichever view comes first"


def test_depth_survives_a_byte():
    level = (falls(H) / EYE).clamp_min(0).expand(H, W)
    wall = torch.linspace(math.log(0.004), math.log(1.5), W).exp().expand(H, W)
    disparity = torch.where(torch.arange(H)[:, None] < H // 2, wall, level)
    disparity[:20] = 0.0
    found = disparity_of(coded(disparity))
    assert torch.equal(found[:20], disparity[:20]) and torch.equal(found[level > 0.05], disparity[level > 0.05])
    stands = slice(25, H // 2 - 5)
    assert float((found[stands, 5:-5] / wall[stands, 5:-5] - 1).abs().max()) < 0.03


def test_a_wall_that_one_looks_along_has_no_stairs():
    """Disparity along it is even; in a byte it would have steps of three per cent."""
    wall = torch.linspace(0.05, 0.1, 96).expand(H, 96)
    found = disparity_of(coded(wall))[H // 3, 4:-4]
    assert found.diff().max() < 2.5 * wall[0].diff().max() and (found.diff() >= 0).all()


def test_a_picture_taken_in_a_place_of_the_album_finds_that_place_and_where_it_looks(album):
    free = [index for index, share in enumerate(album.blocked()) if share < 0.06]
    assert free, "some in which one can walk"
    for index in free:
        whole = album.open(Match(index, False, 0, 0.0), BLANK)
        for yaw in (0.0, 1.3, -2.2):
            best = album.like(first_of(whole, yaw))[0]
            assert (best.index, best.mirrored) == (index, False)
            off = best.columns / 120 * math.tau - yaw
            assert abs(math.remainder(off, math.tau)) < math.radians(4)


def test_a_mirrored_picture_finds_the_place_mirrored(album):
    seen = first_of(album.open(Match(1, False, 0, 0.0), BLANK), 0.7).mirrored()
    best = album.like(seen)[0]
    assert (best.index, best.mirrored) == (1, True)
    right, wrong = (album.open(match, seen) for match in (best, replace(best, mirrored=False)))
    apart = [float((each.picture - seen.picture)[:, seen.known].abs().mean()) for each in (right, wrong)]
    assert apart[0] < 0.12 and apart[0] < 0.7 * apart[1], "turned to where the picture is"


def test_every_place_is_ranked_once_the_best_first(album):
    matches = album.like(first_of(album.open(Match(0, False, 0, 0.0), BLANK), 0.0))
    assert sorted(match.index for match in matches) == [*range(len(album.pictures))]
    distances = [match.distance for match in matches]
    assert distances == sorted(distances)
    emptiest = min(range(len(album.crowd)), key=lambda i: float(album.crowd[i]))
    even = [Match(i, False, 0, 0.0) for i in range(len(album.crowd))]
    assert album.openest(even).index == emptiest


def test_of_places_that_look_alike_ahead_the_one_where_one_can_walk_is_first():
    level = (falls(H) / EYE).clamp_min(0).expand(H, W)
    open_ = Panorama(torch.zeros(3, H, W), level, torch.ones(H, W, dtype=torch.bool))
    blocked = level.clone()
    blocked[H // 2 : -H // 5, : W // 3] = 0.2
    walled = Panorama(open_.picture, blocked, open_.known)
    small = torch.stack([small_of(walled), small_of(open_)])
    found = Album((b"", b""), (b"", b""), small, torch.zeros(2), ("town", "town")).like(first_of(open_, 0.0))
    assert [match.index for match in found] == [1, 0] and found[0].distance < found[1].distance - 0.01


def test_akin_are_places_of_the_same_kind_as_the_best(album):
    matches = [Match(i, False, 0, 0.1 * i) for i in range(len(album.biomes))]
    found = album.akin(matches)
    assert found[0] == matches[0] and {album.biomes[match.index] for match in found} == {album.biomes[0]}
    assert len(found) == album.biomes.count(album.biomes[0])


def test_a_small_album_is_opened_for_small_pictures(album):
    size = shape_of(96)
    small = album.open(Match(0, True, 30, 0.0), Panorama(torch.zeros(3, *size), torch.zeros(size), torch.zeros(size)))
    assert small.picture.shape == (3, *size) and small_of(small).shape == (4, 20, 120)


def test_crowded_is_what_stands_near_where_one_looks_level():
    disparity = (falls(H) / EYE).clamp_min(0).expand(H, W).clone()
    whole = Panorama(torch.zeros(3, H, W), disparity, torch.ones(H, W, dtype=torch.bool))
    assert crowd_of(whole, FAR) == 0.0
    disparity[H // 2 : 3 * H // 4, : W // 2] = 0.1
    assert crowd_of(whole, FAR) == pytest.approx(0.25 / 0.592 / 2, abs=0.03) and crowd_of(whole, 5.0) == 0.0


def test_a_folder_without_looks_all_round_is_refused(tmp_path):
    with pytest.raises(WanderError, match="0 roomy panoramas"):
        pack([tmp_path], tmp_path / "album.safetensors")


def test_the_stage_writes_the_album_where_it_is_told_and_says_how_many(views, album, tmp_path):
    said: list[str] = []
    stage(argparse.Namespace(data=[views], out=tmp_path, export=False), said.append)
    assert said[-1].startswith(f"{len(album.pictures)} panoramas")
    assert Album.load(tmp_path / "album.safetensors").pictures == album.pictures, "the same views, the same album"


def test_a_damaged_album_is_refused(views, tmp_path):
    path = tmp_path / "album.safetensors"
    pack([views], path)
    save_file({"small": torch.zeros(1)}, path)
    with pytest.raises(WanderError, match="damaged"):
        Album.load(path)
