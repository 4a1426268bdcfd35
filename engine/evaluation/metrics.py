"""Scores of pictures against the truth, and what a difference between two methods is worth (paired bootstrap). NumPy;
SSIM is torchmetrics'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Frames = NDArray[np.uint8]
Scores = NDArray[np.float64]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
MAX_PSNR = 60.0
"""Of identical pictures, so that means stay finite."""


def luma(frames: Frames) -> NDArray[np.float32]:
    """Brightness 0..255, `[..., H, W]`, of RGB frames `[..., H, W, 3]`."""
    return frames.astype(np.float32) @ LUMA


def psnr(one: Frames, other: Frames, mask: NDArray[np.bool_] | None = None) -> Scores:
    """Peak signal-to-noise ratio in dB of each frame `[F]`, at most `MAX_PSNR`; NaN where `mask` `[F, H, W]` has no
    pixel."""
    error = np.square(one.astype(np.float32) - other).mean(-1)
    area = np.ones(error.shape, np.float32) if mask is None else mask.astype(np.float32)
    counts = area.sum((-1, -2))
    mean = np.divide(
        (error * area).sum((-1, -2)), counts, out=np.full(counts.shape, np.nan, np.float32), where=counts > 0
    )
    return np.minimum(10 * np.log10(255.0**2 / np.maximum(mean.astype(np.float64), 1e-9)), MAX_PSNR)


def ssim(one: Frames, other: Frames, sigma: float = 1.5) -> Scores:
    """Structural similarity of brightness, each frame `[F]` (Wang et al. 2004: Gaussian window, K = 0.01 and 0.03), as
    torchmetrics computes it."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    a, b = (torch.from_numpy(luma(frames).astype(np.float64))[:, None] for frames in (one, other))
    found = structural_similarity_index_measure(a, b, sigma=sigma, data_range=255.0, reduction="none")
    return np.atleast_1d(np.asarray(found, dtype=np.float64))


def blur(images: Scores, sigma: float, radius: int) -> Scores:
    """Gaussian blur of images `[..., H, W]` cut off at `radius`, edges replicated."""
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (-2, -1):
        size = images.shape[axis]
        places = np.clip(np.arange(size) + offsets[:, None], 0, size - 1)
        images = sum(
            (weight * images.take(place, axis) for weight, place in zip(kernel, places, strict=True)),
            np.zeros_like(images),
        )
    return images


def gradient_energy(frames: Frames) -> Scores:
    """Mean squared brightness step between neighbours, each frame `[F]`: falls with blur, rises with noise."""
    brightness = luma(frames)
    down, across = np.diff(brightness, axis=-2), np.diff(brightness, axis=-1)
    return (np.square(down).mean((-1, -2)) + np.square(across).mean((-1, -2))).astype(np.float64)


def saturation(frames: Frames) -> Scores:
    """Mean of (largest - least) / largest channel, each frame `[F]`: 0 is grey."""
    top, low = frames.max(-1).astype(np.float32), frames.min(-1).astype(np.float32)
    return ((top - low) / np.maximum(top, 1.0)).mean((-1, -2)).astype(np.float64)


def nanmean(values: ArrayLike) -> float:
    """Mean of what is not NaN; NaN, without a warning, where nothing is left."""
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    return float(kept.mean()) if kept.size else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bootstrap:
    """How intervals are drawn."""

    samples: int = 10_000
    confidence: float = 0.95
    seed: int = 0


def interval(
    samples: ArrayLike, config: Bootstrap, statistic: Callable[[Scores], Scores] = lambda drawn: drawn.mean(-1)
) -> tuple[float, float, float]:
    """Statistic of `samples` `[n]` and its percentile bootstrap interval (estimate, low, high); NaN samples are left
    out.

    Pair first, then call: the samples are differences of two methods on the same clips. `statistic` reduces the last
    axis. Raises `ValueError` for fewer than two samples.
    """
    values = np.asarray(samples, dtype=np.float64)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 samples, got {len(values)}")
    picks = np.random.default_rng(config.seed).integers(len(values), size=(config.samples, len(values)))
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(statistic(values[picks]), (tail, 1 - tail))
    return float(statistic(values)), float(low), float(high)


def plain(value: Any) -> Any:
    """The same with floats rounded to four digits after the point, None where not finite: JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if math.isfinite(value) else None
    return value
