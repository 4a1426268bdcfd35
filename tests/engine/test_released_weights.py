"""Strict loading of released weights: whole or in shards, every tensor or none."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import WanderError
from engine.released_weights import load_5b, load_8b, load_wan_vae
from engine.rope import RopeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B, released_name

TINY_5B = Config5B(width=24, heads=2, depth=1, feed_forward=32, latent_channels=4, text_width=8)
TINY_8B = Config8B(width=16, heads=2, depth=1, rope=RopeConfig(time=4, row=2, column=2, theta=256.0), latent_channels=2,
                   text_width=8, image_width=8, byt5_width=8, byt5_inner=8)
TINY_VAE = WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1)


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    return WorldPlay5B(TINY_5B).state_dict()


def load(path: Path) -> WorldPlay5B:
    return load_5b(path, torch.float32, config=TINY_5B)


def test_a_single_file_and_its_folder_load_the_same_network(weights, tmp_path):
    save_file(weights, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        loaded = load(path).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_shards_named_by_an_index_load_as_one(weights, tmp_path):
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, tmp_path / file)
    save_file({"of another model": torch.zeros(1)}, tmp_path / "c.safetensors")
    index = {"weight_map": {name: file for file, part in halves.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(load(tmp_path).proj_out.weight, weights["proj_out.weight"])
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(WanderError, match=r"b\.safetensors is missing, 1 of 2 shards"):
        load(tmp_path)


def test_the_8b_loads_under_its_released_names(tmp_path):
    network = WorldPlay8B(TINY_8B)
    released = {released_name(name): tensor for name, tensor in network.state_dict().items()}
    save_file(released, tmp_path / "model.safetensors")
    loaded = load_8b(tmp_path, torch.float32, config=TINY_8B)
    assert torch.equal(loaded.double_blocks[0].img.attn_prope_proj.weight,
                       network.double_blocks[0].img.attn_prope_proj.weight)


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda w: w.pop("blocks.0.attn1.to_q.bias"), "blocks.0.attn1.to_q.bias is missing, 1 of"),
    (lambda w: w.update(surprise=torch.zeros(1)), "surprise is unknown, 1 of"),
    (lambda w: w.update({"proj_out.bias": torch.zeros(3)}), r"proj_out.bias is \[3\], not \[16\], 1 of"),
])
def test_a_missing_unknown_or_misshaped_tensor_is_named(weights, tmp_path, change, sentence):
    change(weights)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(WanderError, match=sentence):
        load(tmp_path)


def test_a_truncated_file_and_an_empty_folder_are_told_in_a_sentence(weights, tmp_path):
    with pytest.raises(WanderError, match="no safetensors file"):
        load(tmp_path)
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WanderError, match="download it again"):
        load(tmp_path)


def test_two_models_in_one_folder_are_refused(weights, tmp_path):
    for name in ("one", "two"):
        save_file(weights, tmp_path / f"{name}.safetensors")
    with pytest.raises(WanderError, match="keep one model in a folder"):
        load(tmp_path)


def test_the_wan_autoencoder_takes_its_statistics_from_the_config_beside_it(tmp_path):
    save_file(WanVae(TINY_VAE).state_dict(), tmp_path / "vae.safetensors")
    with pytest.raises(WanderError, match="latents_mean"):
        load_wan_vae(tmp_path, torch.float32, config=TINY_VAE)
    (tmp_path / "config.json").write_text(json.dumps({"latents_mean": [1, 2, 3, 4], "latents_std": [0.5] * 4}))
    assert load_wan_vae(tmp_path, torch.float32, config=TINY_VAE).mean.tolist() == [1, 2, 3, 4]
