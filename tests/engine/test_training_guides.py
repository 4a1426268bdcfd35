"""Guides of training clips: one for each latent, and beside those of clips with events what a calm place would show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.actions import KEY_W, POCKET, Step, frame_poses
from engine.errors import WanderError
from engine.training.guides import load_calm, load_guides, make_guides
from engine.training.latents import encode_frames, encode_shards
from tests.engine.tiny import tiny_weights

rng = np.random.default_rng(0)
HAPPENING, CALM = (rng.integers(0, 256, (2, 17, 32, 64, 3), dtype=np.uint8) for _ in range(2))
POSES = np.stack([frame_poses([Step(keys=KEY_W)] * 4, POCKET).astype(np.float32)] * 2)


def shards(folder: Path, frames: np.ndarray, eventful: list[list[bool]]) -> Path:
    """Shards of two clips each; `eventful` says in which clips something happens."""
    folder.mkdir()
    for number, both in enumerate(eventful):
        save_file({"frames": frames, "poses": POSES}, folder / f"clips-{number:05d}.safetensors")
        about = {"clips": [{"events": [{"family": "rain"}] if each else []} for each in both]}
        (folder / f"clips-{number:05d}.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A latent folder of four clips, in the second and fourth of which something happens."""
    weights = tiny_weights()
    assert weights.depth is not None
    frames = shards(tmp_path / "frames", HAPPENING, [[False, True], [False, True]])
    control = shards(tmp_path / "control", CALM, [[False, False], [False, False]])
    encode_shards(weights.vae, "sum", frames, tmp_path / "latents")
    with pytest.raises(WanderError, match=r"2 of 2 latent shards .* have no guides"):
        load_guides(tmp_path / "latents")
    make_guides(weights.vae, weights.depth, frames, tmp_path / "latents")
    assert load_calm(tmp_path / "latents") is None
    make_guides(weights.vae, weights.depth, frames, tmp_path / "latents", control=control)
    return tmp_path / "latents"


def test_every_latent_but_the_first_is_shown_something(made):
    guides = load_guides(made)
    assert guides.shape == (4, 5, 4 + 4, 2, 4)
    assert not guides[:, 0].any() and all(guides[:, t, 4:].float().mean() > 0.05 for t in range(1, 5))


def test_calm_clips_stand_beside_those_in_which_something_happens(made):
    calm = load_calm(made)
    assert calm is not None and calm.row == {1: 0, 3: 1}
    truth = encode_frames(tiny_weights().vae, CALM[1:])[0].float()
    assert torch.allclose(calm.latents[1].float(), truth, atol=1e-2)
    assert calm.guides.shape == (2, 5, 8, 2, 4)
    assert not torch.allclose(calm.guides[0].float(), load_guides(made)[1].float(), atol=0.1)
