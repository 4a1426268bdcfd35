"""Stage 3e, heroes: places without and with somebody who walks ahead, and a portrait of that somebody from another view
(`data views --show heroes`)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.depth import signed
from engine.geometry import POCKET_LENS
from engine.hero import HeroConfig, portrait_of, standing
from engine.training.visitors import Batch, read_views
from engine.visitors import Stance, cards_of

SAME, THERE = 0.15, 0.1
"""Share of the samples that paint the very view which the portrait is from, and of those in which the picture that is
given shows the hero already, as the given picture of a world does."""


AMISS = 0.05
"""Standard deviation of the logarithm of how far away heroes are taken to be: in play depth says it."""


@dataclass(frozen=True, slots=True)
class Heroes:
    """Pictures uint8 `[n, 4, H, W, 3]` of a view without and with somebody and of another one, depth half
    `[n, 4, H, W]`, cameras `[n, 2, 4, 4]`, what a sidecar says of each, and how heroes walk."""

    pictures: Tensor
    depth: Tensor
    cameras: NDArray[np.float64]
    facts: list[dict[str, Any]]
    config: HeroConfig

    def of(self, rows: list[int], rng: random.Random) -> Batch:
        """The views of these rows."""
        ends = [0 if rng.random() < SAME else 1 for _ in rows]
        at = [2 * end for end in ends]
        with_hero, still = signed(self.pictures[rows, [a + 1 for a in at]]), signed(self.pictures[rows, at])
        there = torch.tensor([rng.random() < THERE for _ in rows])[:, None, None, None]
        cameras = self.cameras[rows, ends]
        taken = [math.exp(rng.gauss(0, AMISS)) for _ in rows]
        stances = [self._stance(row, end, k) for row, end, k in zip(rows, ends, taken, strict=True)]
        cards = cards_of(stances, cameras, still.shape[2], still.shape[3], POCKET_LENS)
        without, depth = (self.depth[rows, [a + k for a in at]].float() for k in (0, 1))
        portraits = torch.stack([self._portrait(row, k) for row, k in zip(rows, taken, strict=True)])
        shown = cards.where(~cards.behind(1 / without))
        return Batch(torch.where(there, with_hero, still), with_hero, depth < without, shown, portraits)

    def _stance(self, row: int, view: int, taken: float) -> Stance:
        """Of the hero in a view, taken to be so many times as far away as it is."""
        stance, (x, z) = Stance(**self.facts[row]["hero"][view]), self.cameras[row, view, (0, 2), 3]
        return replace(stance, x=x + taken * (stance.x - x), z=z + taken * (stance.z - z))

    def _portrait(self, row: int, taken: float) -> Tensor:
        """From the first view, as if its hero looked straight away from us."""
        camera, stance = self.cameras[row, 0], self._stance(row, 0, taken)
        ahead = math.dist((stance.x, stance.z), camera[(0, 2), 3])
        return portrait_of(signed(self.pictures[row, 1]), standing(camera, ahead), camera, POCKET_LENS)


def load_heroes(folder: Path) -> Heroes:
    """All views of a folder. Raises `WanderError` if nobody walks ahead in them."""
    pictures, depth, cameras, facts, walk = read_views(folder, "heroes", "in 0 of them somebody walks ahead")
    return Heroes(pictures, depth, cameras[:, ::2], facts, HeroConfig(**walk))
