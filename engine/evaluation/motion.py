"""Camera motion measured in pictures: did they move as the keys said, and where does that lead (R_dist, T_dist)?

The last frames of two consecutive latents are aligned directly: forward, right, yaw and pitch between them are those
that warp one onto the other, found by robust Gauss-Newton steps from coarse to fine, starting from no motion. What a
translation does to a pixel depends on its depth, and one picture does not tell it: the true depth of the view that
should be there is used, for true and generated frames alike. Where a model drew something else, the robust weights
leave it out or the estimate is off, which counts against the model. The commanded motion is never an input. The
estimator's own errors on true frames are its floor, and scores are quoted against that.

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

    widths: tuple[int, ...] = (20, 40, 80, 160)
    """Picture widths, coarse to fine."""
    iterations: int = 8
    """Gauss-Newton steps at each width."""
    smooth: float = 2.0
    """Brightness is measured against its mean within this many pixels, so that lightning or dusk is no motion."""
    turns: tuple[float, ...] = (0.0, -0.11, 0.11, -0.22, 0.22)
    """Radians of yaw that the two coarsest alignments are tried from: a fast turn moves pictures farther than they
    reach."""
    robust: float = 0.4
    """Differences above this share of the mean difference (where there is texture) count less and less."""
    damping: float = 1e-3
    """Share of each axis's curvature added to it: a picture without texture reports no motion."""


@torch.inference_mode()
def estimate_motions(
    frames: NDArray[np.uint8],
    depths: NDArray[np.floating],
    pitches: NDArray[np.floating],
    lens: Lens,
    config: Estimator | None = None,
    *,
    third_person: bool = False,
) -> Motions:
    """Motions `[F - 1, 4]` between consecutive pictures `[F, H, W, 3]`.

    `depths` `[F, H, W]`: true metres along z of these views, inf in the sky. `pitches` `[F]`: radians they look up.
    `third_person`: leaves out where the character walks that the camera follows, since it moves with the camera.
    """
    config = config or Estimator()
    brightness = torch.from_numpy(luma(frames) / 255.0)[:, None]
    inverse = 1.0 / torch.from_numpy(np.asarray(depths[:-1], dtype=np.float32))[:, None]
    pitch = torch.from_numpy(np.asarray(pitches[:-1], dtype=np.float32))
    levels = []
    for width in (width for width in config.widths if width <= frames.shape[2]):
        size = (round(width * frames.shape[1] / frames.shape[2]), width)
        level = F.interpolate(brightness, size, mode="area")
        detail = level - _local_mean(level, config.smooth)
        view = _view(F.interpolate(inverse, size, mode="area")[:, 0], pitch, lens, third_person)
        levels.append((detail[:-1], detail[1:], view))
    starts = [torch.tensor([[0.0, 0.0, yaw, 0.0]]).repeat(len(frames) - 1, 1) for yaw in config.turns]
    motions = _best([_align(levels[:2], start, config) for start in starts])
    return _align(levels[2:], motions, config)[0].double().numpy() if levels[2:] else motions.double().numpy()


_Level = tuple[Tensor, Tensor, "_View"]
"""First and second pictures `[P, 1, H, W]` at one width, and how the first are seen."""


def _align(levels: list[_Level], motions: Tensor, config: Estimator) -> tuple[Tensor, Tensor]:
    """Motions `[P, 4]` after all steps at these widths, and the mean difference `[P]` that they leave at the last."""
    for first, second, view in levels:
        for _ in range(config.iterations):
            motions = motions - _newton_step(first, second, view, motions, config)
    residual, inside, _ = _difference(*levels[-1], motions)
    return motions, (residual.abs() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1)


def _best(found: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Of several alignments the one that leaves least; the first (no motion assumed) unless another is clearly
    better."""
    left = torch.stack([remains * (1.0 if index == 0 else 1.05) for index, (_, remains) in enumerate(found)])
    return torch.stack([motions for motions, _ in found])[left.argmin(0), torch.arange(left.shape[1])]


def _local_mean(images: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of images `[P, 1, H, W]`, edges replicated."""
    radius = round(2 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    across = F.conv2d(F.pad(images, (radius, radius, 0, 0), mode="replicate"), kernel)
    return F.conv2d(F.pad(across, (0, 0, radius, radius), mode="replicate"), kernel.mT)


@dataclass(frozen=True, slots=True)
class _View:
    """The first pictures of P pairs: rays in horizontal axes, inverse depths, and how far up they look."""

    rays: Tensor
    """`[P, H, W, 3]`."""
    inverse: Tensor
    """`[P, H, W]`."""
    pitch: Tensor
    """`[P]`."""
    free: Tensor
    """`[H, W]`: where the world is seen."""
    lens: Lens

    def positions(self, motions: Tensor) -> Tensor:
        """Pixel positions `[P, H, W, 2]` in the second pictures, given motions `[P, 4]`."""
        forward, right, yaw, pitch = (motions[:, axis, None, None] for axis in range(4))
        x = self.rays[..., 0] * yaw.cos() - self.rays[..., 2] * yaw.sin() - self.inverse * right
        z = self.rays[..., 0] * yaw.sin() + self.rays[..., 2] * yaw.cos() - self.inverse * forward
        moved = _tilt(torch.stack([x, self.rays[..., 1], z], -1), -(self.pitch + pitch[:, 0, 0]))
        depth = moved[..., 2].clamp_min(1e-2)
        height, width = self.inverse.shape[1:]
        across = (moved[..., 0] / depth * self.lens.fx + 0.5) * width - 0.5
        down = (moved[..., 1] / depth * self.lens.fy + 0.5) * height - 0.5
        return torch.stack([across, down], -1)


def _view(inverse: Tensor, pitch: Tensor, lens: Lens, third_person: bool) -> _View:
    height, width = inverse.shape[1:]
    x = ((torch.arange(width) + 0.5) / width - 0.5) / lens.fx
    y = ((torch.arange(height) + 0.5) / height - 0.5) / lens.fy
    down, across = torch.meshgrid(y, x, indexing="ij")
    rays = torch.stack([across, down, torch.ones_like(across)], -1).expand(len(pitch), height, width, 3)
    left, right, top = _CHARACTER
    walker = (across * lens.fx > left) & (across * lens.fx < right) & (down * lens.fy > top)
    return _View(_tilt(rays, pitch), inverse, pitch, ~walker if third_person else torch.ones_like(walker), lens)


def _tilt(points: Tensor, pitch: Tensor) -> Tensor:
    """Rx(pitch) `[P]` applied to points `[P, H, W, 3]`."""
    cos, sin = pitch.cos()[:, None, None], pitch.sin()[:, None, None]
    x, y, z = points.unbind(-1)
    return torch.stack([x, cos * y - sin * z, sin * y + cos * z], -1)


def _newton_step(first: Tensor, second: Tensor, view: _View, motions: Tensor, config: Estimator) -> Tensor:
    """By how much motions `[P, 4]` overshoot: one robust Gauss-Newton step of the pictures' difference."""
    residual, inside, warped = _difference(first, second, view, motions)
    slope = (0.5 * (_slopes(first) + _slopes(warped))).permute(0, 2, 3, 1)
    texture = slope.abs().sum(-1)
    spread = ((residual.abs() * texture).sum((1, 2)) / texture.sum((1, 2)).clamp_min(1e-6)).clamp_min(1e-3)
    weight = inside / (1 + (residual / (config.robust * spread[:, None, None])) ** 2)

    still = view.positions(motions * 0)
    moved = (view.positions(step.expand(len(motions), 4)) - still for step in _SMALL.diag())
    rows = torch.stack([(each * slope).sum(-1) for each in moved], -1).flatten(1, 2)
    curvature = rows.mT @ (rows * weight.flatten(1)[..., None])
    curvature = curvature + config.damping * torch.diag_embed(curvature.diagonal(dim1=1, dim2=2)) + 1e-9 * torch.eye(4)
    pull = rows.mT @ (residual * weight).flatten(1)[..., None]
    return torch.linalg.solve(curvature, pull)[..., 0] * _SMALL


def _difference(first: Tensor, second: Tensor, view: _View, motions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Second picture warped by `motions` minus the first `[P, H, W]`, where that is defined, and the warped picture."""
    size = torch.tensor([first.shape[-1], first.shape[-2]])
    at = view.positions(motions)
    warped = F.grid_sample(second, (at + 0.5) * 2.0 / size - 1, align_corners=False, padding_mode="border")
    inside = ((at >= 0) & (at <= size - 1)).all(-1) & view.free
    return (warped - first)[:, 0], inside, warped


_CHARACTER = (-0.12, 0.12, -0.12)
"""Left, right and top of the box in which a third-person character stays, from the centre in picture sizes."""
_SMALL = torch.tensor([1e-2, 1e-2, 1e-3, 1e-3])
"""Step of each axis over which positions are differentiated."""


def _slopes(images: Tensor) -> Tensor:
    """Central differences `[P, 2, H, W]` (across, down) of images `[P, 1, H, W]`."""
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    return 0.5 * torch.cat([across, padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]], 1)


def estimate_in_pieces(
    frames: NDArray[np.uint8],
    depths: NDArray[np.floating],
    pitches: NDArray[np.floating],
    lens: Lens,
    *,
    third_person: bool = False,
    piece: int = 16,
) -> Motions:
    """`estimate_motions` of a long series, `piece` pairs at a time: memory does not grow with its length."""
    found = [
        estimate_motions(
            frames[first : first + piece + 1],
            depths[first : first + piece + 1],
            pitches[first : first + piece + 1],
            lens,
            third_person=third_person,
        )
        for first in range(0, len(frames) - 1, piece)
    ]
    return np.concatenate(found) if found else np.zeros((0, len(AXES)))


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


def path_length(world_from_camera: Matrix) -> float:
    """Metres walked along cameras `[F, 4, 4]`."""
    return float(np.linalg.norm(np.diff(world_from_camera[:, :3, 3], axis=0), axis=-1).sum())


def path_errors(estimated: Matrix, truth: Matrix) -> tuple[float, float]:
    """R_dist in degrees and T_dist as a share of the path: `camera_distance` of cameras `[F, 4, 4]`, the distance over
    the length of the true path; NaN where the true cameras don't walk."""
    angle, distance = camera_distance(estimated, truth)
    length = path_length(truth)
    return float(np.degrees(angle)), distance / length if length > 0.05 else float("nan")
