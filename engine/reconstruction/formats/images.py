"""The views' pictures as PNG files, for formats that refer to them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from engine.reconstruction.views import DepthViews


def names(views: DepthViews) -> list[str]:
    """A file name for each view."""
    return [f"frame_{frame:05d}.png" for frame in views.frame_ids]


def write(views: DepthViews, folder: Path) -> None:
    """One PNG a view into a new folder."""
    folder.mkdir()
    for name, picture in zip(names(views), views.rgb, strict=True):
        Image.fromarray(picture).save(folder / name)


def size(views: DepthViews) -> int:
    """Bytes that they take at most, about."""
    return views.rgb.nbytes
