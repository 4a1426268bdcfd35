"""What burns, and how its flames and smoke move: in front of a place that stays as it is (supplement E.2).

A fire has a place in the world, and it is chosen once: what stands best in view when the words come. Where each tongue
of flame and each puff of smoke is follows from the site and the time; what they look like, a network says
(engine/air.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.falling import NEAREST, ellipses, pixels
from engine.geometry import Lens
from engine.guide import Surface, rays

MAPS = 5
"""Flames, their feet, young smoke and old smoke, as shares of pixels, and how much light falls on a pixel."""
_TONGUES, _PUFFS = 20, 12
_GOLDEN = math.pi * (3 - math.sqrt(5))
_FAR, _NEAR, _BEST = 25.0, 3.0, 12.0
"""Units: how far what burns may be and must be, and how far it is best."""
_TALL = 1.2
"""Units above the ground: what reaches higher can burn."""
_ASIDE, _FAR_ASIDE = 3.0, 40.0
"""How many units worse something is for each radian that it is out of the middle; and from `_MIDDLE` radians on."""
_WIDE, _SHIFTS = 3.0, 4
"""Units around its middle within which a thing's points are, and how often that is looked for."""
_BEHIND = 0.35
"""How much what is behind the thing that burns counts as covering it, where what is before it counts as 1."""
_MIDDLE = 0.3
_DOUBT = 0.1
"""Of a depth, by how much it may be wrong."""


@dataclass(frozen=True, slots=True)
class Site:
    """A thing that burns: it stands at (x, z), is `size` units high and has a `radius`; of a tree the crown burns."""

    x: float
    z: float
    size: float
    radius: float
    tree: bool = False

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Site:
        """From the sidecar of a shard."""
        return cls(facts["x"], facts["z"], facts["size"], facts["radius"], facts["tree"])


def site_of(surface: Surface, lens: Lens) -> Site:
    """What would burn in a picture: of all that stands, what is nearest to the middle and to a good distance; where
    nothing does, a bonfire on the ground ahead."""
    H, W = surface.disparity.shape
    kept = surface.kept & (surface.disparity > 1 / _FAR)
    depth = 1 / surface.disparity[kept]
    camera = surface.world_from_camera
    seen = (rays(H, W, lens, surface.disparity.device)[kept] * depth[:, None]).cpu().numpy().astype(np.float64)
    points = seen @ camera[:3, :3].T + camera[:3, 3]
    ahead = camera[:3, 2]
    away, aside = np.hypot(seen[:, 0], seen[:, 2]), np.abs(np.arctan2(seen[:, 0], seen[:, 2]))
    tall = (points[:, 1] < -_TALL) & (away > _NEAR)
    if not tall.any():
        x, z = camera[0, 3] + 8 * ahead[0], camera[2, 3] + 8 * ahead[2]
        return Site(float(x), float(z), 2.0, 1.0)
    score = np.abs(away - _BEST) + _ASIDE * aside + _FAR_ASIDE * np.maximum(0.0, aside - _MIDDLE)
    high = points[tall]
    near = high[[np.argmin(score[tall])]]
    for _ in range(_SHIFTS):  # to the middle of the thing, of which that was the best part
        around = np.hypot(*(high - np.median(near, 0))[:, (0, 2)].T) < _WIDE
        near = high[around] if around.any() else near
    x, _, z = np.median(near, 0)
    size = float(np.clip(-np.quantile(near[:, 1], 0.02), 1.5, 6.0))
    across = (near[:, [0, 2]] - [x, z]) @ camera[[0, 2], 0]
    radius = float(np.clip(np.quantile(np.abs(across), 0.9), 0.8, 3.0))
    out = np.array([x, z]) - camera[[0, 2], 3]
    x, z = np.array([x, z]) + 0.5 * radius * out / np.linalg.norm(out)
    return Site(float(x), float(z), size, radius)


def tongues(site: Site, amount: float, time_s: float) -> tuple[NDArray, NDArray, NDArray]:
    """Feet and tips `[N, 3]` of the tongues of flame in the world, and half their widths `[N]`: they lap up the sides
    of the thing, and over it."""
    rng = np.random.default_rng(int(abs(site.x * 131 + site.z * 977)) + 1)
    i = np.arange(_TONGUES)
    share, phase = (i + 0.5) / _TONGUES, rng.uniform(0, 2 * math.pi, _TONGUES)
    low, high = (0.42, 0.78) if site.tree else (0.12, 0.85)
    size = amount * min(site.size, 2.2 * site.radius, 4.5) * np.where(share < 0.2, 1.35, 1.0)
    lick = 0.8 + 0.2 * np.sin(time_s * 11 + phase) + 0.12 * np.sin(time_s * 19 + 2 * phase)
    tall, broad = size * lick * rng.uniform(0.5, 0.85, _TONGUES), size * rng.uniform(0.14, 0.21, _TONGUES)
    out = site.radius * np.minimum(1.0, 1.6 * share)
    up = site.size * (high - (high - low) * np.maximum(0.0, share - 0.35) / 0.65)
    feet = np.stack([site.x + out * np.cos(i * _GOLDEN), -up, site.z + out * np.sin(i * _GOLDEN)], -1)
    lean = 0.35 * tall * np.sin(time_s * 7 + phase)
    return feet, feet + np.stack([lean, -tall, np.zeros(_TONGUES)], -1), broad


def puffs(site: Site, amount: float, time_s: float) -> tuple[NDArray, NDArray, NDArray]:
    """Middles `[N, 3]` of the puffs of smoke in the world, their radii and ages in 0..1 `[N]`: they rise, grow, drift
    and thin out."""
    i = np.arange(_PUFFS)
    age = (time_s * 0.3 + i / _PUFFS) % 1.0
    thins = np.minimum(np.minimum(1.0, 5 * (1 - age)), 0.4 + 6 * age)
    sway = 0.22 * site.size * np.sin(i * _GOLDEN)
    x, z = site.x + 0.8 * site.size * age * age + sway * age, site.z + sway * np.cos(i * 1.7)
    return (
        np.stack([x, -site.size * (0.85 + 2.0 * age), z], -1),
        amount * site.size * (0.12 + 0.32 * age) * thins,
        age,
    )


def flicker(time_s: float) -> float:
    """How bright the fire is now, about 0.8."""
    return 0.8 + 0.2 * math.sin(time_s * 17) * math.sin(time_s * 11.3)


def burning(
    site: Site, amount: float, time_s: float, world_from_camera: NDArray[np.float64], H: int, W: int, lens: Lens
) -> NDArray[np.float32]:
    """`MAPS` of a fire `[5, H, W]` in a camera: see there."""
    feet, tips, broad = tongues(site, amount, time_s)
    middles, radii, age = puffs(site, amount, time_s)
    out, up = feet - [site.x, 0, site.z], np.stack([0 * radii, 0.9 * radii, 0 * radii], -1)
    towards = world_from_camera[(0, 2), 3] - [site.x, site.z]
    before = out[:, (0, 2)] @ towards / (site.radius * max(float(np.linalg.norm(towards)), 1.0))
    front = _BEHIND + (1 - _BEHIND) * np.clip(0.5 + before, 0, 1)
    smoke = np.stack([middles - up, middles + up])
    view = world_from_camera, H, W, lens
    return np.stack([
        ellipses(np.stack([feet, tips]), broad, *view, front, pointed=True),
        ellipses(np.stack([feet, feet + 0.45 * (tips - feet)]), broad, *view, front),
        ellipses(smoke, radii, *view, 1 - age),
        ellipses(smoke, radii, *view, age),
        np.float32(amount * flicker(time_s)) * light_of(site, *view),
    ])  # fmt: skip


def light_of(site: Site, world_from_camera: NDArray[np.float64], H: int, W: int, lens: Lens) -> NDArray[np.float32]:
    """How much of a fire's light falls on each pixel `[H, W]`, 0..1, as if all stood as far away as the fire."""
    middle = (np.array([site.x, -0.8 * site.size, site.z]) - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    if middle[2] < NEAREST:
        return np.zeros((H, W), np.float32)
    column, row = pixels(middle, H, W, lens)
    apart = ((np.arange(W) - column) ** 2 + ((np.arange(H) - row) ** 2)[:, None]) * (middle[2] / (lens.fx * W)) ** 2
    return (1 / (1 + 0.06 * apart)).astype(np.float32)


def hidden(site: Site, world_from_camera: NDArray[np.float64], place_BHW: Tensor) -> Tensor:
    """Pixels `[B, H, W]` in which a place of this disparity (0 where it isn't known) stands before a fire, for cameras
    `[B, 4, 4]`: nearer than what burns, whose depth isn't known exactly."""
    middle = np.array([site.x, -0.5 * site.size, site.z]) - world_from_camera[:, :3, 3]
    depth = (middle * world_from_camera[:, :3, 2]).sum(1)
    nearer = np.maximum(depth - 2 * site.radius - _DOUBT * np.abs(depth), NEAREST / 2)
    return place_BHW > torch.from_numpy(1 / nearer).float()[:, None, None]
