"""Races and ablations: one thing changed, everything else equal, trained for the same time.

Racers start from nothing. Ablations (paper, tables 3, 4 and 7) are of a small network that sees no guide, which would
tell it what the paper's mechanisms are there to tell: each goes on from the same `root` (`--start`), and writes weights
that `evaluate --weights` judges in play.

A racer is judged by its loss on held-out clips and by what it makes one chunk ahead: every chunk of a clip is denoised
given the true past, as in training, so the verdict needs no play and no errors add up. Results are in LOG.md.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.attention import attend
from engine.checkpoint import Json
from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import gradient_energy, psnr
from engine.flow import LEAD, SHIFT, sample, schedule
from engine.memory import MemoryConfig
from engine.memory import pocket as pocket_memory
from engine.precision import autocast
from engine.training.base import BaseTraining, BatchSampler, GuidedClips, layout_for
from engine.training.mixer import Past, TrainingMixer
from engine.training.rollout import held_out_losses, save_strips
from engine.transformer import Pocket, PocketConfig, known_by, pocket_frustums
from engine.vae import Vae, decode_clip

CHUNK = 4


class RecursiveMixer(TrainingMixer):
    """Committed chunks attend to their own context as well (`commit: recursive` of the races; self-only ships).

    Only for layouts whose chunks are generated as they are committed, all of them from the first.
    """

    def _clean(self, q: Tensor, k: Tensor, v: Tensor, past: Sequence[Past]) -> Tensor:
        rows, out = self.tokens * self.layout.commit, []
        for i, (keys, values) in enumerate(past):
            own = slice(i * rows, (i + 1) * rows)
            out.append(attend(q[:, :, own], torch.cat([*keys, k[:, :, own]], 2), torch.cat([*values, v[:, :, own]], 2)))
        return torch.cat(out, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Racer:
    """What is different about it."""

    network: PocketConfig
    mixer: type[TrainingMixer] = TrainingMixer
    memory: MemoryConfig = field(default_factory=pocket_memory)
    seed: int = 0


def racers(latent_channels: int) -> dict[str, Racer]:
    """All that start, by name; those of other shapes have as many parameters as `shipped`, within 4 %."""
    shipped = PocketConfig(latent_channels=latent_channels)
    return {
        "shipped": Racer(network=shipped),
        "again": Racer(network=shipped, seed=1),
        "branch": Racer(network=replace(shipped, camera="branch")),
        "recursive": Racer(network=shipped, mixer=RecursiveMixer),
        "wide": Racer(network=replace(shipped, width=320, heads=5, depth=5)),
        "deep": Racer(network=replace(shipped, width=192, heads=3, depth=15)),
    } | ablations(latent_channels)


def ablations(latent_channels: int) -> dict[str, Racer]:
    """What all of them start from, the same gone on with, twice, and what each of them leaves out, by name."""
    root, memory = PocketConfig(latent_channels=latent_channels, width=192, depth=6, guided=False), pocket_memory()
    return {
        "root": Racer(network=root),
        "full": Racer(network=root),
        "full-again": Racer(network=root, seed=1),
        "discrete": Racer(network=replace(root, actions="discrete")),
        "continuous": Racer(network=replace(root, actions="continuous")),
        "rope": Racer(network=root, memory=replace(memory, reframes=False)),
        "spatial": Racer(network=root, memory=replace(memory, spatial_latents=12, temporal_latents=4)),
        "forgetful": Racer(network=root, memory=replace(memory, retrieves=False)),
    }


@torch.inference_mode()
def one_chunk_ahead(model: Pocket, source: GuidedClips, config: BaseTraining, racer: Racer) -> Tensor:
    """Latents `[n, T, C, Y, X]` of all clips: the first is given, every chunk is made from the true ones before it."""
    quiet = replace(config, text_drop=0.0, unheard=0.0, ended=0.0, untouched=0.0)
    made, generator = [], torch.Generator().manual_seed(0)
    for clip in range(len(source.clips)):
        batch = BatchSampler(source, quiet).of([clip], random.Random(clip))
        clean, (B, T) = batch.latents, batch.latents.shape[:2]
        cameras = pocket_frustums(batch.poses, batch.poses[:, :1])
        layout = layout_for(batch.poses, CHUNK, racer.memory)
        mixer = racer.mixer(model, layout, cameras, (clean.shape[-2], clean.shape[-1]))
        guides = None if batch.guides is None else torch.cat([torch.zeros_like(batch.guides), batch.guides], 1)
        words = model.read_prompt(batch.rows, batch.lengths, batch.versions.repeat(1, 2))

        def velocity(x: Tensor, level: float) -> Tensor:
            levels = torch.cat([torch.zeros(B, T + 1), torch.full((B, T - 1), level)], 1)  # noqa: B023
            x = torch.cat([clean[:, :1], x], 1)  # noqa: B023
            actions = batch.actions.repeat(1, 2)  # noqa: B023
            with autocast(x.device):
                return model(torch.cat([clean, x], 1), levels, actions, words, mixer, guides)[:, T + 1 :]  # noqa: B023

        levels = schedule(4, SHIFT).tolist()
        noises = torch.randn(4, *clean[:, 1:].shape, generator=generator)
        renewed = 0.0 if batch.guides is None else known_by(batch.guides[:, 1:])
        made.append(torch.cat([clean[:, :1], sample(velocity, noises, levels, LEAD, renewed)], 1))
    return torch.cat(made)


def judge(
    model: Pocket,
    vae: Vae,
    source: GuidedClips,
    truth: NDArray[np.uint8],
    config: BaseTraining,
    racer: Racer,
    strips: Path,
) -> Json:
    """Loss at fixed noise of each chunk length; PSNR in dB, DFD and gradient energy of what is made one chunk ahead and
    of what the autoencoder alone leaves, against true frames `[n, F, H, W, 3]`; a PNG of strips."""
    scores: Json = held_out_losses(model, source, config, 4, racer.mixer, racer.memory)
    with torch.inference_mode():
        latents = {
            "made": one_chunk_ahead(model, source, config, racer),
            "autoencoder": source.clips.latents[:, : config.latents].float(),
        }
        truth = truth[:, : 4 * (config.latents - 1) + 1]
        films = {
            name: np.concatenate([decode_clip(vae, clip[None]).numpy() for clip in z]) for name, z in latents.items()
        }
    scores |= {name: compared(frames, truth) for name, frames in films.items()}
    save_strips(truth[:6], films["made"][:6], strips)
    return scores


def compared(made: NDArray[np.uint8], truth: NDArray[np.uint8]) -> Json:
    """Means over clips and frames but the first: PSNR in dB, DFD of every eighth, gradient energy as a share."""
    pairs = [(ours[1:], true[1:]) for ours, true in zip(made, truth, strict=True)]
    distances = [feature_distance(features(ours[7::8]), features(true[7::8])).mean() for ours, true in pairs]
    ours, true = (np.mean([gradient_energy(films).mean() for films in side]) for side in zip(*pairs, strict=True))
    return {
        "psnr": round(float(np.mean([psnr(ours, true).mean() for ours, true in pairs])), 2),
        "dfd": round(float(np.mean(distances)), 3),
        "gradient": round(float(ours / true), 3),
    }
