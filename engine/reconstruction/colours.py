"""The pictures of a walk from its latents: the last frame of each, whose camera is the latent's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.precision import autocast
from engine.reconstruction.sieve import Advance
from engine.vae import Vae, to_uint8
from engine.vae_hunyuan import HunyuanVae
from engine.vae_wan import WanVae

_REACH = 2
"""Latents before one that its picture depends on, in `pocket`."""


@torch.inference_mode()
def last_frames(
    vae: Vae | WanVae | HunyuanVae,
    latents: NDArray[np.float16],
    chosen: NDArray[np.integer],
    advance: Advance = lambda fraction: None,
) -> NDArray[np.uint8]:
    """Frames `[len(chosen), H, W, 3]` of a walk's normalised latents `[T, C, Y, X]`; `chosen` is ascending."""
    first = next(vae.parameters())
    nothing, reach = (None, _REACH) if isinstance(vae, Vae) else ((), vae.reach)
    wanted, frames = set(chosen.tolist()), []
    steps, previous, state = _needed(chosen, reach), -2, nothing
    for count, index in enumerate(steps):
        latent = torch.from_numpy(latents[index].astype(np.float32)).to(first.device)[None]
        with autocast(first.device, first.dtype):
            decoded, state = vae.decode(latent, state if index == previous + 1 else nothing)  # type: ignore[arg-type]
        if index in wanted:
            frames.append(to_uint8(decoded[0, -1]).cpu().numpy())
        previous = index
        advance((count + 1) / len(steps))
    return np.stack(frames)


def _needed(chosen: NDArray[np.integer], reach: int) -> list[int]:
    """The chosen latents and those that they depend on, ascending."""
    return sorted({max(0, int(index) - back) for index in chosen for back in range(reach + 1)})
