"""Stage 3, the compositor: decoded frames and drawn ones against the truth.

Latents are blurred by noise of many strengths before they are decoded, as those that the transformer makes are not
perfect, so that the compositor learns when to believe the drawing instead.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json, save_weights
from engine.compositor import Compositor
from engine.errors import WanderError
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
        truth, decoded, drawn = (
            x[rows].permute(0, 1, 4, 2, 3).float() / 127.5 - 1 for x in (self.truth, self.decoded, self.drawn)
        )
        return truth, decoded, drawn, self.covered[rows]


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
                made, state = vae.decode(latent[None], state)
                decoded.append(to_uint8(made[0]))
            groups = truth[i, 1:].unflatten(0, (-1, FRAMES_PER_LATENT))
            parts.append((groups, torch.stack(decoded[1:]), drawn[i, 1:], covered[i, 1:]))
        progress(done + 1, len(shards))
    return Samples(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _names(path: Path) -> list[str]:
    with safe_open(path, framework="np") as file:
        return list(file.keys())


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.diff(dim=-1), x.diff(dim=-2)


def loss_of(
    model: Compositor, samples: Samples, rng: random.Random, batch: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Mean absolute error of pixels and of their differences; a tenth of the samples is not covered at all."""
    truth, decoded, drawn, covered = samples.of([rng.randrange(len(samples)) for _ in range(batch)])
    covered = covered & (torch.rand(batch, 1, 1, 1, generator=generator) > 0.1)
    error = model(decoded, drawn, covered) - truth
    loss = error.abs().mean() + sum(step.abs().mean() for step in _steps(error))
    psnr = float(10 * torch.log10(4 / error.detach().square().mean()))
    return loss, {"psnr": psnr}


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
        energy = sum(float(s.square().mean()) for s in _steps(frames)) / sum(
            float(s.square().mean()) for s in _steps(truth)
        )
        scores[f"{name}_gradient"] = round(energy, 3)
    picks = list(range(0, len(rows), max(len(rows) // 8, 1)))[:8]
    sheet = torch.cat([torch.cat([x[i, -1] for i in picks], 2) for x in (truth, decoded, drawn, made)], 1)
    Image.fromarray(to_uint8(sheet).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    return scores


def export_compositor(run: Run, model: Compositor, vae_checksum: str, evaluation: Json, path: Path) -> Json:
    """Writes the averaged weights and their manifest, which is returned."""
    manifest = {
        "kind": "pocket-compositor",
        "config": asdict(model.config),
        "vae_sha256": vae_checksum,
        "recipe": {"steps": run.step, "seconds": round(run.trained_seconds), "lr": run.config.lr},
        "evaluation": evaluation,
    }
    save_weights(path, run.averaged(Compositor(model.config)).state_dict(), manifest)
    return manifest
