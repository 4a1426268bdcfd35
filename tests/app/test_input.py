"""Keys and mouse become controls and commands."""

import math

import pygame
import pytest

from app.bindings import COMMAND_KEYS, KEY_NAMES, WORLD_KEYS, Command, key_bits, key_names
from app.input import Controls, InputState, MouseLook, Pressed

W, D, RIGHT = 1 << 0, 1 << 2, 1 << 4


def event(kind, **values):
    return pygame.event.Event(kind, **values)


def down(key, mod=0):
    return event(pygame.KEYDOWN, key=key, mod=mod, unicode="")


def up(key):
    return event(pygame.KEYUP, key=key, mod=0)


def motion(dx, dy):
    return event(pygame.MOUSEMOTION, rel=(dx, dy), pos=(0, 0), buttons=(0, 0, 0))


@pytest.fixture
def state():
    return InputState(MouseLook(radians_per_pixel=0.01))


def test_keys_held_together_are_one_bit_set(state):
    for key in (pygame.K_w, pygame.K_RIGHT):
        state.feed(down(key))
    assert state.take().keys == W | RIGHT


def test_a_tap_between_two_looks_is_not_lost(state):
    state.feed(down(pygame.K_w))
    state.feed(up(pygame.K_w))
    assert state.take() == Controls(keys=0, taps=W)
    assert state.take() == Controls()


def test_mouse_moves_add_up_and_are_handed_over_once(state):
    state.captured = True
    for _ in range(3):
        state.feed(motion(2, -1))
    taken = state.take()
    assert (taken.yaw, taken.pitch) == pytest.approx((0.06, 0.03))
    assert state.take().yaw == 0


def test_moving_the_mouse_up_looks_up_unless_inverted():
    assert MouseLook().angles(0, -10)[1] > 0 > MouseLook(invert_y=True).angles(0, -10)[1]


def test_the_free_pointer_does_not_turn_the_head(state):
    state.feed(motion(50, 50))
    assert state.take() == Controls()


def test_a_click_on_the_world_takes_the_pointer_and_one_on_the_panel_does_not(state):
    click = event(pygame.MOUSEBUTTONDOWN, button=1, pos=(5, 5))
    state.feed(click, ui_mouse=True)
    assert not state.captured
    state.feed(click)
    assert state.captured


def test_escape_first_lets_the_pointer_go_and_then_opens_the_menu(state):
    state.captured = True
    assert state.feed(down(pygame.K_ESCAPE)) is None
    assert not state.captured
    assert state.feed(down(pygame.K_ESCAPE)) == Pressed(Command.MENU)


def test_losing_the_focus_releases_every_key_and_the_pointer(state):
    state.captured = True
    state.feed(down(pygame.K_w))
    state.feed(event(pygame.WINDOWFOCUSLOST))
    assert state.keys == 0
    assert not state.captured


def test_typing_in_a_text_box_neither_walks_nor_commands(state):
    for key in (pygame.K_w, pygame.K_r, pygame.K_1, pygame.K_ESCAPE):
        assert state.feed(down(key), ui_keyboard=True) is None
    assert state.take() == Controls()


def test_a_key_held_when_a_text_box_opens_is_released_with_the_finger(state):
    state.feed(down(pygame.K_w))
    state.feed(up(pygame.K_w), ui_keyboard=True)
    assert state.keys == 0


def test_control_z_undoes_and_control_w_does_not_walk(state):
    assert state.feed(down(pygame.K_z, pygame.KMOD_LCTRL)) == Pressed(Command.UNDO)
    assert state.feed(down(pygame.K_w, pygame.KMOD_LCTRL)) is None
    assert state.take() == Controls()


def test_digits_ask_for_quick_events_by_number(state):
    assert state.feed(down(pygame.K_4)) == Pressed(Command.EVENT, 4)


def test_no_key_both_walks_and_commands():
    assert not WORLD_KEYS.keys() & COMMAND_KEYS.keys()


def test_key_names_and_bits_are_inverse():
    for keys in range(256):
        assert key_bits(key_names(keys)) == keys


def test_key_bits_agree_with_the_engine():
    from engine.actions import KEYS

    assert tuple(KEYS) == KEY_NAMES


def test_an_unknown_key_name_is_refused_with_the_valid_ones():
    with pytest.raises(ValueError, match=r"unknown key 'jump'.*w, s, d, a"):
        key_bits(["w", "jump"])


def test_a_full_turn_needs_a_sensible_mouse_way():
    pixels = 2 * math.pi / MouseLook().radians_per_pixel
    assert 1500 < pixels < 5000
