"""Who comes along under words: walks through a place that stays as it is (supplement E.2).

Like flames, visitors belong to no place: they are added to frames as they leave. Where one walks is chosen once, in
the last picture before the words, and where each of its points is follows from the time; how it looks from there, a
network says that has seen places without and with visitors. It paints on a standing card that is turned to the eye.

Shape letters: B pictures, H W their pixels, P pixels of cards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.geometry import Lens
from engine.guide import Surface, rays
from engine.text import TEXT_WIDTH

WIDE, LOW, HIGH = 2.1, -0.6, 3.1
"""Of a card, metres of a visitor fully there: half its width, and where it ends below and above the feet."""
BROAD, BOTTOM, TOP = 1.05, -0.25, 1.95
"""Of a portrait on it: half its width, and where it ends."""
_AROUND = 0.25
"""Metres around a portrait in which it is looked for whom it shows."""
_STRAIGHT = 1e-6
"""Sine of an angle up to which somebody looks straight away from us, or at us, and not to a side."""
_NEAREST = 0.8
"""Units from the eye up to which nobody is drawn."""
_BEFORE, _BEFORE_AT_LEAST = 0.1, 0.3
"""By how much, of its depth and in units, something must stand before a visitor to hide it: depth isn't exact."""
_BLOCK = 4096
"""Pixels that are looked at together, so that what is said of them stays near the processor."""
_GRID, _SOME = 4, 0.02
"""Every so many rows and columns it is looked for a visitor, who is where so much of a pixel is covered."""
_FINE, _COARSE = 6, 5
"""Octaves in which places are told, on the card and in the visitor."""
_DEPTHS = (-1.2, -0.6, 0.0, 0.6, 1.2)
"""Metres behind the card at which a pixel's ray is told where it is in the visitor."""
_ROWS, _COLUMNS = 3, 4
"""Parts of a picture whose mean colours tell from where the light comes."""
_ASIDE, _AWAY, _ACROSS = 0.35, (5.0, 8.5), (0.9, 2.2)
"""Where visitors come: radians from the middle of the view, units ahead; and radians between their way and ours."""
_ROUND = 4.0
"""Radius of the circle that a visitor walks, units."""
_TRIES, _AHEAD, _PLACES, _TALL = 48, 9.0, 12, 1.3
"""Ways that are looked at, over so many units, at so many places; and how high a visitor reaches there, units."""


@dataclass(frozen=True, slots=True)
class Way:
    """A circle on the ground that somebody walks: from (x, z), at first to `heading`, `turn` radians a unit."""

    x: float
    z: float
    heading: float
    turn: float

    def after(self, units: NDArray[np.floating] | float) -> tuple[NDArray, NDArray, NDArray]:
        """x, z and heading after so many units."""
        heading = self.heading + self.turn * np.asarray(units, np.float64)
        x = self.x + (np.cos(self.heading) - np.cos(heading)) / self.turn
        return x, self.z + (np.sin(heading) - np.sin(self.heading)) / self.turn, heading


@dataclass(frozen=True, slots=True)
class Stance:
    """Who stands at (x, z) facing `heading`, at a `phase` of its step (radians), how far it is there, 0..1, and its
    `stride`, from 0 (it stands) to 1."""

    x: float
    z: float
    heading: float
    phase: float
    there: float = 1.0
    stride: float = 1.0


@dataclass(frozen=True, slots=True)
class Cards:
    """Of B pictures with a visitor each: where pixels are on its card and how they go on behind it `[B, 4, H, W]`,
    metres to the right and up, and the same of each metre away, as if it were fully there and its left were never
    turned to us; their depth, where nothing of the card is nearer than the ground `[B, H, W]`; which pixels show the
    card; how it is seen `[B, 12]`, the sine and cosine of where it looks first (0: away from us); and its `side`, -1
    where right and left are exchanged `[B]`."""

    at: Tensor
    depth: Tensor
    shown: Tensor
    view: Tensor
    side: Tensor

    def where(self, shown: Tensor) -> Cards:
        """The same with only these pixels of it."""
        return replace(self, shown=self.shown & shown)

    def to(self, device: torch.device) -> Cards:
        """The same on a device."""
        return Cards(*(getattr(self, each.name).to(device) for each in fields(self)))

    def behind(self, disparity: Tensor) -> Tensor:
        """Where a place of this disparity `[B, H, W]` (0 where it isn't known, and in the sky) hides the card."""
        nearer = self.depth - (_BEFORE * self.depth).clamp_min(_BEFORE_AT_LEAST)
        return disparity > 1 / nearer.clamp_min(1e-3)


def cards_of(stances: Sequence[Stance], world_from_camera: NDArray[np.float64], H: int, W: int, lens: Lens) -> Cards:
    """The cards of who stands in the pictures of cameras `[B, 4, 4]`."""
    parts = [_card(s, camera, H, W, lens) for s, camera in zip(stances, world_from_camera, strict=True)]
    return Cards(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _card(stance: Stance, camera: NDArray[np.float64], H: int, W: int, lens: Lens) -> tuple[Tensor, ...]:
    eye = camera[:3, 3]
    away = np.array([stance.x, stance.z]) - eye[[0, 2]]
    distance = max(float(np.linalg.norm(away)), 1e-6)
    x, z = away / distance
    turn = torch.from_numpy(camera[:3, :3].astype(np.float32))
    through = rays(H, W, lens, turn.device) @ turn.mT  # [H, W, 3], in the world
    along = through[..., 0] * x + through[..., 2] * z
    there = max(stance.there, 1e-3)
    relative = stance.heading - math.atan2(x, z)
    mirrored = math.sin(relative) < -_STRAIGHT
    side, phase = (-1, stance.phase + math.pi) if mirrored else (1, stance.phase)
    ahead = along.clamp_min(1e-3)
    slope, rise = (through[..., 0] * z - through[..., 2] * x) / ahead, -through[..., 1] / ahead
    at = torch.stack([side * distance * slope / there, (distance * rise - eye[1]) / there, side * slope, rise])
    shown = (along > 1e-3) & (at[0].abs() < WIDE) & (at[1] > LOW) & (at[1] < HIGH)
    shown &= bool(distance > _NEAREST and stance.there > 0)
    ground = -eye[1] / through[..., 1].clamp_min(1e-3)
    turns = [f(k * abs(math.remainder(relative, 2 * math.pi))) for k in (1, 2, 3) for f in (math.sin, math.cos)]
    steps = [stance.stride * f(k * phase) for k in (1, 2) for f in (math.sin, math.cos)]
    view = [*turns, *steps, math.log(distance / (lens.fx * W * there)) / 2 + 2, -eye[1] / distance]
    return (
        at,
        torch.minimum(distance / ahead, ground),
        shown,
        torch.tensor(view, dtype=torch.float32),
        torch.tensor(side),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitorConfig:
    """How fast visitors walk, units a second, and step, radians a second; and the width of the network."""

    walks: float = 0.75
    pace: float = 7.0
    width: int = 96
    families: tuple[str, ...] = ("visitor",)
    worn: int = 0
    """Features of a portrait that are known of each of its places; none where words alone say who it is."""


class VisitorPainter(nn.Module):
    """Pictures `[B, 3, H, W]` in [-1, 1], cards of who stands there, sentences about them `[B, 512]`, features of their
    portraits `[B, worn, h, w]` if there are some -> the pictures with them, and what they cover of these `[B, H, W]`.
    What no card shows stays as it is."""

    def __init__(self, config: VisitorConfig) -> None:
        super().__init__()
        self.config = config
        width, said = config.width, 96
        self.read = nn.Sequential(nn.Linear(TEXT_WIDTH, said), nn.SiLU(), nn.Linear(said, said))
        self.look = nn.Linear(3 * _ROWS * _COLUMNS, said)
        self.know = nn.Linear(said, 6 * width)
        self.view = nn.Linear(12, width)
        self.stem = nn.Linear(4 + 4 * _FINE + 6 * _COARSE * len(_DEPTHS) + 3 + config.worn, width)
        self.body = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, 4)
        nn.init.zeros_(self.know.weight)
        nn.init.constant_(self.head.bias, 0.0)

    def forward(
        self, pictures: Tensor, cards: Cards, sentences: Tensor, worn: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        portraits = [None] * len(pictures) if worn is None else worn
        known = self.read(sentences) + self.look(F.adaptive_avg_pool2d(pictures, (_ROWS, _COLUMNS)).flatten(1))
        films = self.know(F.silu(known)).unflatten(1, (2, 3, -1))  # [B, 2, 3, width]
        views, made, covered = self.view(cards.view), [], []
        for picture, at, shown, facing, view, side, film, portrait in zip(
            pictures, cards.at, cards.shown, cards.view[:, :2], views, cards.side, films, portraits, strict=True
        ):
            row, column = torch.nonzero(shown, as_tuple=True)
            here, place = picture[:, row, column].T, at[:, row, column].T
            known = here if portrait is None else torch.cat([here, _worn_at(portrait, place, side)], 1)
            blocks = zip(place.split(_BLOCK), known.split(_BLOCK), strict=True)
            parts = [self._looks(*block, facing, view, film) for block in blocks]
            covers, colour = torch.cat(parts or [picture.new_zeros(0, 4)]).float().split((1, 3), 1)
            share = torch.sigmoid(covers)
            new = (here + share * (colour - here)).to(picture.dtype)
            made.append(picture.permute(1, 2, 0).index_put((row, column), new).permute(2, 0, 1))
            covered.append(torch.zeros_like(shown, dtype=torch.float32).index_put((row, column), share[:, 0]))
        return torch.stack(made), torch.stack(covered)

    def _looks(self, at: Tensor, known: Tensor, facing: Tensor, view: Tensor, film: Tensor) -> Tensor:
        """How much of each of a card's pixels is covered (a logit), and its colour there `[P, 4]`: of places `[P, 4]`,
        their colours and what is worn there `[P, 3 + worn]`, the way that the visitor looks and how it is seen, and
        what is said of it."""
        x = self.stem(torch.cat([at, _waves(at[:, :2], _FINE), _waves(_within(at, facing), _COARSE), known], 1)) + view
        for layer, scale, shift in zip((nn.Identity(), *self.body), *film, strict=True):
            x = F.silu(layer(x) * (1 + scale) + shift)
        return self.head(x)

    def near(self, pictures: Tensor, cards: Cards, sentences: Tensor, worn: Tensor | None = None) -> Tensor:
        """Pixels `[B, H, W]` of cards at which somebody may be: around those of a grid at which somebody is."""
        grid = torch.zeros_like(cards.shown)
        grid[:, ::_GRID, ::_GRID] = True
        if worn is not None:
            grid &= (cards.at[:, 0].abs() < BROAD + _AROUND) & (cards.at[:, 1] < TOP + _AROUND)
        covers = self(pictures, cards.where(grid), sentences, worn)[1][:, None, ::_GRID, ::_GRID]
        around = F.max_pool2d((covers > _SOME).float(), 3, 1, 1)
        H, W = cards.shown.shape[1:]
        return (F.interpolate(around, scale_factor=_GRID, mode="nearest")[:, 0, :H, :W] > 0) & cards.shown


def _worn_at(portrait: Tensor, at: Tensor, side: Tensor) -> Tensor:
    """What a portrait `[n, h, w]` shows at places of a card `[P, 4]` and its side, 0 beside it, `[P, n]`."""
    spot = torch.stack([side * at[:, 0] / BROAD, 1 - 2 * (at[:, 1] - BOTTOM) / (TOP - BOTTOM)], 1)
    return F.grid_sample(portrait[None], spot[None, None].to(portrait.dtype), align_corners=False)[0, :, 0].T


def _within(at: Tensor, facing: Tensor) -> Tensor:
    """Places `[P, 15]` along the rays of pixels in a visitor's own axes, right, up and ahead."""
    away = torch.tensor(_DEPTHS, device=at.device)
    right, up = at[:, :1] + at[:, 2:3] * away, at[:, 1:2] + at[:, 3:] * away
    sine, cosine = facing
    return torch.cat([right * cosine - away * sine, up, right * sine + away * cosine], 1)


def _waves(places: Tensor, octaves: int) -> Tensor:
    """Sines and cosines of places `[P, n]` and of their doubles, again and again, so that small things can be told
    apart, `[P, 2 n octaves]`."""
    angles = (places[..., None] * 2.0 ** torch.arange(octaves, device=places.device)).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], 1)


def way_of(surface: Surface, lens: Lens, seed: Sequence[int]) -> Way:
    """How somebody may walk who comes into a picture: of some circles drawn from the `seed` the one of which most is in
    view, on bare ground and with nothing before it."""
    rng, camera = np.random.default_rng(seed), surface.world_from_camera
    yaw = math.atan2(camera[0, 2], camera[2, 2])
    best, most = None, -1.0
    for _ in range(_TRIES):
        bearing, away = yaw + rng.uniform(-_ASIDE, _ASIDE), rng.uniform(*_AWAY)
        heading = yaw + rng.choice([-1.0, 1.0]) * rng.uniform(*_ACROSS)
        x, z = camera[0, 3] + away * math.sin(bearing), camera[2, 3] + away * math.cos(bearing)
        way = Way(float(x), float(z), float(heading), float(rng.choice([-1.0, 1.0])) / _ROUND)
        free = _free(way, surface, lens)
        if free > most:
            best, most = way, free
    assert best is not None
    return best


def _free(way: Way, surface: Surface, lens: Lens) -> float:
    """Of the next places of a way the share at which feet and head would be seen, the first ones counting most."""
    H, W = surface.disparity.shape
    x, z, _ = way.after(np.linspace(0, _AHEAD, _PLACES))
    weight, seen = np.linspace(1.5, 0.5, _PLACES), np.ones(_PLACES, bool)
    disparity = surface.disparity.cpu().numpy()
    camera = surface.world_from_camera
    for up in (0.05, _TALL):
        points = (np.stack([x, np.full_like(x, -up), z], 1) - camera[:3, 3]) @ camera[:3, :3]
        depth = np.maximum(points[:, 2], 1e-3)
        columns, rows = (
            ((points[:, :2] / depth[:, None] * [lens.fx, lens.fy] + 0.5) * [W, H] - 0.5).round().T.astype(int)
        )
        inside = (points[:, 2] > 1.5) & (columns >= 0) & (columns < W) & (rows >= 0) & (rows < H)
        place = disparity[rows.clip(0, H - 1), columns.clip(0, W - 1)]
        seen &= inside & (place < 1 / (0.85 * depth))
    return float((weight * seen).mean())
