"""All formats by name, and how a scan is saved in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.geometry import Matrix
from engine.reconstruction.formats import colmap, gaussian, glb, nerfstudio, ply, sidecar
from engine.reconstruction.formats.atomic import need_room
from engine.reconstruction.formats.content import AS_IS, UPRIGHT, Z_UP, Content


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file or folder."""

    write: Callable[[Content, Path], None]
    size: Callable[[Content], int]
    """Bytes that it takes, about."""
    axes: Matrix
    """What its coordinates are, from world axes."""
    suffix: str
    """Empty for a folder."""
    mesh: bool = False
    """Whether it can hold one."""


FORMATS = {
    "ply": Format(ply.write, ply.size, UPRIGHT, ".ply", mesh=True),
    "glb": Format(glb.write, glb.size, UPRIGHT, ".glb", mesh=True),
    "colmap": Format(colmap.write, colmap.size, AS_IS, ""),
    "nerfstudio": Format(nerfstudio.write, nerfstudio.size, Z_UP, ""),
    "gaussian": Format(gaussian.write, gaussian.size, AS_IS, ".ply"),
}


def save(content: Content, out: Path, name: str) -> list[Path]:
    """Write a scan in the format `name`, its sidecar beside it (in the folder for folders); returns both paths.

    Raises `WanderError` for a full disk, a folder that is in use or a place that cannot be written.
    """
    chosen = FORMATS[name]
    need_room(out, chosen.size(content))
    chosen.write(content, out)
    beside = sidecar.beside(out) if chosen.suffix else out / "scan.json"
    sidecar.write(content, beside, format=name, axes=chosen.axes)
    return [out, beside]


def format_of(out: Path, name: str | None) -> str:
    """The format `name`, or the one that the ending of `out` says."""
    by_ending = {".ply": "ply", ".glb": "glb", ".json": "nerfstudio"}
    return name or by_ending.get(out.suffix.lower(), "ply")
