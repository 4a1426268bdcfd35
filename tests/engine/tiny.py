"""Tiny random networks with the shape of `pocket`, for tests of everything around them."""

from __future__ import annotations

import torch
from torch import nn

from engine.transformer import Pocket, PocketConfig
from engine.vae import Vae, VaeConfig
from engine.weights import PocketWeights


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


def tiny_pocket(camera: str = "split") -> Pocket:
    """Two blocks, two heads of 16 channels."""
    model = Pocket(PocketConfig(width=32, heads=2, depth=2, latent_channels=4, camera=camera))  # type: ignore[arg-type]
    wake(model, 1.0)
    return model.eval().requires_grad_(False)


def tiny_weights(camera: str = "split") -> PocketWeights:
    """Networks for pictures of 64x32 pixels: latents of 2x4, two tokens each."""
    vae = Vae(VaeConfig(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8)))
    wake(vae)
    return PocketWeights(vae.eval().requires_grad_(False), tiny_pocket(camera), 64, 32, "tiny")
