"""A second view for depth (paper §4.3, "multi-view"): what an earlier picture, moved here, says about this one.

The earlier picture's surfaces are drawn from the newer camera with the depth that the network gave them alone. Where
the drawn picture and the new one agree, that depth was right; where they don't, the eye that moved shows which way it
was wrong. The network sees the drawn picture, its disparity and where there is any, and corrects both at once. Only the
view before is ever used, so depth follows from two latents and their pictures, never from a chain of older results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.depth import FARTHEST, Depth, DepthHead, confidence, ground_priors, prior_of, signed
from engine.geometry import POCKET_LENS
from engine.guide import Surface, look_once
from engine.precision import autocast


def earlier_view(surface: Surface, world_from_camera: NDArray[np.float64], ground_HW: Tensor) -> Tensor:
    """What `DepthHead` sees of an earlier surface from a camera `[4, 4]`, `[EARLIER, H, W]`: the drawn picture, the
    logarithm of its disparity over the prior's, and where there is any (all 0 where not)."""
    picture, origin, disparity = look_once(surface, world_from_camera, POCKET_LENS)
    ratio = (disparity.clamp_min(1 / FARTHEST) / prior_of(ground_HW)).log().clamp(-3, 3)
    shown = (origin >= 0)[None].float()
    return torch.cat([picture * shown, ratio[None] * shown, shown])


def surfaces_of(depth: Depth, pictures_B3HW: Tensor, cameras: NDArray[np.float64]) -> list[Surface]:
    """The surfaces of pictures `[B, 3, H, W]` whose depth was estimated."""
    disparity, stands, sure = depth.seen(), depth.stands(), confidence(depth)
    pictures = pictures_B3HW.contiguous()
    return [Surface(pictures[i], disparity[i], cameras[i], stands[i], sure[i]) for i in range(len(cameras))]


@torch.inference_mode()
def estimate_views(
    head: DepthHead,
    latents_TCYX: Tensor,
    cameras: NDArray[np.float64],
    pictures_THW3: Tensor,
    earlier: Sequence[int | None],
) -> Depth:
    """Depth of the last frames of latents `[T, C, Y, X]` seen from cameras `[T, 4, 4]` and shown by `pictures` uint8
    `[T, H, W, 3]`; `earlier[t]` says which of the T is also looked at for t, None for no other.

    The network runs once for every view that has no earlier one or is one, and once for every view that has one.
    """
    device = latents_TCYX.device
    ground = ground_priors(cameras, latents_TCYX).to(device)
    shown, latents = signed(pictures_THW3.to(device)), latents_TCYX.float()
    pairs = [(t, other) for t, other in enumerate(earlier) if other is not None]
    first = sorted({other for _, other in pairs} | {t for t, other in enumerate(earlier) if other is None})
    with autocast(device):
        alone = head(latents[first], ground[first], shown[first])
    if not pairs:
        return alone
    surfaces = dict(zip(first, surfaces_of(alone, shown[first], cameras[first]), strict=True))
    seen = torch.stack([earlier_view(surfaces[other], cameras[t], ground[t]) for t, other in pairs])
    rows = [t for t, _ in pairs]
    with autocast(device):
        both = head(latents[rows], ground[rows], shown[rows], seen)
    return Depth(**{field.name: _joined(alone, first, both, rows, len(latents), field.name) for field in fields(Depth)})


def _joined(alone: Depth, first: list[int], both: Depth, rows: list[int], count: int, name: str) -> Tensor:
    """One map of all views: from two views where there were two."""
    one, two = getattr(alone, name), getattr(both, name)
    out = one.new_empty(count, *one.shape[1:])
    out[first] = one
    out[rows] = two
    return out
