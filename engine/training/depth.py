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
from engine.depth import EARLIER, DepthHead, depth_loss, ground_disparity, level_camera, signed
from engine.errors import WanderError
from engine.geometry import POCKET_LENS
from engine.guide import rays
from engine.precision import autocast
from engine.second_view import earlier_view, surfaces_of
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
SECOND_VIEW = 0.75
"""Share of the samples with a picture and a camera that are also seen from an earlier camera ..."""
APART_IN_TRAINING = (1, 6)
"""... by so many latents."""
APART = 4
"""Latents between the two views of an evaluation: a chunk, two thirds of a second."""


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
            self.moving(clips, times),
        )


@dataclass(frozen=True, slots=True)
class Moments:
    """Latents `[B, C, Y, X]`, cameras `[B, 4, 4]` and the ground's disparity in them `[B, H, W]`, pictures
    `[B, 3, H, W]`, true depth and the character's pixels `[B, H, W]`."""

    latents: Tensor
    cameras: NDArray[np.float64]
    ground: Tensor
    pictures: Tensor
    depth: Tensor
    moving: Tensor


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
    """Loss of one batch, most of it seen from an earlier camera as well."""
    n, T = samples.latents.shape[:2]
    clips, times = ([rng.randrange(count) for _ in range(batch)] for count in (n, T))
    told = [rng.random() >= PRIOR_DROP for _ in clips]
    now = samples.at(clips, times, told)
    level = NOISE * torch.rand(batch, 1, 1, 1, generator=generator)
    noisy = now.latents + level * torch.randn(now.latents.shape, generator=generator)
    pictures, earlier = now.pictures, None
    if rng.random() < PICTURE_DROP:
        pictures = None
    else:
        before = [max(t - rng.randint(*APART_IN_TRAINING), 0) for t in times]
        useful = [told[b] and times[b] > 0 and rng.random() < SECOND_VIEW for b in range(batch)]
        earlier = _earlier(head, samples.at(clips, before, told), now, useful)
        if rng.random() < BLUR:
            pictures = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    with autocast(noisy.device):
        found = head(noisy, now.ground, pictures, earlier)
    return depth_loss(found, now.depth, now.moving, now.ground)


@torch.no_grad()
def _earlier(head: DepthHead, before: Moments, now: Moments, useful: list[bool]) -> Tensor | None:
    """What `head` alone makes of the earlier moments, seen now, `[B, 5, H, W]`; 0 where not `useful`."""
    rows = [b for b, each in enumerate(useful) if each]
    if not rows:
        return None
    with autocast(before.latents.device):
        alone = head(before.latents[rows], before.ground[rows], before.pictures[rows])
    seen = torch.zeros(len(useful), EARLIER, *now.depth.shape[1:])
    for row, surface in zip(rows, surfaces_of(alone, before.pictures[rows], before.cameras[rows]), strict=True):
        seen[row] = earlier_view(surface, now.cameras[row], now.ground[row])
    return seen


@torch.inference_mode()
def evaluate_depth(run: Run, head: DepthHead, held_out: DepthSamples) -> Json:
    """AbsRel, share within 1.25, sky accuracy on held-out worlds, from two views, one, without pose, without picture;
    PNGs."""
    averaged, scores = run.averaged(DepthHead(head.config)), {}
    n, T = held_out.latents.shape[:2]
    times = list(range(0, T, 6))
    for name in ("", "_one_view", "_no_pose", "_no_picture"):
        found = []
        for i in range(n):
            now = held_out.at([i] * len(times), times, [name != "_no_pose"] * len(times))
            pictures = None if name == "_no_picture" else now.pictures
            earlier = None
            if not name:
                before = held_out.at([i] * len(times), [max(t - APART, 0) for t in times], [True] * len(times))
                earlier = _earlier(averaged, before, now, [t > 0 for t in times])
            result = averaged(now.latents, now.ground, pictures, earlier)
            found.append(depth_loss(result, now.depth, now.moving, now.ground)[1])
            if not name and i < 6:
                _picture(result.seen()[-1], now.depth[-1], run.config.out / f"step{run.step:06d}-{i}.png")
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
