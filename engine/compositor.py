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

from engine.joining import FOLD, fold, join, lacking, lit
from engine.vae import FRAMES_PER_LATENT, Residual

AGREE, AGREE_ON_CHANGE, AGREE_STANDING = 0.1, 0.02, 0.4
"""Difference of local means, in units of [-1, 1], up to which decoded and drawn frames agree; the second while words
are new, since a shower or the dusk may change every pixel by less than the first; the third while the camera stands
and no words are new, since little changes then, and what is wrong would be believed a little more every chunk."""
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
        cells, frames = FOLD**2, FRAMES_PER_LATENT
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
        if steady and decoded.device.type == "cpu" and not torch.is_grad_enabled():
            parts = zip(decoded, drawn, covered, strict=True)
            return torch.stack([self._compiled(*part, agree) for part in parts])
        shown = covered.to(decoded.dtype)[:, :, None]
        if steady:
            light = light_between(*_lacking(decoded, drawn, shown))
            decoded = decoded + _wide(light, decoded).to(decoded.dtype)
        difference = (drawn - decoded) * shown
        x = torch.cat([decoded, difference.to(decoded.dtype), shown], 2).flatten(1, 2)
        y = F.pixel_shuffle(self._told(F.pixel_unshuffle(x, FOLD)), FOLD).contiguous()
        correction, trust = y.unflatten(1, (FRAMES_PER_LATENT, 4)).split((3, 1), 2)
        joined = decoded + torch.sigmoid(trust + _TRUST) * difference + correction
        known = torch.maximum(torch.minimum(joined, torch.maximum(decoded, drawn)), torch.minimum(decoded, drawn))
        differ = _cells(difference)
        apart = disagreement(differ, agree)
        known = drawn + _wide(apart, known) * (known - drawn)
        if steady:
            joined = joined + _wide(continued((1 - apart) * differ, _cells(shown)), joined)
        else:
            joined = joined + _continued((known - decoded) * shown, shown)
        return torch.where(shown > 0, known, joined)

    def _told(self, folded: Tensor) -> Tensor:
        """What the network says of folded frames `[B, 448, H / 4, W / 4]`: correction and trust, folded as well."""
        return self.head(self.body(self.stem(folded)))

    def _compiled(self, decoded: Tensor, drawn: Tensor, covered: Tensor, agree: float) -> Tensor:
        """A steady composition of one latent on a CPU: see `engine.joining`."""
        blurred, known, mask = decoded.float().contiguous().numpy(), drawn.float().contiguous().numpy(), covered.numpy()
        lack, share = map(torch.from_numpy, lacking(blurred, known, mask, _light_cell(decoded)))
        frames = lit(blurred, light_between(lack, share[:, None]).numpy())
        folded, differ = fold(frames, known, mask)
        told = self._told(torch.from_numpy(folded).permute(2, 0, 1)[None]).float()[0].permute(1, 2, 0)
        differ, share = torch.from_numpy(differ), F.avg_pool2d(covered[:, None].float(), FOLD)
        apart = disagreement(differ, agree)
        beyond = continued((1 - apart) * differ, share).numpy()
        return torch.from_numpy(
            join(told.contiguous().numpy(), frames, known, mask, apart[:, 0].numpy(), beyond, _TRUST)
        )


def disagreement(difference: Tensor, agree: float) -> Tensor:
    """0 where decoded and drawn frames agree, 1 where they don't, of their differences in cells, as `_cells` gives
    them: `[N, 3, h, w]` -> `[N, 1, h, w]`.

    They agree where their means around a pixel do, up to `agree`, since a decoded edge is blurred but keeps its mean.
    What agrees is shown as it is drawn, exactly: a picture that stands still would otherwise be corrected again every
    chunk.
    """
    mean = _around(difference).abs().amax(1, keepdim=True)
    return ((mean - agree) / agree).clamp(0, 1)


def light_between(lack: Tensor, shown: Tensor) -> Tensor:
    """What decoded frames lack of the light of the drawn ones, smooth over about a quarter of the picture and continued
    where nothing is shown: of what they lack in cells where it is `shown`, `[N, 3, h, w]` and `[N, 1, h, w]`."""

    def smooth(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 9, 1, 4, count_include_pad=False)

    return smooth(lack) / smooth(shown).clamp_min(0.05)


def continued(change: Tensor, shown: Tensor) -> Tensor:
    """What was changed where something is shown, gone on with beyond its edge, less and less within four cells, so that
    what is new begins in the colours of what it joins: sums over the shown part of cells `[N, 3, h, w]`, and that part
    `[N, 1, h, w]`. From coarse to fine: the finer what differs along the edge, the shorter it goes on."""
    found = torch.zeros_like(change)
    for side in (9, 5, 3):
        lack, share = (
            F.avg_pool2d(x, side, 1, side // 2, count_include_pad=False) for x in (change - found * shown, shown)
        )
        found = found + lack / share.clamp_min(1 / 3)
    return found


def _light_cell(frames: Tensor) -> int:
    """Pixels a side of the cells that light is measured in."""
    return max(frames.shape[-1] // 40, 1)


def _lacking(decoded: Tensor, drawn: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """What `light_between` reads, of frames `[B, 4, 3, H, W]`."""
    cell = _light_cell(decoded)
    lack, share = (F.avg_pool2d(x.float().flatten(0, 1), cell) for x in ((drawn - decoded) * shown, shown))
    return lack, share


def _continued(change: Tensor, shown: Tensor) -> Tensor:
    """What was changed where something is `shown` `[B, 4, 1, H, W]`, continued over seams and the edges of holes, so
    that a new light doesn't leave the old one there: changes `[B, 4, 3, H, W]` -> the same shape, 0 inside holes."""
    return _wide(_around(_cells(change)) / _around(_cells(shown)).clamp_min(0.5), change)


def _cells(x_B4CHW: Tensor) -> Tensor:
    """Means of 4x4 pixels, `[4 B, C, H / 4, W / 4]`."""
    return F.avg_pool2d(x_B4CHW.float().flatten(0, 1), FOLD)


def _around(cells: Tensor) -> Tensor:
    """Means of 3x3 cells `[N, C, h, w]` (of those inside the picture)."""
    return F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def _wide(small: Tensor, like_B4CHW: Tensor) -> Tensor:
    """Small pictures `[4 B, C, h, w]`, smoothly enlarged: `[B, 4, C, H, W]`."""
    wide = F.interpolate(small, size=like_B4CHW.shape[-2:], mode="bilinear")
    return wide.unflatten(0, like_B4CHW.shape[:2])
