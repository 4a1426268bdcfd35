"""What moves through a world, frame by frame, and belongs to no place: the air, visitors, who walks ahead of us
(supplement E.2).

No two pictures show the same of it. So it is neither remembered nor lifted, but added to frames as they leave: where
everything is follows from the seed of the world, the time, the camera, what burns and who comes; and what stands before
it hides it, as far as the guide tells.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.air import maps_of
from engine.depth import signed
from engine.fire import Site, hidden, site_of
from engine.geometry import POCKET_LENS
from engine.guide import cameras_between
from engine.hero import Hero
from engine.precision import autocast
from engine.surfaces import Surfaces
from engine.telling import Levels, Telling
from engine.text import encode
from engine.vae import FRAMES_PER_LATENT, to_uint8
from engine.visitors import Stance, VisitorPainter, Way, cards_of, way_of

_BEAT = 3.4
"""Seconds in each of which lightning flashes once, at a moment of its own: twice, within a fifth of a second."""
_AGAIN, _FADES = 0.2, 16.0
"""Seconds until it flickers, and its decay, one over seconds."""
_QUICK = 4.0
"""How many times faster than other events a visitor is there: in a third of a second."""
_LARGE = 40.0
"""Columns of a picture to each unit between us and somebody from which on that somebody is so large that it is painted
at half the picture's size, in a quarter of the time."""
_AIR, _WAYS = 0xA1A, 0x3A75
"""Of the numbers that a world's seed gives, those of its air and of the ways of its visitors."""


def lightning(seed: int, time_s: float) -> float:
    """Brightness 0..1 of the sky of a world at a time."""
    beat = math.floor(time_s / _BEAT)
    since = time_s - _BEAT * (beat + 0.8 * np.random.default_rng([seed % 2**32, _AIR, beat]).random())
    return max((fade * math.exp(-_FADES * t) for fade, t in ((1.0, since), (0.8, since - _AGAIN)) if t >= 0), default=0)


@dataclass(frozen=True, slots=True)
class Shots:
    """The F frames of a latent: pictures `[F, 3, H, W]` in [-1, 1], cameras `[F, 4, 4]`, seconds `[F]`, and the
    disparity of the place where it is known, else 0, `[F, H, W]` on the CPU."""

    pictures: Tensor
    cameras: NDArray[np.float64]
    times: NDArray[np.float64]
    place: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        return self.pictures.shape[2], self.pictures.shape[3]


class Weather:
    """What moves through a world of this seed, at so many frames a second, whose pictures are lifted to `surfaces`, and
    its `hero`, who walks ahead."""

    def __init__(self, surfaces: Surfaces, seed: int, fps: float, hero: Hero | None = None) -> None:
        self._surfaces, self._weights, self._seed, self._fps = surfaces, surfaces.weights, seed % 2**32, fps
        falling = self._weights.air.config.falling if self._weights.air else ()
        most = max((kind.count for kind in falling), default=0)
        self._hero = hero
        self._points = np.random.default_rng([self._seed, _AIR]).random((most, 4))
        self._sites: dict[int, Site] = {}
        self._ways: dict[tuple[int, str], Way] = {}

    @torch.inference_mode()
    def over(
        self,
        frames_FHW3: NDArray[np.uint8],
        path: NDArray[np.float64],
        latent: int,
        telling: Telling,
        place_FHW: Tensor | None = None,
    ) -> NDArray[np.uint8]:
        """Frames of a latent `[1 | 4, H, W, 3]` with what moves by itself under the events that are told; `path` are
        the cameras `[T, 4, 4]` of a walk up to its chunk at least, `place` the disparity of the place `[4, H, W]`, 0
        where it isn't known, None where it is known nowhere."""
        before, after = (self._moving(telling.there(latent + end)) for end in (0, 1))
        if not before and not after and self._hero is None:
            return frames_FHW3
        count, weights = len(frames_FHW3), self._weights
        shots = Shots(
            signed(torch.from_numpy(frames_FHW3).to(weights.vae.mean.device)),
            cameras_between(path[max(latent - 1, 0)], path[latent : latent + 1])[0, -count:],
            (FRAMES_PER_LATENT * latent + 1 - np.arange(count, 0, -1)) / self._fps,
            torch.zeros(frames_FHW3.shape[:3]) if place_FHW is None else place_FHW[-count:].cpu(),
        )
        parts = np.arange(FRAMES_PER_LATENT - count + 1, FRAMES_PER_LATENT + 1) / FRAMES_PER_LATENT
        if self._hero is not None:
            shots = replace(shots, pictures=self._led(shots, self._hero, path, latent))
        for event in dict.fromkeys((*before, *after)):
            first, last = before.get(event, 0.0), after.get(event, 0.0)
            levels, since = first + parts * (last - first), telling.since(event)
            show = self._visited if weights.comes(event) else self._filled
            shots = replace(shots, pictures=show(shots, event, levels, since, path))
        return to_uint8(shots.pictures).cpu().numpy()

    def _moving(self, levels: Levels) -> Levels:
        """Levels of the events under which something moves by itself."""
        weights = self._weights
        return {event: level for event, level in levels.items() if weights.airs(event) or weights.comes(event)}

    def _filled(
        self, shots: Shots, event: str, levels: NDArray[np.float64], since: int, path: NDArray[np.float64]
    ) -> Tensor:
        """Shots whose air is filled as an event says, which was told after `since` latents and is there so far."""
        painter, device = self._weights.air, shots.pictures.device
        assert painter is not None, "events that fill the air come with its painter"
        site = self._site(since, path) if self._weights.burns(event) else None
        moments = zip(shots.cameras, shots.times, levels, strict=True)
        maps = [maps_of(painter.config, self._points, *moment, shots.size, site) for moment in moments]
        covers, glow = (torch.from_numpy(np.stack(each)) for each in zip(*maps, strict=True))
        if site is not None:
            covers *= ~hidden(site, shots.cameras, shots.place)[:, None]
        flash = [amount * lightning(self._seed, time_s) for time_s, amount in zip(shots.times, levels, strict=True)]
        light = torch.stack([torch.tensor(flash)[:, None, None].expand_as(glow), glow], 1).float()
        with autocast(device):
            return painter(shots.pictures, covers.to(device), light.to(device), _said(event, shots)).float()

    def _site(self, since: int, path: NDArray[np.float64]) -> Site:
        """What burns since so many latents: chosen in the last picture before."""
        if since not in self._sites:
            self._sites[since] = site_of(self._surfaces.get(max(since - 1, 0), path), POCKET_LENS)
        return self._sites[since]

    def _visited(
        self, shots: Shots, event: str, levels: NDArray[np.float64], since: int, path: NDArray[np.float64]
    ) -> Tensor:
        """Shots with who came after `since` latents, as the event says, and is there so far."""
        painter = self._weights.visitor
        assert painter is not None, "events with visitors come with their painter"
        way, config = self._way(event, since, path), painter.config
        gone = config.walks * np.maximum(shots.times - since * FRAMES_PER_LATENT / self._fps, 0)
        phases = config.pace * shots.times
        there = np.minimum(levels * _QUICK, 1.0)
        stances = [Stance(*each) for each in zip(*way.after(gone), phases, there, strict=True)]
        return _put(shots, stances, painter, _said(event, shots))

    def _led(self, shots: Shots, hero: Hero, path: NDArray[np.float64], latent: int) -> Tensor:
        """Shots of a latent with who walks ahead."""
        network, count = self._weights.hero, len(shots.times)
        assert network is not None, "worlds with a hero come with its painter"
        stances = hero.stances(path, latent, shots.cameras, shots.times, network.config.pace)
        told = (each.expand(count, *each.shape[1:]) for each in (hero.who, hero.worn))
        return _put(shots, stances, network.painter, *told)

    def _way(self, event: str, since: int, path: NDArray[np.float64]) -> Way:
        """How somebody walks who came after so many latents: chosen in the last picture before."""
        if (since, event) not in self._ways:
            surface, seed = self._surfaces.get(max(since - 1, 0), path), zlib.crc32(event.encode())
            self._ways[since, event] = way_of(surface, POCKET_LENS, [self._seed, _WAYS, since, seed])
        return self._ways[since, event]


def _put(shots: Shots, stances: list[Stance], painter: VisitorPainter, *told: Tensor) -> Tensor:
    """Shots with who stands there, of whom the painter is `told`."""
    device, pictures, place = shots.pictures.device, shots.pictures, shots.place
    eyes = shots.cameras[:, (0, 2), 3]
    away = min(math.dist(eye, (each.x, each.z)) for eye, each in zip(eyes, stances, strict=True))
    if shots.size[1] > _LARGE * away:
        pictures, place = F.avg_pool2d(pictures, 2), F.max_pool2d(place[:, None], 2)[:, 0]
    H, W = place.shape[1:]
    cards = cards_of(stances, shots.cameras, H, W, POCKET_LENS)
    cards = cards.where(~cards.behind(place)).to(device)
    with autocast(device):
        cards = cards.where(painter.near(pictures, cards, *told))
        made, covers = painter(pictures, cards, *told)
    bare = 1 - covers[:, None].float()
    if shots.size == (H, W):
        return made.float()
    own = torch.cat([made.float() - bare * pictures, bare], 1)
    own, bare = F.interpolate(own, shots.size, mode="bilinear", align_corners=False).split((3, 1), 1)
    return bare * shots.pictures + own


def _said(event: str, shots: Shots) -> Tensor:
    """What painters read of an event, for each of the shots `[F, 512]`."""
    pictures = shots.pictures
    return torch.from_numpy(encode(("", event))).to(pictures.device).expand(len(pictures), -1)
