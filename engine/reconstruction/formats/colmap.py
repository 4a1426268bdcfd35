"""A COLMAP model: `sparse/0/{cameras,images,points3D}.bin` and `images/`, in world axes, which are COLMAP's.

Points carry no tracks: they come from depth, not from matched features.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from engine.geometry import rigid_inverse
from engine.reconstruction.cloud import PointCloud
from engine.reconstruction.formats import images
from engine.reconstruction.formats.atomic import whole_folder
from engine.reconstruction.formats.content import Content
from engine.reconstruction.formats.rotation import quaternions
from engine.reconstruction.views import DepthViews

_PINHOLE = 1
_CAMERA = 1
_POINT = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")])
_UNKNOWN = -1.0
"""COLMAP's reprojection error of a point that has none."""


def write(content: Content, path: Path) -> None:
    """Write the folder. Raises `WanderError` if it exists with something in it or cannot be written."""
    with whole_folder(path) as part:
        images.write(content.views, part / "images")
        model = part / "sparse" / "0"
        model.mkdir(parents=True)
        (model / "cameras.bin").write_bytes(_cameras(content.views))
        (model / "images.bin").write_bytes(_images(content.views))
        (model / "points3D.bin").write_bytes(_points(content.cloud))


def size(content: Content) -> int:
    """Bytes of the folder, about."""
    return images.size(content.views) + 128 * len(content.views) + _POINT.itemsize * len(content.cloud)


def _cameras(views: DepthViews) -> bytes:
    width, height = views.size
    focal = views.lens.fx * width, views.lens.fy * height
    return struct.pack("<QiiQQ4d", 1, _CAMERA, _PINHOLE, width, height, *focal, width / 2, height / 2)


def _images(views: DepthViews) -> bytes:
    camera_from_world = rigid_inverse(views.world_from_camera)
    turns = quaternions(camera_from_world[:, :3, :3])
    data = struct.pack("<Q", len(views))
    for index, name in enumerate(images.names(views)):
        data += struct.pack("<i7di", index + 1, *turns[index], *camera_from_world[index, :3, 3], _CAMERA)
        data += name.encode() + b"\0" + struct.pack("<Q", 0)
    return data


def _points(cloud: PointCloud) -> bytes:
    rows = np.zeros(len(cloud), _POINT)
    rows["id"], rows["xyz"], rows["rgb"], rows["error"] = np.arange(1, len(cloud) + 1), cloud.xyz, cloud.rgb, _UNKNOWN
    return struct.pack("<Q", len(cloud)) + rows.tobytes()
