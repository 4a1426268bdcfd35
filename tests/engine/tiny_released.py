"""The released presets at tiny sizes with random weights, for tests of everything around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from engine import rollout
from engine.released_world import Features, ReleasedModel, ReleasedWorld
from engine.rope import RopeConfig
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.world import ChunkRecord, WorldSpec
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B

WIDTH, HEIGHT = 64, 32
PRESETS = ("worldplay-5b", "worldplay-8b")
SIZES_5B = Config5B(width=48, heads=2, depth=2, feed_forward=64, latent_channels=4, text_width=8)
SIZES_8B = Config8B(width=32, heads=2, depth=2, rope=RopeConfig(time=4, row=6, column=6, theta=256.0),
                    latent_channels=4, text_width=8, image_width=8, byt5_width=8, byt5_inner=8)  # fmt: skip
SIZES_WAN = WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1)
SIZES_HUNYUAN = HunyuanVaeConfig(widths=(8, 8, 16, 16, 16), blocks=1, latent_channels=4)


def states(rows: int, words: str) -> torch.Tensor:
    """Encoder states `[rows, 8]` that depend on the words alone."""
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(sum(map(ord, words)) + rows))


def encode_5b(words: str, _picture: NDArray[np.uint8] | None) -> Features:
    """Rows with zeros after them."""
    return {"text": torch.cat([states(5, words), torch.zeros(3, 8)])}


def encode_8b(words: str, picture: NDArray[np.uint8] | None) -> Features:
    """Text, what stands in quotes, and a picture's tokens."""
    quoted, seen = 2 * ('"' in words), 0 if picture is None else 3
    return {"text": states(6, words), "quoted": states(quoted, words), "image": states(seen, "picture")}


def tiny_released(preset: str) -> ReleasedModel:
    """A preset for pictures of 64x32 pixels; the same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = preset == "worldplay-5b"
        transformer = WorldPlay5B(SIZES_5B) if small else WorldPlay8B(SIZES_8B)
        vae = WanVae(SIZES_WAN) if small else HunyuanVae(SIZES_HUNYUAN)
    recipe = rollout.worldplay_5b() if small else rollout.worldplay_8b()
    return ReleasedModel(transformer=transformer.eval().requires_grad_(False), vae=vae.eval().requires_grad_(False),
                         encode=encode_5b if small else encode_8b, recipe=recipe, width=WIDTH, height=HEIGHT,
                         fps=16.0 if small else 24.0, checksum="tiny")  # fmt: skip


def tiny_world(model: ReleasedModel, records: Sequence[ChunkRecord] = (), *, image: NDArray[np.uint8] | None = None,
               seed: int = 7, chunk: int = 4) -> ReleasedWorld:  # fmt: skip
    """A world of a tiny preset."""
    return ReleasedWorld(model, WorldSpec(seed=seed, prompt="a village at dusk", image=image, chunk=chunk), records)
