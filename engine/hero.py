"""Who walks ahead of the camera in a third-person world: a character that goes as the keys say.

The given picture shows it from behind. It is taken out of that picture, so that the place is remembered without it, and
painted into the frames as they leave, where the path of the camera says that it is and which way it goes. How somebody
looks from any side, a network says that has seen many walk: it reads the portrait that the given picture holds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.actions import POCKET, heading
from engine.geometry import Lens
from engine.guide import Surface
from engine.precision import autocast
from engine.text import TEXT_WIDTH
from engine.visitors import BOTTOM, BROAD, TOP, Cards, Stance, VisitorConfig, VisitorPainter, cards_of
from engine.walls import character_ahead

PORTRAIT = (44, 42)
"""Rows and columns of a portrait: a hero is seen as large as that from where it walks."""
_COMMA, _WORDS, _AHEAD = "[,\uff0c]", "[^,\uff0c.\u3002]*", "(?:\\bwalks ahead\\b|走在前面)"
_CLAUSE = f"{_WORDS}{_AHEAD}{_WORDS}"
_SAID = re.compile(f"^{_CLAUSE}{_COMMA}?\\s*|{_COMMA}{_CLAUSE}")
"""What captions say of who walks ahead."""
_TURNS, _STARTS = 0.82, 0.76
"""How much of the way to where it goes a character turns within a latent, and of the way to its full stride."""
_STEPS = 8
"""Latents whose movement still shows in how it goes."""
_COVERED, _BESIDE = 0.15, 2
"""From what share on a pixel is taken out of the given picture, and so many pixels around it."""
_SHADE = (0.6, 0.22)
"""Metres to both sides of its feet, and up and down, that its shadow is taken out of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeroConfig:
    """How fast heroes step, radians a second, the width of the network, and the features of a portrait."""

    pace: float = 9.5
    width: int = 96
    features: int = 12


class HeroPainter(nn.Module):
    """Pictures `[B, 3, H, W]` in [-1, 1], cards of who stands there and their portraits `[B, 3, h, w]` -> the pictures
    with them, and what they cover of these `[B, H, W]`."""

    def __init__(self, config: HeroConfig) -> None:
        super().__init__()
        self.config = config
        self.painter = VisitorPainter(VisitorConfig(width=config.width, families=(), worn=config.features))
        self.fine = nn.Conv2d(3, 24, 3, padding=1)
        self.middle, self.coarse = nn.Conv2d(24, 48, 4, 2, 1), nn.Conv2d(48, 64, 4, 2, 1)
        self.who = nn.Linear(64 * 12, TEXT_WIDTH)
        self.back, self.worn = nn.Conv2d(64 + 48, 48, 3, padding=1), nn.Conv2d(48 + 24, config.features, 3, padding=1)

    def forward(self, pictures: Tensor, cards: Cards, portraits: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        return self.painter(pictures, cards, *self.meet(portraits))

    def meet(self, portraits: Tensor) -> tuple[Tensor, Tensor]:
        """Who portraits show `[B, 512]`, and what is worn where `[B, features, h, w]`: what `painter` reads."""
        fine = F.silu(self.fine(portraits))
        middle = F.silu(self.middle(fine))
        coarse = F.silu(self.coarse(middle))
        who = self.who(F.adaptive_avg_pool2d(coarse, (4, 3)).flatten(1))
        back = F.silu(self.back(torch.cat([_as_large(coarse, middle), middle], 1)))
        return who, self.worn(torch.cat([_as_large(back, fine), fine], 1))


def _as_large(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, other.shape[-2:], mode="bilinear", align_corners=False)


def place_of(caption: str) -> str:
    """A caption without who walks ahead: what the transformer reads of it where somebody was met, or it would draw them
    as well."""
    return _SAID.sub("", caption)


def portrait_of(picture: Tensor, stance: Stance, world_from_camera: NDArray[np.float64], lens: Lens) -> Tensor:
    """The portrait `[3, h, w]` that a picture `[3, H, W]` holds of who stands there as if it looked away from us."""
    eye = world_from_camera[:3, 3]
    away = np.array([stance.x, stance.z]) - eye[[0, 2]]
    x, z = away / max(float(np.hypot(*away)), 1e-6)
    rows, columns = PORTRAIT
    right = ((np.arange(columns) + 0.5) / columns * 2 - 1) * BROAD
    up = TOP - (np.arange(rows) + 0.5) / rows * (TOP - BOTTOM)
    right, up = np.meshgrid(right, up)
    points = np.stack([stance.x + right * z, -up, stance.z - right * x], -1)
    seen = (points - eye) @ world_from_camera[:3, :3]
    depth = np.maximum(seen[..., 2:], 1e-3)
    at = torch.from_numpy((2 * seen[..., :2] / depth * [lens.fx, lens.fy]).astype(np.float32)).to(picture.device)
    return F.grid_sample(picture[None].float(), at[None], align_corners=False, padding_mode="border")[0]


def standing(world_from_camera: NDArray[np.float64], ahead: float) -> Stance:
    """Who stands so far ahead of a camera and looks where it looks."""
    yaw, eye = float(heading(world_from_camera)[0]), world_from_camera[:3, 3]
    return Stance(eye[0] + ahead * math.sin(yaw), eye[2] + ahead * math.cos(yaw), yaw, 0.0, stride=0.0)


def gait(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """How somebody goes who walks ahead of the last camera of a path `[T, 4, 4]`: to the right and ahead, as the camera
    sees it (where it faces), and its stride, `[3]`. It turns and sets out within a few latents, and stands as it
    came."""
    right, along, stride = 0.0, 1.0, 0.0
    moved = np.diff(path[:, [0, 2], 3], axis=0)
    speed = np.minimum(np.hypot(*moved.T) / (POCKET.move * POCKET.steps_per_latent), 1.0)
    yaw = heading(path[1:])[0]
    for t in np.flatnonzero(speed > 1e-3)[-_STEPS:]:
        x, z = moved[t] / np.hypot(*moved[t])
        s, c = math.sin(yaw[t]), math.cos(yaw[t])
        right += _TURNS * (x * c - z * s - right)
        along += _TURNS * (x * s + z * c - along)
    for each in speed[-_STEPS:]:
        stride += _STARTS * (each - stride)
    return np.array([right, along, stride])


@dataclass(frozen=True, slots=True)
class Hero:
    """Who walks so far `ahead`, units, and what the painter reads of it: `who` `[1, 512]` and `worn`
    `[1, features, h, w]`."""

    ahead: float
    who: Tensor
    worn: Tensor

    def stances(
        self,
        path: NDArray[np.float64],
        latent: int,
        cameras: NDArray[np.float64],
        times: NDArray[np.float64],
        pace: float,
    ) -> list[Stance]:
        """Where it stands in the last frames of a latent of a walk `[T, 4, 4]`, those of `cameras` `[F, 4, 4]` at
        `times` `[F]`, seconds."""
        before, after = gait(path[: max(latent, 1)]), gait(path[: latent + 1])
        found = []
        for camera, time_s, share in zip(cameras, times, np.linspace(0, 1, 5)[-len(times) :], strict=True):
            right, along, stride = before + share * (after - before)
            stands = standing(camera, self.ahead)
            facing = stands.heading + math.atan2(right, along)
            found.append(Stance(stands.x, stands.z, facing, pace * float(time_s), stride=float(stride)))
        return found


def meet(painter: HeroPainter, surface: Surface, lens: Lens) -> tuple[Hero, Tensor] | None:
    """Who walks ahead in a lifted picture, and that picture `[3, H, W]` without; None if nobody does."""
    ahead = character_ahead(surface)
    if not ahead:
        return None
    camera, picture = surface.world_from_camera, surface.picture
    stance, (H, W) = standing(camera, ahead), surface.disparity.shape
    with torch.inference_mode(), autocast(picture.device):
        who, worn = painter.meet(portrait_of(picture, stance, camera, lens)[None])
        cards = cards_of([stance], camera[None], H, W, lens).to(picture.device)
        covers = painter.painter(picture[None], cards, who, worn)[1].float()
    side, up = cards.at[0, 0].abs(), cards.at[0, 1]
    shade = cards.shown[0] & (side < _SHADE[0]) & (up.abs() < _SHADE[1])
    taken = ((covers[0] > _COVERED) | shade).float()[None, None]
    taken = F.max_pool2d(taken, 2 * _BESIDE + 1, 1, _BESIDE)[0, 0] > 0
    return Hero(ahead, who.float(), worn.float()), without(picture.float(), taken)


def without(picture: Tensor, taken: Tensor) -> Tensor:
    """A picture `[3, H, W]` in which what is `taken` `[H, W]` goes on from left to right as what is beside it, for
    places are alike along the horizon; rows of which all is taken stay."""
    blurred = F.avg_pool2d(picture, 3, 1, 1, count_include_pad=False).cpu().numpy()
    found, columns = picture.cpu().numpy().copy(), np.arange(picture.shape[2])
    for row, gone in enumerate(taken.cpu().numpy()):
        if gone.any() and not gone.all():
            for channel in range(3):
                found[channel, row, gone] = np.interp(columns[gone], columns[~gone], blurred[channel, row, ~gone])
    return torch.from_numpy(found).to(picture.device)
