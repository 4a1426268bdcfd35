"""What the guide covers is drawn from it, what it doesn't is the decoder's, and a chunk keeps what it showed."""

from __future__ import annotations

import random

import numpy as np
import torch

from engine.compositor import Compositor, CompositorConfig
from engine.training.compositor import Samples, loss_of
from tests.engine.tiny import play, tiny_weights, tiny_world


def frames(seed: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 4, 3, 16, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_without_cover_an_untrained_compositor_shows_the_decoded_frames():
    decoded, drawn = frames(0), frames(1)
    shown = Compositor(CompositorConfig(width=8))(decoded, drawn, torch.zeros(1, 4, 16, 32, dtype=torch.bool))
    assert torch.equal(shown, decoded)


def test_where_covered_an_untrained_compositor_leans_to_the_drawn_frames():
    decoded, drawn = frames(0), frames(1)
    shown = Compositor(CompositorConfig(width=8))(decoded, drawn, torch.ones(1, 4, 16, 32, dtype=torch.bool))
    assert ((shown - drawn).abs() <= 0.5 * (decoded - drawn).abs() + 1e-6).all()


def test_it_learns_which_of_the_two_is_right():
    torch.manual_seed(0)
    truth = (torch.rand(8, 4, 16, 32, 3) * 255).byte()
    wrong = 255 - truth
    model = Compositor(CompositorConfig(width=16))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    samples = Samples(truth, truth, wrong, torch.ones(8, 4, 16, 32, dtype=torch.bool))
    losses = []
    for _ in range(40):
        loss, _ = loss_of(model, samples, random.Random(0), 4, torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_a_chunk_keeps_the_last_picture_that_it_showed():
    world = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8))
    shown = [play(world, 1)[-1] for _ in range(3)]
    assert all(np.array_equal(record.picture, last) for record, last in zip(world.records, shown, strict=True))
