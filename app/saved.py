"""Walks that can be gone on with: session files, each with a small picture of where it ended beside it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from app.gallery import Start, StartCard, thumbnail

SHOWN = 4
_SESSIONS, _PICTURES = ".wander", ".jpg"


def keep_picture(session: str, pixels: np.ndarray) -> None:
    """Remember where a session ended, uint8 RGB [H, W, 3]; nothing if its file is on another machine or cannot be."""
    path = Path(session)
    part = path.with_suffix(".part")
    with suppress(OSError):
        if path.is_file():
            Image.fromarray(pixels).save(part, "JPEG", quality=90)
            os.replace(part, path.with_suffix(_PICTURES))


def load_saved(folder: Path, now: float | None = None) -> list[Start]:
    """The sessions of `folder` that were walked last, the newest first. Those without a picture are left out."""
    now = time.time() if now is None else now
    walks: list[Start] = []
    for picture in sorted(folder.glob(f"*{_PICTURES}"), key=_changed, reverse=True):
        session = picture.with_suffix(_SESSIONS)
        if len(walks) == SHOWN or not session.is_file():
            continue
        with suppress(OSError, ValueError):
            card = StartCard(title=title(session.stem, _changed(picture), now))
            walks.append(Start(card=card, image=picture, thumbnail=thumbnail(picture), session=str(session)))
    return walks


def title(stem: str, at: float, now: float) -> str:
    """What a session is called: the name that it was saved under, or when it was left."""
    if not stem.startswith("world-"):
        return stem[:80]
    then, today = time.localtime(at), time.localtime(now)
    days = (time.mktime((*today[:3], 0, 0, 0, 0, 0, -1)) - time.mktime((*then[:3], 0, 0, 0, 0, 0, -1))) / 86_400
    day = {0: "Today", 1: "Yesterday"}.get(round(days)) or time.strftime("%d %b", then)
    return f"{day}, {time.strftime('%H:%M', then)}"


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
