"""Stage 1c, the sharpener: decoded frames against the true ones, with the ramps of edges as short as they are there.

Latents are blurred by noise of many strengths before they are decoded, as those that the transformer makes are not
perfect. The error of pixels alone would leave every ramp as it is, since it doesn't know where in it the edge is; so
how strong edges are counts for more than in other stages (`SharpenerTraining.strength`), and what is told of places has
to be smooth, or rows of single pixels would stand in for edges.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json
from engine.depth import signed
from engine.errors import WanderError
from engine.evaluation.features import feature_distance, features
from engine.precision import autocast
from engine.sharpening import FOLD, Sharpener, warped
from engine.training.adversary import gradient_energy, picture_loss, psnr
from engine.training.loop import Run
from engine.vae import FRAMES_PER_LATENT, Vae, decode_clip, to_uint8

MOST_NOISE = 0.3
"""Most noise on the latents of a clip (a share of their standard deviation)."""
JUDGED = 64
"""Latents of the held-out ones that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SharpenerTraining:
    """Batches, and how sharp they shall be."""

    batch: int = 8
    crop: int = 64
    mirrored: float = 0.5
    """Share of the crops."""
    strength: float = 2.5
    """Weight of how strong edges are."""
    flicker: float = 0.5
    """Weight of the error's change from frame to frame."""
    rough: float = 0.005
    """Weight of bends in what is told, in pixels."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """True and decoded frames of n latents, uint8 `[n, 4, H, W, 3]`."""

    truth: Tensor
    decoded: Tensor

    def crops(self, rng: random.Random, config: SharpenerTraining) -> tuple[Tensor, Tensor]:
        """Windows of random latents, in whole cells: true and decoded frames `[B, 4, 3, h, w]` in [-1, 1]."""
        (H, W), found = self.truth.shape[2:4], []
        h, w = min(config.crop, H), min(config.crop, W)
        for _ in range(config.batch):
            i, y, x = (
                rng.randrange(len(self.truth)),
                rng.randrange((H - h) // FOLD + 1),
                rng.randrange((W - w) // FOLD + 1),
            )
            parts = [
                part[i, :, FOLD * y : FOLD * y + h, FOLD * x : FOLD * x + w] for part in (self.truth, self.decoded)
            ]
            found.append([part.flip(2) for part in parts] if rng.random() < config.mirrored else parts)
        truth, decoded = (signed(torch.stack(column)) for column in zip(*found, strict=True))
        return truth, decoded


@torch.inference_mode()
def load_pairs(vae: Vae, frames: Path, latents: Path) -> Pairs:
    """Decodes all latents of a folder but the first of each clip. `WanderError` if there are none."""
    truth: list[Tensor] = []
    decoded: list[Tensor] = []
    generator = torch.Generator().manual_seed(0)
    for path in sorted(latents.glob("latents-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            clips = file.get_tensor("latents").float()
        with safe_open(frames / path.name.replace("latents-", "clips-"), framework="pt") as file:
            shown = file.get_tensor("frames")
        for clip, pictures in zip(clips, shown, strict=True):
            noise = torch.randn(clip.shape, generator=generator) * MOST_NOISE * torch.rand((), generator=generator)
            with autocast(clip.device):
                made = decode_clip(vae, (clip + noise)[None])[0]
            truth.append(pictures[1:].unflatten(0, (-1, FRAMES_PER_LATENT)))
            decoded.append(made[1:].unflatten(0, (-1, FRAMES_PER_LATENT)))
    if not truth:
        raise WanderError(f"there are 0 latents in {latents}; make some with 'launch.py train encode'")
    return Pairs(torch.cat(truth), torch.cat(decoded))


def loss_of(
    model: Sharpener, pairs: Pairs, rng: random.Random, config: SharpenerTraining
) -> tuple[Tensor, dict[str, float]]:
    """`picture_loss`, what flickers and what is rough."""
    truth, decoded = pairs.crops(rng, config)
    with autocast(truth.device):
        aside = model.aside(decoded)
    made = warped(decoded, aside)
    bends = sum(aside.diff(n=2, dim=dim).abs().mean() for dim in (-1, -2))
    loss = picture_loss(made, truth, config.strength)
    loss = loss + config.flicker * (made - truth).diff(dim=1).abs().mean() + config.rough * bends
    energy = gradient_energy(made.detach()) / max(gradient_energy(truth), 1e-9)
    return loss, {"psnr": psnr(made, truth), "decoded": psnr(decoded, truth), "gradient": energy}


@torch.inference_mode()
def evaluate_sharpener(run: Run, model: Sharpener, held_out: Pairs) -> Json:
    """PSNR, gradient energy (share of the truth's) and DFD of decoded and sharpened frames; a PNG: decoded, sharpened,
    truth."""
    averaged = run.averaged(Sharpener(model.config))
    rows = list(range(0, len(held_out.truth), max(len(held_out.truth) // JUDGED, 1)))
    truth, decoded = signed(held_out.truth[rows]), signed(held_out.decoded[rows])
    made = torch.cat([averaged(part) for part in decoded.split(8)]).clamp(-1, 1)
    true_features, scores = features(held_out.truth[rows, -1].numpy()), {}
    for name, frames in (("decoded", decoded), ("sharpened", made)):
        mse = (frames - truth).square().mean((1, 2, 3, 4)).clamp_min(1e-5)
        scores[name] = round(float((10 * torch.log10(4 / mse)).mean()), 2)
        scores[f"{name}_gradient"] = round(gradient_energy(frames) / gradient_energy(truth), 3)
        distance = feature_distance(features(np.stack([to_uint8(x).numpy() for x in frames[:, -1]])), true_features)
        scores[f"{name}_dfd"] = round(float(distance.mean()), 3)
    picks = list(range(0, len(rows), max(len(rows) // 6, 1)))[:6]
    sheet = torch.cat([torch.cat([x[i, -1] for i in picks], 2) for x in (decoded, made, truth)], 1)
    Image.fromarray(to_uint8(sheet).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    return scores
