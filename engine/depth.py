"""Depth from frozen latents (paper §4.3, E.1): how far away what a latent's last frame shows is.

The network reads one latent, the picture that it stands for, whose edges are sharper than the latent's, and, as a
prior, where the ground would be: the walkable ground is flat, so the height and pitch of the camera give the depth of
every ground pixel. It predicts what differs from that, how sure it is, and what is sky. Without a pose the camera is
taken to stand level at eye height; the picture may be missing as well ("any-prior": it is trained with and without).

Disparity is 1 / depth along the camera's z axis, in 1 / units; the sky's is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.actions import POCKET, start_pose
from engine.geometry import POCKET_LENS, Lens
from engine.precision import autocast
from engine.vae import SPATIAL_FACTOR, ChannelNorm, Down, Residual, Up, Vae, stills

FARTHEST = 400.0
"""Units: what is farther counts as sky."""
NEAR = 30.0
"""Units within which depth is judged."""
_EASY_WEIGHT = 0.25
"""How much pixels of the ground, and those farther away, weigh in the loss, where near objects weigh 1."""
_SLENDER, _SLENDER_WEIGHT = 50, 4.0
"""What is narrower than one over so many of the picture's width, to each side, is slender: posts, rails, trunks. It and
what is beside it weigh so many times as much more, for few pixels are of it and all that is beside it hangs on them."""
_ON_GROUND = 0.05
"""Relative difference from the ground's depth up to which a pixel belongs to it."""
_HORIZON = 1 / 40
"""The prior's least disparity: above and near the horizon it says "about 40 units"."""
_FINE, _LAST = 4, 2
"""Pixels across of a cell of the grid that the network begins and of the one that it ends on."""
_SEEN = 1 + 3
"""Channels of all pictures: ground and picture."""
_STANDS = 4.0
"""An untrained network takes everything to stand still."""

MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
"""Exchanges left and right: what a camera C sees in a mirror, the camera MIRROR C MIRROR sees of the mirrored world."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthConfig:
    """Sizes of the network; widths are those of the grids at 1/16, 1/8, 1/4 and 1/2 of the picture."""

    latent_channels: int = 32
    widths: tuple[int, int, int, int] = (192, 112, 64, 24)


@dataclass(frozen=True, slots=True)
class Depth:
    """Of pictures `[V, H, W]`: disparity, the logarithm of its expected relative error, and the logits of sky and of
    what passes through the place: characters, flames and smoke, drops and flakes."""

    disparity: Tensor
    log_error: Tensor
    sky: Tensor
    moving: Tensor

    def mirrored(self) -> Depth:
        """Left and right exchanged."""
        return Depth(*(getattr(self, each.name).flip(-1) for each in fields(self)))

    def averaged(self, other: Depth) -> Depth:
        """The mean of two estimates; of disparities the geometric one."""
        disparity = (self.disparity * other.disparity).sqrt()
        return Depth(
            disparity, *((getattr(self, each.name) + getattr(other, each.name)) / 2 for each in fields(self)[1:])
        )

    def seen(self) -> Tensor:
        """Disparity with the sky at 0."""
        return torch.where(self.sky > 0, 0.0, self.disparity)

    def stands(self) -> Tensor:
        """Pixels that belong to the place: not to what passes through it, nor next to that."""
        near = F.max_pool2d(self.moving.float().flatten(0, -3)[:, None], 5, 1, 2)[:, 0].view_as(self.moving)
        return near <= 0


def ground_disparity(world_from_camera: NDArray[np.floating], height: int, width: int, lens: Lens) -> Tensor:
    """Signed disparity `[..., H, W]` of the ground plane y = 0 in cameras `[..., 4, 4]`: negative above the horizon.

    A ray (x, y, 1) of the camera falls by R[1] . ray a unit of depth, and the ground lies the camera's height below.
    """
    cameras = np.asarray(world_from_camera, dtype=np.float64)
    x = ((np.arange(width) + 0.5) / width - 0.5) / lens.fx
    y = ((np.arange(height) + 0.5) / height - 0.5) / lens.fy
    down = cameras[..., 1, :3]
    fall = down[..., 0, None, None] * x + down[..., 1, None, None] * y[:, None] + down[..., 2, None, None]
    eye = np.maximum(-cameras[..., 1, 3], 0.1)
    return torch.from_numpy((fall / eye[..., None, None]).astype(np.float32))


def prior_of(ground: Tensor) -> Tensor:
    """The disparity that the network starts from, of the ground's `[..., H, W]`."""
    return ground.clamp(_HORIZON, 1.25)


def ground_priors(world_from_camera: NDArray[np.floating] | None, latents_TCYX: Tensor) -> Tensor:
    """Ground disparity `[T, H, W]` of the pictures of latents, seen from cameras `[T, 4, 4]` or from unknown ones."""
    T, _, Y, X = latents_TCYX.shape
    cameras = np.broadcast_to(level_camera(), (T, 4, 4)) if world_from_camera is None else world_from_camera
    return ground_disparity(cameras, Y * SPATIAL_FACTOR, X * SPATIAL_FACTOR, POCKET_LENS)


def level_camera() -> NDArray[np.float64]:
    """The camera that is assumed where none is known, `[4, 4]`."""
    return start_pose(POCKET)


class Everywhere(nn.Module):
    """Self-attention among all cells of a grid, plus its input: what stands on the ground has the depth of its foot."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.norm = heads, ChannelNorm(width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)
        for p in self.out.parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, Y, X]` -> the same shape."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).mT.unbind(1)  # [B, N, cells, H]
        seen = F.scaled_dot_product_attention(q, k, v).mT.flatten(1, 2).unflatten(2, x.shape[2:])
        return x + self.out(seen)


class DepthHead(nn.Module):
    """Latents `[B, C, Y, X]` and ground disparity `[B, 16 Y, 16 X]` -> `Depth` of their last frames.

    Picture and ground go down from a quarter of the picture's size to the latents' grid and, with what the latent says,
    up again, beside what was seen on the way down; the last step is at half of the picture's size.
    """

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        self.config = config
        coarse, middle, fine, last = config.widths
        self.look = nn.Conv2d(_SEEN * _FINE**2, fine, 3, padding=1)
        self.look_fine = Residual(fine)
        self.down_middle = Down(fine, middle)
        self.look_middle = Residual(middle)
        self.down_coarse = Down(middle, coarse)
        self.stem = nn.Conv2d(config.latent_channels + 2, coarse, 3, padding=1)
        self.coarse = nn.Sequential(Residual(coarse), Everywhere(coarse), Residual(coarse), Everywhere(coarse))
        self.up_middle = Up(coarse, middle)
        self.middle = Residual(middle)
        self.up_fine = Up(middle, fine)
        self.fine = Residual(fine)
        self.up_last = Up(fine, last)
        self.look_last = nn.Conv2d(_SEEN * _LAST**2, last, 3, padding=1)
        self.last = nn.Sequential(Residual(last), ChannelNorm(last), nn.SiLU())
        self.head = nn.Conv2d(last, 4 * _LAST**2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, latents_BCYX: Tensor, ground_BHW: Tensor, pictures_B3HW: Tensor | None = None) -> Depth:
        """Depth of the last frame of each latent; pictures in [-1, 1], all 0 (as None) where there is none."""
        prior = ground_BHW[:, None].clamp(-0.5, 1.25)
        low = F.avg_pool2d(prior, SPATIAL_FACTOR)
        place = torch.cat([4 * low, torch.log(low.clamp_min(_HORIZON) * 10)], 1)
        B, _, H, W = prior.shape
        picture = prior.new_zeros(B, 3, H, W) if pictures_B3HW is None else pictures_B3HW
        seen = torch.cat([4 * prior, picture], 1).contiguous(memory_format=torch.channels_last)
        fine = self.look_fine(self.look(F.pixel_unshuffle(seen, _FINE)))
        middle = self.look_middle(self.down_middle(fine))
        x = self.stem(torch.cat([latents_BCYX, place], 1).contiguous(memory_format=torch.channels_last))
        x = self.coarse(x + self.down_coarse(middle))
        x = self.middle(self.up_middle(x) + middle)
        x = self.fine(self.up_fine(x) + fine)
        x = self.last(self.up_last(x) + self.look_last(F.pixel_unshuffle(seen, _LAST)))
        difference, log_error, sky, moving = F.pixel_shuffle(self.head(x), _LAST).float().unbind(1)
        disparity = prior_of(ground_BHW) * torch.exp(difference.clamp(-6, 6))
        return Depth(disparity, log_error - 2.0, sky, moving - _STANDS)


def depth_loss(
    found: Depth, depth_BHW: Tensor, moving_BHW: Tensor, ground_BHW: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Laplace likelihood of the logarithm of depth, edges of it, the sky and what passes, against true depth (inf in
    the sky), the pixels of what passes, and the ground's disparity."""
    solid = depth_BHW < FARTHEST
    truth = depth_BHW.clamp(0.05, FARTHEST).log()
    error = (-found.disparity.log() - truth).masked_fill(~solid, 0.0)
    scale = found.log_error.clamp(-6, 3)
    near = depth_BHW < NEAR
    stands = near & ((depth_BHW * ground_BHW - 1).abs() > _ON_GROUND)
    thin, beside = slender(depth_BHW)
    weight = torch.where(stands, 1.0, _EASY_WEIGHT) * solid * torch.where(thin | beside, 1 + _SLENDER_WEIGHT, 1.0)
    likelihood = ((error.abs() * torch.exp(-scale) + scale) * weight).sum() / weight.sum().clamp_min(1)
    steps = [
        (error.diff(dim=dim).abs() * weight.narrow(dim, 1, n - 1) * weight.narrow(dim, 0, n - 1)).mean()
        for dim, n in ((-1, error.shape[-1]), (-2, error.shape[-2]))
    ]
    sky = F.binary_cross_entropy_with_logits(found.sky, (~solid).float())
    walks = F.binary_cross_entropy_with_logits(found.moving, moving_BHW.float())
    loss = 0.3 * likelihood + 4 * (error.abs() * weight).mean() + sum(steps) + sky + 2 * walks
    with torch.no_grad():
        numbers = {
            f"{name}{end}": value
            for end, pixels in (("", solid), (f"_{NEAR:.0f}", near), ("_objects", stands), ("_slender", thin))
            for name, value in _accuracy(torch.exp(error)[pixels]).items()
        } | {
            "sky": float(((found.sky > 0) == ~solid).float().mean()),
            "moving": _overlap(found.moving > 0, moving_BHW),
        }
    return loss, numbers


def slender(depth_BHW: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels `[B, H, W]` of what is slender and stands near before something a third farther at least, and those beside
    it: what a morphological closing of the depth takes away."""
    side = max(depth_BHW.shape[-1] // _SLENDER, 1)
    depth = depth_BHW[:, None].clamp(max=FARTHEST)
    widest = F.max_pool2d(depth, 2 * side + 1, 1, side)
    closed = -F.max_pool2d(-widest, 2 * side + 1, 1, side)
    thin = (depth < NEAR) & (depth < 0.75 * closed)
    beside = (F.max_pool2d(thin.float(), 2 * side + 1, 1, side) > 0) & ~thin
    return thin[:, 0], beside[:, 0]


def _accuracy(ratio: Tensor) -> dict[str, float]:
    """AbsRel and the share within 1.25 of ratios of found and true depth."""
    return {
        "absrel": float((ratio - 1).abs().mean()),
        "delta": float((torch.maximum(ratio, 1 / ratio) < 1.25).float().mean()),
    }


def _overlap(found: Tensor, truth: Tensor) -> float:
    """Intersection over union; nan where there is neither."""
    union = float((found | truth).float().sum())
    return float((found & truth).float().sum()) / union if union else float("nan")


@torch.no_grad()
def estimate(
    head: DepthHead,
    latents_TCYX: Tensor,
    world_from_camera: NDArray[np.floating] | None,
    pictures_THW3: Tensor | None = None,
) -> Depth:
    """Depth of the last frames of latents `[T, C, Y, X]` (normalised) seen from cameras `[T, 4, 4]`, or from unknown
    ones; `pictures` uint8 `[T, H, W, 3]` are what those frames show."""
    ground = ground_priors(world_from_camera, latents_TCYX)
    shown = None if pictures_THW3 is None else signed(pictures_THW3.to(latents_TCYX.device))
    with autocast(latents_TCYX.device):
        return head(latents_TCYX.float(), ground.to(latents_TCYX.device), shown)


@torch.no_grad()
def estimate_twice(
    vae: Vae, head: DepthHead, latents_TCYX: Tensor, world_from_camera: NDArray[np.floating], pictures_THW3: Tensor
) -> Depth:
    """As `estimate`, and once more in a mirror; the mean of both errs less than either."""
    straight = estimate(head, latents_TCYX, world_from_camera, pictures_THW3)
    cameras, mirrored = MIRROR @ world_from_camera @ MIRROR, pictures_THW3.flip(-2)
    with autocast(latents_TCYX.device):
        latents = stills(vae, mirrored.to(latents_TCYX.device))
    return straight.averaged(estimate(head, latents, cameras, mirrored).mirrored())


def signed(pictures: Tensor) -> Tensor:
    """Pictures uint8 `[..., H, W, 3]` as the networks see them, `[..., 3, H, W]` in [-1, 1]."""
    return pictures.movedim(-1, -3).float() / 127.5 - 1


def confidence(depth: Depth) -> Tensor:
    """0..1: one over one plus twenty times the expected relative error."""
    return 1 / (1 + 20 * torch.exp(depth.log_error.clamp(-6, 3)))
