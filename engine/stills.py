"""Single pictures, made from words and from what a guide shows of them (training: engine/training/stills.py).

A world from words begins with one, and around the place where any world begins a few are imagined before the walk: what
is to the left and right of the first picture. They are made at leisure, in more steps than play has time for and led
further by the words; a turn that comes too fast for four steps shows them. Until a walk has seen what is there, they
are drawn where nothing else is known, and the network goes on from them as from any picture. They follow from the first
picture, the first words and the seed, so they are no state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import heading, turn
from engine.compositor import AGREE
from engine.flow import sample, schedule
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, make_guide
from engine.kv_cache import Context, DenoiseMixer
from engine.precision import autocast
from engine.surfaces import lift
from engine.transformer import Geometry, Mixer, Pocket, TextCache, known_by
from engine.vae import to_uint8
from engine.weights import PocketWeights

TURNS = (40.0, -40.0, 80.0, -80.0)
"""Degrees to the right in which a place is imagined; the lens sees 70, so each overlaps the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StillSampling:
    """Steps, the shift of their levels, and how much further the velocity goes in the direction from no words to those
    that were given."""

    steps: int = 16
    shift: float = 3.0
    guidance: float = 1.5


FIRST, AROUND = StillSampling(guidance=3.0), StillSampling(steps=8)
"""For the picture that a world from words begins with, and for those around any first picture."""


@torch.inference_mode()
def make_still(
    network: Pocket,
    geometry: Geometry,
    noises: Tensor,
    words: tuple[TextCache, TextCache],
    how: StillSampling,
    *,
    guide: Tensor | None = None,
    shared: Callable[[Mixer], Mixer] = lambda mixer: mixer,
) -> Tensor:
    """A latent half `[C, Y, X]` from noises `[steps, 1, C, Y, X]`.

    `words` are those given and none, `guide` `[1, C + 5, Y, X]` is what is known.
    """
    mixer = shared(DenoiseMixer(network.positions, geometry, Context(None, None)))
    still, seen = torch.zeros(1, 1, device=noises.device), None if guide is None else guide[None]

    def velocity(x: Tensor, level: float) -> Tensor:
        with autocast(noises.device):
            said, unsaid = (network(x[None], still + level, still.long(), each, mixer, seen)[0] for each in words)
        return unsaid + (1 + how.guidance) * (said - unsaid)

    renewed = 0.0 if guide is None else known_by(guide)
    return sample(velocity, noises, schedule(how.steps, how.shift).tolist(), renewed=renewed)[0].half()


def look_around(
    weights: PocketWeights, first: Surface, make: Callable[[int, NDArray[np.float64], Guide], Tensor]
) -> list[Surface]:
    """What is imagined on both sides of the first picture; `make(number, camera, guide)` makes a latent `[C, Y, X]`.

    Each view goes on from those before it. One whose numbers are not finite ends the list.
    """
    (yaw, pitch), known = heading(first.world_from_camera), [first]
    for number, degrees in enumerate(TURNS):
        camera = first.world_from_camera.copy()
        camera[:3, :3] = turn(float(yaw) + math.radians(degrees), float(pitch))
        ahead = [source.world_from_camera[:3, 2] @ camera[:3, 2] for source in known]
        sources = [known[i] for i in np.argsort(ahead, kind="stable")]
        guide = make_guide(weights.vae, sources, camera, camera[None], POCKET_LENS)
        latent = make(number, camera, guide)
        if not torch.isfinite(latent).all():
            break
        known.append(lift(weights, latent, _shown(weights, latent, guide), camera))
    return known[1:]


@torch.inference_mode()
def _shown(weights: PocketWeights, latent: Tensor, guide: Guide) -> NDArray[np.uint8]:
    """The picture `[H, W, 3]` of a still and its guide."""
    with autocast(latent.device):
        frames, _ = weights.vae.decode(latent[None].float(), None)
        if weights.compositor is not None:
            frames = weights.compositor(frames, guide.frames, guide.covered, AGREE, steady=True)
    return to_uint8(frames[0, -1].float()).cpu().numpy()
