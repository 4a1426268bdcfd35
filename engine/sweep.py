"""Depth from several views (paper §4.3, E.1, "multi-view"): a plane sweep around what one view says, read by a network.

One view tells how far away a thing of that look mostly is. Other pictures, whose cameras are known, tell at which depth
they agree with it: for every pixel some depths around the first estimate are tried, and how much the others differ
there is kept. A small network reads these differences beside picture and estimate, and corrects depth and how sure it
is; the sky and what passes through the place stay as one view says.

Shape letters: V views that are estimated, K others of each, D depths that are tried, H W picture, h w half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.depth import FARTHEST, Depth, DepthHead, estimate_twice, ground_disparity, prior_of, signed
from engine.geometry import POCKET_LENS, Matrix, rigid_inverse
from engine.guide import rays
from engine.precision import autocast
from engine.reconstruction.stereo import StereoConfig, partners
from engine.settling import settled
from engine.vae import Down, Residual, Up, Vae

OTHERS = StereoConfig(others=4, least_baseline=0.1, best_baseline=0.8)
"""Which views a view is compared with."""
_HALF = 2
"""Pixels across of a cell of the grid on which depths are tried."""
_UNSEEN = 1.0
"""Difference from a view that doesn't show the point; pictures differ by 0.3 at most times, 2 at most."""
_WINDOW = 3
"""Cells across over which differences are averaged."""
_SHARP = 0.03
"""Difference by which a depth must be better than another to be believed e times as much."""
_SAID = 4
"""What is said of a cell beside the differences."""
_NEAREST = 0.05
"""Units before another camera from which on a point counts as in front of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepConfig:
    """Sizes of the network, widths at 1/2, 1/4 and 1/8 of the picture, and the depths that are tried."""

    widths: tuple[int, int, int] = (32, 48, 80)
    depths: int = 17
    reach: float = 0.8
    """Farthest tried from the first estimate, in logarithms of depth, both ways."""

    @property
    def channels(self) -> int:
        """What the network sees of a cell: differences and what is said of them; of the four pixels colour and
        disparity, over 1 and over the ground's; error, sky and movement."""
        return self.depths + _SAID + (3 + 1 + 1) * _HALF**2 + 3


def differences(
    picture_3HW: Tensor, disparity_HW: Tensor, others_K3HW: Tensor, other_from_picture: Matrix, config: SweepConfig
) -> Tensor:
    """How much other pictures differ at each depth that is tried, `[D + 4, h, w]`: the better half of them, so that
    what hides a point from some doesn't count; then which depth is believed, as a step from the first estimate, and how
    well it fits; which share of them shows the point; and the logarithm of how many pixels it moves between the first
    and the last depth where it moves most.

    Cameras `[K, 4, 4]` are relative to the picture's, all nearer depths come first.
    """
    small, others = F.avg_pool2d(picture_3HW[None], _HALF)[0], F.avg_pool2d(others_K3HW, _HALF)
    first = F.avg_pool2d(disparity_HW[None, None], _HALF)[0, 0].clamp_min(1 / FARTHEST)
    K, (h, w) = len(others), first.shape
    if not K:
        nothing = first.new_zeros(config.depths + _SAID, h, w)
        nothing[: config.depths] = nothing[config.depths + 1] = _UNSEEN
        return nothing
    moves = torch.from_numpy(other_from_picture.astype(np.float32)).to(first.device)
    turned = torch.einsum("kij,hwj->khwi", moves[:, :3, :3], rays(h, w, POCKET_LENS, first.device))
    steps = torch.linspace(config.reach, -config.reach, config.depths, device=first.device)
    found, places, showing = [], [], []
    for step in steps.tolist():
        points = turned + (first * np.exp(step))[None, :, :, None] * moves[:, None, None, :3, 3]
        z = points[..., 2].clamp_min(_NEAREST)
        at = torch.stack([points[..., 0] / z * POCKET_LENS.fx, points[..., 1] / z * POCKET_LENS.fy], -1) * 2
        shows = (points[..., 2] > _NEAREST) & (at.abs() < 1).all(-1)
        seen = F.grid_sample(others, at, padding_mode="border", align_corners=False)
        apart = F.avg_pool2d((seen - small).abs().mean(1, keepdim=True), _WINDOW, 1, 1, count_include_pad=False)[:, 0]
        found.append(torch.where(shows, apart, _UNSEEN))
        places.append(at)
        showing.append(shows)
    better = torch.stack(found).sort(1).values[:, : (K + 1) // 2].mean(1)
    middle = showing[config.depths // 2].float()
    moved = (places[0] - places[-1]) * 0.5 * places[0].new_tensor([w, h])
    parallax = (moved.norm(dim=-1).clamp_max(w) * middle).amax(0)
    believed = (torch.softmax(-better / _SHARP, 0) * steps[:, None, None]).sum(0)
    said = torch.stack([believed, better.amin(0), middle.mean(0), torch.log1p(parallax)])
    return torch.cat([better, said])


class Sweep(nn.Module):
    """First estimates `Depth [V, H, W]`, differences and pictures -> `Depth`: a share of the step that the differences
    say, and what the network knows better. Untrained it changes nothing."""

    def __init__(self, config: SweepConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        self.stem = nn.Conv2d(config.channels, fine, 3, padding=1)
        self.fine_in = Residual(fine)
        self.down_middle = Down(fine, middle)
        self.middle_in = Residual(middle)
        self.down_coarse = Down(middle, coarse)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse), Residual(coarse))
        self.up_middle = Up(coarse, middle)
        self.middle_out = Residual(middle)
        self.up_fine = Up(middle, fine)
        self.fine_out = Residual(fine)
        self.head = nn.Conv2d(fine, 3 * _HALF**2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, first: Depth, pictures_V3HW: Tensor, ground_VHW: Tensor, costs_VDhw: Tensor) -> Depth:
        """Corrected depth; `ground` is the ground's disparity in the views, `costs` are `differences`."""
        disparity = first.disparity.clamp_min(1 / FARTHEST)
        pixels = torch.cat(
            [pictures_V3HW, torch.stack([disparity.log(), (disparity / prior_of(ground_VHW)).log()], 1)], 1
        )
        about = torch.stack([first.log_error, first.sky.clamp(-8, 8) / 4, first.moving.clamp(-8, 8) / 4], 1)
        cells = torch.cat([F.pixel_unshuffle(pixels, _HALF), F.avg_pool2d(about, _HALF), costs_VDhw], 1)
        fine = self.fine_in(self.stem(cells.contiguous(memory_format=torch.channels_last)))
        middle = self.middle_in(self.down_middle(fine))
        x = self.coarse(self.down_coarse(middle))
        x = self.middle_out(self.up_middle(x) + middle)
        x = self.fine_out(self.up_fine(x) + fine)
        trust, difference, error = F.pixel_shuffle(self.head(x), _HALF).float().unbind(1)
        believed = F.interpolate(costs_VDhw[:, self.config.depths, None], scale_factor=_HALF, mode="bilinear")[:, 0]
        return Depth(
            first.disparity * torch.exp((trust * believed + difference).clamp(-3, 3)),
            first.log_error + error,
            first.sky,
            first.moving,
        )


def others_of(cameras: Matrix) -> list[NDArray[np.intp]]:
    """For each of `cameras` `[V, 4, 4]`, which of the others it is compared with, if any."""
    return [partners(cameras, index, OTHERS) for index in range(len(cameras))]


def swept(
    sweep: Sweep,
    first: Depth,
    pictures_NHW3: Tensor,
    cameras: Matrix,
    views: Sequence[int],
    others: Sequence[NDArray[np.intp]],
) -> Depth:
    """First estimates `[V, H, W]` of some `views` of a walk corrected by `others` of it; pictures uint8 and `cameras`
    `[N, 4, 4]` are of all its views."""
    costs, rows = [], list(views)
    for view, disparity, other in zip(rows, first.disparity, others, strict=True):
        shown = signed(pictures_NHW3[[view, *other.tolist()]])
        moves = rigid_inverse(cameras[other]) @ cameras[view]
        costs.append(differences(shown[0], disparity, shown[1:], moves, sweep.config))
    H, W = first.disparity.shape[-2:]
    ground = ground_disparity(cameras[rows], H, W, POCKET_LENS).to(first.disparity.device)
    with autocast(first.disparity.device):
        return sweep(first, signed(pictures_NHW3[rows]), ground, torch.stack(costs))


@torch.inference_mode()
def estimate_views(
    vae: Vae,
    head: DepthHead,
    sweep: Sweep | None,
    latents_VCYX: Tensor,
    pictures_NHW3: Tensor,
    cameras: Matrix,
    views: Sequence[int],
    others: Sequence[NDArray[np.intp]],
) -> Depth:
    """Depth of some `views` of a walk, whose latents these are, settled: from each alone, both ways round, corrected,
    where there is a `sweep`, by `others` of the walk; pictures uint8 and `cameras` `[N, 4, 4]` are of all its views."""
    rows = list(views)
    first = estimate_twice(vae, head, latents_VCYX, cameras[rows], pictures_NHW3[rows])
    found = first if sweep is None else swept(sweep, first, pictures_NHW3, cameras, views, others)
    H, W = pictures_NHW3.shape[1:3]
    ground = ground_disparity(cameras[rows], H, W, POCKET_LENS).to(latents_VCYX.device)
    return settled(found, signed(pictures_NHW3[rows]), ground)
