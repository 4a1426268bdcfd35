"""Single pictures made from words alone, which a world from words begins with (training: engine/training/stills.py).

They are made at leisure, in more steps than play has time for, and led further by the words than those say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.flow import sample, schedule
from engine.kv_cache import Context, DenoiseMixer
from engine.precision import autocast
from engine.transformer import Geometry, Mixer, Pocket, TextCache


@dataclass(frozen=True, kw_only=True, slots=True)
class StillSampling:
    """Steps, the shift of their levels, and how much further the velocity goes in the direction from no words to those
    that were given."""

    steps: int = 16
    shift: float = 3.0
    guidance: float = 3.0


@torch.inference_mode()
def make_still(
    network: Pocket,
    geometry: Geometry,
    noise: Tensor,
    words: tuple[TextCache, TextCache],
    how: StillSampling,
    shared: Callable[[Mixer], Mixer] = lambda mixer: mixer,
) -> Tensor:
    """A latent half `[C, Y, X]` from noise `[1, C, Y, X]`; `words` are those given and none."""
    mixer = shared(DenoiseMixer(network.positions, geometry, Context(None, None)))
    still = torch.zeros(1, 1, device=noise.device)

    def velocity(x: Tensor, level: float) -> Tensor:
        with autocast(noise.device):
            said, unsaid = (network(x[None], still + level, still.long(), each, mixer)[0] for each in words)
        return unsaid + (1 + how.guidance) * (said - unsaid)

    noises = noise.expand(how.steps, *noise.shape)
    return sample(velocity, noises, schedule(how.steps, how.shift).tolist())[0].half()
