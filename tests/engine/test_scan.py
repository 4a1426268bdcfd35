"""A walk becomes files, whole or not at all."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import engine.reconstruction.colours as colours
import engine.reconstruction.depth_source as depth_source
import engine.scan as scanning
from engine.errors import WanderError
from engine.reconstruction.fusion import FusionConfig
from engine.reconstruction.walks import WALKS, shrunk
from engine.scan import Recording, ScanConfig, choose, scan
from engine.vae import decode_clip, to_uint8
from tests.engine.reconstruction.scene import pose, walk
from tests.engine.reconstruction.test_stereo import speckled
from tests.engine.tiny import tiny_weights
from tests.engine.tiny_released import tiny_released

CONFIG = ScanConfig(fusion=FusionConfig(open3d=False))
CAMERAS = np.stack([pose(0.3 * step, 0.1 * step) for step in range(8)])


def recording(count=8, preset="pocket"):
    return Recording(
        latents=np.zeros((count, 4, 2, 4), np.float16), poses=CAMERAS[:count], session="/walks/wall.wander",
        preset=preset, seed=7, prompt="a wall", checksum="ab",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def pictures(monkeypatch):
    """Latents that need no decoder: the exact place stands in for what they show."""
    monkeypatch.setattr(scanning, "_decode", lambda recording, chosen, progress: walk(*recording.poses[chosen]).rgb)


def exact(pictures, advance):
    """A depth source that knows the place."""
    advance(1.0)
    return replace(walk(*pictures.poses), frame_ids=pictures.ids)


def test_a_scan_is_a_file_and_a_sidecar_that_names_its_origin(tmp_path):
    report = scan(recording(), tmp_path / "wall.ply", CONFIG, source=exact)
    assert [path.name for path in report.files] == ["wall.ply", "wall.ply.scan.json"]
    about = json.loads(report.files[1].read_text())
    assert about["points"] == report.points > 500 and about["session"] == "/walks/wall.wander"
    assert report.size == report.files[0].stat().st_size


def test_progress_only_grows_and_ends_at_one(tmp_path):
    told, stages = [], []

    def hear(done, stage):
        told.append(done)
        stages.append(stage)

    report = scan(recording(), tmp_path / "wall.ply", CONFIG, progress=hear, source=exact)
    assert told == sorted(told) and told[-1] == pytest.approx(1.0)
    (size,) = [stage for stage in stages if "about" in stage]
    assert float(size.split()[-2]) == pytest.approx(report.size / 1e6, abs=0.2)


def test_cancelling_leaves_nothing(tmp_path):
    class Cancelled(Exception):
        pass

    def cancel(done, stage):
        if stage.startswith("Writing files"):
            raise Cancelled

    with pytest.raises(Cancelled):
        scan(recording(), tmp_path / "wall.ply", CONFIG, progress=cancel, source=exact)
    assert not list(tmp_path.iterdir())


def test_the_last_seconds_are_the_last_latents(tmp_path):
    scan(recording(), tmp_path / "a.ply", replace(CONFIG, seconds=0.5), source=exact)
    about = json.loads((tmp_path / "a.ply.scan.json").read_text())
    assert [view["frame"] for view in about["views"]] == [5, 6, 7]


def test_views_that_show_nothing_new_are_left_out_and_the_rest_is_spread_over_the_walk():
    standing = np.stack([pose()] * 5 + [pose(yaw=0.2)] + [pose(1.0 + k) for k in range(10)])
    assert choose(standing, since=0, most=100).tolist() == [0, 5, *range(6, 16)]
    few = choose(standing, since=0, most=4)
    assert len(few) == 4 and few[0] == 0 and few[-1] == 15
    assert choose(standing, since=12, most=100).tolist() == [12, 13, 14, 15]


@pytest.mark.parametrize(
    ("walked", "config", "words"),
    [
        (recording(0), CONFIG, "has 0 chunks, a scan needs at least 1"),
        (recording(preset="fake"), CONFIG, "preset 'fake' cannot be scanned"),
        (recording(preset="worldplay-5b"), replace(CONFIG, depth="network"), "knows the latents of 'pocket' alone"),
        (recording(), replace(CONFIG, format="stl"), "choose one of ply, glb"),
        (recording(), replace(CONFIG, format="colmap", fusion=FusionConfig(mesh=True)), "holds points only"),
    ],
)
def test_what_cannot_be_scanned_is_said_in_a_sentence(tmp_path, walked, config, words):
    with pytest.raises(WanderError, match=words):
        scan(walked, tmp_path / "a", config, source=exact)
    assert not list(tmp_path.iterdir())


def test_without_the_depth_networks_weights_the_sentence_names_the_file_and_the_way_round(tmp_path, monkeypatch):
    monkeypatch.setattr(depth_source, "FOLDER", tmp_path)
    with pytest.raises(WanderError, match=r"2 files in .* there are 0; .* --depth stereo"):
        scan(recording(), tmp_path / "a.ply", CONFIG)


def test_pictures_are_decoded_as_in_the_walk_whichever_are_chosen():
    vae = tiny_weights().vae
    latents = torch.randn(1, 9, 4, 2, 4, generator=torch.Generator().manual_seed(0)).half().float()
    frames = decode_clip(vae, latents)[0, ::4].numpy()
    chosen = np.array([0, 4, 5, 8])
    found = colours.last_frames(vae, latents[0].numpy().astype(np.float16), chosen)
    assert np.abs(found.astype(int) - frames[chosen]).max() <= 1


@pytest.mark.parametrize("preset", ["worldplay-5b", "worldplay-8b"])
def test_pictures_of_the_released_models_are_decoded_as_in_the_walk_whichever_are_chosen(preset):
    vae = tiny_released(preset).vae
    count = vae.reach + 2
    latents = torch.randn(count, 4, 1, 2, generator=torch.Generator().manual_seed(0)).half()
    state, frames = (), []
    for latent in latents:
        with torch.inference_mode():
            decoded, state = vae.decode(latent[None].float(), state)
        frames.append(to_uint8(decoded[0, -1]).numpy())
    chosen = np.array([0, count - 1])
    found = colours.last_frames(vae, latents.numpy(), chosen)
    assert np.abs(found.astype(int) - np.stack(frames)[chosen]).max() <= 1


def test_a_walk_of_a_released_model_is_scanned_without_weights_by_stereo_in_units_of_pocket(tmp_path, monkeypatch):
    steps = np.stack([pose(0.05 * step) for step in range(7)])  # of its own units, 0.3 of pocket's
    kind = WALKS["worldplay-5b"]
    speckles = [speckled(camera, lens=kind.lens)[0] for camera in kind.stretched(steps)]
    monkeypatch.setattr(scanning, "_decode", lambda recording, chosen, progress: np.stack(speckles)[chosen])
    walked = replace(recording(7, preset="worldplay-5b"), poses=steps)
    report = scan(walked, tmp_path / "wall.ply", CONFIG)
    about = json.loads(report.files[1].read_text())
    assert about["depth_source"] == "stereo" and "model's poses" in about["units"]
    assert about["views"][1]["c2w"][0][3] == pytest.approx(0.3)
    assert about["world_centroid"][2] == pytest.approx(5.0, rel=0.1)


def test_large_pictures_are_shrunk_by_whole_blocks():
    pictures = np.repeat(np.repeat(np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1), 2, 1), 2, 2).repeat(3, 3)
    assert np.array_equal(shrunk(pictures, 4), pictures[:, ::2, ::2]) and shrunk(pictures, 8) is pictures
    assert shrunk(np.zeros((1, 704, 1280, 3), np.uint8)).shape == (1, 176, 320, 3)
