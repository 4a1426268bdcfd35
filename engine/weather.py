"""What is in the air of a world, frame by frame: it moves by itself and belongs to no place (supplement E.2).

No two pictures show the same of it. So it is neither remembered nor lifted, but added to frames as they leave: where
everything is follows from the seed of the world, the time, the camera, and what burns.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.air import AirPainter, maps_of
from engine.depth import signed
from engine.fire import Site
from engine.guide import cameras_between
from engine.precision import autocast
from engine.surfaces import Surfaces
from engine.telling import Levels, Telling
from engine.text import encode
from engine.vae import FRAMES_PER_LATENT, to_uint8

_BEAT = 3.4
"""Seconds in each of which lightning flashes once, at a moment of its own: twice, within a fifth of a second."""
_AGAIN, _FADES = 0.2, 16.0
"""Seconds until it flickers, and its decay, one over seconds."""
_AIR = 0xA1A
"""Of the numbers that a world's seed gives, those of its air."""


def lightning(seed: int, time_s: float) -> float:
    """Brightness 0..1 of the sky of a world at a time."""
    beat = math.floor(time_s / _BEAT)
    since = time_s - _BEAT * (beat + 0.8 * np.random.default_rng([seed % 2**32, _AIR, beat]).random())
    return max((fade * math.exp(-_FADES * t) for fade, t in ((1.0, since), (0.8, since - _AGAIN)) if t >= 0), default=0)


class Weather:
    """The air of a world of this seed, at so many frames a second, whose pictures are lifted to `surfaces`."""

    def __init__(self, painter: AirPainter, surfaces: Surfaces, seed: int, fps: float) -> None:
        self._painter, self._surfaces, self._seed, self._fps = painter, surfaces, seed, fps
        most = max((kind.count for kind in painter.config.falling), default=0)
        self._points = np.random.default_rng([seed % 2**32, _AIR]).random((most, 4))

    @torch.inference_mode()
    def over(
        self, frames_FHW3: NDArray[np.uint8], path: NDArray[np.float64], latent: int, telling: Telling
    ) -> NDArray[np.uint8]:
        """Frames of a latent `[1 | 4, H, W, 3]` with what is in the air under the events that are told; `path` are the
        cameras `[T, 4, 4]` of a walk up to its chunk at least."""
        before, after = (self._moving(telling.there(latent + end)) for end in (0, 1))
        if not before and not after:
            return frames_FHW3
        F, device = len(frames_FHW3), self._painter.know.weight.device
        cameras = cameras_between(path[max(latent - 1, 0)], path[latent : latent + 1])[0, -F:]
        times = (FRAMES_PER_LATENT * latent + 1 - np.arange(F, 0, -1)) / self._fps
        parts = np.arange(FRAMES_PER_LATENT - F + 1, FRAMES_PER_LATENT + 1) / FRAMES_PER_LATENT
        pictures = signed(torch.from_numpy(frames_FHW3).to(device))
        for event in dict.fromkeys((*before, *after)):
            first, last = before.get(event, 0.0), after.get(event, 0.0)
            moments = list(zip(cameras, times, first + parts * (last - first), strict=True))
            covers, light = self._maps(moments, frames_FHW3.shape[1:3], self._site(event, path, telling))
            sentence = torch.from_numpy(encode(("", event))).to(device).expand(F, -1)
            with autocast(device):
                pictures = self._painter(pictures, covers.to(device), light.to(device), sentence).float()
        return to_uint8(pictures).cpu().numpy()

    def _moving(self, levels: Levels) -> Levels:
        """Levels of the events under which something is in the air."""
        return {event: level for event, level in levels.items() if self._surfaces.weights.airs(event)}

    def _site(self, event: str, path: NDArray[np.float64], telling: Telling) -> Site | None:
        """What burns under an event, chosen in the last picture before the words; None if nothing does."""
        if not self._surfaces.weights.burns(event):
            return None
        return self._surfaces.site(max(telling.since(event) - 1, 0), path)

    def _maps(
        self, moments: list[tuple[NDArray[np.float64], float, float]], size: tuple[int, int], site: Site | None
    ) -> tuple[Tensor, Tensor]:
        """Covers `[F, K, H, W]` and light `[F, 2, H, W]` at moments: camera, time, how far the event is there."""
        maps = (maps_of(self._painter.config, self._points, *moment, size, site) for moment in moments)
        covers, glow = zip(*maps, strict=True)
        flash = [amount * lightning(self._seed, time_s) * np.ones(size) for _, time_s, amount in moments]
        light = np.stack([np.stack(flash), np.stack(glow)], 1).astype(np.float32)
        return torch.from_numpy(np.stack(covers)), torch.from_numpy(light)
