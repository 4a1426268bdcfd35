"""`launch.py train race` and `train channels`: the choices that were made by trying, made again.

race      one of `engine.training.race.racers`, from nothing or from another's average (`--start`)
channels  an autoencoder with --channels latent channels, the shipped one but for the layers that touch them, and a
          transformer on its latents: how many channels are best is a question to both
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.checkpoint import Json
from engine.errors import WanderError
from engine.training import vae as vae_stage
from engine.training.base import BaseTraining, BatchSampler, GuidedClips, base_loss, clips_for, samplers
from engine.training.guides import guides_of
from engine.training.latents import LatentClips, encode_frames, load_latents
from engine.training.loop import Run, RunConfig
from engine.training.race import Racer, judge, racers
from engine.training.rollout import export_base
from engine.transformer import STALE, Pocket, PocketConfig
from engine.vae import FRAMES_PER_LATENT, Vae, VaeConfig
from engine.weights import POCKET_FOLDER, latents_of, load_depth, load_transformer, load_vae

RACE_CHUNKS = (4, 4, 4, 2, 1)
WEIGHTS, TRANSFORMER = "weights", "transformer.safetensors"
"""Folder in a race's own with weights as in models/pocket, and the one of them that raced."""
CHANNEL_CLIPS = 96
"""Clips of the first folder that a transformer is trained on in the test of channels."""
VAE_SHARE = 0.4
"""Share of the minutes of that test that the autoencoder gets."""
UNLIKE = 1_000_003
"""Added to its seed: the shipped layers began from those of seed 0, and would fit themselves made anew."""
VAE_RATE = 0.35
"""Its learning rate as a share of the transformer's."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The stages' own arguments."""
    group = parser.add_argument_group("race and channels")
    group.add_argument("--racer", help="which of the races' networks (race): " + ", ".join(racers(32)))
    group.add_argument("--start", type=Path, metavar="RUN", help="a race's folder whose averaged weights to start from")
    group.add_argument(
        "--steps", type=int, default=0, help="steps in all, instead of --minutes: racers whose steps take longer (race)"
    )
    group.add_argument("--channels", type=int, default=32, help="latent channels of the autoencoder (channels)")


def race(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """One racer. Raises `WanderError` for what the user can mend."""
    vae, checksum = load_vae(), latents_of()
    known = racers(vae.config.latent_channels)
    if options.racer not in known:
        raise WanderError(f"there are {len(known)} racers, and {options.racer} is none; give --racer {'|'.join(known)}")
    racer = known[options.racer]

    held_out, *sources = (
        clips_for(racer.network, folder, checksum) for folder in (_one(options.heldout, "--heldout"), *options.data)
    )
    run, model, scores = _run(options, racer, sources, held_out, _truth(options), vae, say)
    folder, config = options.out / WEIGHTS, _training(options)
    shutil.copytree(POCKET_FOLDER, folder, dirs_exist_ok=True)
    export_base(run, model, sources, checksum, scores, config, folder / TRANSFORMER, racer.memory)
    say(f"weights in {folder}; launch.py evaluate --weights {folder} judges them in play")


def channels(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """An autoencoder of so many channels and a transformer on its latents, from nothing but the shipped inner layers.
    Raises `WanderError` for what the user can mend."""
    frames, shipped, minutes = _one(options.frames, "--frames"), load_vae(), options.minutes
    truth, held = _truth(options), _one(options.heldout, "--heldout")
    vae = _retrained(shipped, frames, truth, _part(options, "vae", VAE_SHARE * minutes, VAE_RATE), say)
    known = load_latents(options.data[0], latents_of()), load_latents(held, latents_of())
    source, held_out = (
        _encoded(vae, clips, pictures)
        for clips, pictures in zip(known, (_frames(frames)[:CHANNEL_CLIPS], truth), strict=True)
    )
    racer = Racer(network=PocketConfig(latent_channels=options.channels))
    _run(_part(options, "base", (1 - VAE_SHARE) * minutes), racer, [source], held_out, truth, vae, say)


def _part(options: argparse.Namespace, name: str, minutes: float, rate: float = 1.0) -> argparse.Namespace:
    """The options of a part of a stage: a folder in the run's, its minutes and its share of the rate."""
    return argparse.Namespace(
        **vars(options) | {"out": options.out / name, "minutes": minutes, "lr": rate * options.lr}
    )


def _run(
    options: argparse.Namespace,
    racer: Racer,
    sources: list[GuidedClips],
    held_out: GuidedClips,
    truth: NDArray[np.uint8],
    vae: Vae,
    say: Callable[[str], None],
) -> tuple[Run, Pocket, Json]:
    """The finished run, its network and what was found about it."""
    seed = options.seed + racer.seed
    torch.manual_seed(seed)
    config = _training(options)
    model = Pocket(racer.network)
    if options.start:
        _start_from(options.start, model)
    run = Run(
        model, replace(_run_config(options, ("patch_in.", "patch_out.", "place_in.", "guide_in.")), seed=seed), say
    )
    if options.resume:
        run.resume()
    drawn = samplers(sources, config, BatchSampler)
    say(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")

    def loss(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        rng = random.Random(f"race {seed} {run.step}")
        batch = rng.choice(drawn).draw(rng)
        return base_loss(model, batch, rng.choice(config.chunks), config, racer.memory, generator, racer.mixer)

    def verdict() -> Json:
        averaged, strips = run.averaged(Pocket(racer.network)), options.out / f"step{run.step:06d}.png"
        return judge(averaged, vae, held_out, truth, config, racer, strips)

    return run, model, run.train(loss, verdict, float("inf"))


def _start_from(race: Path, model: Pocket) -> None:
    """Gives a network the weights of another race. Raises `WanderError` if they are of other sizes."""
    try:
        model.load_state_dict(load_transformer(race / WEIGHTS / TRANSFORMER)[0].state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise WanderError(
            f"the weights of {race} are of a network of other sizes ({reason}); give --start a race of the same"
        ) from None


def _training(options: argparse.Namespace) -> BaseTraining:
    return BaseTraining(batch=options.batch, latents=options.latents, chunks=tuple(options.chunks or RACE_CHUNKS))


def _run_config(options: argparse.Namespace, adam_only: tuple[str, ...]) -> RunConfig:
    return RunConfig(
        out=options.out, minutes=options.minutes, steps=options.steps, lr=options.lr, cooldown=options.cooldown,
        ema=0.98, seed=options.seed, adam_only=adam_only,
    )  # fmt: skip


def _retrained(
    shipped: Vae,
    frames: Path,
    held_out: NDArray[np.uint8],
    options: argparse.Namespace,
    say: Callable[[str], None],
) -> Vae:
    """The shipped autoencoder, the layers that touch its latents made anew with `options.channels`, trained."""
    torch.manual_seed(options.seed + UNLIKE)
    model = Vae(VaeConfig(latent_channels=options.channels))
    touching = ("encoder.layers.8.", "decoder.stem.", "mean", "std")
    inner = {name: t for name, t in shipped.state_dict().items() if not name.startswith(touching)}
    model.load_state_dict(model.state_dict() | inner)
    run = Run(model, _run_config(options, ("encoder.layers.0.", "decoder.head.")), say)
    rng, config = np.random.default_rng(options.seed), vae_stage.VaeTraining()
    sampler = vae_stage.CropSampler([_frames(frames)], config)
    run.train(
        lambda generator: vae_stage.vae_loss(model, sampler.batch(rng), config, generator),
        lambda: vae_stage.evaluate(run, model, held_out[:8, :29]),
        float("inf"),
    )
    found = run.averaged(Vae(model.config))
    vae_stage.measure_statistics(found, held_out[:16, :29])
    return found


def _encoded(vae: Vae, known: LatentClips, frames: NDArray[np.uint8]) -> GuidedClips:
    """Clips in the latents of `vae`, with guides lifted from true pictures; depth is read off the shipped latents."""
    depth, guides = load_depth()[0], []
    for i, pictures in enumerate(frames):
        guide = guides_of(vae, depth, known.latents[i].float(), pictures[::FRAMES_PER_LATENT], known.poses[i])
        guides.append(guide.latents[:, :-STALE].half())
    clips = replace(
        known, latents=encode_frames(vae, frames), poses=known.poses[: len(frames)],
        actions=known.actions[: len(frames)], about=known.about[: len(frames)],
    )  # fmt: skip
    return GuidedClips(clips, torch.stack(guides))


def _truth(options: argparse.Namespace) -> NDArray[np.uint8]:
    """Frames of the held-out clips."""
    if options.heldout_frames is None:
        raise WanderError(f"{options.stage} compares with the truth and got 0 folders of it; give --heldout-frames")
    return _frames(options.heldout_frames)


def _frames(folder: Path) -> NDArray[np.uint8]:
    """Frames `[n, F, H, W, 3]` of all shards of a folder."""
    return np.concatenate(vae_stage.frame_shards(folder))


def _one(folders: list[Path] | None, option: str) -> Path:
    if not folders:
        raise WanderError(f"this stage needs 1 folder and got 0; give {option}")
    return folders[0]
