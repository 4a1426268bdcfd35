"""Dear ImGui inside a pygame window: events in, text of any script, the composition of an input method drawn."""

from __future__ import annotations

import moderngl
import pygame
from imgui_bundle import imgui

from app import clipboard
from app import theme as look
from app.theme import Theme
from render.fonts import load_fonts
from render.imgui_backend import ImguiRenderer

_K = imgui.Key
_NAMED = {
    "LEFT": _K.left_arrow, "RIGHT": _K.right_arrow, "UP": _K.up_arrow, "DOWN": _K.down_arrow, "PAGEUP": _K.page_up,
    "PAGEDOWN": _K.page_down, "HOME": _K.home, "END": _K.end, "INSERT": _K.insert, "DELETE": _K.delete,
    "BACKSPACE": _K.backspace, "RETURN": _K.enter, "KP_ENTER": _K.keypad_enter, "ESCAPE": _K.escape, "TAB": _K.tab,
    "LSHIFT": _K.left_shift, "RSHIFT": _K.right_shift, "LCTRL": _K.left_ctrl,
    "RCTRL": _K.right_ctrl, "LALT": _K.left_alt, "RALT": _K.right_alt,
}  # fmt: skip
_KEYS = {getattr(pygame, f"K_{name}"): key for name, key in _NAMED.items()}
_SHORTCUTS = {getattr(pygame, f"K_{letter}"): getattr(_K, letter) for letter in "acvxyz"}
"""Letters that edit together with Ctrl. Others come as text alone: ImGui takes in a key and a text on different
pictures, so fast typing would fall behind."""
_LETTERS = {getattr(pygame, f"K_{letter}"): getattr(_K, letter) for letter in "adeqsw"}
"""Letters that are keys where nothing is typed."""
_MODIFIERS = (
    (pygame.KMOD_CTRL, _K.mod_ctrl),
    (pygame.KMOD_SHIFT, _K.mod_shift),
    (pygame.KMOD_ALT, _K.mod_alt),
    (pygame.KMOD_META, _K.mod_super),
)
_BUTTONS = {1: 0, 2: 2, 3: 1}


class Gui:
    """The ImGui context of one window. Use `feed` for every event, then `begin`, widgets, `end` for every picture."""

    def __init__(self, ctx: moderngl.Context, *, scale: float = 1.0) -> None:
        imgui.create_context()
        self.io = imgui.get_io()
        self.io.set_ini_filename("")
        self.io.config_flags |= imgui.ConfigFlags_.no_mouse_cursor_change
        look.apply(scale)
        self.theme = Theme(fonts=load_fonts(look.BASE_SIZE), scale=scale)
        self.renderer = ImguiRenderer(ctx)
        pygame.scrap.init()
        platform = imgui.get_platform_io()
        platform.platform_get_clipboard_text_fn = lambda _: clipboard.read_text()
        platform.platform_set_clipboard_text_fn = lambda _, text: clipboard.write_text(text)
        self.composition = ""
        """What an input method is composing; not yet part of the text."""
        self.flying = False
        """Whether letters are keys: there is no box for text."""
        self._typing = True
        self._set_typing(False)

    @property
    def owns_keyboard(self) -> bool:
        """Whether key presses belong to a text box (or another active widget)."""
        return self.io.want_text_input or imgui.is_any_item_active()

    @property
    def owns_mouse(self) -> bool:
        """Whether the pointer is over a widget rather than the world."""
        return self.io.want_capture_mouse

    def feed(self, event: pygame.event.Event) -> None:
        """Tell ImGui of one pygame event."""
        io = self.io
        match event.type:
            case pygame.MOUSEMOTION:
                io.add_mouse_pos_event(*event.pos)
            case pygame.MOUSEBUTTONDOWN | pygame.MOUSEBUTTONUP if event.button in _BUTTONS:
                io.add_mouse_pos_event(*event.pos)
                io.add_mouse_button_event(_BUTTONS[event.button], event.type == pygame.MOUSEBUTTONDOWN)
            case pygame.MOUSEWHEEL:
                io.add_mouse_wheel_event(0.7 * event.x, 0.7 * event.y)
            case pygame.TEXTINPUT:
                self.composition = ""
                io.add_input_characters_utf8(event.text)
            case pygame.TEXTEDITING:
                self.composition = event.text
            case pygame.KEYDOWN | pygame.KEYUP:
                self._key(event)
            case pygame.WINDOWFOCUSLOST | pygame.WINDOWFOCUSGAINED:
                io.add_focus_event(event.type == pygame.WINDOWFOCUSGAINED)
            case pygame.WINDOWLEAVE:
                io.add_mouse_pos_event(-1e9, -1e9)

    def begin(self, size: tuple[int, int], seconds: float) -> None:
        """Start a picture of `size` pixels, `seconds` after the last one."""
        self.io.display_size = imgui.ImVec2(*size)
        self.io.delta_time = max(seconds, 1e-4)
        imgui.new_frame()

    def end(self, target: moderngl.Framebuffer) -> None:
        """Draw the interface into `target`."""
        self._follow_caret()
        imgui.render()
        self.renderer.draw(imgui.get_draw_data(), target)

    def close(self) -> None:
        """Give the context back."""
        imgui.destroy_context()

    def _key(self, event: pygame.event.Event) -> None:
        for mask, modifier in _MODIFIERS:
            self.io.add_key_event(modifier, bool(event.mod & mask))
        down = event.type == pygame.KEYDOWN
        # while an input method composes, Return and the arrows are its own
        if event.key in _KEYS and not (down and self.composition):
            self.io.add_key_event(_KEYS[event.key], down)
        elif event.key in _LETTERS and (self.flying or not down):
            self.io.add_key_event(_LETTERS[event.key], down)
        elif event.key in _SHORTCUTS and (event.mod & pygame.KMOD_CTRL or not down):
            self.io.add_key_event(_SHORTCUTS[event.key], down)

    def _follow_caret(self) -> None:
        """Place the input method at the caret, and show what it composes there."""
        ime = imgui.get_current_context().platform_ime_data
        self._set_typing(self.io.want_text_input)
        if not ime.want_text_input:
            self.composition = ""
            return
        x, y, height = ime.input_pos.x, ime.input_pos.y, ime.input_line_height
        pygame.key.set_text_input_rect(pygame.Rect(int(x), int(y), 1, int(height)))
        if self.composition:
            self._draw_composition(x, y, height)

    def _draw_composition(self, x: float, y: float, height: float) -> None:
        draw = imgui.get_foreground_draw_list()
        self.theme.push(look.BODY)
        width = imgui.calc_text_size(self.composition).x
        draw.add_rect_filled((x - 2, y - 2), (x + width + 4, y + height + 3), look.u32(look.RAISED_ACTIVE), 4)
        draw.add_text((x, y), look.u32(look.ACCENT), self.composition)
        draw.add_line((x, y + height), (x + width, y + height), look.u32(look.ACCENT), 1.5)
        imgui.pop_font()

    def _set_typing(self, typing: bool) -> None:
        """Text events only while a text box has the focus: elsewhere an input method would swallow W, A, S and D."""
        if typing != self._typing:
            self._typing = typing
            (pygame.key.start_text_input if typing else pygame.key.stop_text_input)()
