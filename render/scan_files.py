"""Reads a scan back for the window: a binary PLY of points and the scan.json beside it. Nothing but NumPy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TYPES = {"float": "<f4", "uchar": "u1", "int": "<i4", "double": "<f8"}
_MOST_HEADER = 4_096


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScannedCloud:
    """N points in world axes (OpenCV: y down) and the V cameras that saw them."""

    xyz: NDArray[np.float32]
    """`[N, 3]`."""
    rgb: NDArray[np.uint8]
    """`[N, 3]`."""
    confidence: NDArray[np.float32]
    """`[N]`."""
    time: NDArray[np.float32]
    """`[N]`: 0 for points seen first at the start of the walk, 1 at its end."""
    cameras: NDArray[np.float64]
    """World_from_camera `[V, 4, 4]`, in the order of the walk."""
    name: str


def read_scan(path: Path) -> ScannedCloud:
    """The points of a PLY file written by a scan. Raises `ValueError` with a sentence for any other file."""
    try:
        rows = read_points(path)
        about = json.loads(path.with_name(f"{path.name}.scan.json").read_text(encoding="utf-8"))
        file_from_world = np.array(about["file_from_world"], dtype=np.float64)
        cameras = np.array([view["c2w"] for view in about["views"]], dtype=np.float64).reshape(-1, 4, 4)
        xyz = np.stack([rows["x"], rows["y"], rows["z"]], axis=1) @ file_from_world[:3, :3]
        rgb = np.stack([rows["red"], rows["green"], rows["blue"]], axis=1)
        frames = [view["frame"] for view in about["views"]]
        first, last = min(frames), max(frames)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be shown ({error}); choose a scan made by Wander") from error
    time = (rows["frame"].astype(np.float32) - first) / max(1, last - first)
    return ScannedCloud(
        xyz=xyz.astype(np.float32), rgb=rgb, confidence=rows["confidence"].copy(), time=time, cameras=cameras,
        name=path.name,
    )  # fmt: skip


def read_points(path: Path) -> NDArray[np.void]:
    """The rows of a binary PLY's vertices. Raises `ValueError` if it is none or not whole."""
    with path.open("rb") as file:
        head = file.read(_MOST_HEADER)
        end = head.find(b"end_header\n")
        if not head.startswith(b"ply\nformat binary_little_endian 1.0\n") or end < 0:
            raise ValueError("it is not a binary PLY")
        count, fields = _header(head[:end].decode("ascii").splitlines())
        file.seek(end + len(b"end_header\n"))
        dtype = np.dtype(fields)
        data = file.read(count * dtype.itemsize)
    if len(data) < count * dtype.itemsize or count == 0:
        raise ValueError(f"it has {len(data) // max(1, dtype.itemsize)} of {count} points")
    return np.frombuffer(data, dtype)


def _header(lines: list[str]) -> tuple[int, list[tuple[str, str]]]:
    """How many vertices there are, and their fields."""
    count, fields = 0, []
    for words in (line.split() for line in lines):
        if words[:2] == ["element", "vertex"]:
            count = int(words[2])
        elif words[:1] == ["element"]:
            break
        elif words[:1] == ["property"]:
            fields.append((words[2], _TYPES[words[1]]))
    return count, fields
