"""Binary PLY: points as float x y z, normals, uchar red green blue and float confidence; meshes with triangles.

Y-up axes unless told otherwise. What every viewer reads; a point is 31 bytes with its frame id.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.geometry import Matrix
from engine.reconstruction.cloud import Mesh, PointCloud
from engine.reconstruction.formats.atomic import whole_file
from engine.reconstruction.formats.content import UPRIGHT, Content, turned

_SURFACE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("nx", "<f4"), ("ny", "<f4"), ("nz", "<f4")]
_SURFACE += [("red", "u1"), ("green", "u1"), ("blue", "u1")]
POINT = np.dtype([*_SURFACE, ("confidence", "<f4"), ("frame", "<i4")])
VERTEX = np.dtype(_SURFACE)
FACE = np.dtype([("count", "u1"), ("corners", "<i4", 3)])
_NAMES = {"<f4": "float", "u1": "uchar", "<i4": "int"}


def write(content: Content, path: Path) -> None:
    """The mesh if there is one, else the points. Raises `WanderError` where it cannot be written."""
    if content.mesh is None:
        write_points(content.cloud, path)
    else:
        write_mesh(content.mesh, path)


def size(content: Content) -> int:
    """Bytes of the file, about."""
    if content.mesh is None:
        return 400 + len(content.cloud) * POINT.itemsize
    return 400 + len(content.mesh.xyz) * VERTEX.itemsize + len(content.mesh.triangles) * FACE.itemsize


def write_points(cloud: PointCloud, path: Path, axes: Matrix = UPRIGHT) -> None:
    """Points with all that is known of them, in `axes`."""
    rows = _surface(cloud, POINT, axes)
    rows["confidence"], rows["frame"] = cloud.confidence, cloud.frame
    write_elements(path, [("vertex", rows)])


def write_mesh(mesh: Mesh, path: Path, axes: Matrix = UPRIGHT) -> None:
    """Vertices and triangles, in `axes`."""
    faces = np.empty(len(mesh.triangles), FACE)
    faces["count"], faces["corners"] = 3, mesh.triangles
    write_elements(path, [("vertex", _surface(mesh, VERTEX, axes)), ("face", faces)])


def write_elements(path: Path, elements: list[tuple[str, NDArray[np.void]]]) -> None:
    """Any PLY: element names with their rows. A field that holds three values is a list behind its count."""
    header = ["ply", "format binary_little_endian 1.0", "comment Wander"]
    for name, rows in elements:
        header.append(f"element {name} {len(rows)}")
        if rows.dtype == FACE:
            header.append("property list uchar int vertex_indices")
        else:
            header += [f"property {_NAMES[kind.str.replace('|', '')]} {field}" for field, kind in _fields(rows)]
    with whole_file(path) as part, part.open("wb") as file:
        file.write("\n".join([*header, "end_header", ""]).encode())
        for _, rows in elements:
            file.write(rows.tobytes())


def _fields(rows: NDArray[np.void]) -> list[tuple[str, np.dtype]]:
    names = rows.dtype.names or ()
    return [(name, rows.dtype[name]) for name in names]


def _surface(source: PointCloud | Mesh, dtype: np.dtype, axes: Matrix) -> NDArray[np.void]:
    rows = np.empty(len(source.xyz), dtype)
    rows["x"], rows["y"], rows["z"] = turned(source.xyz, axes).T
    rows["nx"], rows["ny"], rows["nz"] = turned(source.normals, axes).T
    rows["red"], rows["green"], rows["blue"] = source.rgb.T
    return rows
