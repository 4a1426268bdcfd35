"""What a released model computes on a GPU stays there and is never waited for: run on torch's device without memory.

Tensors on `meta` have a shape, a type and that device: a product with a tensor that was left on the CPU is refused, as
a GPU refuses it, and so is every look at a number, for which a GPU would have to be waited for and which no CUDA graph
can hold. So this much is known of a GPU on a machine without one.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from engine.causal_conv import State
from engine.released_world import ReleasedModel
from engine.speed import practice
from tests.engine.tiny_released import PRESETS, tiny_released

AWAY = torch.device("meta")


@pytest.fixture(params=PRESETS)
def model(request, monkeypatch) -> ReleasedModel:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # torch has none for this device
    made = tiny_released(request.param)
    return replace(made, transformer=made.transformer.to(AWAY), vae=made.vae.to(AWAY))


def test_a_tensor_that_was_left_behind_and_a_look_at_a_number_are_noticed():
    with pytest.raises(RuntimeError, match="not on the expected device meta"):
        torch.ones(3, device=AWAY) * torch.ones(3)
    with pytest.raises(RuntimeError, match="meta"):
        bool(torch.ones(1, device=AWAY) > 0)


@torch.inference_mode()
def test_all_passes_of_a_chunk_run_where_the_network_is(model):
    assert len(list(practice(model.transformer, model.grid))) == 3


@torch.inference_mode()
def test_pictures_are_encoded_and_decoded_where_the_autoencoder_is(model):
    state: State = ()
    latent = model.vae.encode(torch.zeros(1, 1, 3, model.height, model.width, device=AWAY))[:, 0].float()
    for count in (1, 4):
        shown, state = model.vae.decode(latent, state)
        assert shown.device == AWAY and shown.shape == (1, count, 3, model.height, model.width)
