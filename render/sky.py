"""Clouds and stars: low-poly shapes far away, shaded by the look of the moment."""

import math
from collections.abc import Callable

import numpy as np

from render.meshes import STRIDE, Part, blend, blob, move, part, rgb, turned
from render.moods import Look

_FAR = 330.0


def clouds(seed: int) -> Callable[[Look, float], list[Part]]:
    """A function of (look, how far weather hides the sky) that gives a world's clouds."""
    rng = np.random.default_rng([7, seed])
    puffs = []
    for _ in range(int(rng.integers(5, 12))):
        angle, height, size = rng.uniform(0, 2 * math.pi), rng.uniform(45, 150), rng.uniform(12, 30)
        for i in range(int(rng.integers(2, 6))):
            ball = blob(size * rng.uniform(0.5, 1.0), flat=rng.uniform(0.3, 0.5), rough=0.08, rng=rng)
            ball = move(ball, x=(i - 1.6) * size * 0.8, up=height + rng.uniform(-0.05, 0.12) * size, z=_FAR)
            puffs.append(part(turned(ball, angle), rgb("#ffffff"), smooth=0.6))
    base = np.concatenate(puffs)
    rise = np.clip(0.5 - 0.5 * base[:, 4:5], 0, 1)

    def drawn(look: Look, cover: float) -> list[Part]:
        if cover > 0.97:
            return []
        out = base.copy()
        low, high = np.array(blend(look.cloud, look.horizon, 0.7)), np.array(blend(look.cloud, look.horizon, cover))
        out[:, 6:9] = (low * (1 - rise) + high * rise) * (1 - cover) + np.array(look.horizon) * cover
        out[:, 10] = 3.0
        return [out]

    return drawn


def stars(seed: int) -> Callable[[Look, np.ndarray], list[Part]]:
    """A function of (look, eye) that gives the stars of a night."""
    rng = np.random.default_rng([8, seed])
    count = 70
    azimuth, rise = rng.uniform(0, 2 * math.pi, count), rng.uniform(0.12, 1.3, count)
    towards = np.stack([np.sin(azimuth) * np.cos(rise), -np.sin(rise), np.cos(azimuth) * np.cos(rise)], -1)
    side = np.stack([np.cos(azimuth), np.zeros(count), -np.sin(azimuth)], -1)
    over = np.cross(towards, side)
    size = rng.uniform(0.9, 2.2, (count, 1))
    corners = np.stack(
        [towards * _FAR - over * size, towards * _FAR + (side + over) * size, towards * _FAR + (over - side) * size], 1
    )
    base = np.zeros((count * 3, STRIDE), np.float32)
    base[:, 4], base[:, 10] = 1.0, 3.0

    def drawn(look: Look, eye: np.ndarray) -> list[Part]:
        if look.stars < 0.05:
            return []
        out = base.copy()
        out[:, :3] = corners.reshape(-1, 3) + eye
        out[:, 6:9] = blend(look.zenith, (0.95, 0.95, 0.85), look.stars)
        return [out]

    return drawn
