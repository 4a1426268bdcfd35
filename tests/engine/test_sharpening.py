"""Sharpening moves colours towards each other across an edge; it makes none up, and learns from frames alone."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch import Tensor

from engine.errors import WanderError
from engine.sharpening import Sharpener, SharpenerConfig, warped
from engine.training import sharpening
from engine.training.adversary import gradient_energy
from engine.training.latents import encode_shards, load_latents
from engine.training.loop import Run, RunConfig
from engine.training.sharpening import Pairs, SharpenerTraining, evaluate_sharpener, load_pairs, loss_of
from engine.vae import decode_clip, to_uint8
from engine.weights import POCKET_FOLDER, SHARPENER, load_sharpener
from tests.engine.tiny import play, tiny_weights, tiny_world

RNG = np.random.default_rng(0)
FRAMES = torch.from_numpy(RNG.uniform(-1, 1, (2, 4, 3, 32, 48)).astype(np.float32))


def ramp(width: int = 6, size: int = 32) -> Tensor:
    """Frames `[1, 4, 3, size, size]`, dark to the left and light to the right, and a ramp of so many pixels between."""
    across = torch.linspace(-size / 2, size / 2, size).div(width / 2).clamp(-1, 1) * 0.8
    return across.expand(1, 4, 3, size, size).clone()


def away(frames: Tensor, pixels: float) -> Tensor:
    """Aside of each place by so many pixels, away from an edge in the middle: `[1, 4, 2, H / 2, W / 2]`."""
    half = frames.shape[-1] // 2
    across = torch.where(torch.arange(half) < half // 2, -pixels, pixels).expand(1, 4, half, half)
    return torch.stack([across, torch.zeros_like(across)], 2)


def test_an_untrained_sharpener_changes_nothing():
    assert torch.allclose(Sharpener(SharpenerConfig(width=8))(FRAMES), FRAMES, atol=1e-4)


def test_colours_taken_from_away_from_an_edge_make_its_ramp_shorter_where_it_is():
    soft = ramp()
    sharp = warped(soft, away(soft, 1.5))
    assert gradient_energy(sharp) > 1.5 * gradient_energy(soft)
    assert torch.equal(sharp.sign(), soft.sign())


@settings(max_examples=30, deadline=None)
@given(st.integers(-5, 5), st.integers(-5, 5))
def test_whole_pixels_aside_are_the_pixels_there(right, down):
    aside = torch.tensor([right, down], dtype=torch.float32)[None, None, :, None, None].expand(2, 4, 2, 16, 24)
    rows, columns = (torch.arange(n) for n in (32, 48))
    there = FRAMES[..., (rows + down).clamp(0, 31), :][..., (columns + right).clamp(0, 47)]
    assert torch.allclose(warped(FRAMES, aside), there, atol=1e-4)


def test_where_nothing_is_seen_nothing_is_made():
    network = Sharpener(SharpenerConfig(width=8)).eval()
    torch.nn.init.normal_(network.head.weight, std=1.0)
    flat = torch.full((1, 4, 3, 32, 48), 0.3)
    assert torch.allclose(network(flat), flat, atol=1e-5)


def test_no_place_takes_its_colour_from_further_than_it_may():
    network = Sharpener(SharpenerConfig(width=8, furthest=2.0)).eval()
    torch.nn.init.normal_(network.head.weight, std=10.0)
    found = network.aside(FRAMES)
    assert found.shape == (2, 4, 2, 16, 24) and 1.9 < float(found.detach().abs().max()) <= 2.0


# -- training -------------------------------------------------------------------------------------------------------


def pairs() -> Pairs:
    """Discs and bars, and what a blur leaves of them."""
    y, x = np.mgrid[0:64, 0:64]
    pictures = []
    for _ in range(12):
        a, b, r = RNG.integers(8, 56, 3)
        inside = ((x - a) ** 2 + (y - b) ** 2 < (6 + r / 4) ** 2) ^ (x > r)
        one, other = RNG.uniform(-1, 1, (2, 3))
        pictures.append(np.where(inside[..., None], one, other))
    truth = torch.from_numpy(np.array(pictures, np.float32)).permute(0, 3, 1, 2)
    soft = F.avg_pool2d(F.avg_pool2d(truth, 3, 1, 1, count_include_pad=False), 3, 1, 1, count_include_pad=False)
    return Pairs(*(torch.stack([to_uint8(x) for x in each])[:, None].repeat(1, 4, 1, 1, 1) for each in (truth, soft)))


def test_it_learns_to_sharpen_and_comes_nearer_to_the_truth(tmp_path):
    found, model = pairs(), Sharpener(SharpenerConfig(width=16, blocks=1))
    run = Run(model, RunConfig(out=tmp_path, minutes=1, lr=3e-3, warmup=1, ema=0.8), lambda line: None)
    before = evaluate_sharpener(run, model, found)
    assert before["sharpened_gradient"] == pytest.approx(before["decoded_gradient"], abs=0.02)
    rng, config = random.Random(0), SharpenerTraining(batch=2, crop=32, strength=0.5)
    for _ in range(200):
        loss, _ = loss_of(model, found, rng, config)
        loss.backward()
        run.optimiser.step(1.0)
        run.ema.update(model)
    after = evaluate_sharpener(run, model, found)
    assert after["sharpened_gradient"] > 1.2 * after["decoded_gradient"]
    assert after["sharpened"] > after["decoded"]
    assert list(tmp_path.glob("step*.png"))


def test_pairs_are_the_decoded_latents_beside_the_frames_they_were_made_from(tmp_path, monkeypatch):
    monkeypatch.setattr(sharpening, "MOST_NOISE", 0.0)
    vae, clips = tiny_weights().vae, RNG.integers(0, 256, (2, 9, 32, 64, 3), dtype=np.uint8)
    frames, latents = tmp_path / "frames", tmp_path / "latents"
    frames.mkdir()
    poses = np.tile(np.eye(4, dtype=np.float32), (2, 9, 1, 1))
    save_file({"frames": clips, "poses": poses}, frames / "clips-00000.safetensors")
    (frames / "clips-00000.json").write_text('{"clips": [{"number": 0}, {"number": 1}]}', encoding="utf-8")
    encode_shards(vae, "0" * 64, frames, latents, lambda done, total: None)
    found = load_pairs(vae, frames, latents)
    assert found.truth.shape == found.decoded.shape == (4, 4, 32, 64, 3)
    assert np.array_equal(found.truth.numpy(), clips[:, 1:].reshape(4, 4, 32, 64, 3))
    made = decode_clip(vae, load_latents(latents, "0" * 64).latents[:1].float())[0, 1:]
    assert (found.decoded[:2].int() - made.unflatten(0, (2, 4)).int()).abs().max() <= 2, "as bfloat16 is exact"


def test_a_folder_without_latents_is_told(tmp_path):
    with pytest.raises(WanderError, match="there are 0 latents in"):
        load_pairs(tiny_weights().vae, tmp_path, tmp_path)


# -- in play --------------------------------------------------------------------------------------------------------


def test_a_world_shows_sharpened_frames(monkeypatch):
    weights = replace(tiny_weights(), compositor=None)
    network = Sharpener(SharpenerConfig(width=8)).eval()
    monkeypatch.setattr(network, "forward", lambda frames: torch.ones_like(frames))
    plain, sharp = (play(tiny_world(each, image=None), 1) for each in (weights, replace(weights, sharpener=network)))
    assert (sharp == 255).all() and not (plain == 255).all()


def test_the_sharpener_that_ships_makes_decoded_ramps_shorter():
    network, about = load_sharpener()
    soft = ramp(8, 64)
    assert gradient_energy(network(soft)) > 1.1 * gradient_energy(soft)
    assert about["evaluation"]["sharpened_gradient"] > about["evaluation"]["decoded_gradient"]
    assert (POCKET_FOLDER / SHARPENER).stat().st_size < 1 << 20
