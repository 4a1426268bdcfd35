"""The compositor: sharp where the guide shows a surface, the decoder's where it doesn't.

A latent of 16x16 pixels by 4 frames can't hold every edge, but most of what a chunk shows was on screen a moment ago.
The compositor takes the decoded frames and the same frames as the guide draws them (known surfaces, moved), decides
pixel by pixel which to believe, within what the two show, and mends the rest: what is known stays as sharp as it was
first seen, what moved, changed or is new comes from the latents. The autoencoder itself stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.vae import FRAMES_PER_LATENT, Residual

_FOLD = 4
AGREE, AGREE_ON_CHANGE, AGREE_STANDING = 0.1, 0.02, 0.4
"""Difference of local means, in units of [-1, 1], up to which decoded and drawn frames agree; the second while words
are new, since a shower or the dusk may change every pixel by less than the first; the third while the camera stands
and no words are new, since little changes then, and what is wrong would be believed a little more every chunk."""
_SOFT, _SOFTEST = 1.5, 3.0
"""How many times more detail the decoded frames must have than the drawn ones for those to count as soft, and to be
replaced."""
_NO_DETAIL = 4e-4
"""Detail (squared difference of neighbours, in units of [-1, 1]) that is none: noise in flat places."""
_TRUST = 1.0
"""Logit of how far an untrained compositor believes the guide where it covers a pixel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompositorConfig:
    """Width of the network, at a quarter of the picture's size."""

    width: int = 96


class Compositor(nn.Module):
    """Decoded and drawn frames of one latent `[B, 4, 3, H, W]` in [-1, 1], coverage `[B, 4, H, W]` -> frames."""

    def __init__(self, config: CompositorConfig) -> None:
        super().__init__()
        self.config = config
        cells, frames = _FOLD**2, FRAMES_PER_LATENT
        self.stem = nn.Conv2d(cells * frames * 7, config.width, 1)
        self.body = nn.Sequential(Residual(config.width), Residual(config.width))
        self.head = nn.Conv2d(config.width, cells * frames * 4, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, decoded: Tensor, drawn: Tensor, covered: Tensor, agree: float = AGREE, steady: bool = False
    ) -> Tensor:
        """Frames `[B, 4, 3, H, W]`: decoded + trust (drawn - decoded) + a correction; `agree` see `disagreement`.

        Where the light is `steady`, the decoded frames first take on that of the drawn ones.
        """
        shown = covered.to(decoded.dtype)[:, :, None]
        if steady:
            decoded = decoded + light_between(decoded, drawn, shown)
        difference = (drawn - decoded) * shown
        x = torch.cat([decoded, difference.to(decoded.dtype), shown], 2).flatten(1, 2)
        y = F.pixel_shuffle(self.head(self.body(self.stem(F.pixel_unshuffle(x, _FOLD)))), _FOLD).contiguous()
        correction, trust = y.unflatten(1, (FRAMES_PER_LATENT, 4)).split((3, 1), 2)
        joined = decoded + torch.sigmoid(trust + _TRUST) * difference + correction
        known = torch.maximum(torch.minimum(joined, torch.maximum(decoded, drawn)), torch.minimum(decoded, drawn))
        known = drawn + disagreement(difference, agree) * (known - drawn)
        known = known + softness(drawn, decoded) * (decoded - known)
        if not steady:
            joined = joined + _continued((known - decoded) * shown, shown)
        return torch.where(shown > 0, known, joined)


def disagreement(difference: Tensor, agree: float) -> Tensor:
    """0 where decoded and drawn frames agree, 1 where they don't, of differences `[B, 4, 3, H, W]`: `[B, 4, 1, H, W]`.

    They agree where their means around a pixel do, up to `agree`, since a decoded edge is blurred but keeps its mean.
    What agrees is shown as it is drawn, exactly: a picture that stands still would otherwise be corrected again every
    chunk.
    """
    mean = _means(difference).abs().amax(1, keepdim=True)
    return _wide(((mean - agree) / agree).clamp(0, 1), difference)


def softness(drawn: Tensor, decoded: Tensor) -> Tensor:
    """1 where the drawn frames `[B, 4, 3, H, W]` lack the detail of the decoded ones, 0 where they have as much:
    `[B, 4, 1, H, W]`.

    What was invented as haze would otherwise be shown as haze for ever, however well it is made again. Decoding blurs
    what is sharp, so a drawing that once had the decoder's detail is never soft beside it.
    """
    ratio = (_detail(decoded) + _NO_DETAIL) / (_detail(drawn) + _NO_DETAIL)
    return _wide(((ratio - _SOFT) / (_SOFTEST - _SOFT)).clamp(0, 1), drawn)


def _detail(frames: Tensor) -> Tensor:
    """Squared differences of neighbouring pixels' brightness around each pixel, see `_means`."""
    bright = frames.mean(2, keepdim=True)
    across, down = bright.diff(dim=-1), bright.diff(dim=-2)
    return _means(F.pad(across.square(), (0, 1)) + F.pad(down.square(), (0, 0, 0, 1)))


def light_between(decoded: Tensor, drawn: Tensor, shown: Tensor) -> Tensor:
    """What frames `[B, 4, 3, H, W]` lack of the light of the drawn ones: their smooth difference where those are
    `shown` `[B, 4, 1, H, W]`, over about a quarter of the picture, continued where they are not."""
    cell = max(decoded.shape[-1] // 40, 1)

    def smooth(x: Tensor) -> Tensor:
        small = F.avg_pool2d(x.float().flatten(0, 1), cell)
        return F.avg_pool2d(small, 9, 1, 4, count_include_pad=False)

    light = smooth((drawn - decoded) * shown) / smooth(shown).clamp_min(0.05)
    return _wide(light, decoded).to(decoded.dtype)


def _continued(change: Tensor, shown: Tensor) -> Tensor:
    """What was changed where something is `shown` `[B, 4, 1, H, W]`, continued over seams and the edges of holes, so
    that a new light doesn't leave the old one there: changes `[B, 4, 3, H, W]` -> the same shape, 0 inside holes."""
    return _wide(_means(change) / _means(shown).clamp_min(0.5), change)


def _means(x_B4CHW: Tensor) -> Tensor:
    """Means of about 12x12 pixels (of those inside the picture), at a quarter of the size, `[4 B, C, H / 4, W / 4]`."""
    small = F.avg_pool2d(x_B4CHW.float().flatten(0, 1), _FOLD)
    return F.avg_pool2d(small, 3, 1, 1, count_include_pad=False)


def _wide(small: Tensor, like_B4CHW: Tensor) -> Tensor:
    """Small pictures `[4 B, C, h, w]`, smoothly enlarged: `[B, 4, C, H, W]`."""
    wide = F.interpolate(small, size=like_B4CHW.shape[-2:], mode="bilinear")
    return wide.unflatten(0, like_B4CHW.shape[:2])
