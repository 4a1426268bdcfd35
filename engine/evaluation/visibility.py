"""What the given frame already shows of a later one, by true depth and poses; and the two baselines that use no model.

Scores must not reward a model for what one frame shows anyway, nor punish it for what no frame could tell: pixels that
the given frame shows and pixels that it can't show are scored apart. NumPy only. Depth is along the camera's z axis, in
metres, inf in the sky.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Lens, Matrix, rigid_inverse

Pixels = NDArray[np.float64]
FAR = 1e4
"""Metres: where the sky is put, so that it has a direction and no parallax."""


def rays(lens: Lens, width: int, height: int) -> Pixels:
    """Points at depth 1 through the pixel centres, `[H, W, 3]`."""
    x = ((np.arange(width) + 0.5) / width - 0.5) / lens.fx
    y = ((np.arange(height) + 0.5) / height - 0.5) / lens.fy
    return np.stack([*np.meshgrid(x, y), np.ones((height, width))], axis=-1)


def project(points: Pixels, lens: Lens, width: int, height: int) -> tuple[Pixels, Pixels]:
    """Pixel positions `[..., 2]` (x, y; the centre of the first pixel is 0, 0) and depths `[...]` of points `[..., 3]`
    in a camera."""
    z = points[..., 2]
    safe = np.where(z > 1e-6, z, 1e-6)
    x = (points[..., 0] / safe * lens.fx + 0.5) * width - 0.5
    y = (points[..., 1] / safe * lens.fy + 0.5) * height - 0.5
    return np.stack([x, y], axis=-1), z


def visible_in(
    given_depth: NDArray[np.floating],
    given_pose: Matrix,
    depth: NDArray[np.floating],
    pose: Matrix,
    lens: Lens,
    tolerance: float = 0.06,
) -> NDArray[np.bool_]:
    """Pixels `[H, W]` of a view (true depth `[H, W]`, world_from_camera `[4, 4]`) whose surface the given view shows.

    A pixel's point must fall inside the given picture and be no deeper there than the farthest of the given depths
    around it, but for a relative `tolerance`; the sky is a surface too, seen where the given view has sky.
    """
    height, width = depth.shape
    points = rays(lens, width, height) * np.minimum(depth.astype(np.float64), FAR)[..., None]
    given_from_view = rigid_inverse(given_pose) @ pose
    at, z = project(points @ given_from_view[:3, :3].T + given_from_view[:3, 3], lens, width, height)
    column, row = np.rint(at[..., 0]), np.rint(at[..., 1])
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = (np.where(inside, place, 0).astype(np.intp) for place in (column, row))
    return inside & (np.minimum(z, FAR) <= (1 + tolerance) * _farthest_around(given_depth)[row, column])


def _farthest_around(depth: NDArray[np.floating]) -> Pixels:
    """The largest depth in each 3x3 neighbourhood: a grazing or thin surface isn't lost to rounding."""
    padded = np.pad(np.minimum(depth.astype(np.float64), FAR), 1, mode="edge")
    height, width = depth.shape
    return np.max([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def rotate_view(picture: NDArray[np.uint8], given_pose: Matrix, pose: Matrix, lens: Lens) -> NDArray[np.uint8]:
    """The given picture `[H, W, 3]` as a camera turned to `pose` would see it if all were far away; what it doesn't
    show is filled with the nearest pixels of its edge."""
    height, width = picture.shape[:2]
    turned = rays(lens, width, height) @ (given_pose[:3, :3].T @ pose[:3, :3]).T
    turned[..., 2] = np.maximum(turned[..., 2], 1e-3)
    at, _ = project(turned, lens, width, height)
    return sample(picture, at)


def sample(picture: NDArray[np.uint8], at: Pixels) -> NDArray[np.uint8]:
    """Bilinear samples of a picture `[H, W, 3]` at pixel positions `[..., 2]`, clamped to its edge."""
    height, width = picture.shape[:2]
    x, y = np.clip(at[..., 0], 0, width - 1), np.clip(at[..., 1], 0, height - 1)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - across) + picture[top, right] * across
    lower = picture[below, left] * (1 - across) + picture[below, right] * across
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)
