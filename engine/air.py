"""What things in the air look like under a sentence: drops, flakes, lightning, flames (supplement E.2).

As with the guide, what is known is moved by geometry (engine/falling.py, engine/fire.py), and a network says what it
looks like: a small one that has seen worlds with and without says which of it shows, and how, in the light of this
picture. It leaves every pixel alone that nothing covers and no light reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.falling import Falling, strokes
from engine.fire import MAPS, Site, burning
from engine.geometry import POCKET_LENS, Lens
from engine.text import TEXT_WIDTH

FIRE = "fire"
"""The family under which something burns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AirConfig:
    """What falls, under which families of events something is in the air, and the width of the network."""

    falling: tuple[Falling, ...]
    families: tuple[str, ...] = ("rain", "snow", "storm", FIRE)
    width: int = 32

    @classmethod
    def read(cls, falling: Iterable[Mapping[str, Any]], families: Iterable[str], width: int) -> AirConfig:
        """From a manifest."""
        return cls(falling=tuple(map(Falling.read, falling)), families=tuple(families), width=width)

    @property
    def covers(self) -> int:
        """Kinds of things that cover pixels."""
        return len(self.falling) + MAPS - 1


def maps_of(
    config: AirConfig,
    seeds_N4: NDArray[np.floating],
    world_from_camera: NDArray[np.float64],
    time_s: float,
    amount: float,
    size: tuple[int, int],
    site: Site | None,
    lens: Lens = POCKET_LENS,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is in the air in a picture of `size` (H, W): how much each kind covers of each pixel `[K, H, W]`, and how
    much of a fire's light falls on it `[H, W]`. Where something burns, nothing falls for the same reason."""
    H, W = size
    if site is None:
        seeds = (seeds_N4[: round(amount * kind.count)] for kind in config.falling)
        fall = [
            strokes(k, s, world_from_camera, time_s, H, W, lens) for k, s in zip(config.falling, seeds, strict=True)
        ]
        return np.stack([*fall, *np.zeros((MAPS - 1, H, W), np.float32)]), np.zeros((H, W), np.float32)
    *flames, light = burning(site, amount, time_s, world_from_camera, H, W, lens)
    return np.stack([*np.zeros((len(config.falling), H, W), np.float32), *flames]), light


class AirPainter(nn.Module):
    """Pictures `[B, 3, H, W]` in [-1, 1], how much things cover `[B, K, H, W]`, the light of flashes and fires
    `[B, 2, H, W]` and a sentence `[B, 512]` -> the pictures with what the sentence says of these.

    Light changes a picture's colours as a whole; what things look like is said pixel by pixel, of those alone that they
    cover.
    """

    def __init__(self, config: AirConfig) -> None:
        super().__init__()
        self.config = config
        width, said = config.width, 64
        self.read = nn.Sequential(nn.Linear(TEXT_WIDTH, said), nn.SiLU(), nn.Linear(said, said))
        self.look = nn.Linear(8, said)
        self.know = nn.Linear(said, 4 * width)
        self.lit = nn.Linear(said, 12)
        self.stem = nn.Linear(5 + config.covers, width)
        self.body = nn.Linear(width, width)
        self.head = nn.Linear(width, config.covers + 3)
        for layer in (self.head, self.know, self.lit):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pictures: Tensor, covers: Tensor, light: Tensor, sentences: Tensor) -> Tensor:
        """See the class."""
        upper = pictures[:, :, : pictures.shape[2] // 3].mean((2, 3))
        look = torch.cat([pictures.mean((2, 3)), upper, light.mean((2, 3))], 1)
        known = F.silu(self.read(sentences) + self.look(look))
        gain, added = self.lit(known).float()[:, :, None, None].unflatten(1, (2, 2, 3)).unbind(2)  # [B, 2, 3, 1, 1]
        made = pictures + (light[:, :, None] * (gain * pictures[:, None] + added)).sum(1)
        image, row, column = torch.nonzero(covers.amax(1), as_tuple=True)
        here, over = made[image, :, row, column], covers[image, :, row, column]
        scale1, shift1, scale2, shift2 = self.know(known)[image].chunk(4, 1)
        x = F.silu(self.stem(torch.cat([here, light[image, :, row, column], over], 1)) * (1 + scale1) + shift1)
        x = F.silu(self.body(x) * (1 + scale2) + shift2)
        shown, colour = self.head(x).float().split((self.config.covers, 3), 1)
        bare = (1 - over * torch.sigmoid(shown)).prod(1, keepdim=True)
        change = torch.zeros_like(made).permute(0, 2, 3, 1)
        return made + change.index_put((image, row, column), (1 - bare) * (colour - here)).permute(0, 3, 1, 2)
