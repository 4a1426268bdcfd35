"""The released weights: what is listed, what is verified, and the one conversion of a pickle."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import convert, models
from engine.errors import WanderError
from engine.vae_wan import WanVae, WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B

ROOT = Path(__file__).resolve().parents[2]
TINY = Config5B(width=24, heads=2, depth=1, feed_forward=32, latent_channels=4, text_width=8)
TINY_VAE = WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1)


@pytest.fixture
def tiny(monkeypatch) -> dict[str, torch.Tensor]:
    """Both networks of the 5B at a tiny size; the weights of its transformer."""
    monkeypatch.setattr("engine.worldplay_5b.Config5B", lambda: TINY)
    parts = models.PRESETS["worldplay-5b"]
    builds = (lambda: WorldPlay5B(TINY), lambda: WanVae(TINY_VAE), None)
    small = tuple(replace(part, build=build) for part, build in zip(parts, builds, strict=True))
    monkeypatch.setitem(models.PRESETS, "worldplay-5b", small)
    return {name: tensor.clone() for name, tensor in WorldPlay5B(TINY).state_dict().items()}


def fill(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    home = folder / "worldplay-5b"
    for part in ("transformer", "vae"):
        (home / part).mkdir(parents=True)
    save_file(tensors, home / "transformer" / "model.safetensors")
    save_file(dict(WanVae(TINY_VAE).state_dict()), home / "vae" / "model.safetensors")
    (home / "text" / "text_encoder").mkdir(parents=True)
    save_file({"shared.weight": torch.zeros(3)}, home / "text" / "text_encoder" / "model.safetensors")
    return home


def test_the_list_names_sizes_licences_territories_and_folders(tmp_path):
    shown = models.run(["--folder", str(tmp_path)])
    for words in ("worldplay-5b", "worldplay-8b", "European Union", "GB", "Apache-2.0", "missing", str(tmp_path)):
        assert words in shown


def test_a_whole_download_is_verified_and_a_changed_file_is_found(tiny, tmp_path):
    home = fill(tmp_path, tiny)
    verify = ["--folder", str(tmp_path), "verify", "worldplay-5b"]
    assert "checksums written down" in models.run(verify)
    assert "checksums written down" not in models.run(verify)
    tiny["proj_out.bias"][0] += 1
    save_file(tiny, home / "transformer" / "model.safetensors")
    with pytest.raises(WanderError, match="has changed: sha256"):
        models.run(verify)


def test_encoders_have_checksums_as_well(tiny, tmp_path):
    home = fill(tmp_path, tiny)
    verify = ["--folder", str(tmp_path), "verify", "worldplay-5b"]
    assert "text: 1 tensors in 1 files, read whole" in models.run(verify)
    save_file({"shared.weight": torch.ones(3)}, home / "text" / "text_encoder" / "model.safetensors")
    with pytest.raises(WanderError, match=r"text_encoder.model\.safetensors has changed: sha256"):
        models.run(verify)


def test_a_download_of_another_model_is_refused_by_name(tiny, tmp_path):
    del tiny["proj_out.bias"]
    fill(tmp_path, tiny)
    with pytest.raises(WanderError, match=r"proj_out\.bias is missing"):
        models.run(["--folder", str(tmp_path), "verify", "worldplay-5b"])


def test_unknown_presets_and_needless_conversions_are_refused(tmp_path):
    with pytest.raises(WanderError, match="worldplay-5b, worldplay-8b"):
        models.verify("pocket", tmp_path)
    with pytest.raises(WanderError, match="needs no conversion"):
        models.run(["convert", "worldplay-8b", "model.pt"])


def test_wrapped_names_lose_their_wrappings_wherever_they_are():
    name = "model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module.attn1.to_q.weight"
    assert convert.released_names(name) == "blocks.0.attn1.to_q.weight"


def test_the_pickled_5b_becomes_the_same_tensors_under_released_names(tiny, tmp_path):
    wrapped = {"model._fsdp_wrapped_module." + name: tensor for name, tensor in tiny.items()}
    torch.save({"generator": wrapped}, tmp_path / "model.pt")
    convert.convert_here(tmp_path / "model.pt", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == tiny.keys()
    assert all(torch.equal(found[name], tiny[name]) for name in tiny)


class Harmful:
    """Its pickle calls a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return builtins.print, ("harm",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, capfd):
    torch.save({"generator": {"x": Harmful()}}, tmp_path / "model.pt")
    with pytest.raises(WanderError, match="cannot be read as tensors alone"):
        convert.convert(tmp_path / "model.pt", tmp_path / "out" / "model.safetensors")
    assert "harm" not in capfd.readouterr().out
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04torn"])
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(WanderError, match="cannot be read as tensors alone"):
        convert.convert_here(tmp_path / "model.pt", tmp_path / "model.safetensors")


CUT_OFF = """
import json
from engine.convert import cut_off
granted, refused = cut_off(), []
program = "import subprocess; subprocess.run(['true'])"
for attempt in ("import socket; socket.socket()", program, "import os; os.fork()"):
    try:
        exec_(attempt)
    except PermissionError:
        refused.append(True)
print(json.dumps([granted, refused]))
""".replace("exec_", "ex" + "ec")


def test_the_converters_process_opens_no_socket_and_starts_no_program():
    done = subprocess.run([sys.executable, "-c", CUT_OFF], cwd=ROOT, capture_output=True, text=True)
    granted, refused = json.loads(done.stdout)
    assert "network" in granted or "sockets" in granted
    assert refused == [True, True, True]
