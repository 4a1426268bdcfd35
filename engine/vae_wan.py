"""The autoencoder of the released 5B, Wan 2.2, decoded and encoded latent by latent (SPEC 11.3).

Pictures are folded 2x2 into channels first. Levels with a temporal step double or halve the frames; their first frame
takes no part in it. Module names are those of the public checkpoint. Shape letters: B batch, T latents, F frames, C
channels, Y X latent grid, H W picture (H = 16 Y, W = 16 X); inside the networks tensors are `[B, C, F, H, W]`.
"""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.causal_conv import CausalConv, ChannelNorm, State, Tape, in_groups, pad_front, reach_in_latents, single_head
from engine.spatial import Strip


@dataclass(frozen=True, kw_only=True, slots=True)
class WanVaeConfig:
    """Sizes; the defaults are the released ones."""

    encoder_width: int = 160
    decoder_width: int = 256
    latent_channels: int = 48
    multiples: tuple[int, ...] = (1, 2, 4, 4)
    """Width of each encoder level; the decoder has them in reverse."""
    temporal: tuple[bool, ...] = (False, True, True)
    """Which encoder levels halve the frames."""
    blocks: int = 2
    """Residual blocks of an encoder level; a decoder level has one more."""
    patch: int = 2


def fold(video: Tensor, patch: int) -> Tensor:
    """`[B, 3, F, H, W]` -> `[B, 3 patch^2, F, H / patch, W / patch]`, channels ordered (colour, column, row)."""
    B, C, T, H, W = video.shape
    parts = video.view(B, C, T, H // patch, patch, W // patch, patch)
    return parts.permute(0, 1, 6, 4, 2, 3, 5).reshape(B, C * patch**2, T, H // patch, W // patch)


def unfold(x: Tensor, patch: int) -> Tensor:
    """The inverse of `fold`."""
    B, C, T, H, W = x.shape
    parts = x.view(B, C // patch**2, patch, patch, T, H, W)
    return parts.permute(0, 1, 4, 5, 3, 6, 2).reshape(B, C // patch**2, T, H * patch, W * patch)


def average_down(x: Tensor, width: int, frames: int, space: int) -> Tensor:
    """Shortcut of a down step: blocks of positions join their channel, consecutive groups are averaged to `width`."""
    x = pad_front(x, -x.shape[2] % frames, "zeros")
    B, C, T, H, W = x.shape
    parts = x.view(B, C, T // frames, frames, H // space, space, W // space, space).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(B, width, -1, T // frames, H // space, W // space).mean(2)


def repeat_up(x: Tensor, width: int, frames: int, space: int) -> Tensor:
    """Shortcut of an up step: channels are repeated and dealt out to blocks of `frames` x `space`^2 positions."""
    B, _, T, H, W = x.shape
    repeated = x.repeat_interleave(width * frames * space**2 // x.shape[1], 1)
    parts = repeated.view(B, width, frames, space, space, T, H, W).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return parts.reshape(B, width, T * frames, H * space, W * space)


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, twice, plus input."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = ChannelNorm(width_in), CausalConv(width_in, width_out, "zeros")
        self.norm2, self.conv2 = ChannelNorm(width_out), CausalConv(width_out, width_out, "zeros")
        self.conv_shortcut = nn.Conv3d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> another width, the same grid."""
        y = self.conv1.stream(F.silu(self.norm1(x)), tape)
        return self.conv_shortcut(x) + self.conv2.stream(F.silu(self.norm2(y)), tape)


class SpatialAttention(nn.Module):
    """One head over the positions of a frame, plus input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, axes=2)
        self.to_qkv, self.proj = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, F, H, W]` -> the same shape."""
        frames = x.transpose(1, 2).flatten(0, 1)
        q, k, v = self.to_qkv(self.norm(frames)).unsqueeze(2).chunk(3, 1)
        return x + self.proj(single_head(q, k, v).squeeze(2)).unflatten(0, (x.shape[0], -1)).transpose(1, 2)


class Middle(nn.Module):
    """Block, attention, block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(width, width) for _ in range(2)])
        self.attentions = nn.ModuleList([SpatialAttention(width)])

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> the same shape."""
        first, last = self.resnets
        return last(self.attentions[0](first(x, tape)), tape)


def _per_frame(layer: nn.Module, x: Tensor) -> Tensor:
    """A picture layer on every frame of `[B, C, F, H, W]`."""
    B, _, T = x.shape[:3]
    return layer(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (B, T)).transpose(1, 2)


class Downsampler(nn.Module):
    """Half the grid, then half the frames; the first frame passes the second part unchanged."""

    def __init__(self, width: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(width, width, 3, stride=2))
        self.time_conv = nn.Conv3d(width, width, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> `[B, C, F or F / 2, H / 2, W / 2]`."""
        x = _per_frame(self.resample, x)
        if self.time_conv is None:
            return x
        joined = tape.extend(x, frames=1)
        return x if tape.first else self.time_conv(joined)


class Upsampler(nn.Module):
    """Twice the frames, then twice the grid; the first frame passes the first part unchanged."""

    def __init__(self, width: int, temporal: bool) -> None:
        super().__init__()
        enlarge = nn.Upsample(scale_factor=2, mode="nearest-exact")
        self.resample = nn.Sequential(enlarge, nn.Conv2d(width, width, 3))
        self.time_conv = nn.Conv3d(width, 2 * width, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """`[B, C, F, H, W]` -> `[B, C, F or 2 F, 2 H, 2 W]`."""
        if self.time_conv is not None:
            joined = tape.extend(x[:, :, :0] if tape.first else x)
            if not tape.first:
                y = self.time_conv(pad_front(joined, x.shape[2] + 2 - joined.shape[2], "zeros"))
                x = torch.stack(y.chunk(2, 1), 3).flatten(2, 3)
        enlarge, conv = self.resample
        return _per_frame(conv, tape.pad(_per_frame(enlarge, x), "zeros"))


class DownLevel(nn.Module):
    """Residual blocks and a down step (none in the last level), beside an averaging shortcut around all of them."""

    def __init__(self, width_in: int, width_out: int, blocks: int, step: bool, temporal: bool) -> None:
        super().__init__()
        self.width, self.frames, self.space = width_out, 2 if temporal else 1, 2 if step else 1
        widths = [width_in] + [width_out] * blocks
        self.resnets = nn.ModuleList([ResidualBlock(a, b) for a, b in pairwise(widths)])
        self.downsampler = Downsampler(width_out, temporal) if step else None

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """Frames on this level's grid -> frames on the next."""
        shortcut = average_down(x, self.width, self.frames, self.space)
        for block in self.resnets:
            x = block(x, tape)
        return shortcut + (x if self.downsampler is None else self.downsampler(x, tape))


class UpLevel(nn.Module):
    """Residual blocks and an up step, beside a repeating shortcut around all of them; the last level has neither."""

    def __init__(self, width_in: int, width_out: int, blocks: int, step: bool, temporal: bool) -> None:
        super().__init__()
        self.width, self.frames = width_out, 2 if temporal else 1
        widths = [width_in] + [width_out] * blocks
        self.resnets = nn.ModuleList([ResidualBlock(a, b) for a, b in pairwise(widths)])
        self.upsampler = Upsampler(width_out, temporal) if step else None

    def forward(self, x: Tensor, tape: Tape) -> Tensor:
        """Frames on this level's grid -> frames on the next."""
        y = x
        for block in self.resnets:
            y = block(y, tape)
        if self.upsampler is None:
            return y
        shortcut = repeat_up(x, self.width, self.frames, 2)
        return self.upsampler(y, tape) + (shortcut[:, :, self.frames - 1 :] if tape.first else shortcut)


class Encoder(nn.Module):
    """A folded frame, or a group of four -> features of one latent."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        widths = [config.encoder_width * multiple for multiple in (1, *config.multiples)]
        steps = [*config.temporal, None]
        self.conv_in = CausalConv(3 * config.patch**2, widths[0], "zeros")
        self.down_blocks = nn.ModuleList([
            DownLevel(a, b, config.blocks, step=temporal is not None, temporal=bool(temporal))
            for a, b, temporal in zip(widths, widths[1:], steps, strict=False)])
        self.mid_block, self.norm_out = Middle(widths[-1]), ChannelNorm(widths[-1])
        self.conv_out = CausalConv(widths[-1], 2 * config.latent_channels, "zeros")

    def forward(self, frames: Tensor, tape: Tape) -> Tensor:
        """`[B, 12, 1 | 4, H / 2, W / 2]` -> `[B, 2 C, 1, Y, X]`."""
        y = self.conv_in.stream(frames, tape)
        for level in self.down_blocks:
            y = level(y, tape)
        return self.conv_out.stream(F.silu(self.norm_out(self.mid_block(y, tape))), tape)


class Decoder(nn.Module):
    """One latent -> one folded frame (latent 0) or four."""

    def __init__(self, config: WanVaeConfig) -> None:
        super().__init__()
        multiples = config.multiples[::-1]
        widths = [config.decoder_width * multiple for multiple in (multiples[0], *multiples)]
        steps = [*config.temporal[::-1], None]
        self.conv_in, self.mid_block = CausalConv(config.latent_channels, widths[0], "zeros"), Middle(widths[0])
        self.up_blocks = nn.ModuleList([
            UpLevel(a, b, config.blocks + 1, step=temporal is not None, temporal=bool(temporal))
            for a, b, temporal in zip(widths, widths[1:], steps, strict=False)])
        self.norm_out, self.conv_out = ChannelNorm(widths[-1]), CausalConv(widths[-1], 3 * config.patch**2, "zeros")

    def forward(self, latent: Tensor, tape: Tape, strip: Strip | None = None) -> Tensor:
        """`[B, C, 1, Y, X]` -> `[B, 12, 1 | 4, H / 2, W / 2]`, or the rows of `strip` of that."""
        y = tape.cut(self.mid_block(self.conv_in.stream(latent, tape), tape), strip)
        for level in self.up_blocks:
            y = level(y, tape)
        return self.conv_out.stream(F.silu(self.norm_out(y)), tape)


class WanVae(nn.Module):
    """Streaming autoencoder; `mean` and `std` `[C]` normalise latents for the transformer (published numbers)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: WanVaeConfig, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.config, C = config, config.latent_channels
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quant_conv, self.post_quant_conv = nn.Conv3d(2 * C, 2 * C, 1), nn.Conv3d(C, C, 1)
        self.register_buffer("mean", torch.zeros(C) if mean is None else mean, persistent=False)
        self.register_buffer("std", torch.ones(C) if std is None else std, persistent=False)

    @property
    def reach(self) -> int:
        """Latents, the newest included, on which the decoder's state can depend: two frames for every convolution."""
        level, others = 2 * (self.config.blocks + 1) + 1, len(self.config.multiples) - 2
        return reach_in_latents((5 + level, level, others * level))

    def decode(self, latent_BCYX: Tensor, state: State = (), strip: Strip | None = None) -> tuple[Tensor, State]:
        """One latent of the transformer -> frames `[B, 1 | 4, 3, H, W]` in [-1, 1], and the state for the next.

        Of a whole latent a `strip` decodes its own rows, and its states have those alone.
        """
        tape = Tape(state)
        raw = latent_BCYX * self.std[:, None, None] + self.mean[:, None, None]
        frames = self.decoder(self.post_quant_conv(raw.unsqueeze(2)), tape, strip)
        return unfold(frames, self.config.patch).clamp(-1, 1).transpose(1, 2), tape.state

    def moments(self, frames_BFCHW: Tensor) -> Tensor:
        """Mean and log-variance `[B, T, 2 C, Y, X]` of a clip of 4 k + 1 frames in [-1, 1]."""
        state: State = ()
        latents = []
        for group in in_groups(fold(frames_BFCHW.transpose(1, 2), self.config.patch)):
            tape = Tape(state)
            latents.append(self.quant_conv(self.encoder(group, tape)))
            state = tape.state
        return torch.cat(latents, 2).transpose(1, 2)

    def encode(self, frames_BFCHW: Tensor) -> Tensor:
        """Frames in [-1, 1] -> latents of the transformer `[B, T, C, Y, X]`: the mean, normalised."""
        mean = self.moments(frames_BFCHW).chunk(2, 2)[0]
        return (mean - self.mean[:, None, None]) / self.std[:, None, None]
