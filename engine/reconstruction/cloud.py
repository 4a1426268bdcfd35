"""The point cloud and the mesh that a reconstruction ends in. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PointCloud:
    """N surface points in world axes (OpenCV: x right, y down, z forward; units)."""

    xyz: NDArray[np.float32]
    """`[N, 3]`."""
    rgb: NDArray[np.uint8]
    """`[N, 3]`."""
    normals: NDArray[np.float32]
    """`[N, 3]`, unit length, towards the cameras."""
    confidence: NDArray[np.float32]
    """`[N]`, 0..1."""
    frame: NDArray[np.int32]
    """`[N]`: the frame id of the view that saw it first."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        count = len(self.xyz)
        shapes = [getattr(self, field.name).shape for field in fields(self)]
        if shapes != [(count, 3), (count, 3), (count, 3), (count,), (count,)]:
            raise ValueError(f"a cloud of {count} points has arrays of shapes {shapes}")

    def __len__(self) -> int:
        return len(self.xyz)

    def select(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> PointCloud:
        """The points that an index or a mask `[N]` names."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Smallest and largest coordinates, `[3]` each. There must be a point."""
        return self.xyz.min(0), self.xyz.max(0)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh in world axes."""

    xyz: NDArray[np.float32]
    """Vertices `[N, 3]`."""
    rgb: NDArray[np.uint8]
    """`[N, 3]`."""
    normals: NDArray[np.float32]
    """`[N, 3]`."""
    triangles: NDArray[np.int32]
    """Vertex indices `[M, 3]`."""


def merge_voxels(xyz: NDArray[np.floating], voxel: float) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Which voxel (cube of side `voxel`) each point `[N, 3]` lies in.

    Returns the occupied voxels' packed keys `[K]`, ascending, and each point's place among them `[N]`.
    """
    cell = np.floor(xyz / voxel).astype(np.int64) + (1 << 20)
    if len(cell) and (cell.min() < 0 or cell.max() >= 1 << 21):
        raise ValueError(f"points reach {np.abs(xyz).max():.0f} units, voxels of {voxel} reach {voxel * (1 << 20):.0f}")
    keys, place = np.unique(cell[:, 0] << 42 | cell[:, 1] << 21 | cell[:, 2], return_inverse=True)
    return keys, place
