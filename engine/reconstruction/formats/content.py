"""What goes into a scan's files, and the axes that each kind of file uses. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Matrix
from engine.reconstruction.cloud import Mesh, PointCloud
from engine.reconstruction.views import DepthViews

UPRIGHT: Matrix = np.diag([1.0, -1.0, -1.0, 1.0])
"""Y-up axes (x right, y up, z backward) from world axes: what glTF demands and viewers of PLY files expect."""
Z_UP: Matrix = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""Z-up axes (x right, y forward, z up) from world axes."""
AS_IS: Matrix = np.eye(4)
"""World axes themselves: x right, y down, z forward."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a scan comes from."""

    session: str
    preset: str
    seed: int
    prompt: str
    checksum: str
    """Of the weights that made the walk."""
    depth_source: str
    fusion: str
    units: str
    """What a unit is, as a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Content:
    """A finished scan."""

    cloud: PointCloud
    """With at least one point."""
    mesh: Mesh | None
    views: DepthViews
    """The views that were fused."""
    voxel: float
    """Units between points, about."""
    origin: Origin

    @property
    def spacing(self) -> NDArray[np.float32]:
        """Distance to the next point `[N]`, units, from how finely the nearest camera saw it."""
        nearest = np.full(len(self.cloud), np.inf, dtype=np.float32)
        for centre in self.views.centres.astype(np.float32):
            np.minimum(nearest, np.linalg.norm(self.cloud.xyz - centre, axis=1), out=nearest)
        return np.maximum(nearest * np.float32(self.views.radians_per_pixel), np.float32(self.voxel))


def turned(vectors: NDArray[np.floating], axes: Matrix) -> NDArray[np.float32]:
    """Points or normals `[N, 3]` in other axes (a rotation `[4, 4]`)."""
    return (vectors @ axes[:3, :3].T).astype(np.float32)
