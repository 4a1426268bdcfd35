"""What a half-trained base model dreams: held-out loss, and strips of rollouts beside the truth."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.checkpoint import Json, save_weights
from engine.compositor import Compositor
from engine.depth import DepthHead
from engine.memory import MemoryConfig
from engine.memory import pocket as pocket_memory
from engine.streamer import PocketWorld, Sampling
from engine.training.base import BaseTraining, BatchSampler, GuidedClips, base_loss, lines_at
from engine.training.latents import LatentClips
from engine.training.loop import Run
from engine.training.mixer import TrainingMixer
from engine.transformer import Pocket
from engine.vae import SPATIAL_FACTOR, Vae, decode_clip
from engine.weights import PocketWeights
from engine.world import WorldSpec

STRIP = (0, 4, 12, 24, 40, 60, 76, 92)
"""Frames of a strip."""


def dream(
    weights: PocketWeights,
    clips: LatentClips,
    index: int,
    seed: int = 0,
    latents: int = 24,
    sampling: Sampling | None = None,
) -> NDArray[np.uint8]:
    """Frames `[F, H, W, 3]` generated along a clip's cameras from its first latent, under its texts."""
    lines = [lines_at(clips.about[index], t, "en", 0) for t in range(latents)]
    world = PocketWorld(weights, WorldSpec(seed=seed, prompt=lines[0][0]), sampling=sampling)
    world.start_from(clips.latents[index, 0])
    frames = []
    for first in range(0, latents, world.chunk):
        if world.lines != lines[first]:
            world.prompt("\n".join((*lines[first], "")))
        frames += list(world.follow(clips.poses[index, first : first + world.chunk]))
        world.commit()
    return np.concatenate(frames)


Frozen = tuple[Vae, DepthHead, Compositor]
"""The networks that are trained before the transformer."""


def weights_of(model: Pocket, frozen: Frozen, clips: LatentClips) -> PocketWeights:
    """Networks at hand, at the clips' size."""
    Y, X = clips.latents.shape[-2:]
    return PocketWeights(*frozen, model, X * SPATIAL_FACTOR, Y * SPATIAL_FACTOR, "training")


def evaluate_base(
    run: Run, model: Pocket, frozen: Frozen, held_out: Sequence[GuidedClips], config: BaseTraining
) -> Json:
    """For each size of held-out clips: loss at fixed noise of each chunk length, PSNR of rollouts, a PNG of strips."""
    averaged = run.averaged(Pocket(model.config))
    return {"{}x{}".format(*size_of(source)): _scores(run, averaged, frozen, source, config) for source in held_out}


def size_of(source: GuidedClips) -> tuple[int, int]:
    """Width and height of the pictures."""
    Y, X = source.grid
    return X * SPATIAL_FACTOR, Y * SPATIAL_FACTOR


@torch.inference_mode()
def held_out_losses(
    model: Pocket,
    source: GuidedClips,
    config: BaseTraining,
    batches: int,
    mixer_of: type[TrainingMixer] = TrainingMixer,
    memory: MemoryConfig | None = None,
) -> dict[str, float]:
    """Mean loss over the same batches and noise for each chunk length, of clips as they are."""
    config, scores = replace(config, hidden=0.0, soft=0.0), {}
    for chunk in sorted(set(config.chunks)):
        sampler, rng, generator = BatchSampler(source, config), random.Random(0), torch.Generator().manual_seed(0)
        losses = [
            float(base_loss(model, sampler.draw(rng), chunk, config, memory or pocket_memory(), generator, mixer_of)[0])
            for _ in range(batches)
        ]
        scores[f"loss{chunk}"] = round(float(np.mean(losses)), 4)
    return scores


def _scores(run: Run, averaged: Pocket, frozen: Frozen, source: GuidedClips, config: BaseTraining) -> Json:
    held_out, config = source.clips, replace(config, hidden=0.0, soft=0.0)
    scores: Json = held_out_losses(averaged, source, config, batches=2)
    with torch.inference_mode():
        if source.calm is not None:
            scores["words"] = _hearing(averaged, source, config)
        truth = decode_clip(frozen[0], held_out.latents[:6, :24].float()).numpy()
    weights = weights_of(averaged, frozen, held_out)
    made = np.stack([dream(weights, held_out, i) for i in range(len(truth))])
    error = ((made.astype(np.float32) - truth) ** 2).mean((2, 3, 4))
    scores["psnr"] = {
        str(f): round(float((10 * np.log10(255**2 / np.maximum(error[:, f], 1e-3))).mean()), 2) for f in STRIP
    }
    save_strips(truth, made, run.config.out / f"step{run.step:06d}-{truth.shape[2]}.png")
    return scores


def _hearing(averaged: Pocket, source: GuidedClips, config: BaseTraining) -> dict[str, float]:
    """Loss where words alone tell what happens, and the same with the words withheld: how well it listens."""
    told = replace(
        config, unheard=1.0, alone=1.0, ended=0.0, untouched=0.0, text_drop=0.0, batch=2 * config.batch, given_first=1.0
    )
    batch = BatchSampler(source, told).draw(random.Random(0))
    deaf = replace(batch, lengths=torch.zeros_like(batch.lengths))
    return {
        name: round(float(base_loss(averaged, each, 4, told, pocket_memory(), torch.Generator().manual_seed(0))[0]), 4)
        for name, each in (("told", batch), ("untold", deaf))
    }


def save_strips(truth: NDArray[np.uint8], made: NDArray[np.uint8], path: Path) -> None:
    """A PNG with two rows a clip: truth, ours."""
    picks = [f for f in STRIP if f < truth.shape[1]]
    rows = [np.concatenate([clips[i, f] for f in picks], 1) for i in range(len(truth)) for clips in (truth, made)]
    Image.fromarray(np.concatenate(rows)).save(path)


def export_base(
    run: Run,
    model: Pocket,
    sources: Sequence[GuidedClips],
    vae_checksum: str,
    evaluation: Json,
    config: BaseTraining,
    path: Path,
    memory: MemoryConfig | None = None,
) -> Json:
    """Writes the averaged weights and their manifest, which is returned, for a `memory` that isn't the preset's."""
    recipe = {
        "steps": run.step,
        "seconds": round(run.trained_seconds),
        "lr": run.config.lr,
        "ema": run.config.ema,
        "optimiser": "muon + adamw",
        "batch": config.batch,
        "latents": config.latents,
        "chunks": list(config.chunks),
    }
    manifest = {
        "kind": "pocket-transformer",
        "config": asdict(model.config),
        "sizes": sorted({size_of(source) for source in sources}, reverse=True),
        "vae_sha256": vae_checksum,
        "recipe": recipe,
        "evaluation": evaluation,
    }
    if memory is not None:
        manifest["memory"] = asdict(memory)
    save_weights(path, run.averaged(Pocket(model.config)).state_dict(), manifest)
    return manifest
