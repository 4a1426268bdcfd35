"""The autoencoder of the released 8B, HunyuanVideo 1.5, decoded and encoded latent by latent (SPEC 11.2).

Running it on all latents at once with causal attention, as the public library class does, is another function. Module
names are those of the checkpoint. Shape letters: B batch, T latents, F frames, C channels, Y X latent grid, H W picture
(H = 16 Y, W = 16 X); inside the networks tensors are `[B, C, F, H, W]`.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.causal_conv import (
    CausalConv,
    ChannelNorm,
    State,
    Tape,
    average_channels,
    in_groups,
    reach_in_latents,
    repeat_channels,
    single_head,
)
from engine.spatial import Strip


@dataclass(frozen=True, kw_only=True, slots=True)
class HunyuanVaeConfig:
    """Sizes; the defaults are the released ones."""

    widths: tuple[int, ...] = (128, 256, 512, 1024, 1024)
    blocks: int = 2
    """Residual blocks of an encoder level; a decoder level has one more."""
    latent_channels: int = 32
    scale: float = 1.03682
    """Latents of the transformer are those of the autoencoder times this."""


def space_to_channels(x: Tensor, frames: int) -> Tensor:
    """Moves `frames` time steps, 2 rows and 2 columns into channels, ordered (time, row, column, channel)."""
    B, C, T, H, W = x.shape
    parts = x.view(B, C, T // frames, frames, H // 2, 2, W // 2, 2)
    return parts.permute(0, 3, 5, 7, 1, 2, 4, 6).reshape(B, 4 * frames * C, T // frames, H // 2, W // 2)


def channels_to_space(x: Tensor, frames: int) -> Tensor:
    """The inverse of `space_to_channels`."""
    B, C, T, H, W = x.shape
    parts = x.view(B, frames, 2, 2, C // (4 * frames), T, H, W)
    return parts.permute(0, 4, 5, 1, 6, 2, 7, 3).reshape(B, C // (4 * frames), T * frames, 2 * H, 2 * W)


class Conv(nn.Module):
    """Causal convolution, edges replicated; `conv` in the checkpoint."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = CausalConv(width_in, width_out, "replicate")

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """As many frames as come in."""
        return self.conv.stream(x, tape)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, twice, plus input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = ChannelNorm(width), Conv(width, width)
        self.norm2, self.conv2 = ChannelNorm(width), Conv(width, width)

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> the same shape."""
        y = self.conv1(F.silu(self.norm1(x)), tape)
        return x + self.conv2(F.silu(self.norm2(y)), tape)


class SpatialAttention(nn.Module):
    """One head over the positions of a frame, plus input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv3d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, F, H, W]` -> the same shape."""
        z = self.norm(x)
        return x + self.proj_out(single_head(self.q(z), self.k(z), self.v(z)))


class Middle(nn.Module):
    """Block, attention, block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = ResidualBlock(width), SpatialAttention(width), ResidualBlock(width)

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> the same shape."""
        return self.block_2(self.attn_1(self.block_1(x, tape)), tape)


class Down(nn.Module):
    """Half the grid, and half the frames in temporal levels; the first frame is kept alone."""

    def __init__(self, width_in: int, width_out: int, temporal: bool) -> None:
        super().__init__()
        self.frames, self.width = 2 if temporal else 1, width_out
        self.conv = Conv(width_in, width_out // (4 * self.frames))

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """Convolution beside a shortcut that averages channels."""
        frames = 1 if tape.first else self.frames
        main = space_to_channels(self.conv(x, tape), frames)
        if frames != self.frames:
            main = torch.cat([main, main], 1)
        return main + average_channels(space_to_channels(x, frames), self.width)


class Up(nn.Module):
    """Twice the grid, and twice the frames in temporal levels; the first frame stays one."""

    def __init__(self, width_in: int, width_out: int, temporal: bool) -> None:
        super().__init__()
        self.frames, self.width = 2 if temporal else 1, width_out
        self.conv = Conv(width_in, 4 * self.frames * width_out)

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """Convolution beside a shortcut that repeats channels."""
        frames = 1 if tape.first else self.frames
        main = channels_to_space(self.conv(x, tape), frames)[:, : self.width]
        return main + repeat_channels(channels_to_space(x, frames), self.width)


class Level(nn.Module):
    """Residual blocks of one width, then a step to the next grid; the last level has none."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResidualBlock(width) for _ in range(blocks)])
        self.downsample: Down | None = None
        self.upsample: Up | None = None

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """Frames on this level's grid -> frames on the next."""
        for block in self.block:
            x = block(x, tape)
        step = self.downsample or self.upsample
        return x if step is None else step(x, tape)


class Encoder(nn.Module):
    """A frame, or a group of four, in [-1, 1] -> mean and log-variance of one latent."""

    def __init__(self, config: HunyuanVaeConfig) -> None:
        super().__init__()
        widths = config.widths
        self.moments = 2 * config.latent_channels
        self.conv_in = Conv(3, widths[0])
        self.down = nn.ModuleList([Level(width, config.blocks) for width in widths])
        for index, (level, width_in, width_out) in enumerate(zip(self.down, widths, widths[1:], strict=False)):
            level.downsample = Down(width_in, width_out, temporal=index >= 2)
        self.mid, self.norm_out = Middle(widths[-1]), ChannelNorm(widths[-1])
        self.conv_out = Conv(widths[-1], self.moments)

    def forward(self, frames: Tensor, tape: Tape) -> Tensor:
        """`[B, 3, 1 | 4, H, W]` -> `[B, 2 C, 1, Y, X]`."""
        y = self.conv_in(frames, tape)
        for level in self.down:
            y = level(y, tape)
        y = self.mid(y, tape)
        return self.conv_out(F.silu(self.norm_out(y)), tape) + average_channels(y, self.moments)


class Decoder(nn.Module):
    """One latent -> one frame (latent 0) or four, in about [-1, 1]."""

    def __init__(self, config: HunyuanVaeConfig) -> None:
        super().__init__()
        widths = config.widths[::-1]
        self.conv_in, self.mid = Conv(config.latent_channels, widths[0]), Middle(widths[0])
        self.up = nn.ModuleList([Level(width, config.blocks + 1) for width in widths])
        for index, (level, width_in, width_out) in enumerate(zip(self.up, widths, widths[1:], strict=False)):
            level.upsample = Up(width_in, width_out, temporal=index < 2)
        self.norm_out, self.conv_out = ChannelNorm(widths[-1]), Conv(widths[-1], 3)

    def forward(self, latent: Tensor, tape: Tape, strip: Strip | None = None) -> Tensor:
        """`[B, C, 1, Y, X]` -> `[B, 3, 1 | 4, H, W]`, or the rows of `strip` of that."""
        y = self.conv_in(latent, tape)
        y = tape.cut(self.mid(y + repeat_channels(latent, y.shape[1]), tape), strip)
        for level in self.up:
            y = level(y, tape)
        return self.conv_out(F.silu(self.norm_out(y)), tape)


class HunyuanVae(nn.Module):
    """Streaming autoencoder."""

    def __init__(self, config: HunyuanVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)

    @property
    def reach(self) -> int:
        """Latents, the newest included, on which the decoder's state can depend: two frames for every convolution."""
        level = 2 * (self.config.blocks + 1) + 1
        others = len(self.config.widths) - 2
        return reach_in_latents((5 + level, level, others * level))

    def decode(self, latent_BCYX: Tensor, state: State = (), strip: Strip | None = None) -> tuple[Tensor, State]:
        """One latent of the transformer -> frames `[B, 1 | 4, 3, H, W]` in about [-1, 1], and the next state.

        Of a whole latent a `strip` decodes its own rows, and its states have those alone.
        """
        tape = Tape(state)
        frames = self.decoder(latent_BCYX.unsqueeze(2) / self.config.scale, tape, strip)
        return frames.transpose(1, 2), tape.state

    def moments(self, frames_BFCHW: Tensor) -> Tensor:
        """Mean and log-variance `[B, T, 2 C, Y, X]` of a clip of 4 k + 1 frames in [-1, 1]."""
        state: State = ()
        latents = []
        for group in in_groups(frames_BFCHW.transpose(1, 2)):
            tape = Tape(state)
            latents.append(self.encoder(group, tape))
            state = tape.state
        return torch.cat(latents, 2).transpose(1, 2)

    def encode(self, frames_BFCHW: Tensor) -> Tensor:
        """Frames in [-1, 1] -> latents of the transformer `[B, T, C, Y, X]`: the mean, scaled."""
        return self.moments(frames_BFCHW).chunk(2, 2)[0] * self.config.scale
