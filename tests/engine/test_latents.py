"""Latent shards: clips encoded once, as play encodes them, and refused where they don't fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.actions import KEY_RIGHT, KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, frame_poses
from engine.errors import WanderError
from engine.training.latents import encode_frames, encode_shards, load_latents
from engine.vae import Vae, group_frames
from tests.engine.tiny import tiny_weights

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 9, 32, 64, 3), dtype=np.uint8)
POSES = frame_poses([Step(keys=KEY_W), Step(keys=KEY_RIGHT)], POCKET).astype(np.float32)


@pytest.fixture
def vae() -> Vae:
    return tiny_weights().vae


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two frame shards of two clips each."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(2):
        save_file({"frames": FRAMES, "poses": np.stack([POSES] * 2)}, folder / f"clips-{number:05d}.safetensors")
        about = {"clips": [{"number": 2 * number}, {"number": 2 * number + 1}]}
        (folder / f"clips-{number:05d}.json").write_text(json.dumps(about))
    return folder


def test_encoded_clips_come_back_with_the_poses_and_actions_of_each_latents_last_frame(vae, shards, tmp_path):
    assert encode_shards(vae, "sum", shards, tmp_path / "out") == 4
    clips = load_latents(tmp_path / "out", "sum")
    assert len(clips) == 4 and clips.latents.shape == (4, 3, 4, 2, 4) and clips.latents.dtype == torch.float16
    assert np.array_equal(clips.poses[3], POSES[::4].astype(np.float64))
    assert clips.actions[0].tolist() == actions_from_poses(POSES[::4], POCKET_LABELS).tolist()
    assert [about["number"] for about in clips.about] == [0, 1, 2, 3]


def test_encoding_some_latents_at_a_time_is_encoding_them_at_once(vae):
    whole = encode_frames(vae, FRAMES, batch=3).float()
    assert torch.allclose(encode_frames(vae, FRAMES, batch=1).float(), whole, atol=2e-2)
    assert torch.allclose(vae.encode(group_frames(torch.from_numpy(FRAMES))), whole, atol=5e-2)


def test_a_shard_that_is_there_is_not_encoded_again(vae, shards, tmp_path):
    encode_shards(vae, "sum", shards, tmp_path / "out")
    (tmp_path / "out" / "latents-00001.safetensors").unlink()
    before = (tmp_path / "out" / "latents-00000.safetensors").stat().st_mtime_ns
    assert encode_shards(vae, "sum", shards, tmp_path / "out") == 4
    assert (tmp_path / "out" / "latents-00000.safetensors").stat().st_mtime_ns == before
    assert len(load_latents(tmp_path / "out", "sum")) == 4


def test_latents_of_another_autoencoder_are_refused(vae, shards, tmp_path):
    encode_shards(vae, "sum", shards, tmp_path / "out")
    with pytest.raises(WanderError, match="encoded with autoencoder sum, the frozen one is other"):
        load_latents(tmp_path / "out", "other")


def test_a_torn_shard_is_refused_in_a_sentence(vae, shards, tmp_path):
    encode_shards(vae, "sum", shards, tmp_path / "out")
    path = tmp_path / "out" / "latents-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WanderError, match=r"latents-00001.*delete it and encode again"):
        load_latents(tmp_path / "out", "sum")


def test_a_folder_without_clips_is_refused(vae, tmp_path):
    with pytest.raises(WanderError, match="0 clips"):
        encode_shards(vae, "sum", tmp_path, tmp_path / "out")
    with pytest.raises(WanderError, match="0 latent shards"):
        load_latents(tmp_path, "sum")
