"""A nerfstudio data folder: `transforms.json`, `images/` and `points.ply`, in Z-up world axes, cameras in OpenGL's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.reconstruction.formats import images, ply
from engine.reconstruction.formats.atomic import whole_folder
from engine.reconstruction.formats.content import UPRIGHT, Z_UP, Content
from engine.reconstruction.views import DepthViews


def write(content: Content, path: Path) -> None:
    """Write the folder. Raises `WanderError` if it exists with something in it or cannot be written."""
    with whole_folder(path) as part:
        images.write(content.views, part / "images")
        ply.write_points(content.cloud, part / "points.ply", Z_UP)
        (part / "transforms.json").write_text(json.dumps(transforms(content.views), indent=1))


def size(content: Content) -> int:
    """Bytes of the folder, about."""
    return images.size(content.views) + 600 * len(content.views) + ply.POINT.itemsize * len(content.cloud)


def transforms(views: DepthViews) -> dict[str, Any]:
    """The content of transforms.json. OpenGL's camera looks along -z with y up: `UPRIGHT` turns it both ways."""
    width, height = views.size
    cameras = Z_UP @ views.world_from_camera @ UPRIGHT
    return {
        "camera_model": "OPENCV",
        "w": width,
        "h": height,
        "fl_x": views.lens.fx * width,
        "fl_y": views.lens.fy * height,
        "cx": width / 2,
        "cy": height / 2,
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "ply_file_path": "points.ply",
        "frames": [
            {"file_path": f"images/{name}", "transform_matrix": np.round(camera, 9).tolist()}
            for name, camera in zip(images.names(views), cameras, strict=True)
        ],
    }
