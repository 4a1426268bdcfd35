"""The heads-up display: rates, latency, pressed keys, the prompt in force. Shows only; never takes input."""

from __future__ import annotations

from imgui_bundle import imgui

from app import theme as look
from app.theme import Theme
from app.view import View
from app.widgets import PASSIVE, colours, font

_SPOTS = {3: (0, 0), 1: (1, 0), 2: (2, 0), 0: (1, 1), 5: (3, 0), 7: (4, 0), 4: (5, 0), 6: (4, 1)}
"""Bit -> (column, row from below), as the keys lie on a keyboard."""
_LETTERS = {0: "W", 1: "S", 2: "D", 3: "A"}
_ARROWS = {4: (1, 0), 5: (-1, 0), 6: (0, -1), 7: (0, 1)}
"""Bit -> direction on the screen."""
_KEEPS_UP = 0.95
"""Part of its world's frame rate that a model must reach to count as one that keeps up."""
_ENOUGH_SHOWN = 0.8
"""Part of what is made that a display must show to count as one that is fast enough."""
_ELLIPSIS = "\u2026"


def figures(view: View) -> list[tuple[str, str]]:
    """What the display says, as (label, value): honest numbers of the last seconds, a dash before there are any."""
    latency = "-" if view.latency_ms is None else f"{view.latency_ms:.0f} ms"
    return [
        ("made", f"{view.fps_generated:.0f} fps"),
        ("shown", f"{view.fps_shown:.0f} fps"),
        ("response", latency),
    ]


def network(view: View) -> str:
    """What a person should know of a slow network; empty while it carries all."""
    if not view.left_out:
        return ""
    made = view.fps_generated + view.left_out
    return f"The network is slow: it carries {view.fps_generated:.0f} of {made:.0f} pictures a second"


def pace(view: View) -> str:
    """What a person should know of a model that is slower than its world; empty while it keeps up."""
    world = view.walk.world
    if world is None or view.makes is None or view.left_out or view.makes >= _KEEPS_UP * world.fps:
        return ""
    return f"Slower than real time: {view.makes:.1f} of {world.fps:.0f} pictures a second; the world waits for you"


def display(view: View) -> str:
    """What a person should know of a slow display; empty while it shows nearly all."""
    if not 0 < view.fps_shown < _ENOUGH_SHOWN * view.fps_generated:
        return ""
    return f"The display is slow: it shows {view.fps_shown:.0f} of {view.fps_generated:.0f} pictures a second"


def draw_hud(theme: Theme, view: View) -> None:
    """The whole display over the picture."""
    margin = theme.px(18)
    with colours(window_bg=look.SHADE, border=(0, 0, 0, 0)):
        imgui.push_style_var(imgui.StyleVar_.window_padding, imgui.ImVec2(theme.px(14), theme.px(8)))
        _figures(theme, view, margin)
        imgui.pop_style_var()
    _keys(theme, view, margin)
    _prompt(theme, view, margin)


def _figures(theme: Theme, view: View, margin: float) -> None:
    imgui.set_next_window_pos((margin, margin))
    imgui.begin("##figures", None, PASSIVE)
    for place, (label, value) in enumerate(figures(view)):
        if place:
            imgui.same_line(0, theme.px(16))
        with font(theme, look.SMALL), colours(text=look.MUTED):
            imgui.text(label)
        imgui.same_line(0, theme.px(5))
        with font(theme, look.SMALL, bold=True):
            imgui.text(value)
    if words := network(view) or pace(view):
        with font(theme, look.SMALL), colours(text=look.ACCENT):
            imgui.text(words)
    if words := display(view):
        with font(theme, look.SMALL), colours(text=look.ACCENT):
            imgui.text(words)
    if view.walk.world and view.walk.world.unsaved:
        with font(theme, look.SMALL), colours(text=look.ACCENT):
            imgui.text(f"Unsaved: {view.walk.world.unsaved}")
    imgui.end()


def _keys(theme: Theme, view: View, margin: float) -> None:
    """Keys held now, as they lie on a keyboard; nothing when none is held."""
    if not view.walk.keys:
        return
    side, gap = theme.px(30), theme.px(4)
    group = theme.px(14)
    draw = imgui.get_foreground_draw_list()
    bottom = view.size[1] - margin
    for bit, (column, row) in _SPOTS.items():
        x = margin + column * (side + gap) + (group if column > 2 else 0)
        y = bottom - (row + 1) * side - row * gap
        _cap(theme, draw, bit, x, y, side, bool(view.walk.keys >> bit & 1))


def _cap(theme: Theme, draw: imgui.ImDrawList, bit: int, x: float, y: float, side: float, pressed: bool) -> None:
    fill = look.ACCENT if pressed else (*look.SHADE[:3], 0.55)
    ink = look.u32(look.ON_ACCENT if pressed else (*look.INK[:3], 0.75))
    draw.add_rect_filled((x, y), (x + side, y + side), look.u32(fill), theme.px(7))
    if bit in _LETTERS:
        letter = _LETTERS[bit]
        with font(theme, look.SMALL, bold=True):
            extent = imgui.calc_text_size(letter)
            draw.add_text((x + (side - extent.x) / 2, y + (side - extent.y) / 2), ink, letter)
        return
    cx, cy, r = x + side / 2, y + side / 2, side * 0.17
    dx, dy = _ARROWS[bit]
    tip = cx + r * dx, cy + r * dy
    left, right = ((cx - r * dx - s * r * dy, cy - r * dy + s * r * dx) for s in (1, -1))
    draw.add_triangle_filled(tip, left, right, ink)


def _prompt(theme: Theme, view: View, margin: float) -> None:
    """The words in force, one line at the bottom centre."""
    world = view.walk.world
    if world is None or not world.prompt:
        return
    with font(theme, look.SMALL):
        words = shorten(in_force(world.prompt), (view.size[0] - view.covered) * 0.5)
        extent = imgui.calc_text_size(words)
        x, y = view.free_centre, view.size[1] - margin - extent.y / 2 - theme.px(7)
        across, down = extent.x / 2 + theme.px(16), extent.y / 2 + theme.px(7)
        draw = imgui.get_background_draw_list()
        draw.add_rect_filled((x - across, y - down), (x + across, y + down), look.u32(look.SHADE), down)
        draw.add_text((x - extent.x / 2, y - extent.y / 2), look.u32(look.INK), words)


def in_force(prompt: str) -> str:
    """The words in force in one line: the newest event first, the caption, which is cut off soonest, last."""
    return "  \u00b7  ".join(filter(None, reversed(prompt.split("\n"))))


def shorten(words: str, room: float) -> str:
    """`words`, cut with an ellipsis to at most `room` pixels of the current font."""
    if imgui.calc_text_size(words).x <= room:
        return words
    while words and imgui.calc_text_size(words + _ELLIPSIS).x > room:
        words = words[:-1]
    return words.rstrip() + _ELLIPSIS
