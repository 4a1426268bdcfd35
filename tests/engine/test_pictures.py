"""Still pictures become clips that move smoothly and never leave the picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.errors import WanderError
from engine.training.pictures import drifting_clips
from engine.training.vae import CropSampler, VaeTraining


def test_a_clip_of_a_picture_drifts_smoothly_within_it(tmp_path):
    rows, columns = np.mgrid[0:200, 0:300]
    picture = np.stack([columns * 0.8, rows, np.full_like(rows, 77)], -1).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "gradient.png")
    clips = drifting_clips(tmp_path, 6, np.random.default_rng(0), size=(80, 48))
    assert clips.shape == (6, 9, 48, 80, 3) and np.abs(clips[..., 2].astype(int) - 77).max() <= 1
    steps = np.abs(np.diff(clips[..., :2].astype(float).mean((2, 3)), axis=1))
    assert steps.max() < 12 and steps.max() > 0


def test_a_folder_without_pictures_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(WanderError, match="0 pictures"):
        drifting_clips(tmp_path, 1, np.random.default_rng(0))


def test_large_pictures_are_cropped_or_halved_and_small_ones_taken_whole():
    sources = [np.zeros((2, 9, 192, 320, 3), np.uint8), np.full((2, 29, 96, 160, 3), 255, np.uint8)]
    batch = CropSampler(sources, VaeTraining(batch=12)).batch(np.random.default_rng(0))
    assert batch.shape == (12, 2, 12, 96, 160) and {float(x) for x in batch.unique()} == {-1.0, 1.0}
