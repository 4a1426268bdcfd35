"""Sharper decoded frames: every pixel shows what was decoded a little aside of it (warp sharpening; Arad and Gotsman,
"Enhancement by image-dependent warping", 1999).

Latents of 16x16 pixels by 4 frames keep a third of the gradient energy of a picture: what was an edge is decoded as a
ramp some pixels wide. The ramp has the colours of both sides, each on its own side. A network tells for each place from
where to take its colour, away from the edge, and the ramp grows short. It can't make colours up: where there is no edge
nothing changes, and what a critic or an error of pixels pays for elsewhere, noise and ringing, it has no means to draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.vae import FRAMES_PER_LATENT, Residual

FOLD = 4
"""Pixels of a frame are folded 4x4 into channels."""
_GRID = 2
"""Pixels between the places that are told of; those between them go smoothly along."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharpenerConfig:
    """Sizes of the network, at a quarter of the picture's size."""

    width: int = 64
    blocks: int = 2
    furthest: float = 3.0
    """Pixels, across or down."""


class Sharpener(nn.Module):
    """Decoded frames of one latent `[B, 4, 3, H, W]` in [-1, 1] -> the same frames with shorter ramps."""

    def __init__(self, config: SharpenerConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3 * FRAMES_PER_LATENT * FOLD**2, config.width, 3, padding=1)
        self.body = nn.Sequential(*(Residual(config.width) for _ in range(config.blocks)))
        self.head = nn.Conv2d(config.width, 2 * FRAMES_PER_LATENT * (FOLD // _GRID) ** 2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def aside(self, frames: Tensor) -> Tensor:
        """From where each place takes its colour, in pixels to the right and down: `[B, 4, 2, H / 2, W / 2]`."""
        folded = F.pixel_unshuffle(frames.flatten(1, 2), FOLD).contiguous(memory_format=torch.channels_last)
        told = F.pixel_shuffle(self.head(F.silu(self.body(self.stem(folded)))), FOLD // _GRID).float()
        return self.config.furthest * torch.tanh(told / self.config.furthest).unflatten(1, (FRAMES_PER_LATENT, 2))

    def forward(self, frames: Tensor) -> Tensor:
        """`[B, 4, 3, H, W]` -> the same shape."""
        return warped(frames.float(), self.aside(frames))


def warped(frames: Tensor, aside: Tensor) -> Tensor:
    """Frames `[B, 4, 3, H, W]`, each pixel taken from `aside` of it, `[B, 4, 2, h, w]` in pixels to the right and down;
    beyond the border there is the border."""
    height, width = frames.shape[-2:]
    by = F.interpolate(aside.flatten(0, 1), size=(height, width), mode="bilinear")
    scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], device=by.device)
    across, down = (torch.linspace(-1, 1, count, device=by.device) for count in (width, height))
    here = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
    grid = torch.addcmul(here, by.permute(0, 2, 3, 1), scale)
    pictures = F.grid_sample(frames.flatten(0, 1), grid, mode="bicubic", padding_mode="border", align_corners=True)
    return pictures.unflatten(0, frames.shape[:2])
