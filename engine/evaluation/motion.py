"""Camera motion from frames alone: did the picture move as the keys said, and where does that lead (R_dist, T_dist)?

The last frames of two consecutive latents are aligned directly: forward, right, yaw and pitch between them are those
that warp one onto the other, found by robust Gauss-Newton steps from coarse to fine. What a translation does to a pixel
depends on its depth; walkable ground is flat and the eye is 1.6 m above it, so a pixel below the horizon starts on the
ground, one above it at infinity, and what stands on the ground comes nearer as its parallax says. The estimator needs
no learning and no truth but the absolute pitch, which is bounded; its own errors on true frames are its floor, and
scores are quoted against that.

A motion is a row (forward, right, yaw, pitch) in metres and radians per latent, in the axes of `engine.actions.walk`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import POCKET, Motion, heading, walk
from engine.evaluation.metrics import luma
from engine.geometry import Lens, Matrix

Motions = NDArray[np.float64]

AXES = ("forward", "right", "yaw", "pitch")
RATES = POCKET.steps_per_latent * np.array([POCKET.move, POCKET.move, POCKET.yaw, POCKET.pitch])
"""What a key does in one latent, for each axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimator:
    """How frames are aligned."""

    widths: tuple[int, ...] = (20, 40, 80)
    """Picture widths, coarse to fine."""
    iterations: int = 8
    """Gauss-Newton steps at each width."""
    smooth: float = 2.0
    """Brightness is measured against its mean within this many pixels, so that lightning or dusk is no motion."""
    damping: float = 1e-3
    """Share of each axis's curvature added to it: a picture without texture reports no motion."""
    stiffness: float = 2e-3
    """How strongly pixels stay on the ground or at infinity unless their parallax says otherwise."""


@torch.inference_mode()
def estimate_motions(
    frames: NDArray[np.uint8], pitches: NDArray[np.floating], lens: Lens, config: Estimator | None = None
) -> Motions:
    """Motions `[F - 1, 4]` between consecutive pictures `[F, H, W, 3]`.

    `pitches` `[F]`: radians that each camera looks up.
    """
    config = config or Estimator()
    brightness = torch.from_numpy(luma(frames) / 255.0)[:, None]
    pitch = torch.from_numpy(np.asarray(pitches[:-1], dtype=np.float32))
    motions, relief = torch.zeros(len(frames) - 1, 4), torch.zeros(len(frames) - 1, 1, 1, 1)
    for width in config.widths:
        height = round(width * frames.shape[1] / frames.shape[2])
        level = F.interpolate(brightness, (height, width), mode="area")
        detail = level - _local_mean(level, config.smooth)
        view = _view(pitch, lens, width, height)
        relief = F.interpolate(relief, (height, width), mode="bilinear")
        for _ in range(config.iterations):
            motions, relief = _newton_step(detail[:-1], detail[1:], view, motions, relief, config)
    return motions.double().numpy()


def _local_mean(images: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of images `[P, 1, H, W]`, edges replicated."""
    radius = round(2 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    across = F.conv2d(F.pad(images, (radius, radius, 0, 0), mode="replicate"), kernel)
    return F.conv2d(F.pad(across, (0, 0, radius, radius), mode="replicate"), kernel.mT)


@dataclass(frozen=True, slots=True)
class _View:
    """The first frames of P pairs: rays in horizontal axes, and inverse depths where these meet the ground."""

    rays: Tensor
    """`[P, H, W, 3]`."""
    ground: Tensor
    """`[P, H, W]`, 0 above the horizon."""
    pitch: Tensor
    lens: Lens

    def positions(self, motions: Tensor, inverse: Tensor) -> Tensor:
        """Pixel positions `[P, H, W, 2]` in the second frames, given motions `[P, 4]` and inverse depths `[P, H,
        W]`."""
        forward, right, yaw, pitch = (motions[:, axis, None, None] for axis in range(4))
        x = self.rays[..., 0] * yaw.cos() - self.rays[..., 2] * yaw.sin() - inverse * right
        z = self.rays[..., 0] * yaw.sin() + self.rays[..., 2] * yaw.cos() - inverse * forward
        moved = _tilt(torch.stack([x, self.rays[..., 1], z], -1), -(self.pitch + pitch[:, 0, 0]))
        depth = moved[..., 2].clamp_min(1e-2)
        height, width = inverse.shape[1:]
        across = (moved[..., 0] / depth * self.lens.fx + 0.5) * width - 0.5
        down = (moved[..., 1] / depth * self.lens.fy + 0.5) * height - 0.5
        return torch.stack([across, down], -1)


def _view(pitch: Tensor, lens: Lens, width: int, height: int) -> _View:
    x = ((torch.arange(width) + 0.5) / width - 0.5) / lens.fx
    y = ((torch.arange(height) + 0.5) / height - 0.5) / lens.fy
    down, across = torch.meshgrid(y, x, indexing="ij")
    rays = torch.stack([across, down, torch.ones_like(across)], -1).expand(len(pitch), height, width, 3)
    rays = _tilt(rays, pitch)
    return _View(rays, rays[..., 1].clamp_min(0) / POCKET.eye_height, pitch, lens)


def _tilt(points: Tensor, pitch: Tensor) -> Tensor:
    """Rx(pitch) `[P]` applied to points `[P, H, W, 3]`."""
    cos, sin = pitch.cos()[:, None, None], pitch.sin()[:, None, None]
    x, y, z = points.unbind(-1)
    return torch.stack([x, cos * y - sin * z, sin * y + cos * z], -1)


def _newton_step(
    first: Tensor, second: Tensor, view: _View, motions: Tensor, relief: Tensor, config: Estimator
) -> tuple[Tensor, Tensor]:
    """One robust Gauss-Newton step of motions `[P, 4]`, then one of relief `[P, 1, H, W]`: how much nearer (in inverse
    depth) a pixel is than the ground or infinity behind it. It is never farther, which tells turning from strafing."""
    height, width = first.shape[-2:]
    inverse = view.ground + relief[:, 0]
    at = view.positions(motions, inverse)
    scale = 2.0 / torch.tensor([width, height])
    warped = F.grid_sample(second, (at + 0.5) * scale - 1, align_corners=False, padding_mode="border")
    residual = (warped - first)[:, 0]
    slope = (0.5 * (_slopes(first) + _slopes(warped))).permute(0, 2, 3, 1)
    texture = slope.abs().sum(-1)
    spread = ((residual.abs() * texture).sum((1, 2)) / texture.sum((1, 2)).clamp_min(1e-6)).clamp_min(1e-3)
    inside = ((at >= 0) & (at <= torch.tensor([width, height]) - 1)).all(-1)
    weight = inside / (1 + (residual / spread[:, None, None]) ** 2)

    still = view.positions(motions * 0, inverse)
    moved = (view.positions(step.expand(len(motions), 4), inverse) - still for step in _SMALL.diag())
    rows = torch.stack([(each * slope).sum(-1) for each in moved], -1).flatten(1, 2)
    curvature = rows.mT @ (rows * weight.flatten(1)[..., None])
    curvature = curvature + config.damping * torch.diag_embed(curvature.diagonal(dim1=1, dim2=2)) + 1e-9 * torch.eye(4)
    pull = rows.mT @ (residual * weight).flatten(1)[..., None]
    motions = motions - torch.linalg.solve(curvature, pull)[..., 0] * _SMALL

    parallax = ((view.positions(motions, inverse + 1e-3) - view.positions(motions, inverse)) * slope).sum(-1) / 1e-3
    push = _local_mean((weight * parallax * residual)[:, None], 1.0)
    relief = relief - push / (_local_mean((weight * parallax**2)[:, None], 1.0) + config.stiffness)
    return motions, relief.clamp(0.0, _NEAREST)


_SMALL = torch.tensor([1e-2, 1e-2, 1e-3, 1e-3])
"""Step of each axis over which positions are differentiated."""
_NEAREST = 0.6
"""Inverse depth of the nearest things: walkers keep half a metre away, the lens sees them from further on."""


def _slopes(images: Tensor) -> Tensor:
    """Central differences `[P, 2, H, W]` (across, down) of images `[P, 1, H, W]`."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return 0.5 * torch.cat([across, padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]], 1)


def motions_from_poses(world_from_camera: Matrix) -> Motions:
    """The exact motions `[F - 1, 4]` between poses `[F, 4, 4]`."""
    yaw, pitch = heading(world_from_camera)
    turned = (np.diff(yaw) + np.pi) % (2 * np.pi) - np.pi
    x, _, z = np.moveaxis(np.diff(world_from_camera[:, :3, 3], axis=0), -1, 0)
    cos, sin = np.cos(yaw[1:]), np.sin(yaw[1:])
    return np.stack([sin * x + cos * z, cos * x - sin * z, turned, np.diff(pitch)], axis=-1)


def poses_from_motions(start: Matrix, motions: Motions) -> Matrix:
    """Poses `[F, 4, 4]` that motions `[F - 1, 4]` lead to."""
    poses = [start]
    for forward, right, yaw, pitch in motions.tolist():
        poses.append(walk(poses[-1], Motion(forward=forward, right=right, yaw=yaw, pitch=pitch)))
    return np.stack(poses)


def camera_distance(estimated: Matrix, truth: Matrix) -> tuple[float, float]:
    """R_dist in radians and T_dist in metres: mean over frames after the first of the angle and the distance between
    cameras `[F, 4, 4]` (paper, section 4.1)."""
    relative = np.swapaxes(estimated[1:, :3, :3], -1, -2) @ truth[1:, :3, :3]
    angles = np.arccos(np.clip((np.trace(relative, axis1=-2, axis2=-1) - 1) / 2, -1, 1))
    return float(angles.mean()), float(np.linalg.norm(estimated[1:, :3, 3] - truth[1:, :3, 3], axis=-1).mean())
