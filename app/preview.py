"""Walking through a ground-truth world in the explorer's window, with the explorer's keys (`launch.py data preview`).

No model and no other process: a frame is drawn for each step. Digits start and end the events, N goes to the next seed,
R starts this world again, Esc leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pygame
from numpy.typing import NDArray

from app.bindings import Command
from app.input import InputState, Pressed
from app.window import Window
from render.presenter import Presenter

STEP_S = 1 / 24
"""Seconds a frame: worlds move in steps of a frame."""


class TrueWorld(Protocol):
    """A world that is drawn; `render.preview.Preview` is one."""

    def step(self, keys: int, yaw: float = 0.0, pitch: float = 0.0) -> NDArray[np.uint8]:
        """The next frame, uint8 [H, W, 3], after one frame of keys (bit set) and mouse look in radians."""
        ...

    def toggle(self, family: str) -> bool:
        """Start an event, or end the one that goes on."""
        ...


class PreviewLoop:
    """Events in, one step of the world, one picture out, 24 times a second or as often as the machine can draw."""

    def __init__(
        self,
        window: Window,
        open_world: Callable[[int], TrueWorld],
        *,
        seed: int,
        families: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.window, self.seed, self.leaving, self.paused = window, seed, False, False
        self._open_world, self._families, self._clock = open_world, families, clock
        self._input, self._presenter = InputState(), Presenter(window.ctx)
        self._open(seed)

    def run(self) -> None:
        """Walk until the person leaves."""
        due = self._clock()
        while not self.leaving:
            self.beat()
            due = max(due + STEP_S, self._clock() - STEP_S)  # behind time: draw on, never hurry to catch up
            time.sleep(max(0.0, due - self._clock()))
        self.window.close()

    def beat(self) -> None:
        """One frame."""
        for event in self.window.events():
            if event.type == pygame.QUIT:
                self.leaving = True
            pressed = self._input.feed(event)
            if pressed is not None:
                self._carry_out(pressed)
        self.window.capture(self._input.captured)
        did = self._input.take()
        if not self.paused:
            self._presenter.upload(self._world.step(did.keys | did.taps, did.yaw, did.pitch))
        self._presenter.draw(self.window.target, self.window.size)
        self.window.flip()

    def _carry_out(self, pressed: Pressed) -> None:
        match pressed.command:
            case Command.MENU:
                self.leaving = True
            case Command.NEW_SEED:
                self._open(self.seed + 1)
            case Command.RESET:
                self._open(self.seed)
            case Command.PAUSE:
                self.paused = not self.paused
            case Command.FULLSCREEN:
                self.window.toggle_fullscreen()
            case Command.SCREENSHOT:
                self.window.screenshot()
            case Command.EVENT if pressed.number <= len(self._families):
                self._world.toggle(self._families[pressed.number - 1])

    def _open(self, seed: int) -> None:
        self.seed, self._world = seed, self._open_world(seed)
        events = "  ".join(f"{number} {family}" for number, family in enumerate(self._families, 1))
        pygame.display.set_caption(f"True world {seed}   N next   R again   {events}")
