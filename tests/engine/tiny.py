"""Tiny random networks with the shape of `pocket`, for tests of everything around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from engine.actions import KEY_RIGHT, KEY_W, Step
from engine.compositor import Compositor, CompositorConfig
from engine.depth import DepthConfig, DepthHead
from engine.memory import MemoryConfig
from engine.streamer import PocketWorld, Sampling
from engine.sweep import Sweep, SweepConfig
from engine.transformer import Pocket, PocketConfig
from engine.vae import Vae, VaeConfig
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec


def wake(module: nn.Module, scale: float = 0.3) -> None:
    """Gives every parameter a random value, so that nothing is hidden behind a zero initialisation."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(
                torch.randn(p.shape, generator=generator) * scale / max(p[0].numel(), 1) ** 0.5
                if p.ndim > 1
                else p + 0.1 * torch.randn(p.shape, generator=generator)
            )


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute meanwhile with one thread, as ranks do: how many there are decides about the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def tiny_pocket(camera: Literal["split", "branch"] = "split") -> Pocket:
    """Two blocks, two heads of 16 channels; the same ones at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Pocket(PocketConfig(width=32, heads=2, depth=2, latent_channels=4, camera=camera))
    wake(model, 1.0)
    return model.eval().requires_grad_(False)


def tiny_weights(camera: Literal["split", "branch"] = "split") -> PocketWeights:
    """Networks for pictures of 64x32 pixels, latents of 2x4, two tokens each; the same ones at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = Vae(VaeConfig(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8)))
        head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
        sweep = Sweep(SweepConfig(widths=(8, 8, 8)))
        compositor = Compositor(CompositorConfig(width=8))
    for network in (vae, head, sweep, compositor):
        wake(network)
        network.eval().requires_grad_(False)
    return PocketWeights(vae, head, compositor, tiny_pocket(camera), 64, 32, "tiny", sweep=sweep)


def tiny_world(
    weights: PocketWeights | None = None,
    records: Sequence[ChunkRecord] = (),
    *,
    prompt: str = "a village at dusk",
    image: NDArray[np.uint8] | None = None,
    chunk: int = 2,
    seed: int = 7,
    cache_latents: int = 96,
    recache: bool = True,
    sampling: Sampling | None = None,
) -> PocketWorld:
    """A world of two denoising steps that sees 4 recent and 2 retrieved latents, so that retrieval begins early."""
    spec = WorldSpec(seed=seed, prompt=prompt, image=image, chunk=chunk)
    memory = MemoryConfig(temporal_latents=4, spatial_latents=2, points=64)
    return PocketWorld(
        weights or tiny_weights(),
        spec,
        records,
        sampling=sampling or Sampling(steps=2),
        memory=memory,
        cache_latents=cache_latents,
        recache=recache,
    )


def play(world: PocketWorld, chunks: int, keys: int = KEY_W | KEY_RIGHT) -> NDArray[np.uint8]:
    """Frames `[F, H, W, 3]` of the next chunks, every one committed."""
    frames = []
    for _ in range(chunks):
        frames += list(world.step([Step(keys=keys)] * world.chunk))
        world.commit()
    return np.concatenate(frames)
