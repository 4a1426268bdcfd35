"""Hands on an explorer in a window that nobody sees, and eyes for where its buttons and words are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pygame
from imgui_bundle import imgui

from app.explorer import Explorer
from app.settings import Settings
from app.walk import Walk
from app.world_spec import spec_for

BEAT = 0.05


class Hands:
    """What a person does to an explorer, and what is seen of it."""

    def __init__(self, explorer, clock):
        self.explorer, self.clock = explorer, clock
        self.ui = explorer.state.ui

    def wait(self, beats=10):
        for _ in range(beats):
            self.clock[0] += BEAT
            self.explorer.beat()

    def post(self, kind, **values):
        pygame.event.post(pygame.event.Event(kind, **values))

    def press(self, key, mod=0):
        self.post(pygame.KEYDOWN, key=key, mod=mod, unicode="")
        self.post(pygame.KEYUP, key=key, mod=mod)
        if mod & pygame.KMOD_CTRL:
            self.post(pygame.KEYUP, key=pygame.K_LCTRL, mod=0)
        self.wait()

    def click(self, x, y):
        self.post(pygame.MOUSEMOTION, pos=(x, y), rel=(0, 0), buttons=(0, 0, 0))
        self.wait(4)
        self.post(pygame.MOUSEBUTTONDOWN, pos=(x, y), button=1)
        self.wait(4)
        self.post(pygame.MOUSEBUTTONUP, pos=(x, y), button=1)
        self.wait(4)

    def type(self, words):
        self.post(pygame.TEXTINPUT, text=words)
        self.wait()

    def pixels(self):
        return self.explorer.window.pixels().astype(int)


@contextmanager
def explorers(window, link) -> Iterator:
    """A function (starts, presets, settings, workers, reach) -> hands on an explorer with its start screen open and a
    world that is ready."""
    opened = []

    def make(starts=(), presets=(), settings=None, workers=(), reach=None):
        clock = [100.0]
        explorer = Explorer(
            window=window, walk=Walk(link), settings=settings or Settings(), preset="fake", starts=starts,
            presets=presets, workers=workers, reach=reach, clock=lambda: clock[0],
        )  # fmt: skip
        opened.append(explorer)
        explorer.open(spec_for("fake", seed=7), menu=True)
        link.world()
        link.pictures(4, grey=200)
        hands = Hands(explorer, clock)
        hands.wait()
        return hands

    pygame.event.clear()
    yield make
    for explorer in opened:
        explorer.screen.close()


class Eyes:
    """Where each button was drawn last, by its label, and all words of the last picture."""

    def __init__(self, monkeypatch):
        self.places: dict[str, tuple[float, float, float, float]] = {}
        """Left, top, right, bottom in pixels."""
        self.words: list[str] = []
        for name in ("button", "invisible_button"):
            monkeypatch.setattr(imgui, name, self._placed(getattr(imgui, name)))
        for name in ("input_text", "input_text_with_hint"):
            monkeypatch.setattr(imgui, name, self._placed(getattr(imgui, name)))
        for name in ("text_unformatted", "set_tooltip"):
            monkeypatch.setattr(imgui, name, self._read(getattr(imgui, name)))
        self._frame = -1

    def centre(self, label, *, exact=False):
        """The middle of the one button whose label has these words, or is them."""
        fits = [place for known, place in self.places.items() if known == label or (label in known and not exact)]
        [found] = fits
        return (found[0] + found[2]) / 2, (found[1] + found[3]) / 2

    def _turn(self):
        if imgui.get_frame_count() != self._frame:
            self._frame = imgui.get_frame_count()
            self.places.clear()
            self.words.clear()

    def _placed(self, draw):
        def drawn(label, *rest):
            self._turn()
            result = draw(label, *rest)
            low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
            self.places[label] = (low.x, low.y, high.x, high.y)
            return result

        return drawn

    def _read(self, draw):
        def drawn(words):
            self._turn()
            self.words.append(words)
            return draw(words)

        return drawn
