"""Stage 2, depth: a head on the frozen latents learns the true depth of rendered worlds (paper E.1)."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json, save_weights
from engine.depth import DepthHead, depth_loss, ground_disparity, level_camera, signed
from engine.errors import WanderError
from engine.geometry import POCKET_LENS
from engine.guide import rays
from engine.precision import autocast
from engine.training.loop import Run
from engine.vae import FRAMES_PER_LATENT

PRIOR_DROP = 0.2
"""Share of samples that are not told their camera."""
AHEAD = 4.3
"""Units before the camera at which a character walks (render.renderer.AHEAD)."""
AROUND = 0.9
"""Units around that spot which nothing else fills."""
PICTURE_DROP = 0.15
"""Share of batches that are not shown the pictures."""
BLUR = 0.4
"""Share of batches whose pictures are as blurred as decoded ones."""
NOISE = 0.1
"""Noise on latents, so that generated ones are read as well."""


@dataclass(frozen=True, slots=True)
class DepthSamples:
    """Latents half `[n, T, C, Y, X]`, true depth half `[n, T, H, W]` and pictures uint8 `[n, T, H, W, 3]` of their last
    frames, poses `[n, T, 4, 4]`, and whether a character walks ahead of the camera `[n]`."""

    latents: Tensor
    depth: Tensor
    pictures: Tensor
    poses: np.ndarray
    heroes: np.ndarray

    def moving(self, clips: list[int], times: list[int]) -> Tensor:
        """Pixels of the character `[B, H, W]`."""
        return character(self.depth[clips, times].float(), self.poses[clips, times]) & torch.from_numpy(
            self.heroes[clips]
        ).view(-1, 1, 1)

    def draw(self, rng: random.Random, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Latents `[B, C, Y, X]`, ground disparity and depth `[B, H, W]`, pictures `[B, 3, H, W]` and the character's
        pixels `[B, H, W]` of random moments."""
        n, T = self.latents.shape[:2]
        clips, times = zip(*((rng.randrange(n), rng.randrange(T)) for _ in range(count)), strict=True)
        cameras = self.poses[list(clips), list(times)]
        cameras[[rng.random() < PRIOR_DROP for _ in clips]] = level_camera()
        depth = self.depth[list(clips), list(times)].float()
        return (
            self.latents[list(clips), list(times)].float(),
            ground_disparity(cameras, depth.shape[-2], depth.shape[-1], POCKET_LENS),
            depth,
            signed(self.pictures[list(clips), list(times)]),
            self.moving(list(clips), list(times)),
        )


def character(depth_BHW: Tensor, world_from_camera: NDArray[np.float64]) -> Tensor:
    """Pixels `[B, H, W]` of the character that walks `AHEAD` units before cameras `[B, 4, 4]`, if there is one.

    Walks are planned so that nothing else stands there: the pixels are those whose points lie around that spot, above
    the ground.
    """
    H, W = depth_BHW.shape[1:]
    points = rays(H, W, POCKET_LENS, depth_BHW.device) * depth_BHW.clamp(max=2 * AHEAD)[..., None]
    cameras = torch.from_numpy(world_from_camera.astype(np.float32))
    world = torch.einsum("bij,bhwj->bhwi", cameras[:, :3, :3], points) + cameras[:, None, None, :3, 3]
    yaw = torch.from_numpy(np.arctan2(world_from_camera[:, 0, 2], world_from_camera[:, 2, 2]).astype(np.float32))
    spot = cameras[:, (0, 2), 3] + AHEAD * torch.stack([yaw.sin(), yaw.cos()], 1)
    away = (world[..., (0, 2)] - spot[:, None, None]).square().sum(-1)
    return (away < AROUND**2) & (world[..., 1] < -0.04)


def load_samples(frames: Path, latents: Path) -> DepthSamples:
    """Latent shards with the true depth of the shards they were made from; `WanderError` where depth was not kept."""
    parts: list[tuple[Tensor, Tensor, Tensor, np.ndarray, np.ndarray]] = []
    for path in sorted(latents.glob("latents-*.safetensors")):
        source = frames / path.name.replace("latents-", "clips-")
        with safe_open(source, framework="pt") as file:
            if "depth" not in list(file.keys()):
                raise WanderError(f"{source} holds no depth; make the clips with 'launch.py data make --depth'")
            depth = file.get_tensor("depth")[:, ::FRAMES_PER_LATENT].clone()
            pictures = file.get_tensor("frames")[:, ::FRAMES_PER_LATENT].clone()
        with safe_open(path, framework="pt") as file:
            latent, pose, walkers = file.get_tensor("latents"), file.get_tensor("poses"), heroes(file.metadata())
            parts.append((latent, depth, pictures, pose.numpy(), walkers))
    if not parts:
        raise WanderError(f"there are 0 latent shards in {latents}; make some with 'launch.py train encode'")
    latents_, depths, shown, poses, walkers = zip(*parts, strict=True)
    return DepthSamples(
        torch.cat(latents_), torch.cat(depths), torch.cat(shown), np.concatenate(poses), np.concatenate(walkers)
    )


def heroes(metadata: dict[str, str]) -> NDArray[np.bool_]:
    """In which clips of a latent shard a character walks ahead."""
    return np.array([clip["hero"] is not None for clip in json.loads(metadata["about"])])


def loss_of(
    head: DepthHead, samples: DepthSamples, rng: random.Random, batch: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch."""
    latents, ground, depth, pictures, moving = samples.draw(rng, batch)
    level = NOISE * torch.rand(batch, 1, 1, 1, generator=generator)
    noisy = latents + level * torch.randn(latents.shape, generator=generator)
    if rng.random() < BLUR:
        pictures = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    with autocast(latents.device):
        found = head(noisy, ground, None if rng.random() < PICTURE_DROP else pictures)
    return depth_loss(found, depth, moving)


@torch.inference_mode()
def evaluate_depth(run: Run, head: DepthHead, held_out: DepthSamples) -> Json:
    """AbsRel, share within 1.25, sky accuracy on held-out worlds, also without pose and without picture; PNGs."""
    averaged, scores = run.averaged(DepthHead(head.config)), {}
    n, T = held_out.latents.shape[:2]
    for name, known, seen in (("", True, True), ("_no_pose", False, True), ("_no_picture", True, False)):
        found = []
        for i in range(n):
            times = list(range(0, T, 3))
            poses = held_out.poses[i, times] if known else np.stack([level_camera()] * len(times))
            depth = held_out.depth[i, times].float()
            ground = ground_disparity(poses, depth.shape[-2], depth.shape[-1], POCKET_LENS)
            pictures = signed(held_out.pictures[i, times]) if seen else None
            result = averaged(held_out.latents[i, times].float(), ground, pictures)
            found.append(depth_loss(result, depth, held_out.moving([i] * len(times), times))[1])
            if known and seen and i < 6:
                _picture(result.seen()[-1], depth[-1], run.config.out / f"step{run.step:06d}-{i}.png")
        for key in found[0]:
            scores[key + name] = round(float(np.nanmean([f[key] for f in found])), 4)
    return scores


def _picture(found: Tensor, depth: Tensor, path: Path) -> None:
    both = torch.cat([torch.where(depth < 400, 1 / depth, 0.0), found], 1).clamp(0, 1).sqrt()
    Image.fromarray((both * 255).byte().numpy()).save(path)


def export_depth(run: Run, head: DepthHead, vae_checksum: str, evaluation: Json, path: Path) -> Json:
    """Writes the averaged weights and their manifest, which is returned."""
    config = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(head.config).items()}
    manifest = {
        "kind": "pocket-depth",
        "config": config,
        "vae_sha256": vae_checksum,
        "recipe": {"steps": run.step, "seconds": round(run.trained_seconds), "lr": run.config.lr},
        "evaluation": evaluation,
    }
    save_weights(path, run.averaged(DepthHead(head.config)).state_dict(), manifest)
    return manifest
