"""`scan.json`: what the files beside it mean, so that nobody has to guess axes, units or which way a pose goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.geometry import Matrix, rigid_inverse
from engine.reconstruction.formats.atomic import whole_file
from engine.reconstruction.formats.content import Content
from engine.reconstruction.views import DepthViews

VERSION = 1


def beside(scan: Path) -> Path:
    """Where the sidecar of a scan lies that is one file: under its whole name, since `village.ply` and `village.glb`
    may hold different things."""
    return scan.with_name(f"{scan.name}.scan.json")


def write(content: Content, path: Path, *, format: str, axes: Matrix) -> None:
    """Describe a scan whose points lie in `axes`. Raises `WanderError` where it cannot be written."""
    with whole_file(path) as part:
        part.write_text(json.dumps(describe(content, format, axes), indent=1, ensure_ascii=False), encoding="utf-8")


def describe(content: Content, format: str, axes: Matrix) -> dict[str, Any]:
    """The sidecar as plain values."""
    origin, cloud = content.origin, content.cloud
    low, high = cloud.bounds
    return {
        "version": VERSION,
        "format": format,
        "units": origin.units,
        "handedness": "right",
        "world_axes": {"x": "right", "y": "down", "z": "forward"},
        "camera_axes": {"x": "right", "y": "down", "z": "forward (viewing direction)"},
        "file_from_world": np.round(axes, 9).tolist(),
        "points": len(cloud),
        "triangles": 0 if content.mesh is None else len(content.mesh.triangles),
        "voxel": content.voxel,
        "world_bounds": {"low": low.tolist(), "high": high.tolist()},
        "world_centroid": cloud.xyz.astype(np.float64).mean(0).tolist(),
        "camera": {"width": content.views.size[0], "height": content.views.size[1], "K": pixel_matrix(content.views)},
        "views": _views(content.views),
        "session": origin.session,
        "seed": origin.seed,
        "prompt": origin.prompt,
        "model": {"preset": origin.preset, "weights_sha256": origin.checksum},
        "depth_source": origin.depth_source,
        "fusion": origin.fusion,
    }


def pixel_matrix(views: DepthViews) -> list[list[float]]:
    """K in pixels, the centre of the first pixel at (0.5, 0.5)."""
    width, height = views.size
    return [[views.lens.fx * width, 0, width / 2], [0, views.lens.fy * height, height / 2], [0, 0, 1]]


def _views(views: DepthViews) -> list[dict[str, Any]]:
    c2w, w2c = views.world_from_camera, rigid_inverse(views.world_from_camera)
    return [
        {"frame": int(frame), "c2w": np.round(to_world, 9).tolist(), "w2c": np.round(to_camera, 9).tolist()}
        for frame, to_world, to_camera in zip(views.frame_ids, c2w, w2c, strict=True)
    ]
