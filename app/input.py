"""Keyboard and mouse of one window, as a pure state machine over pygame events.

Nothing here touches SDL: `InputState.feed` takes event objects and returns commands; the window applies `captured`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pygame

from app.bindings import COMMAND_KEYS, WORLD_KEYS, Command

_WITH_CTRL = {pygame.K_z: Command.UNDO, pygame.K_v: Command.PASTE}
_RELEASING = (pygame.WINDOWFOCUSLOST, pygame.WINDOWMINIMIZED)
_QUIET = frozenset({Command.FULLSCREEN, Command.SCREENSHOT, Command.PANEL})
"""Commands that work even while a text box has the keyboard: they type nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MouseLook:
    """How mouse pixels become radians."""

    radians_per_pixel: float = 0.0022
    invert_y: bool = False

    def angles(self, dx: float, dy: float) -> tuple[float, float]:
        """(yaw, pitch) in radians of a move of (dx, dy) pixels; right and up are positive (screen y points down)."""
        sign = 1.0 if self.invert_y else -1.0
        return dx * self.radians_per_pixel, sign * dy * self.radians_per_pixel


@dataclass(frozen=True, slots=True)
class Pressed:
    """A command that was asked for; `number` is the digit of a quick event, else 0."""

    command: Command
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """What the person did since the last `take`: held keys now, keys tapped meanwhile, radians turned meanwhile."""

    keys: int = 0
    taps: int = 0
    yaw: float = 0.0
    pitch: float = 0.0


class InputState:
    """Held keys, taps, summed mouse motion and pointer capture of one window."""

    def __init__(self, look: MouseLook | None = None) -> None:
        self.look = look or MouseLook()
        self.captured = False
        """True while the pointer belongs to the world (hidden, relative)."""
        self.keys = 0
        self._taps = 0
        self._yaw = 0.0
        self._pitch = 0.0

    def feed(self, event: pygame.event.Event, *, ui_keyboard: bool = False, ui_mouse: bool = False) -> Pressed | None:
        """Take one event. `ui_keyboard` / `ui_mouse` say that the panel owns that device for this event.

        Returns the command the event asks for, if any. A key released is always seen, whoever owns the keyboard.
        """
        if event.type in _RELEASING:
            self.release()
        elif event.type == pygame.KEYUP:
            self.keys &= ~WORLD_KEYS.get(event.key, 0)
        elif event.type == pygame.KEYDOWN:
            return self._key_down(event, ui_keyboard)
        elif event.type == pygame.MOUSEMOTION and self.captured:
            yaw, pitch = self.look.angles(*event.rel)
            self._yaw += yaw
            self._pitch += pitch
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and not ui_mouse:
            self.captured = True
        return None

    def take(self) -> Controls:
        """What happened since the last call; mouse motion and taps are handed over exactly once."""
        controls = Controls(keys=self.keys, taps=self._taps, yaw=self._yaw, pitch=self._pitch)
        self._taps, self._yaw, self._pitch = 0, 0.0, 0.0
        return controls

    def release(self) -> None:
        """Let go of every key and of the pointer (focus lost, menu opened)."""
        self.keys = 0
        self.captured = False

    def _key_down(self, event: pygame.event.Event, ui_keyboard: bool) -> Pressed | None:
        if event.key == pygame.K_ESCAPE:
            return None if ui_keyboard else self._escape()
        command = _command(event)
        if ui_keyboard:
            return command if command and command.command in _QUIET else None
        if command is not None:
            return command
        if not event.mod & (pygame.KMOD_CTRL | pygame.KMOD_ALT | pygame.KMOD_META):
            bit = WORLD_KEYS.get(event.key, 0)
            self.keys |= bit
            self._taps |= bit
        return None

    def _escape(self) -> Pressed | None:
        if self.captured:
            self.captured = False
            return None
        return Pressed(Command.MENU)


def _command(event: pygame.event.Event) -> Pressed | None:
    if event.mod & pygame.KMOD_CTRL:
        return Pressed(_WITH_CTRL[event.key]) if event.key in _WITH_CTRL else None
    if event.mod & (pygame.KMOD_ALT | pygame.KMOD_META):
        return None
    if pygame.K_1 <= event.key <= pygame.K_9:
        return Pressed(Command.EVENT, event.key - pygame.K_0)
    command = COMMAND_KEYS.get(event.key)
    return Pressed(command) if command else None
