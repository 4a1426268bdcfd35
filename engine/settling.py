"""Depth whose edges are those of the picture: a weighted median (Ma et al., "Constant time weighted median filtering
for stereo matching and beyond", 2013).

A network's depth is a ramp where one thing ends before another, and uneven on a thing that is flat. Every pixel that
isn't ground takes the median of the depths around it, in which those of its own colour, and those that are known well,
count most: a value of one side or of the other, never one between them. So what is drawn from elsewhere doesn't tear.

Shape letters: V views, H W picture. Compiled, on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from engine.depth import FARTHEST, Depth, confidence, prior_of


@dataclass(frozen=True, kw_only=True, slots=True)
class SettlingConfig:
    """The taps, and what counts."""

    taps: int = 3
    """On each side of a pixel, across and down."""
    spacing: int = 160
    """One tap a pixel in pictures that are so wide, one of two in those twice as wide."""
    colour: float = 0.15
    """Difference of colours (pictures are in [-1, 1]) at which a tap counts by a quarter."""
    ground: float = 0.05
    """Relative difference from the ground's disparity up to which a pixel is ground, and stays as it is."""
    times: int = 2
    steps: int = 9
    """Halvings of the range in which a median is looked for."""


SETTLING = SettlingConfig()


@torch.no_grad()
def settled(depth: Depth, pictures_V3HW: Tensor, ground_VHW: Tensor, config: SettlingConfig = SETTLING) -> Depth:
    """Estimates `[V, H, W]` whose edges are those of the pictures, in [-1, 1]; `ground` is the ground's disparity."""
    disparity, sure = depth.disparity.clamp_min(1 / FARTHEST).log(), confidence(depth)
    free = (disparity - prior_of(ground_VHW).log()).abs() > config.ground
    parts = (each.cpu().numpy() for each in (disparity.float(), pictures_V3HW.float(), sure.float(), free))
    found = np.stack([_settled(a, b, c, d, config) for a, b, c, d in zip(*parts, strict=True)])
    return replace(depth, disparity=torch.from_numpy(found).to(depth.disparity.device).exp())


def _settled(values: NDArray, picture: NDArray, sure: NDArray, free: NDArray, config: SettlingConfig) -> NDArray:
    """Of one view: logarithms of disparity `[H, W]`, the picture `[3, H, W]`, how sure they are, and which are free."""
    step, falls = max(round(values.shape[1] / config.spacing), 1), np.float32(1 / config.colour**2)
    for _ in range(config.times):
        values = _medians(values, picture, sure, free, config.taps * step, step, falls, config.steps)
    return values


@njit(cache=True, nogil=True, fastmath=True)
def _medians(values, picture, sure, free, edge, step, falls, steps):  # pragma: no cover
    """Of every free pixel the least value up to which half of the weight is, as near as `steps` halvings get."""
    H, W = values.shape
    one, half, none = np.float32(1.0), np.float32(0.5), np.float32(0.0)
    out, side = values.copy(), 2 * edge // step + 1
    near, weights = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    for i in range(H):
        for j in range(W):
            if not free[i, j]:
                continue
            count, total = 0, none
            low = high = values[i, j]
            for y in range(i - edge, i + edge + 1, step):
                if y < 0 or y >= H:
                    continue
                for x in range(j - edge, j + edge + 1, step):
                    if x < 0 or x >= W:
                        continue
                    apart = none
                    for channel in range(3):
                        apart += (picture[channel, y, x] - picture[channel, i, j]) ** 2
                    near[count] = values[y, x]
                    weights[count] = sure[y, x] / (one + falls * apart) ** 2
                    total += weights[count]
                    low, high = min(low, near[count]), max(high, near[count])
                    count += 1
            for _ in range(steps):
                middle, below = half * (low + high), none
                for k in range(count):
                    below += weights[k] if near[k] <= middle else none
                if below >= half * total:
                    high = middle
                else:
                    low = middle
            out[i, j] = high
    return out
