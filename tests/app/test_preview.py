"""Walking through a ground-truth world in the window."""

import numpy as np
import pygame
import pytest

from app.preview import PreviewLoop
from app.window import Window
from render.presenter import place


class GreyWorld:
    """A world whose frames are one grey, its seed, and that remembers what was done in it."""

    def __init__(self, seed):
        self.seed, self.steps, self.toggled = seed, [], []

    def step(self, keys, yaw=0.0, pitch=0.0):
        self.steps.append((keys, yaw, pitch))
        return np.full((20, 32, 3), self.seed, np.uint8)

    def toggle(self, family):
        self.toggled.append(family)
        return True


@pytest.fixture
def loop():
    """A loop in a real window without a screen; `loop.worlds` are the worlds it opened."""
    worlds = []
    window = Window((320, 200))
    made = PreviewLoop(window, lambda seed: worlds.append(GreyWorld(seed)) or worlds[-1], seed=90, families=("rain",))
    made.worlds = worlds
    pygame.event.clear()
    yield made
    window.close()


def press(*keys):
    """Key presses in the queue of events."""
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=0, unicode=""))


def test_the_drawn_world_fills_the_window(loop):
    loop.beat()
    left, bottom, width, height = place((32, 20), loop.window.size)
    inner = loop.window.pixels()[bottom + 2 : bottom + height - 2, left + 2 : left + width - 2]
    assert np.abs(inner.astype(int) - 90).max() <= 2


def test_held_keys_walk_and_a_tap_between_two_frames_counts(loop):
    press(pygame.K_w)
    loop.beat()
    loop.beat()
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_w, mod=0))
    loop.beat()
    assert [keys for keys, _, _ in loop.worlds[0].steps] == [1, 1, 0]


def test_digits_make_things_happen(loop):
    press(pygame.K_1, pygame.K_2)
    loop.beat()
    assert loop.worlds[0].toggled == ["rain"]


def test_n_goes_to_the_next_seed_and_r_starts_again(loop):
    press(pygame.K_n, pygame.K_r)
    loop.beat()
    assert [world.seed for world in loop.worlds] == [90, 91, 91]


def test_pausing_stops_the_world_and_not_the_window(loop):
    press(pygame.K_p)
    loop.beat()
    loop.beat()
    assert loop.worlds[0].steps == []


@pytest.mark.parametrize("event", [pygame.event.Event(pygame.QUIT), None])
def test_closing_the_window_or_escape_leaves(loop, event):
    if event is None:
        press(pygame.K_ESCAPE)
    else:
        pygame.event.post(event)
    loop.run()
    assert loop.leaving
