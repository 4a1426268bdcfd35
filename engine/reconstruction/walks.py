"""What a scan must know of a preset: how its latents become pictures, through which lens, and how long its units are.

Lengths in a scan are those of `pocket`, metres about. The released models walk 0.08 of their own units a latent where
`pocket` walks 0.48: their poses are stretched so that a step is as long, and every limit of depth fits both. Torch is
imported when pictures are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from engine.actions import POCKET, WORLDPLAY
from engine.geometry import POCKET_LENS, WORLDPLAY_LENS, Lens, Matrix
from engine.reconstruction.external import installed
from engine.reconstruction.sieve import Advance

Decode = Callable[[NDArray[np.float16], NDArray[np.int64], Advance], NDArray[np.uint8]]
"""Latents `[T, C, Y, X]` of a walk and which of them -> their last frames `[V, H, W, 3]`."""
STRETCH = POCKET.move * POCKET.steps_per_latent / (WORLDPLAY.move * WORLDPLAY.steps_per_latent)
_WIDEST = 416
"""Pixels of a picture's width: stereo compares every pixel at every depth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkKind:
    """The walks of a preset."""

    decode: Decode
    lens: Lens
    latents_per_second: float
    stretch: float
    """Units of a scan in one of its poses'."""
    units: str
    """What a scan's sidecar says of them."""
    own_depth: bool
    """Whether the depth network knows its latents."""

    @property
    def depth(self) -> str:
        """Where depth comes from unless something else is asked for."""
        return "network" if self.own_depth else "stereo" if installed() is None else "external"

    def stretched(self, poses: Matrix) -> Matrix:
        """Its poses `[T, 4, 4]` in units of a scan."""
        longer = poses.copy()
        longer[:, :3, 3] *= self.stretch
        return longer


def shrunk(pictures: NDArray[np.uint8], widest: int = _WIDEST) -> NDArray[np.uint8]:
    """Pictures `[V, H, W, 3]` at most `widest` wide, averaged over whole blocks of pixels; narrow ones as they are."""
    V, H, W, _ = pictures.shape
    step = -(-W // widest)
    if step == 1:
        return pictures
    blocks = pictures[:, : H // step * step, : W // step * step].reshape(V, H // step, step, W // step, step, 3)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)


def _decode_pocket(latents: NDArray[np.float16], chosen: NDArray[np.int64], advance: Advance) -> NDArray[np.uint8]:
    from engine.reconstruction.colours import last_frames
    from engine.weights import load_vae

    return last_frames(load_vae(), latents, chosen, advance)


def _decode_released(
    preset: str, latents: NDArray[np.float16], chosen: NDArray[np.int64], advance: Advance
) -> NDArray[np.uint8]:
    from engine.reconstruction.colours import last_frames
    from engine.released_preset import load_decoder

    return shrunk(last_frames(load_decoder(preset), latents, chosen, advance))


def _released(preset: str, frames_per_second: float) -> WalkKind:
    return WalkKind(
        decode=partial(_decode_released, preset),
        lens=WORLDPLAY_LENS,
        latents_per_second=frames_per_second / 4,
        stretch=STRETCH,
        units=f"1 unit = 1 / {STRETCH:g} of a unit of the model's poses, so that a step is as long as in pocket; "
        "the model's scale is its own",
        own_depth=False,
    )


WALKS = {
    "pocket": WalkKind(
        decode=_decode_pocket,
        lens=POCKET_LENS,
        latents_per_second=6.0,
        stretch=1.0,
        units="1 unit = 1 metre; an eye stands 1.6 above the ground",
        own_depth=True,
    ),
    "worldplay-5b": _released("worldplay-5b", 16.0),
    "worldplay-8b": _released("worldplay-8b", 24.0),
}
"""By preset."""
