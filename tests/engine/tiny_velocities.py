"""Velocities of the tiny public fixtures' networks beside a context: what the ways to be faster are measured with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from engine.rollout import Autoregressive, cached_field
from tests.parity import networks
from tests.parity.fixture import read_folder

FIXTURES = {fixture.name: fixture for fixture in read_folder(Path(__file__).parents[1] / "parity" / "fixtures")}
ROLLOUTS = {"worldplay-5b": "rollout_wan", "worldplay-8b": "rollout_8b"}


def fixture_network(preset: str) -> Autoregressive:
    """The tiny network of a preset with the fixture's weights."""
    case = FIXTURES[ROLLOUTS[preset]].header["cases"][0]
    return networks.build(FIXTURES[case["weights_of"]])


@torch.inference_mode()
def velocities(model: Autoregressive, preset: str) -> torch.Tensor:
    """Of the fixture's second chunk at two times, the first chunk's latents as its context: `[2, T, C, Y, X]`."""
    fixture = FIXTURES[ROLLOUTS[preset]]
    case = fixture.header["cases"][0]
    tensors = fixture.tensors(case["file"])
    prompts = networks.prompts_8b(tensors) if preset == "worldplay-8b" else []
    track = networks._track(case, tensors)
    texts = networks._read(model, prompts, tensors)
    field = cached_field(model, track, np.arange(4), np.arange(4, 8), texts)
    return torch.cat([field(track.latents[:, 4:8], torch.full((4,), time), time)[0] for time in (1000.0, 400.0)])
