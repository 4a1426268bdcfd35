"""A walk written down: JSON lines that say which keys are held from when on, where the mouse goes, what is asked for.

`{"t": 1.5, "keys": ["w", "right"], "mouse": [40, 0], "prompt": "it starts to rain", "command": "undo 2"}`

`t` is in seconds from the first picture. Keys, and the mouse in pixels a second, hold until the next line; prompt and
command happen once. Commands are `undo N`, `reset [SEED]`, `new [SEED]`, `pause`, `resume`, `chunk N` and `save`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from app.bindings import key_bits
from app.errors import AppError
from worker.protocol import MAX_PROMPT

ARGUMENTS = {
    "undo": (1, 1),
    "reset": (0, 1),
    "new": (0, 1),
    "pause": (0, 0),
    "resume": (0, 0),
    "chunk": (1, 1),
    "save": (0, 0),
}
"""Command -> fewest and most numbers that follow it."""  # fmt: skip

Pixels = Annotated[float, Meta(ge=-1e5, le=1e5)]


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    t: Annotated[float, Meta(ge=0, le=1e6)]
    keys: tuple[str, ...] = ()
    mouse: tuple[Pixels, Pixels] = (0.0, 0.0)
    prompt: Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT)] | None = None
    command: Annotated[str, Meta(max_length=40)] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cue:
    """One line of a script."""

    at: float
    """Seconds from the first picture."""
    keys: int
    """Bit set of the keys held from now on."""
    mouse: tuple[float, float]
    """Pixels a second, right and down."""
    prompt: str | None
    command: tuple[str, tuple[int, ...]] | None
    """The command's word and its numbers."""


def read_script(path: Path) -> tuple[Cue, ...]:
    """The cues of a script file in their order. Raises `AppError` naming the line that is wrong."""
    try:
        words = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise AppError(f"The script {path} cannot be read: {reason}; check the path.") from error
    return parse_script(words, path.name)


def parse_script(words: str, name: str = "script") -> tuple[Cue, ...]:
    """The cues of a script's text. Raises `AppError` naming the line that is wrong."""
    cues: list[Cue] = []
    for number, line in enumerate(words.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            cues.append(_cue(line))
        except ValueError as error:
            raise AppError(f"Line {number} of {name} is wrong: {error}.") from error
        if len(cues) > 1 and cues[-1].at < cues[-2].at:
            raise AppError(
                f"Line {number} of {name} is wrong: its t is {cues[-1].at} after {cues[-2].at}; sort the lines by t."
            )
    return tuple(cues)


def _cue(line: str) -> Cue:
    read = msgspec.json.decode(line, type=_Line)
    command = _command(read.command) if read.command is not None else None
    return Cue(at=read.t, keys=key_bits(read.keys), mouse=read.mouse, prompt=read.prompt, command=command)


def _command(words: str) -> tuple[str, tuple[int, ...]]:
    word, *numbers = words.split() or [""]
    if word not in ARGUMENTS:
        raise ValueError(f"unknown command {word!r}; commands are {', '.join(ARGUMENTS)}")
    fewest, most = ARGUMENTS[word]
    if not fewest <= len(numbers) <= most or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"{word!r} takes {fewest} to {most} whole numbers, got {' '.join(numbers) or 'none'}")
    return word, tuple(int(number) for number in numbers)


class ScriptReader:
    """Walks through the cues as time passes."""

    def __init__(self, cues: tuple[Cue, ...]) -> None:
        self._waiting: Iterator[Cue] = iter(cues)
        self._next: Cue | None = next(self._waiting, None)
        self.keys = 0
        self.mouse = (0.0, 0.0)

    def until(self, at: float) -> list[Cue]:
        """The cues that begin up to `at` seconds; `keys` and `mouse` then hold."""
        begun: list[Cue] = []
        while self._next is not None and self._next.at <= at:
            begun.append(self._next)
            self.keys, self.mouse = self._next.keys, self._next.mouse
            self._next = next(self._waiting, None)
        return begun
