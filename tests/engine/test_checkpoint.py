"""Weights on disk: whole and right, or one sentence that says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.checkpoint import load_state, manifest_path, read_manifest, save_state, save_weights, sha256_of
from engine.compositor import Compositor
from engine.depth import DepthHead
from engine.errors import WanderError
from engine.sharpening import Sharpener, SharpenerConfig
from engine.sweep import Sweep
from engine.transformer import Pocket
from engine.weights import LARGE_GFLOPS, PocketWeights, fingerprint, load_pocket, load_transformer, load_vae
from tests.engine.tiny import tiny_weights

VAE, SHARPENER, DEPTH, SWEEP, COMPOSITOR, TRANSFORMER = (
    f"{name}.safetensors" for name in ("vae", "sharpener", "depth", "sweep", "compositor", "transformer")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The weight files of a tiny `pocket`."""
    weights = tiny_weights()
    save_weights(tmp_path / VAE, weights.vae.state_dict(), {"kind": "pocket-vae", "config": asdict(weights.vae.config)})
    facts = {"sizes": [[64, 32], [32, 32]], "vae_sha256": sha256_of(tmp_path / VAE)}
    for name, network in networks(weights).items():
        manifest = {"kind": f"pocket-{name}", "config": asdict(network.config)} | facts
        save_weights(tmp_path / f"{name}.safetensors", network.state_dict(), manifest)
        facts |= {"depth_sha256": sha256_of(tmp_path / DEPTH)}
    sharpener = Sharpener(SharpenerConfig(width=8))
    manifest = {"kind": "pocket-sharpener", "config": asdict(sharpener.config)} | facts
    save_weights(tmp_path / SHARPENER, sharpener.state_dict(), manifest)
    return tmp_path


def networks(weights: PocketWeights) -> dict[str, DepthHead | Sweep | Compositor | Pocket]:
    """Those that were trained on the frozen autoencoder, the depth network first, which another corrects."""
    assert weights.depth is not None and weights.sweep is not None and weights.compositor is not None
    return {
        "depth": weights.depth,
        "sweep": weights.sweep,
        "compositor": weights.compositor,
        "transformer": weights.model,
    }


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def rewrite(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """Changes the tensors of a file and makes the manifest's checksum fit again."""

    def mutate(path: Path) -> None:
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        describe("sha256", sha256_of(path))(path)

    return mutate


def describe(name: str, value: object) -> Callable[[Path], None]:
    """Changes one fact of the manifest; None takes it out."""

    def mutate(path: Path) -> None:
        manifest = json.loads(manifest_path(path).read_text()) | {name: value}
        manifest_path(path).write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))

    return mutate


MUTATIONS = {
    "a flipped bit": (flip, "is damaged: sha256"),
    "a cut tail": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
    "an empty file": (lambda path: path.write_bytes(b""), "is damaged"),
    "bytes appended": (lambda path: path.write_bytes(path.read_bytes() + b"more"), "is damaged"),
    "a missing file": (Path.unlink, "is missing"),
    "a missing manifest": (lambda path: manifest_path(path).unlink(), "is missing"),
    "a torn manifest": (lambda path: manifest_path(path).write_text('{"kind": "poc'), "is damaged"),
    "a manifest that is a list": (lambda path: manifest_path(path).write_text("[1]"), "is damaged"),
    "another kind": (describe("kind", "depth-head"), "holds a depth-head"),
    "a missing tensor": (rewrite(dict.popitem), "is missing"),
    "a tensor too many": (rewrite(lambda tensors: tensors.update(more=torch.zeros(1))), "'more' is unknown"),
    "another shape": (rewrite(lambda t: t.update(zip([min(t)], [torch.zeros(7)], strict=True))), r"shape \[7\]"),
    "no tensors at all": (rewrite(dict.clear), "has 0 tensors"),
    "an unknown size": (describe("config", {"colour": 3}), "does not fit this program"),
    "no config": (describe("config", None), "does not fit this program"),
}


@pytest.mark.parametrize("name", [VAE, DEPTH, SWEEP, COMPOSITOR, TRANSFORMER])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_file_that_is_not_whole_and_right_is_refused_in_one_sentence(folder, name, mutation):
    change, expected = MUTATIONS[mutation]
    change(folder / name)
    with pytest.raises(WanderError, match=expected) as refused:
        load_pocket(folder)
    assert "\n" not in str(refused.value)


def test_what_was_saved_is_loaded_in_bfloat16_precision(folder):
    weights = tiny_weights()
    loaded = load_pocket(folder, size=(64, 32))
    assert (loaded.width, loaded.height, loaded.grid) == (64, 32, (2, 4))
    pairs = zip(networks(loaded).values(), networks(weights).values(), strict=True)
    for network, saved in ((loaded.vae, weights.vae), *pairs):
        for name, tensor in saved.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor.bfloat16().float())
        assert not network.training and not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("name", [SHARPENER, DEPTH, COMPOSITOR, TRANSFORMER])
def test_a_network_of_another_autoencoder_is_refused(folder, name):
    describe("vae_sha256", "0" * 64)(folder / name)
    with pytest.raises(WanderError, match="trained on another autoencoder"):
        load_pocket(folder)


@pytest.mark.parametrize("name", [VAE, SHARPENER, DEPTH, COMPOSITOR, TRANSFORMER])
def test_the_checksum_of_the_weights_tells_any_other_network(folder, name):
    before = fingerprint(folder, guided=True)
    assert load_pocket(folder).checksum == before
    rewrite(lambda tensors: tensors[min(tensors)].add_(1.0))(folder / name)
    assert fingerprint(folder, guided=True) != before


def test_a_sweep_that_corrects_another_depth_network_is_refused(folder):
    describe("depth_sha256", "0" * 64)(folder / SWEEP)
    with pytest.raises(WanderError, match="the sweep corrects another depth network"):
        load_pocket(folder)


def test_an_autoencoder_with_a_new_decoder_is_taken_by_who_knows_its_latents(folder):
    before = sha256_of(folder / VAE)
    vae = tiny_weights().vae
    vae.decoder.head.bias.data.add_(1.0)
    save_weights(folder / VAE, vae.state_dict(), read_manifest(folder / VAE, "pocket-vae") | {"latents_of": before})
    assert sha256_of(folder / VAE) != before and load_pocket(folder).vae.decoder.head.bias.min() > 0.5


def test_a_manifest_without_the_frames_size_is_refused(folder):
    describe("sizes", None)(folder / TRANSFORMER)
    with pytest.raises(WanderError, match="has no sizes"):
        load_transformer(folder / TRANSFORMER)


@pytest.mark.parametrize(("gflops", "size"), [(LARGE_GFLOPS - 1, (32, 32)), (LARGE_GFLOPS + 1, (64, 32))])
def test_a_fast_machine_makes_large_pictures_and_a_slow_one_small(folder, monkeypatch, gflops, size):
    monkeypatch.setattr("engine.weights.peak_gflops", lambda: gflops)
    loaded = load_pocket(folder)
    assert (loaded.width, loaded.height) == size


def test_a_size_that_the_model_was_not_trained_for_is_refused_with_those_it_was(folder):
    with pytest.raises(WanderError, match="48x48 were asked for, the model makes 64x32, 32x32"):
        load_pocket(folder, size=(48, 48))


def test_the_checksum_follows_a_file_that_changes(folder):
    before = sha256_of(folder / VAE)
    flip(folder / VAE)
    assert sha256_of(folder / VAE) != before


def test_a_write_that_fails_leaves_the_old_weights_and_nothing_else(folder, monkeypatch):
    before = sorted(folder.iterdir())

    def full_disk(_: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_weights(folder / VAE, {"x": torch.zeros(1)}, {"kind": "pocket-vae"})
    assert sorted(folder.iterdir()) == before and load_vae(folder / VAE)


def test_the_manifest_says_how_the_weights_came_about(folder):
    save_weights(folder / VAE, {"x": torch.zeros(1)}, {"kind": "pocket-vae", "recipe": {"steps": 5}})
    assert read_manifest(folder / VAE, "pocket-vae")["recipe"] == {"steps": 5}


def test_a_training_state_comes_back_exactly(tmp_path):
    tensors = {"a.b": torch.randn(3, 4), "steps": torch.tensor(7)}
    save_state(tmp_path / "state.safetensors", tensors, {"step": 5})
    loaded, facts = load_state(tmp_path / "state.safetensors")
    assert facts == {"step": 5} and all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("data", [None, b"", b"\xff" * 64])
def test_a_training_state_that_can_not_be_read_is_refused_in_a_sentence(tmp_path, data):
    if data is not None:
        (tmp_path / "state").write_bytes(data)
    with pytest.raises(WanderError, match="can't be read"):
        load_state(tmp_path / "state")
