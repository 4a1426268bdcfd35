"""What was copied last, anywhere on the desktop: words, or the name of a file. Pictures: app/copied_picture.py."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pygame

TEXT = "text/plain;charset=utf-8"
_FILES = ("text/uri-list", "x-special/gnome-copied-files", TEXT, "UTF8_STRING")


def read_text() -> str:
    """The words that were copied; empty for none."""
    return (pygame.scrap.get(TEXT) or b"").decode("utf-8", errors="replace")


def write_text(words: str) -> None:
    """Copy words."""
    pygame.scrap.put(TEXT, words.encode())


def copied_file() -> Path | None:
    """The file that was copied, or whose name was; None for anything else."""
    for kind in _FILES:
        words = (pygame.scrap.get(kind) or b"").decode("utf-8", errors="replace")
        path = file_of(words)
        if path is not None:
            return path
    return None


def file_of(words: str) -> Path | None:
    """The first file that exists among the lines of copied words: addresses (file://...) or paths."""
    for line in words.replace("\0", "").splitlines():
        address = urlsplit(line.strip())
        path = Path(unquote(address.path) if address.scheme == "file" else line.strip()).expanduser()
        if path.name and path.is_absolute() and path.is_file():
            return path
    return None
