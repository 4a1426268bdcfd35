"""Stage 1, the autoencoder: crops of rendered worlds (and any folder of pictures), frozen for good when it ends.

The loss is L1 on pixels, on their spatial differences (edges) and on their differences in time (no flicker), with a
small pull of the latents towards zero and noise on them, so that the decoder forgives the small errors of a generated
latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json, save_weights
from engine.errors import WanderError
from engine.precision import autocast
from engine.training.loop import Run
from engine.vae import FRAMES_PER_LATENT, Vae, decode_clip, group_frames

Clips = NDArray[np.uint8]
"""Frames `[clips, F, H, W, 3]`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeTraining:
    """Batches and weights of the loss."""

    batch: int = 8
    crop: tuple[int, int] = (96, 160)
    small: float = 0.4
    """Share of large pictures that are halved (the 160x96 stage)."""
    noise: float = 0.05
    pull: float = 2e-4


def frame_shards(folder: Path) -> list[Clips]:
    """Frames of every shard of a folder, memory-mapped as far as the format allows."""
    found = sorted(folder.glob("clips-*.safetensors"))
    if not found:
        raise WanderError(f"there are 0 shards in {folder}; make some with 'launch.py data make --out {folder}'")
    return [safe_open(path, framework="np").get_tensor("frames") for path in found]


class CropSampler:
    """Random crops of two consecutive groups of frames, from the start of a clip or from its middle."""

    def __init__(self, sources: list[Clips], config: VaeTraining) -> None:
        self.sources, self.config = sources, config
        self.sizes = np.array([len(source) for source in sources], dtype=np.float64)

    def batch(self, rng: np.random.Generator) -> Tensor:
        """Groups `[B, 2, 12, h, w]` in [-1, 1]."""
        config, (h, w) = self.config, self.config.crop
        crops = []
        for _ in range(config.batch):
            source = self.sources[rng.choice(len(self.sources), p=self.sizes / self.sizes.sum())]
            count, frames, H, W, _ = source.shape
            scale = 2 if min(H // h, W // w) >= 2 and rng.random() < config.small else 1
            first = int(rng.integers(0, frames - 2 * FRAMES_PER_LATENT)) if frames > 2 * FRAMES_PER_LATENT else 0
            y = int(rng.integers(0, (H - scale * h) // 8 + 1)) * 8
            x = int(rng.integers(0, (W - scale * w) // 8 + 1)) * 8
            clip = source[
                int(rng.integers(count)),
                first : first + 2 * FRAMES_PER_LATENT + 1,
                y : y + scale * h,
                x : x + scale * w,
            ]
            crops.append(halve(clip) if scale == 2 else clip)
        groups = group_frames(torch.from_numpy(np.stack(crops)))
        return groups[:, :2] if rng.random() < 0.3 else groups[:, 1:]


def halve(frames: Clips) -> Clips:
    """Box-filtered to half the size: `[..., H, W, 3]` -> `[..., H/2, W/2, 3]`."""
    *lead, H, W, _ = frames.shape
    return (frames.reshape(*lead, H // 2, 2, W // 2, 2, 3).mean((-4, -2)) + 0.5).astype(np.uint8)


def _edges(error: Tensor) -> Tensor:
    return (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()


def vae_loss(
    vae: Vae, groups_BT: Tensor, config: VaeTraining, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss and numbers for groups `[B, T, 12, h, w]`."""
    B, T = groups_BT.shape[:2]
    with autocast(groups_BT.device):
        raw = vae.encoder(groups_BT.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        noisy = raw + config.noise * torch.randn(raw.shape, generator=generator).to(raw)
        latents = noisy.unflatten(0, (B, T))
        state, decoded = None, []
        for t in range(T):
            frames, state = vae.decoder(latents[:, t].contiguous(memory_format=torch.channels_last), state)
            decoded.append(frames)
    error = (torch.stack(decoded, 1).float() - groups_BT).unflatten(2, (FRAMES_PER_LATENT, 3)).flatten(1, 2)
    pixels, edges, flicker = error.abs().mean(), _edges(error), (error[:, 1:] - error[:, :-1]).abs().mean()
    loss = pixels + edges + 0.5 * flicker + config.pull * raw.float().square().mean()
    psnr = float(10 * torch.log10(4 / error.detach().square().mean()))
    return loss, {"l1": float(pixels.detach()), "psnr": psnr, "std": float(raw.detach().float().std())}


@torch.inference_mode()
def reconstruct(vae: Vae, clips: Clips) -> tuple[Clips, list[float]]:
    """Decoded clips and their PSNR in dB, one a clip, streaming latent by latent."""
    out, scores = [], []
    for clip in clips:
        frames = torch.from_numpy(np.ascontiguousarray(clip[None]))
        shown = decode_clip(vae, vae.encode(group_frames(frames)))
        mse = (shown.float() - frames.float()).square().mean()
        out.append(shown[0].numpy())
        scores.append(float(10 * torch.log10(255**2 / mse)))
    return np.stack(out), scores


@torch.no_grad()
def measure_statistics(vae: Vae, clips: Clips) -> None:
    """Sets `mean` and `std` over a set of clips, so that encoded latents have zero mean and unit variance."""
    vae.mean.zero_()
    vae.std.fill_(1.0)
    latents = torch.cat(
        [vae.encode(group_frames(torch.from_numpy(np.ascontiguousarray(clip[None])))) for clip in clips]
    )
    vae.mean.copy_(latents.mean((0, 1, 3, 4)))
    vae.std.copy_(latents.std((0, 1, 3, 4)))


def contact_sheet(truth: Clips, decoded: Clips, path: Path) -> None:
    """A PNG: first and last frame of each clip, truth above, decoded below."""
    rows = [
        np.concatenate([truth[i, f] if k == 0 else decoded[i, f] for i in range(len(truth)) for f in (0, -1)], 1)
        for k in (0, 1)
    ]
    Image.fromarray(np.concatenate(rows)).save(path)


def evaluate(run: Run, vae: Vae, held_out: Clips) -> Json:
    """Held-out PSNR of the averaged weights, and a contact sheet beside the log."""
    averaged = run.averaged(Vae(vae.config))
    decoded, scores = reconstruct(averaged, held_out)
    contact_sheet(held_out[:4], decoded[:4], run.config.out / f"step{run.step:06d}.png")
    return {"psnr": round(float(np.mean(scores)), 3), "worst": round(min(scores), 3)}


def export(run: Run, vae: Vae, held_out: Clips, path: Path) -> Json:
    """Writes the averaged weights with measured latent statistics and their evaluation; returns the manifest."""
    shipped = run.averaged(Vae(vae.config))
    measure_statistics(shipped, held_out)
    _, scores = reconstruct(shipped, held_out)
    config = {
        "latent_channels": vae.config.latent_channels,
        "encoder_widths": list(vae.config.encoder_widths),
        "decoder_widths": list(vae.config.decoder_widths),
    }
    manifest = {
        "kind": "pocket-vae",
        "config": config,
        "recipe": {
            "steps": run.step,
            "seconds": round(run.trained_seconds),
            "lr": run.config.lr,
            "ema": run.config.ema,
        },
        "evaluation": {
            "held_out_psnr": round(float(np.mean(scores)), 3),
            "worst_clip_psnr": round(min(scores), 3),
            "clips": len(scores),
        },
    }
    save_weights(path, shipped.state_dict(), manifest)
    return manifest
