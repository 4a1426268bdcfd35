"""The pictures of a walk from its latents: the last frame of each, whose camera is the latent's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.reconstruction.sieve import Advance
from engine.vae import DecoderState, Vae, to_uint8

_WARM_UP = 2
"""Latents before one that its picture depends on."""


@torch.inference_mode()
def last_frames(
    vae: Vae, latents: NDArray[np.float16], chosen: NDArray[np.integer], advance: Advance = lambda fraction: None
) -> NDArray[np.uint8]:
    """Frames `[len(chosen), H, W, 3]` of a walk's normalised latents `[T, C, Y, X]`; `chosen` is ascending."""
    device = vae.mean.device
    wanted, frames, state = set(chosen.tolist()), [], None
    steps = _needed(chosen)
    previous = -2
    for count, index in enumerate(steps):
        before: DecoderState | None = state if index == previous + 1 else None
        latent = torch.from_numpy(latents[index].astype(np.float32)).to(device)
        decoded, state = vae.decode(latent[None], before)
        if index in wanted:
            frames.append(to_uint8(decoded[0, -1]).cpu().numpy())
        previous = index
        advance((count + 1) / len(steps))
    return np.stack(frames)


def _needed(chosen: NDArray[np.integer]) -> list[int]:
    """The chosen latents and those that they depend on, ascending."""
    return sorted({max(0, int(index) - back) for index in chosen for back in range(_WARM_UP + 1)})
