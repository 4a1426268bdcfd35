"""Opening a world of a released preset from the user's folder: words first, then the networks, then the world.

The encoders run before the transformer is loaded, while the GPU is still empty. Networks stay loaded for the process's
next world of the same preset.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from engine import rollout
from engine.downloads import lacking, models_folder
from engine.encoder_process import LONGEST_8B, LONGEST_QUOTED, LOOKED_AT, ROWS_5B
from engine.encoders import Encoders
from engine.errors import WanderError
from engine.graphs import Room
from engine.meeting import a_gpu_each, same_weights, say_records
from engine.parallel import Ranks
from engine.precision import compute_dtype, decoder_device, default_device
from engine.released_weights import load_5b, load_8b, load_hunyuan_vae, load_wan_vae, weight_files
from engine.released_world import ReleasedModel, ReleasedWorld, Tell, silent, spoken
from engine.rollout import Autoregressive, Recipe
from engine.speed import hasten, practice, wanted
from engine.text import lines_of
from engine.tiny_decoder import FOLDER, plug
from engine.vae_hunyuan import HunyuanVae
from engine.vae_wan import WanVae
from engine.world import ChunkRecord, WorldSpec

DECODER_DEVICE = "WANDER_DECODER_DEVICE"
"""The environment variable that names a device of its own for the autoencoder."""
_EDGE = 1 << 20
"""Bytes at both ends of a file that its fingerprint is made of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """How a released model is loaded and shown (SPEC 1, 15)."""

    width: int
    height: int
    fps: float
    recipe: Callable[[], Recipe]
    transformer: Callable[..., Autoregressive]
    vae: Callable[..., WanVae | HunyuanVae]
    vae_dtype: torch.dtype
    text: int
    """Most tokens of a prompt."""


PRESETS = {
    "worldplay-5b": Preset(width=1280, height=704, fps=16.0, recipe=rollout.worldplay_5b, transformer=load_5b,
                           vae=load_wan_vae, vae_dtype=torch.bfloat16, text=ROWS_5B),
    "worldplay-8b": Preset(width=832, height=480, fps=24.0, recipe=rollout.worldplay_8b, transformer=load_8b,
                           vae=load_hunyuan_vae, vae_dtype=torch.float16,
                           text=LONGEST_8B + LONGEST_QUOTED + LOOKED_AT),
}  # fmt: skip
_loaded: dict[Path, ReleasedModel] = {}
"""The networks of this process, at most one preset's."""


def open_released(spec: WorldSpec, records: Sequence[ChunkRecord] = (), tell: Tell = silent,
                  folder: Path | None = None, ranks: Ranks | None = None) -> ReleasedWorld:  # fmt: skip
    """A world of `spec.preset`, rebuilt from `records` if there are any; `tell` hears how far loading is.

    Where several `ranks` share it, rank 0 alone reads words, and decodes unless they share that as well.

    Raises `WanderError` if weights or packages are missing, or for a start that the model has not.
    """
    ranks = ranks or Ranks()
    records = say_records(ranks, records)
    words = spoken(lines_of(records[-1].prompt if records else spec.prompt))
    model = ranks.together(partial(_ready, spec, words, folder or models_folder(), tell, ranks))
    same_weights(ranks, model.checksum, model.transformer.config.heads)
    return ReleasedWorld(model, spec, records, tell, ranks)


def _ready(spec: WorldSpec, words: str, folder: Path, tell: Tell, ranks: Ranks) -> ReleasedModel:
    """The networks of `spec.preset`, and `words` read by then."""
    home = folder / spec.preset
    sentence = lacking(spec.preset, folder)
    if sentence:
        raise WanderError(sentence)
    if ranks.size > 1 and wanted().graphs:
        raise WanderError(f"graphs need a GPU of their own and {ranks.size} ranks share this model; leave graphs out "
                          "of WANDER_SPEED, or start 1 rank")  # fmt: skip
    if ranks.strips and wanted().decoder == "tiny":
        raise WanderError(f"decoder=tiny draws whole pictures and {ranks.size} ranks share the decoding; leave out "
                          "--share-decoding")  # fmt: skip
    if spec.video is not None:
        raise WanderError(f"{spec.preset} can't go on from a video; start from one of its pictures")
    model = _loaded.get(home)
    if model is None:
        a_gpu_each(ranks)
        _loaded.clear()
        encoders = Encoders(spec.preset, home, tell)
        if ranks.leads:
            encoders(words, spec.image)
        model = _loaded[home] = load_preset(spec.preset, home, encoders, tell, decoder_of(ranks))
    return model


def decoder_of(ranks: Ranks) -> str:
    """The device that WANDER_DECODER_DEVICE (`--decoder-device`) gives to the one rank that decodes; nothing for the
    others. Raises `WanderError` if there is no such rank, since all decode."""
    asked = os.environ.get(DECODER_DEVICE, "")
    if asked and ranks.strips:
        raise WanderError(
            f"{ranks.size} ranks share the decoding, each on its own device, so it can't be done on {asked}; leave out "
            "--decoder-device or --share-decoding"
        )
    return asked if ranks.leads else ""


def load_preset(name: str, home: Path, encoders: Encoders, tell: Tell, decoder: str = "") -> ReleasedModel:
    """The networks of a preset in the folder `home`, as fast as `WANDER_SPEED` says (engine/speed.py), the autoencoder
    on the device `decoder` (see `decoder_device`)."""
    preset, device, speed = PRESETS[name], default_device(), wanted()
    apart = decoder_device(decoder, device)
    says = partial(_loading, tell, name)
    vae_dtype = preset.vae_dtype if apart.type == "cuda" else compute_dtype(apart.type)
    vae = preset.vae(home / "vae", vae_dtype, apart, progress=partial(says, 0.0, 0.1))
    shown = plug(vae, name, home) if speed.decoder == "tiny" else vae
    first = torch.device("cpu") if speed.offload else device
    transformer = preset.transformer(
        home / "transformer", compute_dtype(device.type), first, progress=partial(says, 0.1, 1.0)
    )
    recipe, grid = preset.recipe(), (preset.height // 16, preset.width // 16)
    room = Room(context=recipe.memory.context_latents * transformer.tokens(grid), text=preset.text)
    hasten(transformer, speed, device, partial(practice, grid=grid, chunk=recipe.chunk), tell, room)
    return ReleasedModel(transformer=transformer, vae=shown, encode=encoders, recipe=recipe,
                         width=preset.width, height=preset.height, fps=preset.fps, attention=speed.attention,
                         checksum=fingerprint(home, speed.mark))


def load_decoder(name: str) -> WanVae | HunyuanVae:
    """The autoencoder of a preset alone, from the user's folder. Raises `WanderError` if its weights are missing."""
    preset, device = PRESETS[name], default_device()
    dtype = preset.vae_dtype if device.type == "cuda" else compute_dtype(device.type)
    return preset.vae(models_folder() / name / "vae", dtype, device)


def _loading(tell: Tell, name: str, start: float, end: float, share: float) -> None:
    tell(start + (end - start) * share, f"Loading {name}")


def fingerprint(home: Path, mark: str = "") -> str:
    """Of the weights in use: names, sizes and both ends of their files, and what else changes their numbers (`mark`).

    The whole of 20 GB is read by `models verify` alone.
    """
    digest = hashlib.sha256(mark.encode())
    for part in ("transformer", "vae", *([FOLDER] if "decoder=tiny" in mark else [])):
        for path in weight_files(home / part):
            with open(path, "rb") as file:
                size = path.stat().st_size
                digest.update(json.dumps([part, path.name, size]).encode())
                digest.update(file.read(_EDGE))
                file.seek(max(0, size - _EDGE))
                digest.update(file.read(_EDGE))
    return digest.hexdigest()
