"""Causal streaming autoencoder (paper §3.1): 16x16 in space, 4x in time, decoded latent by latent.

Latent 0 holds one frame; it is encoded as a group of four copies of that frame, so that every latent is made and
decoded by the same function. The encoder sees the four frames of its own group only: equal pictures have equal latents
wherever they stand in time, which is what memory needs. The decoder carries the features of the previous latent from
call to call (its state), which makes it causal, streaming, and free of flicker between groups. Nothing in either
network looks beyond a neighbourhood, so any picture whose sides are multiples of 16 can be encoded.

Shape letters: B batch, T latent frames, F frames, C latent channels, Y X latent grid, H W picture (H = 16 Y, W = 16 X).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.spatial import Strip, convolved

FRAMES_PER_LATENT = 4
SPATIAL_FACTOR = 16
_UNSHUFFLE = 4
"""Pixels are folded 4x4 into channels before the first convolution and unfolded after the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeConfig:
    """Sizes of the autoencoder; widths are those of the grids at 1/4, 1/8 and 1/16 of the picture."""

    latent_channels: int = 32
    encoder_widths: tuple[int, int, int] = (96, 160, 256)
    decoder_widths: tuple[int, int, int] = (80, 160, 256)

    def __post_init__(self) -> None:
        if self.latent_channels < 4:
            raise ValueError(f"latent_channels must be >= 4, got {self.latent_channels}")


class ChannelNorm(nn.Module):
    """Layer norm over channels at every position: no statistics over space, so crops and whole pictures agree."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, Y, X]` -> the same shape."""
        channels_last = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels_last, (x.shape[1],), self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class Residual(nn.Module):
    """norm, SiLU, conv, SiLU, conv, plus input; the identity at initialisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        for p in self.conv2.parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor, strip: Strip | None = None) -> Tensor:
        """`[B, C, Y, X]` -> the same shape."""
        y = convolved(self.conv1, F.silu(self.norm(x)), strip)
        return x + convolved(self.conv2, F.silu(y), strip)


class Down(nn.Module):
    """Half the grid: a strided convolution beside a pointwise one over 2x2 positions folded into channels."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(4 * width_in, width_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, Y, X]` -> `[B, C', Y / 2, X / 2]`."""
        return self.conv(x) + self.shortcut(F.pixel_unshuffle(x, 2))


class Up(nn.Module):
    """Double the grid: a pointwise convolution to 4x the channels, unfolded into 2x2 positions."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, 4 * width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, Y, X]` -> `[B, C', 2 Y, 2 X]`."""
        return F.pixel_shuffle(self.conv(x), 2)


class Previous(nn.Module):
    """Adds a linear view of the same feature map one latent earlier (zero for the first latent)."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: Tensor, previous: Tensor | None) -> Tensor:
        """Feature maps `[B, C, Y, X]` of this latent and the one before -> the same shape."""
        return x if previous is None else x + self.conv(previous)


class Encoder(nn.Module):
    """Four frames `[B, 12, H, W]` in [-1, 1] -> latent mean `[B, C, Y, X]`."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.encoder_widths
        frames = 3 * FRAMES_PER_LATENT * _UNSHUFFLE**2
        self.layers = nn.Sequential(
            nn.Conv2d(frames, fine, 3, padding=1),
            Residual(fine),
            Down(fine, middle),
            Residual(middle),
            Down(middle, coarse),
            Residual(coarse),
            Residual(coarse),
            ChannelNorm(coarse),
            nn.Conv2d(coarse, config.latent_channels, 1),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Frames `[B, 12, 16 Y, 16 X]` -> means `[B, C, Y, X]`."""
        return self.layers(F.pixel_unshuffle(frames, _UNSHUFFLE))


@dataclass(frozen=True, slots=True)
class DecoderState:
    """Feature maps of the latent decoded last: `[B, width, Y, X]` and `[B, width, 2Y, 2X]`, or a strip's rows of the
    second."""

    coarse: Tensor
    middle: Tensor


class Decoder(nn.Module):
    """Latent `[B, C, Y, X]` and state -> four frames `[B, 12, H, W]` in about [-1, 1] and the next state."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.decoder_widths
        self.stem = nn.Conv2d(config.latent_channels, coarse, 3, padding=1)
        self.coarse_previous = Previous(coarse, 3)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse))
        self.up_middle = Up(coarse, middle)
        self.middle_previous = Previous(middle, 1)
        self.middle = nn.Sequential(Residual(middle), Residual(middle))
        self.up_fine = Up(middle, fine)
        self.fine = nn.Sequential(Residual(fine), Residual(fine))
        self.head = nn.Conv2d(fine, 3 * FRAMES_PER_LATENT * _UNSHUFFLE**2, 3, padding=1)

    def forward(
        self, latent: Tensor, state: DecoderState | None, strip: Strip | None = None
    ) -> tuple[Tensor, DecoderState]:
        """One latent `[B, C, Y, X]` -> frames `[B, 12, 16 Y, 16 X]` and the state for the next.

        Of a `strip` the stem alone, which is small, is computed whole.
        """
        coarse = self.stem(latent)
        x = self.coarse_previous(coarse, state.coarse if state else None)
        x = _all(self.coarse, x if strip is None else strip.cut(x), strip)
        middle = self.up_middle(x)
        x = _all(self.middle, self.middle_previous(middle, state.middle if state else None), strip)
        x = convolved(self.head, _all(self.fine, self.up_fine(x), strip), strip)
        return F.pixel_shuffle(x, _UNSHUFFLE), DecoderState(coarse, middle)


def _all(blocks: nn.Sequential, x: Tensor, strip: Strip | None) -> Tensor:
    """Blocks of a level, one after the other."""
    for block in blocks:
        x = block(x, strip)
    return x


class Vae(nn.Module):
    """The autoencoder. Buffers `mean` and `std` `[C]` normalise its latents; measured once, when training ends."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("std", torch.ones(config.latent_channels))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, groups_BTHW12: Tensor) -> Tensor:
        """Groups of four frames `[B, T, 12, H, W]` in [-1, 1] -> normalised latents `[B, T, C, Y, X]`."""
        B, T = groups_BTHW12.shape[:2]
        raw = self.encoder(groups_BTHW12.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        return ((raw - self.mean[:, None, None]) / self.std[:, None, None]).unflatten(0, (B, T))

    def decode(
        self, latent_BCYX: Tensor, state: DecoderState | None, strip: Strip | None = None
    ) -> tuple[Tensor, DecoderState]:
        """One normalised latent `[B, C, Y, X]` -> four frames `[B, 4, 3, H, W]` in about [-1, 1], and the next state.

        Of latent 0 only the last frame is shown. Of a whole latent a `strip` decodes its own rows.
        """
        raw = latent_BCYX * self.std[:, None, None] + self.mean[:, None, None]
        frames, after = self.decoder(raw.contiguous(memory_format=torch.channels_last), state, strip)
        return frames.unflatten(1, (FRAMES_PER_LATENT, 3)), after


def group_frames(frames_BFHW3: Tensor) -> Tensor:
    """Clips uint8 `[B, 4 k + 1, H, W, 3]` -> groups float `[B, k + 1, 12, H, W]` in [-1, 1]; frame 0 fills group 0.

    Raises `ValueError` for another number of frames.
    """
    B, count, H, W, _ = frames_BFHW3.shape
    if (count - 1) % FRAMES_PER_LATENT:
        raise ValueError(f"a clip has 4 k + 1 frames, got {count}")
    first = frames_BFHW3[:, :1].expand(-1, FRAMES_PER_LATENT, -1, -1, -1)
    grouped = torch.cat([first, frames_BFHW3[:, 1:]], 1).unflatten(1, (-1, FRAMES_PER_LATENT))
    return grouped.permute(0, 1, 2, 5, 3, 4).reshape(B, -1, 3 * FRAMES_PER_LATENT, H, W).float() / 127.5 - 1.0


@torch.no_grad()
def stills(vae: Vae, pictures_BHW3: Tensor) -> Tensor:
    """Latents `[B, C, Y, X]` of pictures uint8 `[B, H, W, 3]` in which nothing moves."""
    return vae.encode(group_frames(pictures_BHW3[:, None]))[:, 0]


def to_uint8(frames: Tensor) -> Tensor:
    """Float frames `[..., 3, H, W]` in [-1, 1] -> uint8 `[..., H, W, 3]`."""
    return ((frames.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(-3, -1)


def decode_clip(vae: Vae, latents_BTCYX: Tensor | Sequence[Tensor]) -> Tensor:
    """Normalised latents of a clip -> uint8 frames `[B, 4 (T - 1) + 1, H, W, 3]`, decoded one latent at a time."""
    state: DecoderState | None = None
    shown = []
    for t, latent in enumerate(latents_BTCYX.unbind(1) if isinstance(latents_BTCYX, Tensor) else latents_BTCYX):
        frames, state = vae.decode(latent, state)
        shown.append(to_uint8(frames[:, -1:] if t == 0 else frames))
    return torch.cat(shown, 1)
