"""Binary glTF 2.0: the points (or the mesh) in Y-up axes, with colours and normals, unlit."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.reconstruction.formats.atomic import whole_file
from engine.reconstruction.formats.content import UPRIGHT, Content, turned

_POINTS, _TRIANGLES = 0, 4
_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_TAGS = {"JSON": 0x4E4F534A, "BIN": 0x004E4942}


def write(content: Content, path: Path) -> None:
    """The mesh if there is one, else the points. Raises `WanderError` where it cannot be written."""
    surface = content.mesh or content.cloud
    buffers = [
        (turned(surface.xyz, UPRIGHT), "VEC3", _FLOAT, _VERTICES),
        (turned(surface.normals, UPRIGHT), "VEC3", _FLOAT, _VERTICES),
        (linear(surface.rgb), "VEC4", _USHORT, _VERTICES),
    ]
    if content.mesh is not None:
        buffers.append((content.mesh.triangles.astype("<u4").ravel(), "SCALAR", _UINT, _INDICES))
    document, binary = _document(buffers)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with whole_file(path) as part, part.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary)))
        file.write(struct.pack("<II", len(text), _TAGS["JSON"]) + text)
        file.write(struct.pack("<II", len(binary), _TAGS["BIN"]) + binary)


def size(content: Content) -> int:
    """Bytes of the file, about."""
    triangles = 0 if content.mesh is None else len(content.mesh.triangles)
    return 2_000 + 32 * len((content.mesh or content.cloud).xyz) + 12 * triangles


def linear(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Display colours `[N, 3]` as glTF wants them: linear light, `[N, 4]` with full opacity, 0..65535."""
    value = np.arange(256) / 255
    table = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    opaque = np.full((len(rgb), 1), 65535, np.uint16)
    return np.hstack([np.rint(65535 * table).astype(np.uint16)[rgb], opaque])


def _document(buffers: list[tuple[NDArray[Any], str, int, int]]) -> tuple[dict[str, Any], bytes]:
    """The JSON part and the binary part of arrays (values, shape, type, use); every array starts at 4 bytes."""
    accessors, views, parts, offset = [], [], [], 0
    for index, (values, shape, kind, target) in enumerate(buffers):
        data = np.ascontiguousarray(values).tobytes()
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(data), "target": target})
        accessor = {"bufferView": index, "componentType": kind, "count": len(values), "type": shape}
        if index == 0:
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        if kind == _USHORT:
            accessor["normalized"] = True
        accessors.append(accessor)
        parts.append(data)
        offset += len(data)
    binary = b"".join(parts)
    primitive: dict[str, Any] = {"attributes": {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}, "material": 0}
    primitive |= {"mode": _POINTS} if len(buffers) == 3 else {"mode": _TRIANGLES, "indices": 3}
    document = {
        "asset": {"version": "2.0", "generator": "Wander"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "scan"}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"extensions": {"KHR_materials_unlit": {}}, "doubleSided": True}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return document, binary
