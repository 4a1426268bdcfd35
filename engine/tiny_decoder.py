"""A tiny streaming decoder in the released autoencoder's place: TAEHV, which others train for the same latents.

It reads the transformer's latents as they are and draws worse pictures for a two-hundredth of the operations. Its
weights are the user's own download (`taew2_2.safetensors` for the 5B, `taehv1_5.safetensors` for the 8B, from
github.com/madebyollin/taehv), in the folder `tiny` beside `vae`; `decoder.N` are its layers in order. The released
encoder stays, for first pictures. Shape letters: B batch, C channels, Y X latent grid, W width; a layer works on one
step of time, `[B, W, Y, X]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.causal_conv import State
from engine.errors import WanderError
from engine.released_weights import load_released
from engine.spatial import Strip
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig

FOLDER = "tiny"
FILES = {"worldplay-5b": "taew2_2.safetensors", "worldplay-8b": "taehv1_5.safetensors"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TinyConfig:
    """Sizes; the defaults are those of the 5B's."""

    latent_channels: int = 48
    widths: tuple[int, int, int, int] = (256, 128, 64, 64)
    blocks: int = 3
    """Of each of the three levels."""
    steps: tuple[int, int, int] = (1, 2, 2)
    """Steps of time that a level makes of one."""
    patch: int = 2
    """Pixels along an edge that the last layer draws at once."""


class Soft(nn.Module):
    """Keeps latents within -3 and 3."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return 3 * torch.tanh(x / 3)


class Beside(nn.Module):
    """Reads a step beside the one before it: convolutions of both, plus the step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second, third = (nn.Conv2d(read, width, 3, padding=1) for read in (2 * width, width, width))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """The same shape."""
        return F.relu(self.conv(torch.cat([x, before], 1)) + x)


class Grow(nn.Module):
    """Several steps of time from one."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps, self.conv = steps, nn.Conv2d(width, steps * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, W, ...]` -> `[B, steps W, ...]`, the earliest first."""
        return self.conv(x)


def layers(config: TinyConfig) -> list[nn.Module]:
    """All layers in order, also those without weights, since checkpoints count them."""
    widths = config.widths
    found: list[nn.Module] = [Soft(), nn.Conv2d(config.latent_channels, widths[0], 3, padding=1), nn.ReLU()]
    for width, after, steps in zip(widths, widths[1:], config.steps, strict=False):
        found += [Beside(width) for _ in range(config.blocks)]
        found += [nn.Upsample(scale_factor=2), Grow(width, steps), nn.Conv2d(width, after, 3, padding=1, bias=False)]
    return [*found, nn.ReLU(), nn.Conv2d(widths[-1], 3 * config.patch**2, 3, padding=1)]


class TinyDecoder(nn.Module):
    """Latents to pictures, one latent at a time."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = nn.ModuleList(layers(config))

    @property
    def reach(self) -> int:
        """Latents, the newest included, on which the state can depend: a step for every block, on its level's clock."""
        blocks, (first, second, _) = self.config.blocks, self.config.steps
        steps = blocks - 1  # the last level's last block keeps what only the blocks before it have mixed
        for each in (second, first):
            steps = -(-steps // each) + blocks
        return steps + 1

    def decode(self, latent_BCYX: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """One latent of the transformer -> frames `[B, 1 | 4, 3, H, W]` in [-1, 1], and the next state: what every
        block read last."""
        past, kept, steps = list(state), list[Tensor](), [latent_BCYX]
        for layer in self.decoder:
            if isinstance(layer, Beside):
                before = past.pop(0) if past else torch.zeros_like(steps[0])
                read = [before, *steps]
                steps = [layer(now, earlier) for now, earlier in zip(steps, read, strict=False)]
                kept.append(read[-1])
            elif isinstance(layer, Grow):
                steps = [part for each in steps for part in layer(each).chunk(layer.steps, 1)]
            else:
                steps = [layer(each) for each in steps]
        frames = torch.stack([F.pixel_shuffle(each, self.config.patch) for each in steps], 1)
        shown = frames if state else frames[:, -1:]
        return 2 * shown.clamp(0, 1) - 1, tuple(kept)


class Plugged(nn.Module):
    """The released encoder and another decoder, as one autoencoder; the released decoder is given up."""

    def __init__(self, vae: WanVae | HunyuanVae, tiny: TinyDecoder) -> None:
        super().__init__()
        cast(Any, vae).decoder = nn.Identity()
        self.vae, self.tiny = vae, tiny

    @property
    def config(self) -> WanVaeConfig | HunyuanVaeConfig:
        """Of the released autoencoder."""
        return self.vae.config

    @property
    def reach(self) -> int:
        """See `TinyDecoder.reach`."""
        return self.tiny.reach

    def encode(self, frames_BFCHW: Tensor) -> Tensor:
        """See the released autoencoder."""
        return self.vae.encode(frames_BFCHW)

    def decode(self, latent_BCYX: Tensor, state: State = (), strip: Strip | None = None) -> tuple[Tensor, State]:
        """See `TinyDecoder.decode`. Raises `WanderError` for a part of a picture."""
        if strip is not None:
            raise WanderError(f"decoder=tiny draws whole pictures and {strip.ranks.size} ranks share the decoding; "
                              "leave out --share-decoding")  # fmt: skip
        return self.tiny.decode(latent_BCYX, state)


def plug(vae: WanVae | HunyuanVae, preset: str, home: Path, config: TinyConfig | None = None) -> Plugged:
    """The autoencoder with the tiny decoder of the folder `home`/tiny in its place. Raises `WanderError`."""
    weight, folder = next(vae.parameters()), home / FOLDER
    if not any(folder.glob("*.safetensors")):
        raise WanderError(f"decoder=tiny reads 1 file more, {FILES[preset]}, in {folder}; download it from "
                          "github.com/madebyollin/taehv (safetensors/), or leave it out")  # fmt: skip
    sizes = config or TinyConfig(latent_channels=vae.config.latent_channels)
    tiny = load_released(lambda: TinyDecoder(sizes), folder, dtype=weight.dtype, device=weight.device,
                         passed_over="encoder.")  # fmt: skip
    return Plugged(vae, tiny)
