"""`launch.py train STAGE`: every stage of the pipeline, resumable, each a few lines over `engine.training`.

vae      frames -> models/pocket/vae.safetensors, frozen when it is exported
encode   frames -> latents, once
base     latents -> models/pocket/transformer.safetensors
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from engine.checkpoint import Json, read_manifest
from engine.errors import WanderError
from engine.training import base, vae
from engine.training.latents import LatentClips, encode_shards, load_latents
from engine.training.loop import Run, RunConfig
from engine.training.rollout import evaluate_base, export_base
from engine.transformer import Pocket, PocketConfig
from engine.vae import Vae, VaeConfig
from engine.weights import POCKET_FOLDER, load_vae

Say = Callable[[str], None]
VAE_FILE, TRANSFORMER_FILE = POCKET_FOLDER / "vae.safetensors", POCKET_FOLDER / "transformer.safetensors"


def parser() -> argparse.ArgumentParser:
    """Arguments of the verb."""
    top = argparse.ArgumentParser(
        prog="launch.py train", description="Train a stage of the pipeline; stop and resume at any second."
    )
    top.add_argument("stage", choices=("vae", "encode", "base"))
    top.add_argument(
        "--data", type=Path, required=True, help="folder of shards (frames for vae and encode, latents for base)"
    )
    top.add_argument("--heldout", type=Path, help="the same, of held-out worlds")
    top.add_argument("--out", type=Path, required=True, help="folder of the run (or of the latents)")
    top.add_argument("--minutes", type=float, default=60.0)
    top.add_argument("--lr", type=float, default=1e-3)
    top.add_argument(
        "--cooldown",
        type=float,
        default=0.2,
        help="share of the minutes over which the rate falls to zero; 0 to stay on the trunk",
    )
    top.add_argument("--batch", type=int, default=12)
    top.add_argument("--latents", type=int, default=24, help="window of a clip in latents")
    top.add_argument(
        "--resume", action="store_true", help="go on from the newest state in --out (or from the committed weights)"
    )
    top.add_argument("--export", action="store_true", help="write the averaged weights to models/pocket at the end")
    top.add_argument("--seed", type=int, default=0)
    return top


def main(argv: Sequence[str], say: Say) -> int:
    """Runs one stage. Raises `WanderError` for what the user can mend."""
    options = parser().parse_args(argv)
    torch.manual_seed(options.seed)
    {"vae": train_vae, "encode": encode, "base": train_base}[options.stage](options, say)
    return 0


def _run_config(options: argparse.Namespace, ema: float, adam_only: tuple[str, ...]) -> RunConfig:
    return RunConfig(
        out=options.out,
        minutes=options.minutes,
        lr=options.lr,
        cooldown=options.cooldown,
        ema=ema,
        seed=options.seed,
        adam_only=adam_only,
    )


def frame_shards(folder: Path) -> list[vae.Clips]:
    """Frames of every shard of a folder, memory-mapped as far as the format allows."""
    from safetensors import safe_open

    found = sorted(folder.glob("clips-*.safetensors"))
    if not found:
        raise WanderError(f"there are 0 shards in {folder}; make some with 'launch.py data make --out {folder}'")
    return [safe_open(path, framework="np").get_tensor("frames") for path in found]


def train_vae(options: argparse.Namespace, say: Say) -> None:
    """Stage 1: the autoencoder."""
    held_out = np.concatenate(frame_shards(options.heldout or options.data))[:16, :29]
    model = Vae(VaeConfig())
    run = Run(model, _run_config(options, 0.995, ("encoder.layers.0.", "decoder.head.")), say)
    config = vae.VaeTraining()
    if options.resume and not run.resume() and VAE_FILE.is_file():
        model.load_state_dict(load_vae(VAE_FILE).state_dict())
    sampler, rng = vae.CropSampler(frame_shards(options.data), config), np.random.default_rng(options.seed + run.step)
    run.train(
        lambda generator: vae.vae_loss(model, sampler.batch(rng), config, generator),
        lambda: vae.evaluate(run, model, held_out),
        300,
    )
    if options.export:
        say(str(vae.export(run, model, held_out, VAE_FILE)))


def encode(options: argparse.Namespace, say: Say) -> None:
    """Frames to latents, once."""
    checksum = read_manifest(VAE_FILE, "pocket-vae")["sha256"]
    clips = encode_shards(
        load_vae(VAE_FILE),
        checksum,
        options.data,
        options.out,
        lambda done, total: say(f"encoded {done} of {total} shards"),
    )
    say(f"{clips} clips in {options.out}")


def train_base(options: argparse.Namespace, say: Say) -> None:
    """Stages 2 and 3: action and memory."""
    checksum = read_manifest(VAE_FILE, "pocket-vae")["sha256"]
    clips, held_out = load_latents(options.data, checksum), load_latents(options.heldout or options.data, checksum)
    autoencoder = load_vae(VAE_FILE)
    config = base.BaseTraining(batch=options.batch, latents=options.latents)
    model = Pocket(PocketConfig(latent_channels=autoencoder.config.latent_channels))
    run = Run(model, _run_config(options, 0.9985, ("patch_in.", "patch_out.", "place_in.")), say)
    if options.resume and not run.resume() and TRANSFORMER_FILE.is_file():
        from engine.weights import load_transformer

        model.load_state_dict(load_transformer(TRANSFORMER_FILE)[0].state_dict())
    _train_base(run, model, clips, config, lambda: evaluate_base(run, model, autoencoder, held_out, config))
    if options.export:
        evaluation = evaluate_base(run, model, autoencoder, held_out, config)
        say(str(export_base(run, model, held_out, checksum, evaluation, TRANSFORMER_FILE)))


def _train_base(
    run: Run, model: Pocket, clips: LatentClips, config: base.BaseTraining, evaluate: Callable[[], Json]
) -> None:
    from engine.memory import pocket as pocket_memory

    rng = random.Random(run.config.seed + run.step)
    sampler, memory = base.BatchSampler(clips, config), pocket_memory()

    def loss(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        return base.base_loss(model, sampler.draw(rng), rng.choice(config.chunks), config, memory, generator)

    run.train(loss, evaluate, 600)
