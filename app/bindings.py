"""Which key does what: world keys (a bit set, ARCHITECTURE.md) and commands of the program."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

import pygame

KEY_NAMES = ("w", "s", "d", "a", "right", "left", "up", "down")
"""World keys in wire order: bit i of a key set is `KEY_NAMES[i]`."""

WORLD_KEYS: dict[int, int] = {
    pygame.K_w: 1 << 0,
    pygame.K_s: 1 << 1,
    pygame.K_d: 1 << 2,
    pygame.K_a: 1 << 3,
    pygame.K_RIGHT: 1 << 4,
    pygame.K_LEFT: 1 << 5,
    pygame.K_UP: 1 << 6,
    pygame.K_DOWN: 1 << 7,
}
"""pygame key code -> world bit."""

LOOK_BITS = 0xF0
"""The four bits that turn the head; the other four walk."""


class Command(Enum):
    """What a key press asks the program (not the world) to do."""

    RESET = auto()
    NEW_SEED = auto()
    PAUSE = auto()
    UNDO = auto()
    HELP = auto()
    FULLSCREEN = auto()
    SCREENSHOT = auto()
    PANEL = auto()
    PROMPT = auto()
    """Open the panel with the cursor in its box for events."""
    MENU = auto()
    PASTE = auto()
    """Start a world from the picture that was copied."""
    EVENT = auto()
    """A quick event; the number travels beside it (`Pressed.number`)."""


COMMAND_KEYS: dict[int, Command] = {
    pygame.K_r: Command.RESET,
    pygame.K_n: Command.NEW_SEED,
    pygame.K_p: Command.PAUSE,
    pygame.K_h: Command.HELP,
    pygame.K_F1: Command.HELP,
    pygame.K_F11: Command.FULLSCREEN,
    pygame.K_F12: Command.SCREENSHOT,
    pygame.K_TAB: Command.PANEL,
    pygame.K_RETURN: Command.PROMPT,
}
"""Plain keys; Ctrl+Z, Esc and the digits are handled beside them in `app.input`."""

SHORTCUTS: tuple[tuple[str, str], ...] = (
    ("W A S D", "Walk"),
    ("Arrows or mouse", "Look around"),
    ("Click / Esc", "Hold / release the mouse"),
    ("Tab", "Side panel"),
    ("Enter", "Say what happens next"),
    ("P", "Pause"),
    ("Ctrl Z", "Undo one chunk"),
    ("R", "Walk this world again"),
    ("N", "A new world"),
    ("Ctrl V", "World from a copied picture"),
    ("1 - 9", "Quick events"),
    ("F11", "Full screen"),
    ("F12", "Screenshot"),
    ("H", "This help"),
)
"""What the help overlay lists, in this order: (keys, meaning)."""


def key_names(keys: int) -> list[str]:
    """The names of the bits set in `keys`, in wire order."""
    return [name for bit, name in enumerate(KEY_NAMES) if keys >> bit & 1]


def key_bits(names: Iterable[str]) -> int:
    """The bit set of key names. Raises `ValueError` naming the first unknown one and the valid ones."""
    bits = 0
    for name in names:
        if name not in KEY_NAMES:
            raise ValueError(f"unknown key {name!r}; keys are {', '.join(KEY_NAMES)}")
        bits |= 1 << KEY_NAMES.index(name)
    return bits
