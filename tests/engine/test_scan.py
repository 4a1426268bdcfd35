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
from engine.scan import Recording, ScanConfig, choose, scan
from engine.vae import decode_clip
from tests.engine.reconstruction.scene import pose, walk
from tests.engine.tiny import tiny_weights

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
    assert [path.name for path in report.files] == ["wall.ply", "wall.scan.json"]
    about = json.loads(report.files[1].read_text())
    assert about["points"] == report.points > 500 and about["session"] == "/walks/wall.wander"
    assert report.size == report.files[0].stat().st_size


def test_progress_only_grows_and_ends_at_one(tmp_path):
    told = []
    scan(recording(), tmp_path / "wall.ply", CONFIG, progress=lambda done, stage: told.append(done), source=exact)
    assert told == sorted(told) and told[-1] == pytest.approx(1.0)


def test_cancelling_leaves_nothing(tmp_path):
    class Cancelled(Exception):
        pass

    def cancel(done, stage):
        if stage == "Writing files":
            raise Cancelled

    with pytest.raises(Cancelled):
        scan(recording(), tmp_path / "wall.ply", CONFIG, progress=cancel, source=exact)
    assert not list(tmp_path.iterdir())


def test_the_last_seconds_are_the_last_latents(tmp_path):
    scan(recording(), tmp_path / "a.ply", replace(CONFIG, seconds=0.5), source=exact)
    about = json.loads((tmp_path / "a.scan.json").read_text())
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
        (recording(), replace(CONFIG, format="stl"), "choose one of ply, glb"),
        (recording(), replace(CONFIG, format="colmap", fusion=FusionConfig(mesh=True)), "holds points only"),
    ],
)
def test_what_cannot_be_scanned_is_said_in_a_sentence(tmp_path, walked, config, words):
    with pytest.raises(WanderError, match=words):
        scan(walked, tmp_path / "a", config, source=exact)
    assert not list(tmp_path.iterdir())


def test_without_the_depth_networks_weights_the_sentence_names_the_file_and_the_way_round(tmp_path, monkeypatch):
    monkeypatch.setattr(depth_source, "WEIGHTS", tmp_path / "depth.safetensors")
    with pytest.raises(WanderError, match=r"depth\.safetensors are missing .* --depth stereo"):
        scan(recording(), tmp_path / "a.ply", CONFIG)


def test_pictures_are_decoded_as_in_the_walk_whichever_are_chosen():
    vae = tiny_weights().vae
    latents = torch.randn(1, 9, 4, 2, 4, generator=torch.Generator().manual_seed(0)).half().float()
    frames = decode_clip(vae, latents)[0, ::4].numpy()
    chosen = np.array([0, 4, 5, 8])
    found = colours.last_frames(vae, latents[0].numpy().astype(np.float16), chosen)
    assert np.abs(found.astype(int) - frames[chosen]).max() <= 1
