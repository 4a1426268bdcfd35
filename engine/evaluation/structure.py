"""Whether two pictures show the same place, whatever the weather: do edges run the same way?

Light and weather change how strong an edge is, even which side of it is brighter, but not its direction. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.metrics import blur, luma

Frames = NDArray[np.uint8]
EDGES, LAYOUT = 0.8, 3.0
"""Blur in pixels before gradients are taken: lines, and large shapes."""


def agreement(reference: Frames, frames: Frames, sigma: float) -> NDArray[np.float64]:
    """Mean of cos 2a over the edges of each reference frame `[F]`, a the angle between the directions of both.

    1 is the same place, about 0 another. Edges count by their strength in the reference, up to its 95th percentile.
    """
    across_a, down_a = _gradients(reference, sigma)
    across_b, down_b = _gradients(frames, sigma)
    strength_a, strength_b = np.hypot(across_a, down_a), np.hypot(across_b, down_b)
    cosine = (across_a * across_b + down_a * down_b) / np.maximum(strength_a * strength_b, 1e-9)
    same = np.where(strength_b > 1e-9, 2 * np.square(cosine) - 1, 0.0)
    weight = np.minimum(strength_a, np.quantile(strength_a, 0.95, axis=(-1, -2), keepdims=True))
    total = weight.sum((-1, -2))
    flat = np.full(total.shape, np.nan)
    return np.divide((weight * same).sum((-1, -2)), total, out=flat, where=total > 1e-9)


def _gradients(frames: Frames, sigma: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Central differences of blurred brightness, across and down, `[F, H - 2, W - 2]`."""
    smooth = blur(luma(frames).astype(np.float64), sigma, round(3 * sigma))
    across, down = smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2], smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]
    return across, down


def changed(one: Frames, other: Frames, step: int) -> NDArray[np.float64]:
    """Share of the pixels of each frame `[F]` that differ by more than `step` in some colour."""
    return (np.abs(one.astype(np.int16) - other).max(-1) > step).mean((-1, -2))
