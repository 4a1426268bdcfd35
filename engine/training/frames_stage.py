"""`launch.py train decoder`, `train sharpener` and `train compositor`: what becomes of latents on the screen.

decoder     latents to frames, the encoder untouched
sharpener   decoded frames, their edges shorter
compositor  decoded frames and drawn ones, joined
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

import numpy as np
import torch

from engine.checkpoint import Json
from engine.compositor import Compositor, CompositorConfig
from engine.sharpening import Sharpener, SharpenerConfig
from engine.training import compositor as compositing
from engine.training import decoder as decoding
from engine.training import sharpening
from engine.training.adversary import Critic
from engine.training.folders import each, held_out_of, pairs_of
from engine.training.loop import Run, RunConfig, learn
from engine.training.pictures import PHOTO_CLIPS, drifting_clips
from engine.weights import POCKET_FOLDER, SHARPENER, latents_of, load_compositor, load_sharpener, load_vae

Say = Callable[[str], None]
VAE_FILE, COMPOSITOR_FILE = POCKET_FOLDER / "vae.safetensors", POCKET_FOLDER / "compositor.safetensors"


def decoder(options: argparse.Namespace, say: Say) -> None:
    """Stage 1b: the decoder, sharper."""
    space, model = latents_of(VAE_FILE), load_vae(VAE_FILE)
    films = each(pairs_of(options), lambda pair: decoding.open_film(*pair))
    held_out, photos = decoding.open_film(*held_out_of(options)), None
    rng = random.Random(options.seed)
    if options.photos:
        pictures = np.random.default_rng(options.seed)
        films.append(decoding.film_of(model, drifting_clips(options.photos, PHOTO_CLIPS, pictures)))
        photos = decoding.film_of(model, drifting_clips(options.photos / "heldout", 8, pictures))
    model.requires_grad_(True).encoder.requires_grad_(False)
    run = Run(model.train(), RunConfig.of(options, 0.995, ("decoder.head.",)), say)
    if options.resume:
        run.resume()
    config = decoding.DecoderTraining(batch=options.batch)
    critic = Critic(config.sharpness, options.out)
    rng.seed(options.seed + run.step)

    def evaluate() -> Json:
        critic.save()
        return decoding.evaluate_decoder(run, model, held_out, photos)

    def loss(generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        return decoding.decoder_loss(model, critic, decoding.draw(films, config, rng), config, generator)

    verdict = run.train(loss, evaluate, 600)
    if options.export:
        say(str(decoding.export_decoder(run, model, space, verdict, VAE_FILE)))


def sharpener(options: argparse.Namespace, say: Say) -> None:
    """Stage 1c: decoded frames, sharper."""
    space, autoencoder = latents_of(VAE_FILE), load_vae(VAE_FILE)
    sources = each(pairs_of(options), lambda pair: sharpening.load_pairs(autoencoder, *pair))
    held_out = sharpening.load_pairs(autoencoder, *held_out_of(options))
    config = sharpening.SharpenerTraining(batch=options.batch)
    learn(
        options, say, Sharpener(SharpenerConfig()), POCKET_FOLDER / SHARPENER, lambda path: load_sharpener(path)[0],
        ("stem.", "head."),
        lambda model, rng, _generator: sharpening.loss_of(model, rng.choice(sources), rng, config),
        lambda run, model: sharpening.evaluate_sharpener(run, model, held_out),
        learnt_on={"vae_sha256": space},
    )  # fmt: skip


def compositor(options: argparse.Namespace, say: Say) -> None:
    """Stage 3: the compositor."""
    space, autoencoder = latents_of(VAE_FILE), load_vae(VAE_FILE)
    sources = each(pairs_of(options), lambda pair: compositing.load_samples(autoencoder, *pair))
    held_out = compositing.load_samples(autoencoder, *held_out_of(options))
    config = compositing.CompositorTraining(batch=options.batch)
    critic = Critic(config.sharpness, options.out)

    def evaluate(run: Run, model: Compositor) -> Json:
        critic.save()
        return compositing.evaluate_compositor(run, model, held_out)

    learn(
        options, say, Compositor(CompositorConfig()), COMPOSITOR_FILE, lambda path: load_compositor(path)[0],
        ("stem.", "head."),
        lambda model, rng, generator: compositing.loss_of(model, critic, rng.choice(sources), rng, config, generator),
        evaluate, ema=0.995, learnt_on={"vae_sha256": space},
    )  # fmt: skip
