"""Stage 2, depth: a head on the frozen latents learns the true depth of rendered worlds (paper E.1)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json
from engine.depth import MIRROR, DepthHead, depth_loss, ground_disparity, level_camera, signed
from engine.errors import WanderError
from engine.evaluation.metrics import nanmean
from engine.geometry import POCKET_LENS
from engine.precision import autocast
from engine.training.loop import Run
from engine.vae import FRAMES_PER_LATENT, Vae, stills, to_uint8

PRIOR_DROP = 0.2
"""Share of samples that are not told their camera."""
PICTURE_DROP = 0.15
"""Share of batches that are not shown the pictures."""
BLUR = 0.4
"""Share of batches whose pictures are as blurred as decoded ones."""
MIRRORED = 0.5
"""Share of batches that are mirrored: worlds that nobody made, for nothing."""
NOISE = 0.1
"""Noise on latents, so that generated ones are read as well."""
EVERY = 6
"""One of so many latents of a held-out clip is judged."""


@dataclass(frozen=True, slots=True)
class DepthSamples:
    """Latents half `[n, T, C, Y, X]`, and of their last frames true depth half `[n, T, H, W]`, bool `[n, T, H, W]`
    which pixels show what passes through the place, pictures uint8 `[n, T, H, W, 3]` and poses `[n, T, 4, 4]`."""

    latents: Tensor
    depth: Tensor
    passing: Tensor
    pictures: Tensor
    poses: NDArray[np.float64]

    def at(self, clips: list[int], times: list[int], told: list[bool]) -> Moments:
        """These moments; the cameras of those that are not `told` theirs are the level one."""
        cameras = self.poses[clips, times]
        depth = self.depth[clips, times].float()
        cameras[[not each for each in told]] = level_camera()
        return Moments(
            self.latents[clips, times].float(),
            cameras,
            ground_disparity(cameras, depth.shape[-2], depth.shape[-1], POCKET_LENS),
            signed(self.pictures[clips, times]),
            depth,
            self.passing[clips, times],
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Latents `[B, C, Y, X]`, cameras `[B, 4, 4]` and the ground's disparity in them `[B, H, W]`, pictures
    `[B, 3, H, W]`, true depth and which pixels show what passes `[B, H, W]`."""

    latents: Tensor
    cameras: NDArray[np.float64]
    ground: Tensor
    pictures: Tensor
    depth: Tensor
    passing: Tensor

    def mirrored(self, vae: Vae) -> Moments:
        """The same seen in a mirror, nothing moving: latents know left from right, so they are made anew."""
        ground, pictures, depth, passing = (x.flip(-1) for x in (self.ground, self.pictures, self.depth, self.passing))
        return Moments(
            stills(vae, to_uint8(pictures)), MIRROR @ self.cameras @ MIRROR, ground, pictures, depth, passing
        )


def load_samples(frames: Path, latents: Path) -> DepthSamples:
    """Latent shards with the true depth of the shards they were made from; `WanderError` where depth was not kept."""
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor, np.ndarray]] = []
    for path in sorted(latents.glob("latents-*.safetensors")):
        source = frames / path.name.replace("latents-", "clips-")
        with safe_open(source, framework="pt") as file:
            missing = {"depth", "passing"} - set(file.keys())
            if missing:
                raise WanderError(
                    f"{source} holds no {min(missing)}; make the clips anew with 'launch.py data make --depth'"
                )
            depth, passing, pictures = (
                file.get_tensor(name)[:, ::FRAMES_PER_LATENT].clone() for name in ("depth", "passing", "frames")
            )
        with safe_open(path, framework="pt") as file:
            latent, poses = file.get_tensor("latents"), file.get_tensor("poses")
        parts.append((latent, depth, passing.bool(), pictures, poses.numpy()))
    if not parts:
        raise WanderError(f"there are 0 latent shards in {latents}; make some with 'launch.py train encode'")
    clips, depths, masks, shown, cameras = zip(*parts, strict=True)
    return DepthSamples(
        torch.cat(clips), torch.cat(depths), torch.cat(masks), torch.cat(shown), np.concatenate(cameras)
    )


def drawn(samples: DepthSamples, rng: random.Random, batch: int) -> tuple[list[int], list[int]]:
    """Clips and times of a batch."""
    n, T = samples.latents.shape[:2]
    return [rng.randrange(n) for _ in range(batch)], [rng.randrange(T) for _ in range(batch)]


def worn(latents: Tensor, generator: torch.Generator) -> Tensor:
    """Latents `[B, C, Y, X]` with noise, each with its own level."""
    level = NOISE * torch.rand(len(latents), 1, 1, 1, generator=generator)
    return latents + level * torch.randn(latents.shape, generator=generator)


def blurred(pictures: Tensor) -> Tensor:
    """Pictures `[..., 3, H, W]` as soft as decoded ones."""
    return F.avg_pool2d(pictures.flatten(0, -4), 3, 1, 1, count_include_pad=False).view_as(pictures)


def loss_of(
    vae: Vae, head: DepthHead, samples: DepthSamples, rng: random.Random, batch: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch."""
    clips, times = drawn(samples, rng, batch)
    now = samples.at(clips, times, [rng.random() >= PRIOR_DROP for _ in clips])
    if rng.random() < MIRRORED:
        now = now.mirrored(vae)
    pictures: Tensor | None = now.pictures
    if rng.random() < PICTURE_DROP:
        pictures = None
    elif rng.random() < BLUR:
        pictures = blurred(now.pictures)
    with autocast(now.latents.device):
        found = head(worn(now.latents, generator), now.ground, pictures)
    return depth_loss(found, now.depth, now.passing, now.ground)


@torch.inference_mode()
def evaluate_depth(run: Run, head: DepthHead, held_out: DepthSamples) -> Json:
    """AbsRel, share within 1.25, sky and what passes on held-out worlds; without pose, without picture; PNGs."""
    averaged, scores = run.averaged(DepthHead(head.config)), {}
    n, T = held_out.latents.shape[:2]
    times = list(range(0, T, EVERY))
    for name in ("", "_no_pose", "_no_picture"):
        found = []
        for i in range(n):
            now = held_out.at([i] * len(times), times, [name != "_no_pose"] * len(times))
            result = averaged(now.latents, now.ground, None if name == "_no_picture" else now.pictures)
            found.append(depth_loss(result, now.depth, now.passing, now.ground)[1])
            if not name and i < 6:
                save_picture(result.seen()[-1], now.depth[-1], run.config.out / f"step{run.step:06d}-{i}.png")
        for key in found[0]:
            scores[key + name] = round(nanmean([f[key] for f in found]), 4)
    return scores


def save_picture(found: Tensor, depth: Tensor, path: Path) -> None:
    """Disparity `[H, W]`, true above found."""
    both = torch.cat([torch.where(depth < 400, 1 / depth, 0.0), found], 1).clamp(0, 1).sqrt()
    Image.fromarray((both * 255).byte().numpy()).save(path)
