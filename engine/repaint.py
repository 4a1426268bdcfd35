"""What a known picture looks like once words have changed the place: fog over it, night, snow (supplement E.2).

The guide shows a place as memory has it, which is as it was; a small transformer that is shown that hardly ever does
what it is told. So pictures from before the words are repainted before they are drawn: at a quarter of their size a
network decides, for every pixel, by how much its colours are multiplied and what is added, so edges stay where they
are. It reads the same sentence vectors as the transformer does, one event at a time; with the opposite sign they ask
for the place without the event, once that is over.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.joining import FOLD
from engine.precision import autocast
from engine.recent import recent
from engine.text import TEXT_WIDTH, encode
from engine.vae import ChannelNorm, Down, Up

Paint = tuple[tuple[str, float], ...]
"""Events that a picture lacks, and how much of each: 1 where nothing of it is there and all of it is to be; -1 where
all of it is there and nothing is to be."""
CAPACITY = 64
"""Pictures kept: more than a guide is drawn from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepainterConfig:
    """Widths at a quarter, an eighth and a sixteenth of the picture's size, and what it has learnt to paint."""

    widths: tuple[int, int, int] = (64, 96, 128)
    families: tuple[str, ...] = ()
    """Events that are the same change of a picture wherever they happen; who comes along and what burns is left to the
    transformer."""


class Told(nn.Module):
    """norm, what was said, SiLU, conv, SiLU, conv, plus input; the identity at initialisation."""

    def __init__(self, width: int, said: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.said = nn.Linear(said, 2 * width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        for p in self.conv2.parameters():
            nn.init.zeros_(p)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """`[B, C, Y, X]` and what was said `[B, S]` -> `[B, C, Y, X]`."""
        scale, shift = self.said(said)[:, :, None, None].chunk(2, 1)
        return x + self.conv2(F.silu(self.conv1(F.silu(self.norm(x) * (1 + scale) + shift))))


class Repainter(nn.Module):
    """Pictures `[B, 3, H, W]` in [-1, 1] and a sentence each `[B, 512]` -> the pictures with what it says; with the
    negative of a sentence: without it.

    H and W are multiples of 16.
    """

    def __init__(self, config: RepainterConfig) -> None:
        super().__init__()
        self.config = config
        (fine, middle, coarse), said = config.widths, 128
        self.read = nn.Sequential(nn.Linear(TEXT_WIDTH, said), nn.SiLU(), nn.Linear(said, said))
        self.look = nn.Linear(coarse, said)
        self.stem = nn.Conv2d(3 * FOLD**2, fine, 3, padding=1)
        self.down1, self.down2 = Down(fine, middle), Down(middle, coarse)
        self.blocks = nn.ModuleList(Told(width, said) for width in (fine, middle, coarse, coarse, middle, fine))
        self.up1, self.up2 = Up(coarse, middle), Up(middle, fine)
        self.head = nn.Conv2d(fine, 6 * FOLD**2, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pictures: Tensor, sentences: Tensor) -> Tensor:
        """See the class."""
        said = self.read(sentences)
        fine = self.blocks[0](self.stem(F.pixel_unshuffle(pictures, FOLD)), said)
        middle = self.blocks[1](self.down1(fine), said)
        x = self.blocks[2](self.down2(middle), said)
        said = said + self.look(F.silu(x.mean((2, 3))))  # what place and hour it is
        x = self.blocks[4](self.up1(self.blocks[3](x, said)) + middle, said)
        x = self.blocks[5](self.up2(x) + fine, said)
        gain, added = F.pixel_shuffle(self.head(x), FOLD).chunk(2, 1)
        return pictures * (1 + gain) + added


class Painted:
    """Pictures under events that they lacked, and without those that are over, the least recently used forgotten: what
    is there by degrees is mixed from a picture without it and the same one with all of it."""

    def __init__(self, model: Repainter) -> None:
        self.model = model
        self._kept: OrderedDict[tuple[int, Paint, str, bool], Tensor] = OrderedDict()

    @torch.inference_mode()
    def get(self, index: int, picture: Tensor, lacks: Paint) -> Tensor:
        """Picture `[3, H, W]` in [-1, 1] of latent `index` with what it `lacks`."""
        for place, (line, amount) in enumerate(lacks):
            key, sign = (index, lacks[:place], line, amount < 0), 1 if amount > 0 else -1
            painted = recent(self._kept, key, partial(self._all_of, picture, line, sign), CAPACITY)
            picture = torch.lerp(picture.float(), painted, abs(amount))
        return picture

    def _all_of(self, picture: Tensor, line: str, sign: int) -> Tensor:
        """A picture with all of what a line says, or wholly without it."""
        sentence = torch.from_numpy(encode(("", line))).to(picture.device) * sign
        with autocast(picture.device):
            return self.model(picture[None], sentence)[0].float().clamp(-1, 1)

    def forget_from(self, index: int) -> None:
        """Drops this latent and all later ones (rewind)."""
        for key in [key for key in self._kept if key[0] >= index]:
            del self._kept[key]
