"""Files that appear whole or not at all: written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import WanderError

_SPARE = 16 * 1024 * 1024
"""Bytes of the disk that a scan leaves free."""


def need_room(place: Path, size: int) -> None:
    """Make the folder of `place` and refuse what has no room there.

    Raises `WanderError` if the folder cannot be made or the disk has less than `size` bytes free.
    """
    folder = place.absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise WanderError(f"{folder} cannot be used ({_reason(error)}); choose another place") from error
    if free < size + _SPARE:
        raise WanderError(
            f"the scan needs {size / 1e6:.0f} MB in {folder}, {free / 1e6:.0f} MB are free; make room there"
        )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name to write to; it becomes `path` when the block ends well, and nothing of it stays otherwise.

    Raises `WanderError` where the system refuses to write, as on a full disk.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(0o644)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from error


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which must not exist or be empty. Raises `WanderError`."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise WanderError(f"{path} exists already and is not an empty folder; choose another name")
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.absolute().parent))
        try:
            yield part
            part.chmod(0o755)
            os.replace(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise _refused(path, error) from error


def _reason(error: OSError) -> str:
    return (error.strerror or "unknown").lower()


def _refused(path: Path, error: OSError) -> WanderError:
    free = shutil.disk_usage(path.absolute().parent).free if path.absolute().parent.is_dir() else 0
    return WanderError(
        f"the scan could not be written to {path} ({_reason(error)}, {free / 1e6:.0f} MB free); "
        "nothing was left there, choose another place"
    )
