"""Stage 1b, the decoder alone: the encoder is frozen, what it writes is taken as given, pictures may still get sharper.

Latents and the frames that they were made from, whole pictures in short windows: the loss is that of pixels and edges,
on their differences in time (no flicker), and an adversary's (`engine.training.adversary`). Some latents are noisy, as
those that the transformer makes are not perfect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json, save_weights
from engine.errors import WanderError
from engine.precision import autocast
from engine.training.adversary import Critic, Sharpness, gradient_energy, picture_loss, psnr
from engine.training.latents import batch_of, encode_frames
from engine.training.loop import Run
from engine.training.vae import Clips
from engine.vae import FRAMES_PER_LATENT, DecoderState, Vae, decode_clip, group_frames, to_uint8


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderTraining:
    """How batches are drawn and what the loss sees."""

    batch: int = 4
    """Windows of the largest pictures; as many more of smaller ones as cost the same."""
    window: int = 3
    """Latents of a window; the first only makes the decoder's state, unless it is the first of its clip."""
    starts: float = 0.2
    """Share of batches that begin where clips begin."""
    noisy: float = 0.5
    """Share of windows with noise on their latents ..."""
    noise: float = 0.1
    """... up to so much (of their standard deviation)."""
    flicker: float = 0.5
    sharpness: Sharpness = field(default_factory=lambda: Sharpness(push=0.15, strength=0.3))


class Film:
    """Frames on disk (read window by window) or in memory, and their latents half `[n, T, C, Y, X]`."""

    def __init__(self, latents: Tensor, shards: Sequence[Any]) -> None:
        self.latents = latents
        self.where = [(shard, i) for shard in shards for i in range(_length(shard))]
        if len(self.where) != len(latents):
            raise WanderError(
                f"{len(latents)} clips of latents were made from {len(self.where)} of frames; encode again"
            )

    @property
    def cells(self) -> int:
        """Latent cells of a picture."""
        return self.latents[0, 0, 0].numel()

    def window(self, clip: int, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Latents `[count, C, Y, X]` and groups of frames `[count, 4, 3, H, W]` in [-1, 1]."""
        shard, i = self.where[clip]
        before = 1 if first else 0
        start, stop = FRAMES_PER_LATENT * (first - before), FRAMES_PER_LATENT * (first + count - 1) + 1
        frames = torch.from_numpy(np.ascontiguousarray(shard[i : i + 1, start:stop]))
        groups = group_frames(frames)[0, before:].unflatten(1, (FRAMES_PER_LATENT, 3))
        return self.latents[clip, first : first + count].float(), groups


def _length(shard: Any) -> int:
    return shard.get_shape()[0] if hasattr(shard, "get_shape") else len(shard)


def open_film(frames: Path, latents: Path) -> Film:
    """The shards of a latent folder and those of frames that they were made from. `WanderError` where some are
    missing."""
    parts, shards = [], []
    for path in sorted(latents.glob("latents-*.safetensors")):
        source = frames / path.name.replace("latents-", "clips-")
        if not source.is_file():
            raise WanderError(f"{path} was made from {source}, which is missing; give its folder with --frames")
        with safe_open(path, framework="pt") as file:
            parts.append(file.get_tensor("latents"))
        shards.append(safe_open(source, framework="np").get_slice("frames"))
    if not parts:
        raise WanderError(f"there are 0 latent shards in {latents}; make some with 'launch.py train encode'")
    return Film(torch.cat(parts), shards)


def film_of(vae: Vae, clips: Clips) -> Film:
    """Clips in memory, encoded now."""
    return Film(encode_frames(vae, clips), [clips])


def draw(films: Sequence[Film], config: DecoderTraining, rng: random.Random) -> tuple[Tensor, Tensor]:
    """A batch of windows of one of the films: latents `[B, L, C, Y, X]`, frames `[B, L, 4, 3, H, W]`.

    The first latent's frames are not asked for where it only makes the state: then they are one fewer.
    """
    film = rng.choice(films)
    count = batch_of(config.batch, film.cells, max(each.cells for each in films))
    T, begins = film.latents.shape[1], rng.random() < config.starts
    length = min(config.window, T)
    firsts = [0 if begins else rng.randint(min(1, T - length), T - length) for _ in range(count)]
    windows = [film.window(rng.randrange(len(film.where)), first, length) for first in firsts]
    latents, frames = (torch.stack(column) for column in zip(*windows, strict=True))
    return latents, frames if begins else frames[:, 1:]


def decoder_loss(
    vae: Vae, critic: Critic, batch: tuple[Tensor, Tensor], config: DecoderTraining, generator: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Loss and numbers of a batch, see `draw`."""
    latents, truth = batch
    B, L = latents.shape[:2]
    level = config.noise * torch.rand(B, 1, 1, 1, 1, generator=generator)
    level = level * (torch.rand(B, 1, 1, 1, 1, generator=generator) < config.noisy)
    latents = latents + level * torch.randn(latents.shape, generator=generator)
    state: DecoderState | None = None
    decoded = []
    with autocast(latents.device):
        for t in range(L):
            with torch.set_grad_enabled(t >= L - truth.shape[1]):
                frames, state = vae.decode(latents[:, t], state)
            decoded.append(frames)
    made = torch.stack(decoded[L - truth.shape[1] :], 1).float()
    error = (made - truth).flatten(1, 2)
    loss = picture_loss(made.flatten(0, 1), truth.flatten(0, 1), config.sharpness.strength)
    loss = loss + config.flicker * error.diff(dim=1).abs().mean()
    last, true = made[:, -1], truth[:, -1]
    told = critic.learn(true, last)
    energy = gradient_energy(made.detach().flatten(0, 1)) / gradient_energy(truth.flatten(0, 1))
    push = critic.push(last, picture_loss(last, true, config.sharpness.strength))
    return loss + push / truth.shape[1], {"psnr": psnr(made, truth), "gradient": energy, "told": told}


@torch.inference_mode()
def evaluate_decoder(run: Run, vae: Vae, held_out: Film, photos: Film | None) -> Json:
    """PSNR, gradient energy (share of the truth's) and DFD of held-out clips, PSNR of held-out photographs; a sheet of
    true and decoded frames beside the log."""
    from engine.evaluation.features import feature_distance, features

    averaged, scores, sheet = run.averaged(Vae(vae.config)), [], []
    for clip in range(0, len(held_out.where), max(len(held_out.where) // 12, 1)):
        latents, truth = held_out.window(clip, 0, min(8, held_out.latents.shape[1]))
        with autocast(latents.device):
            shown = decode_clip(averaged, latents[None])[0, 1:]
        frames = to_uint8(truth[1:].flatten(0, 1))
        picks = slice(3, None, 8)
        distance = feature_distance(features(shown[picks].numpy()), features(frames[picks].numpy())).mean()
        made, true = (x.movedim(-1, -3).float() / 127.5 - 1 for x in (shown, frames))
        scores.append((psnr(made, true), gradient_energy(made[:, None]) / gradient_energy(true[:, None]), distance))
        sheet.append(torch.cat([frames[-1], shown[-1]]))
    Image.fromarray(torch.cat(sheet[:6], 1).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    means = np.mean(scores, 0).tolist()
    found = {name: round(mean, 3) for name, mean in zip(("psnr", "gradient", "dfd"), means, strict=True)}
    return found if photos is None else found | {"photos": round(_photos(averaged, photos), 3)}


def _photos(vae: Vae, photos: Film) -> float:
    scores = []
    for clip in range(len(photos.where)):
        latents, truth = photos.window(clip, 0, photos.latents.shape[1])
        with autocast(latents.device):
            shown = decode_clip(vae, latents[None])[0, 1:]
        scores.append(psnr(shown.movedim(-1, -3).float() / 127.5 - 1, truth[1:].flatten(0, 1)))
    return float(np.mean(scores))


def export_decoder(run: Run, vae: Vae, latents_of: str, evaluation: Json, path: Path) -> Json:
    """Writes the autoencoder with the averaged decoder; its latents stay those of a file, by its checksum."""
    manifest = {
        "kind": "pocket-vae",
        "config": {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(vae.config).items()},
        "latents_of": latents_of,
        "recipe": {"stage": "decoder", "steps": run.step, "seconds": round(run.trained_seconds), "lr": run.config.lr},
        "evaluation": evaluation,
    }
    save_weights(path, run.averaged(Vae(vae.config)).state_dict(), manifest)
    return manifest
