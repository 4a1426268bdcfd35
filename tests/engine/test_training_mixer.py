"""What training computes is what play computes: one definition of context, reframing and positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from engine.actions import KEY_A, KEY_LEFT, KEY_RIGHT, KEY_S, KEY_W, POCKET, Step, latent_poses
from engine.geometry import rigid_inverse
from engine.kv_cache import DenoiseMixer
from engine.memory import context_times, select_context
from engine.memory import pocket as pocket_memory
from engine.streamer import PocketWorld
from engine.training.base import layout_for
from engine.training.mixer import TrainingMixer
from engine.transformer import pocket_frustums
from engine.world import ChunkRecord, WorldSpec
from tests.engine.tiny import tiny_weights

LATENTS = 28


def _walk() -> np.ndarray:
    """Away from what is seen first, and back to it: the last chunks retrieve the oldest clip."""
    steps = [Step(keys=KEY_A)] * 3 + [Step(keys=KEY_W | KEY_LEFT)] * 10 + [Step(keys=KEY_S | KEY_RIGHT)] * 14
    return latent_poses(steps, POCKET).astype(np.float32).astype(np.float64)


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """In float32 on every machine: the two are compared to the fifth digit."""
    monkeypatch.setattr("engine.precision.compute_dtype", lambda device_type: torch.float32)


MEMORIES = {
    "pocket": pocket_memory(),
    "rope": replace(pocket_memory(), reframes=False),
    "spatial": replace(pocket_memory(), spatial_latents=12, temporal_latents=4),
    "forgetful": replace(pocket_memory(), retrieves=False),
}


@pytest.mark.parametrize(
    ("camera", "chunk", "memory"),
    [(camera, chunk, "pocket") for camera in ("split", "branch") for chunk in (1, 2, 4)]
    + [("split", 4, memory) for memory in MEMORIES if memory != "pocket"],
)
def test_a_chunk_has_the_same_velocity_in_training_and_in_play(
    camera: Literal["split", "branch"], chunk: int, memory: str
) -> None:
    weights, poses = replace(tiny_weights(camera), memory=MEMORIES[memory]), _walk()
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(1, LATENTS, 4, 2, 4, generator=generator).half().float()
    noisy = torch.randn(1, LATENTS, 4, 2, 4, generator=generator)
    actions = torch.randint(0, 81, (1, LATENTS), generator=generator)
    levels = torch.rand(1, LATENTS // chunk, generator=generator).repeat_interleave(chunk, 1)

    records = [
        ChunkRecord(
            index=i,
            steps=(Step(),) * chunk,
            latents=latents[0, s].half().numpy(),
            poses=poses[s].astype(np.float32),
            actions=actions[0, s].numpy().astype(np.int16),
            prompt="",
        )
        for i, s in enumerate(slice(first, first + chunk) for first in range(0, LATENTS, chunk))
    ]
    world = PocketWorld(weights, WorldSpec(chunk=chunk), records)

    layout = layout_for(poses[None], chunk, weights.memory)
    mixer = TrainingMixer(weights.model, layout, pocket_frustums(poses[None], poses[None, :1]), (2, 4))
    trained = weights.model(
        torch.cat([latents, noisy], 1),
        torch.cat([torch.zeros(1, LATENTS), levels], 1),
        torch.cat([actions, actions], 1),
        world._words(world.lines),
        mixer,
    )
    for first in range(0, LATENTS, chunk):
        part = slice(first, first + chunk)
        path = poses[: first + chunk]
        chosen = [int(i) for i in select_context(rigid_inverse(path), first, chunk, weights.memory)]
        assert first < 24 or memory in ("spatial", "forgetful") or 3 in chosen
        count, times = len(chosen), torch.from_numpy(context_times(chosen, first, chunk, weights.memory))
        context = world._read_context(path, chosen, times[:count], first)
        play = DenoiseMixer(
            weights.model.positions,
            weights.model.geometry(times[count:], (2, 4), pocket_frustums(poses[part], poses[first])),
            context,
        )
        played = weights.model(noisy[:, part], levels[:, part], actions[:, part], world._words(world.lines), play)
        assert torch.allclose(played, trained[:, LATENTS:][:, part], atol=3e-5), f"chunk at latent {first}"
