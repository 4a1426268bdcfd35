"""Stage 3, the compositor: decoded frames and drawn ones against the truth.

Latents are blurred by noise of many strengths before they are decoded, as those that the transformer makes are not
perfect, so that the compositor learns when to believe the drawing instead. An adversary asks for edges, see
`engine.training.adversary`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json
from engine.compositor import Compositor
from engine.depth import signed
from engine.errors import WanderError
from engine.precision import autocast
from engine.training.adversary import Critic, Sharpness, gradient_energy, picture_loss, psnr
from engine.training.loop import Run
from engine.vae import FRAMES_PER_LATENT, DecoderState, Vae, to_uint8

MOST_NOISE = 0.5
"""Most noise on the latents of a clip (a share of their standard deviation)."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Of n latents, uint8 `[n, 4, H, W, 3]`: truth, what the decoder makes, what the guide draws; coverage
    `[n, 4, H, W]`."""

    truth: Tensor
    decoded: Tensor
    drawn: Tensor
    covered: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    def of(self, rows: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Truth, decoded and drawn frames `[B, 4, 3, H, W]` in [-1, 1], and coverage `[B, 4, H, W]`."""
        truth, decoded, drawn = (signed(x[rows]) for x in (self.truth, self.decoded, self.drawn))
        return truth, decoded, drawn, self.covered[rows]

    def crops(self, rng: random.Random, config: CompositorTraining) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Windows of random samples, in whole cells of the compositor."""
        (h, w), (H, W) = config.crop, self.truth.shape[2:4]
        parts = (self.truth, self.decoded, self.drawn, self.covered)
        found = []
        for _ in range(config.batch):
            i, y, x = rng.randrange(len(self)), rng.randrange((H - h) // 4 + 1), rng.randrange((W - w) // 4 + 1)
            found.append([part[i, :, 4 * y : 4 * y + h, 4 * x : 4 * x + w] for part in parts])
        *pictures, covered = (torch.stack(column) for column in zip(*found, strict=True))
        truth, decoded, drawn = map(signed, pictures)
        return truth, decoded, drawn, covered


@torch.inference_mode()
def load_samples(
    vae: Vae, frames: Path, latents: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Samples:
    """Decodes the shards of a latent folder whose guides kept their frames. `WanderError` if there are none."""
    parts: list[tuple[Tensor, ...]] = []
    generator = torch.Generator().manual_seed(0)
    shards = [path for path in sorted(latents.glob("guides-*.safetensors")) if "frames" in _names(path)]
    if not shards:
        raise WanderError(f"0 guides in {latents} kept their frames; make them with 'launch.py train guide'")
    for done, path in enumerate(shards):
        with safe_open(path, framework="pt") as file:
            drawn, covered = file.get_tensor("frames"), file.get_tensor("covered")
        with safe_open(path.with_name(path.name.replace("guides-", "latents-")), framework="pt") as file:
            clips = file.get_tensor("latents").float()
        with safe_open(frames / path.name.replace("guides-", "clips-"), framework="pt") as file:
            truth = file.get_tensor("frames")
        for i, clip in enumerate(clips):
            noise = torch.randn(clip.shape, generator=generator) * MOST_NOISE * torch.rand((), generator=generator)
            state: DecoderState | None = None
            decoded = []
            for latent in clip + noise:
                with autocast(latent.device):
                    made, state = vae.decode(latent[None], state)
                decoded.append(to_uint8(made[0].float()))
            groups = truth[i, 1:].unflatten(0, (-1, FRAMES_PER_LATENT))
            parts.append((groups, torch.stack(decoded[1:]), drawn[i, 1:], covered[i, 1:]))
        progress(done + 1, len(shards))
    return Samples(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="np") as file:
        return list(file.keys())


@dataclass(frozen=True, kw_only=True, slots=True)
class CompositorTraining:
    """Batches, and how sharp they shall be."""

    batch: int = 16
    crop: tuple[int, int] = (96, 160)
    uncovered: float = 0.25
    """Share of samples that are shown no drawing at all."""
    relit: float = 0.25
    """Share whose drawing shows another light, as when words have just changed it: edges are right, colours are not."""
    sharpness: Sharpness = field(default_factory=Sharpness)


def loss_of(
    model: Compositor,
    critic: Critic,
    samples: Samples,
    rng: random.Random,
    config: CompositorTraining,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """`picture_loss` and the adversary's push towards what looks true."""
    truth, decoded, drawn, covered = samples.crops(rng, config)
    drawn = _relit(drawn, config.relit, generator)
    covered = covered & (torch.rand(config.batch, 1, 1, 1, generator=generator) > config.uncovered)
    with autocast(truth.device):
        made = model(decoded, drawn, covered).float()
    loss, told = picture_loss(made, truth, config.sharpness.strength), critic.learn(truth, made)
    energy = gradient_energy(made.detach()) / gradient_energy(truth)
    return loss + critic.push(made, loss), {"psnr": psnr(made, truth), "gradient": energy, "told": told}


def _relit(drawn: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Drawings `[B, 4, 3, h, w]`, a `share` of them with other brightness, contrast and tint."""
    B = len(drawn)
    gain = 1 + 0.25 * torch.randn(B, 1, 1, 1, 1, generator=generator)
    tint = 0.3 * torch.randn(B, 1, 1, 1, 1, generator=generator) + 0.1 * torch.randn(B, 1, 3, 1, 1, generator=generator)
    chosen = torch.rand(B, 1, 1, 1, 1, generator=generator) < share
    return torch.where(chosen, (gain * drawn + tint).clamp(-1, 1), drawn)


@torch.inference_mode()
def evaluate_compositor(run: Run, model: Compositor, held_out: Samples) -> Json:
    """PSNR and gradient energy (share of the truth's) of the decoder alone, of the drawing and of the composition."""
    averaged = run.averaged(Compositor(model.config))
    rows = list(range(0, len(held_out), max(len(held_out) // 96, 1)))
    truth, decoded, drawn, covered = held_out.of(rows)
    made = torch.cat([averaged(*part) for part in zip(*(x.split(8) for x in (decoded, drawn, covered)), strict=True)])
    scores: Json = {}
    for name, frames in (("decoded", decoded), ("drawn", drawn), ("composed", made.clamp(-1, 1))):
        mse = (frames - truth).square().mean((1, 2, 3, 4)).clamp_min(1e-5)
        scores[name] = round(float((10 * torch.log10(4 / mse)).mean()), 2)
        scores[f"{name}_gradient"] = round(gradient_energy(frames) / gradient_energy(truth), 3)
    picks = list(range(0, len(rows), max(len(rows) // 8, 1)))[:8]
    sheet = torch.cat([torch.cat([x[i, -1] for i in picks], 2) for x in (truth, decoded, drawn, made)], 1)
    Image.fromarray(to_uint8(sheet).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    return scores
