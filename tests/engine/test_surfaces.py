"""What is lifted: the picture that was shown where one is kept, else the decoder's own, and it comes back exactly."""

from __future__ import annotations

import numpy as np
import torch

from engine.actions import KEY_W, POCKET, Step, frame_poses, start_pose
from engine.precision import autocast
from engine.surfaces import CAPACITY, Surfaces
from engine.vae import decode_clip
from tests.engine.tiny import tiny_weights

LATENTS = torch.randn(6, 4, 2, 4, generator=torch.Generator().manual_seed(0))
PATH = frame_poses([Step(keys=KEY_W)] * (CAPACITY + 8), POCKET, start_pose(POCKET))[1:]
SHOWN = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)


def test_the_picture_that_was_shown_is_lifted_and_elsewhere_the_decoded_one():
    weights = tiny_weights()
    surfaces = Surfaces(weights, lambda i: LATENTS[i], lambda i: SHOWN if i == 3 else None)
    with torch.inference_mode(), autocast(LATENTS.device):
        decoded = decode_clip(weights.vae, LATENTS[None])[0, ::4]
    for index, picture in ((3, torch.from_numpy(SHOWN)), (4, decoded[4])):
        found = surfaces.get(index, PATH).picture
        assert torch.allclose((found.permute(1, 2, 0) + 1) * 127.5, picture.float(), atol=1e-3)


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
