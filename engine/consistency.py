"""Geometric consistency: the depth of a picture, held against that of earlier pictures of the same place.

The depth of one picture alone errs a little otherwise every time, and a walk lifts what was drawn from what was lifted
before: after some steps a house melts, and what is left of a tree hangs in the air. So earlier pictures are drawn from
the camera of the new one. Where they and the new one are about equally deep, it keeps most of what they said; where
they aren't, or show nothing, and the network itself is unsure, the picture isn't lifted, and what is behind it stays:
the earlier pictures, or what is imagined there (engine/imagining.py). As multi-view stereo filters its depth maps
(Schönberger et al., "Pixelwise view selection for unstructured multi-view stereo", 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from engine.geometry import Lens
from engine.guide import Surface, look


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsistencyConfig:
    """Which pictures are compared, and what counts as consistent."""

    apart: int = 4
    """Latents between one picture and the next that is compared."""
    earlier: int = 3
    """So many are, and the world's first."""
    within: float = 0.2
    """Disparities agree that differ by no more than this share of the greater ..."""
    at_least: float = 0.004
    """... and this number."""
    share: float = 0.7
    """Share of the earlier disparity in the logarithm of what agrees."""
    sure: float = 0.33
    """Least confidence of what no earlier picture agrees with."""
    around: int = 50
    """Doubtful is what most of a square is that is one over so many of the picture's width to each side."""


CONSISTENCY = ConsistencyConfig()


def earlier_than(index: int, config: ConsistencyConfig = CONSISTENCY) -> list[int]:
    """The latents whose pictures one is held against, ascending; none for a world's first."""
    return sorted({max(index - config.apart * k, 0) for k in range(1, config.earlier + 1)} | {0}) if index else []


def consistent(
    surface: Surface, earlier: Sequence[Surface], lens: Lens, config: ConsistencyConfig = CONSISTENCY
) -> Surface:
    """A surface whose depth and confidence are as said above; `earlier` ones hide those before them."""
    if not earlier or surface.sure is None:
        return surface
    _, origin, seen = look(earlier, surface.world_from_camera[None], lens)
    here, there = surface.disparity, seen[0]
    far = config.within * torch.maximum(here, there) + config.at_least
    agrees = (origin[0] >= 0) & ((here - there).abs() <= far)
    solid = agrees & (here > 0) & (there > 0)
    mixed = torch.lerp(here.clamp_min(1e-6).log(), there.clamp_min(1e-6).log(), config.share).exp()
    doubtful = (surface.sure <= config.sure) & (here > 0) & ~agrees
    side = max(here.shape[1] // config.around, 1)
    mostly = F.avg_pool2d(doubtful[None].float(), 2 * side + 1, 1, side, count_include_pad=False)[0] > 0.5
    return replace(surface, disparity=torch.where(solid, mixed, here), sure=torch.where(mostly, 0.0, surface.sure))
