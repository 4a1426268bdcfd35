"""Clips of still pictures: a window drifts and zooms over photographs, so that the autoencoder meets real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import WanderError

PHOTO_CLIPS = 80
"""Clips made of pictures for the autoencoder."""
_STILL = 0.3
"""Share of clips whose window only zooms."""


def drifting_clips(
    folder: Path, count: int, rng: np.random.Generator, *, frames: int = 9, size: tuple[int, int] = (320, 192)
) -> NDArray[np.uint8]:
    """`count` clips uint8 `[count, frames, H, W, 3]` of the PNG and JPEG pictures in a folder.

    A window covers 60 to 90 % of the picture's shorter side and drifts by about three pixels a frame; half of the clips
    are mirrored. Raises `WanderError` if there are no pictures.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if not found:
        raise WanderError(f"there are 0 pictures in {folder}; put PNG or JPEG files there")
    pictures = [Image.open(path).convert("RGB") for path in found]
    return np.stack([_drift(pictures[rng.integers(len(pictures))], rng, frames, size) for _ in range(count)])


def _drift(picture: Image.Image, rng: np.random.Generator, frames: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    whole, window = np.array(picture.size, dtype=np.float64), np.array(size, dtype=np.float64)
    scale = rng.uniform(0.6, 0.9) * (whole / window).min()
    half, zoom = scale * window / 2, 1 + 0.006 * rng.normal()
    speed = rng.normal(size=2) * (3.0, 0.8) * scale * (rng.random() > _STILL)
    centre = rng.uniform(half, whole - half)
    shots = []
    for frame in range(frames):
        reach = np.minimum(half * zoom**frame, whole / 2)
        middle = np.clip(centre + frame * speed, reach, whole - reach)
        (left, top), (right, bottom) = (middle - reach).tolist(), (middle + reach).tolist()
        shots.append(np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom))))
    return np.stack(shots)
