"""Posed views with depth: what every source of depth gives and everything after it takes.

Shape letters: V views, H W picture, N points. Depth is along the camera's z axis in units (inf in the sky), cameras are
`world_from_camera` in OpenCV axes. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.visibility import project, rays
from engine.geometry import Lens, Matrix, rigid_inverse


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DepthViews:
    """V views of one place."""

    rgb: NDArray[np.uint8]
    """`[V, H, W, 3]`."""
    depth: NDArray[np.float32]
    """`[V, H, W]` along z, inf in the sky."""
    confidence: NDArray[np.float32]
    """`[V, H, W]`, 0..1."""
    static: NDArray[np.bool_]
    """`[V, H, W]`, False on what moves: characters, smoke, rain."""
    world_from_camera: Matrix
    """`[V, 4, 4]`."""
    lens: Lens
    frame_ids: NDArray[np.int64]
    """`[V]`: which latent of its walk each view is."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        picture = self.rgb.shape[:3]
        shapes = self.depth.shape, self.confidence.shape, self.static.shape
        if any(shape != picture for shape in shapes) or self.world_from_camera.shape != (picture[0], 4, 4):
            raise ValueError(f"views of shape {picture} have maps {shapes} and cameras {self.world_from_camera.shape}")
        if self.frame_ids.shape != picture[:1]:
            raise ValueError(f"{picture[0]} views have {self.frame_ids.shape} frame ids")

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.rgb.shape[2], self.rgb.shape[1]

    @property
    def centres(self) -> NDArray[np.float64]:
        """Where the cameras stand, `[V, 3]`."""
        return self.world_from_camera[:, :3, 3]

    @property
    def radians_per_pixel(self) -> float:
        """Angle between neighbouring pixels in the middle of a picture."""
        return 1.0 / (self.lens.fx * self.size[0])

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> DepthViews:
        """The views at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        arrays = {field.name: getattr(self, field.name)[chosen] for field in fields(self) if field.name != "lens"}
        return replace(self, **arrays)


def to_world(depth: NDArray[np.floating], lens: Lens, world_from_camera: Matrix) -> NDArray[np.float64]:
    """The surface point behind each pixel of a depth map `[H, W]`, `[H, W, 3]`; not finite in the sky."""
    with np.errstate(invalid="ignore"):
        points = rays(lens, depth.shape[1], depth.shape[0]) * depth[..., None].astype(np.float64)
        return points @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Where points fall in a picture: flat arrays `[N]`."""

    place: NDArray[np.float64]
    """Pixel position `[N, 2]`, x and y; the centre of the first pixel is 0, 0."""
    pixel: NDArray[np.intp]
    """Index of the nearest pixel in the flattened picture, 0 where `inside` is False."""
    depth: NDArray[np.float64]
    inside: NDArray[np.bool_]


def look_at(points: NDArray[np.floating], lens: Lens, world_from_camera: Matrix, size: tuple[int, int]) -> Seen:
    """World points `[N, 3]` in a picture of `size` (width, height)."""
    width, height = size
    camera = rigid_inverse(world_from_camera)
    place, depth = project(points @ camera[:3, :3].T + camera[:3, 3], lens, width, height)
    with np.errstate(invalid="ignore"):
        column, row = np.rint(place[:, 0]), np.rint(place[:, 1])
        inside = (depth > 1e-6) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = np.where(inside, row * width + column, 0).astype(np.intp)
    return Seen(place, flat, depth, inside)


def neighbours(views: DepthViews, count: int, reach: float) -> list[NDArray[np.intp]]:
    """For each view, up to `count` others that look at the same place from elsewhere, spread over the walk.

    Others qualify when the middle of their field, `reach` ahead, is within `reach` of this view's; among them the
    nearest in place are left out first: equal views can't check each other.
    """
    centres = views.centres
    ahead = centres + 0.5 * reach * views.world_from_camera[:, :3, 2]
    facing = views.world_from_camera[:, :3, 2] @ views.world_from_camera[:, :3, 2].T
    chosen = []
    for index in range(len(views)):
        apart = np.linalg.norm(ahead - ahead[index], axis=1)
        fit = np.flatnonzero((apart < reach) & (facing[index] > 0.3) & (np.arange(len(views)) != index))
        order = fit[np.argsort(np.linalg.norm(centres[fit] - centres[index], axis=1), kind="stable")]
        picks = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.intp))
        chosen.append(order[picks] if len(order) else order)
    return chosen
