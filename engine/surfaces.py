"""Surfaces of past latents: pictures with depth, from which the guide of the next chunk is drawn.

The picture of a chunk's last latent is the one that was shown, which its record keeps; that of any other latent is
decoded anew (a frame of the decoder depends on its own latent and the two before it, nothing else). Both come back
exactly from the journal, and so does the guide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.depth import confidence, signed
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, make_guide
from engine.precision import autocast
from engine.second_view import estimate_views, surfaces_of
from engine.vae import FRAMES_PER_LATENT, DecoderState, to_uint8
from engine.weights import PocketWeights

CAPACITY = 64
"""Surfaces kept: more than any context lifts."""
_REACH = 2
"""Latents before its own that a frame depends on."""


@torch.inference_mode()
def lift(
    weights: PocketWeights, latent: Tensor, picture: NDArray[np.uint8], world_from_camera: NDArray[np.float64]
) -> Surface:
    """The surface of a latent `[C, Y, X]` whose last frame is `picture` `[H, W, 3]`, seen from a camera `[4, 4]`."""
    assert weights.depth is not None, "a guided transformer comes with a depth network"
    pictures, camera = torch.from_numpy(picture[None].copy()).to(latent.device), world_from_camera[None]
    depth = estimate_views(weights.depth, latent[None], camera, pictures, [None])
    return replace(surfaces_of(depth, signed(pictures), camera)[0], sure=confidence(depth)[0])


class Surfaces:
    """Least recently used surfaces by latent.

    `latent(i)` gives latent i of the world, `[C, Y, X]`; `picture(i)` what was shown there, or None if it isn't kept.
    """

    def __init__(
        self,
        weights: PocketWeights,
        latent: Callable[[int], Tensor],
        picture: Callable[[int], NDArray[np.uint8] | None],
        imagine: Callable[[Surface], list[Surface]] = lambda first: [],
    ) -> None:
        self.weights, self._latent, self._picture, self._imagine = weights, latent, picture, imagine
        self._kept: OrderedDict[int, Surface] = OrderedDict()
        self._around: list[Surface] | None = None

    def around(self, path: NDArray[np.float64]) -> list[Surface]:
        """What was imagined around the first picture before it was seen; `get` calls them -1, -2, ..."""
        if self._around is None:
            self._around = self._imagine(self.get(0, path))
        return self._around

    def forget_from(self, index: int) -> None:
        """Drops this latent and all later ones (rewind); from the first on, what is around it as well."""
        if index == 0:
            self._around = None
        for i in [i for i in self._kept if i >= index]:
            del self._kept[i]

    def get(self, index: int, path: NDArray[np.float64]) -> Surface:
        """The surface of latent `index` of a walk along cameras `[T, 4, 4]`, of those up to it; see also `around`."""
        if index < 0:
            return self.around(path)[~index]
        if index not in self._kept:
            self._kept[index] = self._lift(index, path)
        self._kept.move_to_end(index)
        while len(self._kept) > CAPACITY:
            self._kept.popitem(last=False)
        return self._kept[index]

    @torch.inference_mode()
    def guide(self, path: NDArray[np.float64], chosen: Sequence[int], current: int, stale: int = 0) -> Guide:
        """Guide of the latents `current ..` of `path` `[current + T, 4, 4]`, drawn from the `chosen` ones: what
        the later of them show hides what the earlier do, of which the first `stale` are.

        The first latent of a world, which is given, has none (zeros); the rest of its chunk is lifted from it.
        """
        first = max(current, 1)
        nothing = self._nothing(first - current)
        if first == len(path):
            return nothing
        sources = [self.get(i, path) for i in chosen]
        shown = make_guide(self.weights.vae, sources, path[first - 1], path[first:], POCKET_LENS, stale)
        return Guide(
            torch.cat([nothing.latents, shown.latents]),
            torch.cat([nothing.frames, shown.frames]),
            torch.cat([nothing.covered, shown.covered]),
        )

    def _nothing(self, latents: int) -> Guide:
        """A guide that covers nothing."""
        weights, device = self.weights, self.weights.vae.mean.device
        frames = (latents, FRAMES_PER_LATENT)
        return Guide(
            torch.zeros(latents, weights.model.guide_channels, *weights.grid, device=device),
            torch.zeros(*frames, 3, weights.height, weights.width, device=device),
            torch.zeros(*frames, weights.height, weights.width, dtype=torch.bool, device=device),
        )

    def _lift(self, index: int, path: NDArray[np.float64]) -> Surface:
        return lift(self.weights, self._latent(index), self._shown(index), path[index])

    def _shown(self, index: int) -> NDArray[np.uint8]:
        shown = self._picture(index)
        return self._decode(index) if shown is None else shown

    def _decode(self, index: int) -> NDArray[np.uint8]:
        state: DecoderState | None = None
        frames = None
        for i in range(max(0, index - _REACH), index + 1):
            latent = self._latent(i)
            with autocast(latent.device):
                frames, state = self.weights.vae.decode(latent[None], state)
        assert frames is not None
        return to_uint8(frames[0, -1].float()).cpu().numpy()
