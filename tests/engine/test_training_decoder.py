"""The decoder learns alone: the encoder and what it wrote stay as they are, to the bit."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.errors import WanderError
from engine.training.adversary import Critic, Sharpness, gradient_energy, picture_loss
from engine.training.decoder import (
    DecoderTraining,
    Film,
    decoder_loss,
    draw,
    evaluate_decoder,
    export_decoder,
    film_of,
    open_film,
)
from engine.training.latents import encode_shards
from engine.training.loop import Run, RunConfig
from engine.vae import Vae, group_frames
from engine.weights import latents_of, load_vae
from tests.engine.tiny import tiny_weights

CLIPS = np.random.default_rng(0).integers(0, 256, (3, 17, 32, 64, 3), dtype=np.uint8)
CONFIG = DecoderTraining(batch=2, window=3, sharpness=Sharpness(warmup=0))


@pytest.fixture
def vae() -> Vae:
    return tiny_weights().vae.requires_grad_(True).train()


@pytest.fixture
def film(vae) -> Film:
    return film_of(vae, CLIPS)


def train(vae: Vae, film: Film, out: Path, steps: int) -> tuple[Run, list[float]]:
    """A short run on one film; its losses."""
    run = Run(vae, RunConfig(out=out, minutes=1, lr=3e-3, warmup=1, ema=0.5), lambda line: None)
    critic, losses = Critic(CONFIG.sharpness, out), []
    for step in range(steps):
        generator = torch.Generator().manual_seed(step)
        loss, _ = decoder_loss(vae, critic, draw([film], CONFIG, random.Random(7)), CONFIG, generator)
        loss.backward()
        run.optimiser.step(1.0)
        run.ema.update(vae)
        losses.append(float(loss.detach()))
    return run, losses


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_latents_of_a_window_are_those_of_its_frames(vae, film, first):
    latents, groups = film.window(1, first, 3)
    whole = group_frames(torch.from_numpy(CLIPS[1:2]))[:, first : first + 3]
    assert torch.equal(groups.flatten(1, 2), whole[0])
    assert torch.allclose(vae.encode(whole)[0], latents, atol=0.02)


def test_windows_in_the_middle_of_a_clip_spare_the_latent_that_only_makes_the_state(film):
    always, never = (draw([film], replace(CONFIG, starts=share), random.Random(0)) for share in (1.0, 0.0))
    assert (always[0].shape[:2], always[1].shape[:2]) == ((2, 3), (2, 3))
    assert (never[0].shape[:2], never[1].shape[:2]) == ((2, 3), (2, 2))


def test_of_smaller_pictures_a_batch_has_more(vae, film):
    small = film_of(vae, np.ascontiguousarray(CLIPS[:, :, ::2, ::2]))
    sizes = {tuple(draw([film, small], CONFIG, random.Random(seed))[0].shape[i] for i in (0, 3)) for seed in range(8)}
    assert sizes == {(2, 2), (8, 1)}


def test_training_changes_the_decoder_and_not_a_bit_of_the_encoder(vae, film, tmp_path):
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    run, losses = train(vae, film, tmp_path, 12)
    after = run.averaged(Vae(vae.config)).state_dict()
    assert min(losses[-3:]) < losses[0]
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) != name.startswith("decoder."), name


def test_a_new_decoder_keeps_the_name_of_the_latents_it_reads(vae, film, tmp_path):
    path = tmp_path / "vae.safetensors"
    run, _ = train(vae, film, tmp_path, 1)
    verdict = evaluate_decoder(run, vae, film, film)
    assert set(verdict) == {"psnr", "gradient", "dfd", "photos"} and all(np.isfinite(list(verdict.values())))
    export_decoder(run, vae, "frozen", verdict, path)
    assert latents_of(path) == "frozen" and load_vae(path).config == vae.config


def test_frames_that_are_missing_are_named(vae, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    poses = np.tile(np.eye(4, dtype=np.float32), (3, 17, 1, 1))
    save_file({"frames": CLIPS, "poses": poses}, frames / "clips-00000.safetensors")
    (frames / "clips-00000.json").write_text(json.dumps({"clips": [{}, {}, {}]}))
    with pytest.raises(WanderError, match="there are 0 latent shards"):
        open_film(frames, tmp_path / "latents")
    encode_shards(vae.eval(), "sum", frames, tmp_path / "latents")
    opened = open_film(frames, tmp_path / "latents")
    assert torch.equal(opened.window(2, 1, 2)[1], film_of(vae, CLIPS).window(2, 1, 2)[1])
    (frames / "clips-00000.safetensors").unlink()
    with pytest.raises(WanderError, match=r"clips-00000\.safetensors, which is missing"):
        open_film(frames, tmp_path / "latents")


def test_the_strength_of_edges_costs_a_blurred_one_and_spares_one_beside_its_place():
    truth = torch.zeros(1, 4, 3, 32, 32)
    truth[..., 18:] = 1.0
    beside = torch.zeros_like(truth)
    beside[..., 19:] = 1.0
    blurred = torch.nn.functional.avg_pool2d(truth.flatten(0, 1), 9, 1, 4, count_include_pad=False).view_as(truth)
    pictures = {"truth": truth, "beside": beside, "blurred": blurred}
    extra = {name: picture_loss(x, truth, 2.0) - picture_loss(x, truth, 0.0) for name, x in pictures.items()}
    assert extra["truth"] == extra["beside"] == 0 < extra["blurred"]
    assert gradient_energy(beside) > 4 * gradient_energy(blurred)
