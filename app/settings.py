"""What the explorer remembers between two starts: a JSON file, checked against a schema, never half-written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MAX_WORDS, MAX_LABEL = 200, 24
Event = Annotated[str, Meta(min_length=1, max_length=MAX_WORDS)]


class QuickEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event that one key makes happen."""

    label: Annotated[str, Meta(min_length=1, max_length=MAX_LABEL)]
    words: Event
    """What the model is told."""


QUICK_EVENTS = tuple(
    QuickEvent(label=label, words=words)
    for label, words in (
        ("Rain", "it starts to rain"),
        ("Snow", "snow begins to fall"),
        ("Fog", "thick fog rolls in"),
        ("Night", "night falls"),
        ("Fire", "a house catches fire"),
        ("Storm", "a thunderstorm breaks out"),
        ("Sunset", "the sun sets"),
        ("Flood", "the water rises and floods the ground"),
        ("It stops", "it stops"),
    )
)
"""Events on the keys 1 to 9."""

Side = Annotated[int, Meta(ge=320, le=16384)]

PictureSize = Literal["", "160x96", "320x192"]
SIZES: dict[PictureSize, tuple[int, int] | None] = {"": None, "160x96": (160, 96), "320x192": (320, 192)}
"""Width and height that a picture size names."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings with their defaults."""

    width: Side = 1280
    height: Side = 768
    fullscreen: bool = False
    ui_scale: Annotated[float, Meta(ge=0.5, le=4.0)] = 1.0
    hud: bool = True
    late_warp: bool = False
    """Turn the last frame at once when the mouse moves, before the model has answered."""
    sharp: bool = True
    """Enlarge pictures with the edge-adaptive filter; without it drawing costs less."""
    mouse_sensitivity: Annotated[float, Meta(ge=0.1, le=10.0)] = 1.0
    invert_y: bool = False
    walls: bool = True
    """Walking stops at walls."""
    chunk: Annotated[int, Meta(ge=1, le=4)] = 4
    """Latents per chunk: 1 answers soonest, 4 runs smoothest."""
    picture: PictureSize = ""
    """Size of the pictures of new worlds; empty for the largest that the machine makes in real time."""
    hints_seen: bool = False
    quick_events: Annotated[tuple[QuickEvent, ...], Meta(max_length=9)] = QUICK_EVENTS
    prompt_history: Annotated[tuple[Event, ...], Meta(max_length=50)] = ()


def settings_path() -> Path:
    """Where settings live: $XDG_CONFIG_HOME/wander/settings.json."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "wander" / "settings.json"


def load_settings(path: Path) -> tuple[Settings, str]:
    """The settings in `path` and a sentence for the user, empty if all is well.

    A missing file gives the defaults; a damaged one is kept beside itself as `.bad` and gives the defaults too.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings), ""
    except FileNotFoundError:
        return Settings(), ""
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return Settings(), _set_aside(path, error)


def save_settings(path: Path, settings: Settings) -> str:
    """Write the settings whole or not at all; returns a sentence if they could not be written, else an empty string."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        return f"The settings could not be saved to {path} ({error.strerror}); they last until you close Wander."
    return ""


def _set_aside(path: Path, error: Exception) -> str:
    bad = path.with_suffix(".bad")
    try:
        os.replace(path, bad)
    except OSError:
        return f"The settings in {path} could not be read ({error}); the defaults are used."
    return f"The settings were damaged ({error}); the old file is kept as {bad.name} and the defaults are used."
