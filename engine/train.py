"""`launch.py train STAGE`: every stage of the pipeline, resumable, each a few lines over `engine.training`.

vae      frames -> models/pocket/vae.safetensors, frozen when it is exported
encode   frames -> latents, once
depth    latents and the true depth of their frames -> models/pocket/depth.safetensors
sweep    the same and the depth network -> models/pocket/sweep.safetensors, which corrects depth by other views
decoder  frames and latents -> a sharper decoder in models/pocket/vae.safetensors, the encoder untouched
sharpener  frames and latents -> models/pocket/sharpener.safetensors, which sharpens what is decoded
guide    frames and latents -> guides beside the latents, once
repaint  views of places with and without events -> models/pocket/repainter.safetensors
air      views without and with what is in the air -> models/pocket/air.safetensors
visitor  views without and with who comes along -> models/pocket/visitor.safetensors
hero     views without and with who walks ahead -> models/pocket/hero.safetensors
album    views all round -> models/pocket/album.safetensors, packed and not learnt
compositor  frames, latents and drawn guides -> models/pocket/compositor.safetensors
base     latents and guides -> models/pocket/transformer.safetensors
distill  the base weights, latents and guides -> a few-step student, where --export-to says
race, channels  choices of the network and of the latents, made again (engine/training/race_stage.py)
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from engine.checkpoint import Json
from engine.depth import DepthConfig, DepthHead
from engine.sweep import Sweep, SweepConfig
from engine.training import (
    base,
    depth,
    distill_stage,
    frames_stage,
    race_stage,
    sweep,
    vae,
    words_stage,
)
from engine.training.album import pack
from engine.training.folders import each, held_out_of, pairs_of
from engine.training.guides import make_guides
from engine.training.latents import encode_shards
from engine.training.loop import Run, RunConfig
from engine.training.pictures import PHOTO_CLIPS, drifting_clips
from engine.training.rollout import evaluate_base, export_base
from engine.training.stills import StillSampler, still_loss
from engine.training.turns import TurnSampler, turn_loss
from engine.transformer import Pocket, PocketConfig
from engine.vae import Vae, VaeConfig
from engine.weights import (
    ALBUM,
    POCKET_FOLDER,
    latents_of,
    load_compositor,
    load_depth,
    load_sweep,
    load_vae,
)

S = TypeVar("S")
T = TypeVar("T")
Say = Callable[[str], None]
VAE_FILE, TRANSFORMER_FILE = POCKET_FOLDER / "vae.safetensors", POCKET_FOLDER / "transformer.safetensors"
DEPTH_FILE, SWEEP_FILE = POCKET_FOLDER / "depth.safetensors", POCKET_FOLDER / "sweep.safetensors"
COMPOSITOR_FILE = POCKET_FOLDER / "compositor.safetensors"


def parser() -> argparse.ArgumentParser:
    """Arguments of the verb."""
    top = argparse.ArgumentParser(
        prog="launch.py train", description="Train a stage of the pipeline; stop and resume at any second."
    )
    top.add_argument("stage", choices=tuple(STAGES))
    top.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="folders of shards (frames for vae and encode, latents for the others); a step of depth, compositor and "
        "base draws from one of them, so pictures of several sizes mix and a folder named twice comes twice as often",
    )
    top.add_argument("--heldout", type=Path, nargs="+", help="the same, of held-out worlds (base: all, else the first)")
    top.add_argument(
        "--photos",
        type=Path,
        help="a folder of pictures to mix in (vae; decoder, which is judged by those in heldout/)",
    )
    top.add_argument(
        "--frames", type=Path, nargs="+", help="frames of each of --data (decoder, depth, guide, compositor)"
    )
    top.add_argument(
        "--control",
        type=Path,
        help="frames of the same walks on which nothing happens: what they show goes beside the guides, so that the "
        "network learns to do what is said and nothing shows yet (guide)",
    )
    top.add_argument("--heldout-frames", type=Path, help="frames that --heldout was encoded from (decoder, depth)")
    top.add_argument("--out", type=Path, required=True, help="folder of the run (or of the latents)")
    top.add_argument(
        "--with-frames", type=int, default=6, help="shards, spread evenly, whose guides keep the drawn frames (guide)"
    )
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
        "--chunks", type=int, nargs="+", metavar="N", help="chunk lengths of base, one a step (1, 2, 4, 16)"
    )
    top.add_argument(
        "--stills",
        type=Path,
        nargs="+",
        help="folders of latents, with guides or without, whose latents are learnt one by one (base; else --data)",
    )
    top.add_argument(
        "--resume", action="store_true", help="go on from the newest state in --out (or from the committed weights)"
    )
    top.add_argument("--export", action="store_true", help="write the averaged weights to models/pocket at the end")
    top.add_argument("--seed", type=int, default=0)
    distill_stage.add_options(top)
    race_stage.add_options(top)
    return top


def main(argv: Sequence[str], say: Say) -> int:
    """Runs one stage. Raises `WanderError` for what the user can mend."""
    options = parser().parse_args(argv)
    torch.manual_seed(options.seed)
    STAGES[options.stage](options, say)
    return 0


def train_vae(options: argparse.Namespace, say: Say) -> None:
    """Stage 1: the autoencoder."""
    held_out = np.concatenate(vae.frame_shards((options.heldout or options.data)[0]))[:16, :29]
    model = Vae(VaeConfig())
    run = Run(model, RunConfig.of(options, 0.995, ("encoder.layers.0.", "decoder.head.")), say)
    config = vae.VaeTraining()
    if options.resume and not run.resume() and VAE_FILE.is_file():
        run.start_from(load_vae(VAE_FILE))
    rng = np.random.default_rng(options.seed + run.step)
    sources = [shard for folder in options.data for shard in vae.frame_shards(folder)]
    if options.photos:
        sources.append(drifting_clips(options.photos, PHOTO_CLIPS, rng))
    sampler = vae.CropSampler(sources, config)
    run.train(
        lambda generator: vae.vae_loss(model, sampler.batch(rng), config, generator),
        lambda: vae.evaluate(run, model, held_out),
        300,
    )
    if options.export:
        say(str(vae.export(run, model, held_out, VAE_FILE)))


def encode(options: argparse.Namespace, say: Say) -> None:
    """Frames to latents, once."""
    checksum = latents_of(VAE_FILE)
    for folder in options.data:
        clips = encode_shards(
            load_vae(VAE_FILE),
            checksum,
            folder,
            options.out,
            lambda done, total: say(f"encoded {done} of {total} shards"),
        )
        say(f"{clips} clips in {options.out}")


def train_depth(options: argparse.Namespace, say: Say) -> None:
    """Stage 2: depth from frozen latents."""
    checksum = latents_of(VAE_FILE)
    sources = each(pairs_of(options), lambda pair: depth.load_samples(*pair))
    held_out = depth.load_samples(*held_out_of(options))
    head, autoencoder = DepthHead(DepthConfig(latent_channels=held_out.latents.shape[2])), load_vae(VAE_FILE)
    run = Run(head, RunConfig.of(options, 0.995, ("stem.", "look.", "look_last.", "head.")), say)
    if options.resume and not run.resume() and DEPTH_FILE.is_file():
        run.start_from(load_depth(DEPTH_FILE)[0])
    rng = random.Random(options.seed + run.step)
    verdict = run.train(
        lambda generator: depth.loss_of(autoencoder, head, rng.choice(sources), rng, options.batch, generator),
        lambda: depth.evaluate_depth(run, head, held_out),
        900,
    )
    if options.export:
        say(str(run.export("depth", DepthHead(head.config), {"vae_sha256": checksum}, verdict, DEPTH_FILE)))


def train_sweep(options: argparse.Namespace, say: Say) -> None:
    """Stage 2b: depth from several views."""
    (head, about), autoencoder = load_depth(DEPTH_FILE), load_vae(VAE_FILE)
    sources = each(pairs_of(options), lambda pair: depth.load_samples(*pair))
    held_out = depth.load_samples(*held_out_of(options))
    model = Sweep(SweepConfig())
    run = Run(model, RunConfig.of(options, 0.995, ("stem.", "head.")), say)
    if options.resume and not run.resume() and SWEEP_FILE.is_file():
        run.start_from(load_sweep(SWEEP_FILE)[0])
    rng = random.Random(options.seed + run.step)
    verdict = run.train(
        lambda generator: sweep.loss_of(autoencoder, head, model, rng.choice(sources), rng, options.batch, generator),
        lambda: sweep.evaluate_sweep(run, autoencoder, head, model, held_out),
        900,
    )
    if options.export:
        say(str(run.export("sweep", Sweep(model.config), {"depth_sha256": about["sha256"]}, verdict, SWEEP_FILE)))


def guide(options: argparse.Namespace, say: Say) -> None:
    """What play would show the network, for every training clip, once."""
    for frames, latents in pairs_of(options):
        make_guides(
            load_vae(VAE_FILE),
            load_depth(DEPTH_FILE)[0],
            frames,
            latents,
            control=options.control,
            with_frames=options.with_frames,
            progress=lambda done, total: say(f"guided {done} of {total} shards"),
        )


def train_base(options: argparse.Namespace, say: Say) -> None:
    """Stages 4 and 5: action and memory."""
    checksum = latents_of(VAE_FILE)
    autoencoder = load_vae(VAE_FILE)
    frozen = autoencoder, load_depth(DEPTH_FILE)[0], load_compositor(COMPOSITOR_FILE)[0]
    chunks = tuple(options.chunks or base.BaseTraining().chunks)
    config = base.BaseTraining(batch=options.batch, latents=options.latents, chunks=chunks)
    model = Pocket(PocketConfig(latent_channels=autoencoder.config.latent_channels))
    run = Run(model, RunConfig.of(options, 0.9985, ("patch_in.", "patch_out.", "place_in.", "guide_in.")), say)
    if options.resume and not run.resume() and TRANSFORMER_FILE.is_file():
        from engine.weights import load_transformer

        run.start_from(load_transformer(TRANSFORMER_FILE)[0])

    def load(folder: Path) -> base.GuidedClips:
        return base.guided_clips(folder, checksum)

    def load_stills(folder: Path) -> base.GuidedClips:
        return base.plain_clips(folder, checksum)

    sources, held_out = each(options.data, load), each(options.heldout or options.data[:1], load)
    pictures = each(options.stills, load_stills) if options.stills else sources

    def evaluate() -> Json:
        return evaluate_base(run, model, frozen, held_out, config)

    verdict = _train_base(run, model, sources, pictures, config, evaluate)
    if options.export:
        say(str(export_base(run, model, sources, checksum, verdict, config, TRANSFORMER_FILE)))


def _train_base(
    run: Run,
    model: Pocket,
    sources: Sequence[base.GuidedClips],
    pictures: Sequence[base.GuidedClips],
    config: base.BaseTraining,
    evaluate: Callable[[], Json],
) -> Json:
    from engine.memory import pocket as pocket_memory

    rng = random.Random(run.config.seed + run.step)
    memory = pocket_memory()
    clips = base.samplers(sources, config, base.BatchSampler)
    stills = base.samplers(pictures, config, StillSampler)
    turns = base.samplers(pictures, config, TurnSampler)

    def loss(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        kind = rng.random()
        if kind < config.stills:
            return still_loss(model, rng.choice(stills).draw(rng), config, generator)
        if kind < config.stills + config.turns:
            return turn_loss(model, rng.choice(turns).draw(rng), rng, config, memory, generator)
        batch = rng.choice(clips).draw(rng)
        return base.base_loss(model, batch, rng.choice(config.chunks), config, memory, generator)

    return run.train(loss, evaluate, 1500)


def album(options: argparse.Namespace, say: Say) -> None:
    """Stage 3f: places to imagine others from."""
    out = (POCKET_FOLDER if options.export else options.out) / ALBUM
    say(f"{pack(options.data, out, lambda done: say(f'{done} panoramas'))} panoramas in {out}")


STAGES: dict[str, Callable[[argparse.Namespace, Say], None]] = {
    "vae": train_vae,
    "encode": encode,
    "decoder": frames_stage.decoder,
    "sharpener": frames_stage.sharpener,
    "depth": train_depth,
    "sweep": train_sweep,
    "guide": guide,
    "compositor": frames_stage.compositor,
    "repaint": words_stage.repaint,
    "air": words_stage.air,
    "visitor": words_stage.visitor,
    "hero": words_stage.hero,
    "album": album,
    "base": train_base,
    "distill": distill_stage.distil,
    "race": race_stage.race,
    "channels": race_stage.channels,
}
