"""From a folder of weights to a world, by name; or one sentence on what is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine import released_preset, speed
from engine.actions import Step
from engine.downloads import DOWNLOADS, VARIABLE, lacking, ready
from engine.errors import WanderError
from engine.graphs import Called, Room
from engine.offload import Streamed
from engine.parallel import Ranks
from engine.quantise import blocks_of
from engine.released_preset import DECODER_DEVICE, decoder_of, open_released
from engine.released_weights import load_5b, load_8b, load_hunyuan_vae, load_wan_vae
from engine.released_world import silent
from engine.tiny_decoder import Plugged, TinyConfig, TinyDecoder, plug
from engine.world import WorldSpec, open_world
from engine.worldplay_8b import released_name
from tests.engine.tiny_released import (
    HEIGHT,
    PRESETS,
    SIZES_5B,
    SIZES_8B,
    SIZES_HUNYUAN,
    SIZES_WAN,
    WIDTH,
    tiny_released,
    tiny_world,
)

SPEC = WorldSpec(seed=7, prompt="a village at dusk")


def fill(folder: Path, preset: str) -> None:
    """A tiny download, whole as far as file names tell."""
    model, home = tiny_released(preset), folder / preset
    for part in DOWNLOADS[preset]:
        for name in (*(f"{inside}/model.safetensors" for inside in part.inside), *part.besides):
            path = home / part.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    names = released_name if preset == "worldplay-8b" else str
    state = {names(name): tensor for name, tensor in model.transformer.state_dict().items()}
    save_file(state, home / "transformer" / "model.safetensors")
    save_file(dict(model.vae.state_dict()), home / "vae" / "model.safetensors")
    (home / "vae" / "config.json").write_text(json.dumps({"latents_mean": [0] * 4, "latents_std": [1] * 4}))


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    """Where the models are; the presets have tiny sizes and read words without encoders."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(released_preset, "_loaded", {})
    monkeypatch.setattr(released_preset, "Encoders", lambda preset, *_: tiny_released(preset).encode)
    monkeypatch.setattr(released_preset, "compute_dtype", lambda _kind: torch.float32)
    loads = {
        "worldplay-5b": (partial(load_5b, config=SIZES_5B), partial(load_wan_vae, config=SIZES_WAN)),
        "worldplay-8b": (partial(load_8b, config=SIZES_8B), partial(load_hunyuan_vae, config=SIZES_HUNYUAN)),
    }
    small = {
        name: replace(released_preset.PRESETS[name], width=WIDTH, height=HEIGHT, transformer=transformer, vae=vae)
        for name, (transformer, vae) in loads.items()
    }
    monkeypatch.setattr(released_preset, "PRESETS", small)
    return tmp_path


@pytest.mark.parametrize("preset", PRESETS)
def test_a_world_opens_from_the_users_folder_and_loading_is_told(folder, preset):
    fill(folder, preset)
    told: list[tuple[float, str]] = []
    world = open_world(replace(SPEC, preset=preset), tell=lambda *news: told.append(news))
    frames = np.concatenate(list(world.step([Step()] * 4)))
    record = world.commit()
    assert (world.width, world.height, world.fps, frames.shape) == (
        WIDTH, HEIGHT, 16 if preset == "worldplay-5b" else 24, (13, HEIGHT, WIDTH, 3)
    )  # fmt: skip
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1 and {words for _, words in told} == {f"Loading {preset}"}
    told.clear()
    again = open_world(replace(SPEC, preset=preset), [record])
    assert not told and again.checksum == world.checksum  # the networks are still loaded
    further = [np.concatenate(list(each.step([Step()] * 4))) for each in (again, world)]
    assert np.array_equal(*further)


@pytest.mark.parametrize("preset", PRESETS)
def test_what_the_environment_chooses_is_in_force_and_numbers_that_it_changes_have_another_checksum(
    folder, preset, monkeypatch
):
    fill(folder, preset)
    plain = open_world(replace(SPEC, preset=preset))
    first = np.concatenate(list(plain.step([Step()] * 4)))
    for chosen, same in (("offload", True), ("offload,attention=sdpa", False)):
        monkeypatch.setattr(released_preset, "_loaded", {})
        monkeypatch.setenv("WANDER_SPEED", chosen)
        world = open_world(replace(SPEC, preset=preset))
        assert isinstance(blocks_of(world.model.transformer), Streamed)
        assert (world.checksum == plain.checksum) is same
        frames = np.concatenate(list(world.step([Step()] * 4)))
        assert np.abs(frames.astype(int) - first).max() <= (0 if same else 1)


def test_a_choice_that_does_not_exist_stops_the_start(folder, monkeypatch):
    fill(folder, "worldplay-5b")
    monkeypatch.setenv("WANDER_SPEED", "warp=9")
    with pytest.raises(WanderError, match="WANDER_SPEED has 'warp=9'"):
        open_world(replace(SPEC, preset="worldplay-5b"))


@pytest.mark.parametrize("preset", PRESETS)
def test_missing_weights_are_one_sentence_that_says_what_and_where(folder, preset):
    with pytest.raises(WanderError, match=f"{preset} needs .* downloads more, .* GB, in {folder / preset}") as caught:
        open_world(replace(SPEC, preset=preset))
    assert all(part.repository in str(caught.value) for part in DOWNLOADS[preset])


def test_presets_are_ready_where_every_part_is_there(folder):
    assert ready() == ()
    fill(folder, "worldplay-5b")
    assert ready() == ("worldplay-5b",) and not lacking("worldplay-5b")
    (folder / "worldplay-5b" / "text" / "tokenizer" / "tokenizer.json").unlink()
    assert ready() == () and "1 of 3 downloads more" in lacking("worldplay-5b")


def test_a_clip_to_go_on_from_is_refused(folder):
    fill(folder, "worldplay-5b")
    clip = np.zeros((13, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(WanderError, match="can't go on from a video"):
        open_world(replace(SPEC, preset="worldplay-5b", video=clip))


def test_another_file_is_another_checksum(folder):
    fill(folder, "worldplay-5b")
    home = folder / "worldplay-5b"
    before = released_preset.fingerprint(home)
    with open(home / "transformer" / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert released_preset.fingerprint(home) != before


def test_a_device_that_is_not_there_is_refused_for_the_decoder_and_one_that_is_taken(folder, monkeypatch):
    fill(folder, "worldplay-5b")
    monkeypatch.setenv(DECODER_DEVICE, "cuda:77")
    with pytest.raises(WanderError, match="--decoder-device cuda:77 is none of this machine's"):
        open_world(replace(SPEC, preset="worldplay-5b"))
    monkeypatch.setenv(DECODER_DEVICE, "cpu")
    world = open_released(replace(SPEC, preset="worldplay-5b"))
    assert world.model.decoder_device == torch.device("cpu") and len(next(world.step([Step()] * 4))) == 1


def test_only_the_rank_that_decodes_alone_has_its_decoder_elsewhere(monkeypatch):
    monkeypatch.setenv(DECODER_DEVICE, "cuda:1")
    assert [decoder_of(Ranks(rank, 2)) for rank in (0, 1)] == ["cuda:1", ""]
    with pytest.raises(WanderError, match="2 ranks share the decoding, each on its own device, so it"):
        decoder_of(Ranks(1, 2, strips=True))


@pytest.mark.parametrize("preset", PRESETS)
def test_latents_and_pictures_are_brought_to_where_the_autoencoder_stands(preset):
    world = tiny_world(tiny_released(preset))
    latent = torch.randn(4, *world.model.grid)
    world.model.vae.to("meta")  # a second device that every machine has: it knows shapes and refuses to mix
    with pytest.raises(RuntimeError, match="device meta is not on the expected device cpu"):
        world.model.vae.decode(latent[None])
    frames, state = world._decode(latent, ())
    frames, state = world._decode(latent, state)
    encoded = world._encode(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    assert {each.device.type for each in (frames, encoded, *state)} == {"meta"}
    assert frames.shape == (1, 4, HEIGHT, WIDTH, 3) and world.device.type == "cpu"


@pytest.mark.parametrize("preset", PRESETS)
def test_graphs_have_room_for_the_longest_context_and_prompt_of_the_preset(folder, preset, monkeypatch):
    fill(folder, preset)
    monkeypatch.setattr(speed, "recorder", lambda _device: Called)
    monkeypatch.setenv("WANDER_SPEED", "graphs")
    installed: list[Room] = []
    monkeypatch.setattr(speed, "install", lambda _network, room, _record: installed.append(room))
    open_world(replace(SPEC, preset=preset))
    context, text = {"worldplay-5b": (16 * 2, 512), "worldplay-8b": (20 * 8, 1000 + 256 + 729)}[preset]
    assert installed == [Room(context=context, text=text)]


def test_graphs_are_refused_where_there_is_no_cuda_or_ranks_share_the_model(folder, monkeypatch):
    fill(folder, "worldplay-5b")
    monkeypatch.setenv("WANDER_SPEED", "graphs")
    with pytest.raises(WanderError, match="graphs need an NVIDIA GPU"):
        open_world(replace(SPEC, preset="worldplay-5b"))
    with pytest.raises(WanderError, match="2 ranks share this model; leave graphs out of WANDER_SPEED, or start 1"):
        released_preset._ready(replace(SPEC, preset="worldplay-5b"), "words", folder, silent, Ranks(0, 2))


def test_the_tiny_decoder_is_chosen_by_the_environment_and_marks_the_world(folder, monkeypatch):
    fill(folder, "worldplay-5b")
    plain = open_world(replace(SPEC, preset="worldplay-5b"))
    monkeypatch.setattr(released_preset, "_loaded", {})
    monkeypatch.setenv("WANDER_SPEED", "decoder=tiny")
    with pytest.raises(WanderError, match=r"taew2_2\.safetensors, in .*tiny"):
        open_world(replace(SPEC, preset="worldplay-5b"))
    sizes = TinyConfig(latent_channels=4, widths=(8, 8, 8, 8))
    monkeypatch.setattr(released_preset, "plug", partial(plug, config=sizes))
    (folder / "worldplay-5b" / "tiny").mkdir()
    save_file(dict(TinyDecoder(sizes).state_dict()), folder / "worldplay-5b" / "tiny" / "taew2_2.safetensors")
    world = open_world(replace(SPEC, preset="worldplay-5b"))
    assert isinstance(world.model.vae, Plugged) and world.checksum != plain.checksum
    assert np.concatenate(list(world.step([Step()] * 4))).shape == (13, HEIGHT, WIDTH, 3)
    with pytest.raises(WanderError, match="2 ranks share the decoding; leave out --share-decoding"):
        released_preset._ready(replace(SPEC, preset="worldplay-5b"), "", folder, silent, Ranks(0, 2, strips=True))
