"""The few widgets that the screens are built from, over Dear ImGui."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from imgui_bundle import imgui

from app import theme as look
from app.theme import Theme

V = TypeVar("V")

FIXED = (
    imgui.WindowFlags_.no_title_bar
    | imgui.WindowFlags_.no_move
    | imgui.WindowFlags_.no_resize
    | imgui.WindowFlags_.no_collapse
    | imgui.WindowFlags_.no_saved_settings
)
"""Flags of every window of the interface: placed by us, remembered nowhere."""

PASSIVE = FIXED | imgui.WindowFlags_.no_inputs | imgui.WindowFlags_.no_nav | imgui.WindowFlags_.always_auto_resize
"""Flags of a window that only shows something."""


@contextmanager
def colours(**values: look.Colour) -> Iterator[None]:
    """Use other ImGui colours inside the block, named as in `imgui.Col_`."""
    for name, value in values.items():
        imgui.push_style_color(getattr(imgui.Col_, name), imgui.ImVec4(*value))
    yield
    imgui.pop_style_color(len(values))


@contextmanager
def font(theme: Theme, size: float, *, bold: bool = False) -> Iterator[None]:
    """Use a font size inside the block."""
    theme.push(size, bold=bold)
    yield
    imgui.pop_font()


def text(
    theme: Theme,
    words: str,
    *,
    size: float = look.BODY,
    colour: look.Colour = look.INK,
    bold: bool = False,
    room: float = 0.0,
) -> None:
    """Text that wraps at the edge of its window, or `room` pixels before it."""
    edge = imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - room if room else 0.0
    with font(theme, size, bold=bold), colours(text=colour):
        imgui.push_text_wrap_pos(edge)
        imgui.text_unformatted(words)
        imgui.pop_text_wrap_pos()


def heading(theme: Theme, words: str) -> None:
    """The title of a section, with air above."""
    imgui.dummy((0, theme.px(6)))
    text(theme, words, size=look.SMALL, colour=look.MUTED, bold=True)


def link(theme: Theme, words: str) -> bool:
    """Small words to press at the right end of the heading before."""
    with font(theme, look.SMALL):
        width = imgui.calc_text_size(words).x
        imgui.same_line(imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - width)
        at = imgui.get_cursor_screen_pos()
        pressed = imgui.invisible_button(f"##link {words}", imgui.ImVec2(width, imgui.get_font_size() + theme.px(4)))
        ink = look.ACCENT if imgui.is_item_hovered() else look.MUTED
        imgui.get_window_draw_list().add_text((at.x, at.y), look.u32(ink), words)
    return pressed


def quiet(theme: Theme, label: str, *, hint: str) -> bool:
    """A small sign to press at the right end of the line before."""
    with font(theme, look.SMALL), colours(button=(0, 0, 0, 0), text=look.MUTED):
        width = theme.px(26)
        imgui.same_line(imgui.get_cursor_pos_x() + imgui.get_content_region_avail().x - width)
        imgui.push_style_var(imgui.StyleVar_.frame_padding, imgui.ImVec2(0, 0))
        pressed = button(label, (width, 0), hint=hint)
        imgui.pop_style_var()
    return pressed


def primary(label: str, size: tuple[float, float] = (0, 0), *, enabled: bool = True) -> bool:
    """The one button of a screen that one presses most."""
    with colours(
        button=look.ACCENT, button_hovered=look.ACCENT_HOVER, button_active=look.ACCENT_ACTIVE, text=look.ON_ACCENT
    ):
        return button(label, size, enabled=enabled)


def button(label: str, size: tuple[float, float] = (0, 0), *, enabled: bool = True, hint: str = "") -> bool:
    """A plain button; greyed out and dead unless `enabled`."""
    if not enabled:
        imgui.begin_disabled()
    pressed = imgui.button(label, imgui.ImVec2(*size))
    if hint and imgui.is_item_hovered(imgui.HoveredFlags_.delay_normal):
        imgui.set_tooltip(hint)
    if not enabled:
        imgui.end_disabled()
    return pressed


def segments(options: Sequence[tuple[str, V]], chosen: V, width: float) -> V | None:
    """A row of joined choices (label, value) over `width` pixels; returns the value that was clicked, if another."""
    clicked = None
    gap = 2.0
    each = (width - gap * (len(options) - 1)) / len(options)
    for place, (label, value) in enumerate(options):
        if place:
            imgui.same_line(0, gap)
        on = value == chosen
        with colours(button=look.RAISED_ACTIVE if on else look.RAISED, text=look.ACCENT if on else look.MUTED):
            if imgui.button(f"{label}##segment{value}", imgui.ImVec2(each, 0)) and not on:
                clicked = value
    return clicked


def toggle(theme: Theme, label: str, on: bool) -> bool:
    """A switch with its label on the left; returns the new value."""
    width, height = theme.px(38), theme.px(22)
    row = imgui.get_cursor_screen_pos()
    room = imgui.get_content_region_avail().x
    if imgui.invisible_button(f"##{label}", imgui.ImVec2(room, height)):
        on = not on
    draw = imgui.get_window_draw_list()
    left = row.x + room - width
    track = look.ACCENT if on else (look.RAISED_HOVER if imgui.is_item_hovered() else look.RAISED)
    draw.add_rect_filled((left, row.y), (left + width, row.y + height), look.u32(track), height / 2)
    knob = left + (width - height / 2 if on else height / 2)
    ink = look.u32(look.ON_ACCENT if on else look.MUTED)
    draw.add_circle_filled((knob, row.y + height / 2), height / 2 - theme.px(3), ink)
    draw.add_text((row.x, row.y + (height - imgui.get_font_size()) / 2), look.u32(look.INK), label)
    return on


def progress(theme: Theme, fraction: float, width: float) -> None:
    """A slim progress bar; a negative fraction runs to and fro."""
    height = theme.px(4)
    at = imgui.get_cursor_screen_pos()
    draw = imgui.get_window_draw_list()
    draw.add_rect_filled((at.x, at.y), (at.x + width, at.y + height), look.u32(look.RAISED), height / 2)
    if fraction < 0:
        sweep = (imgui.get_time() * 0.6) % 1.3 - 0.3
        start, end = max(0.0, sweep), min(1.0, sweep + 0.3)
    else:
        start, end = 0.0, min(1.0, fraction)
    if end > start:
        draw.add_rect_filled(
            (at.x + width * start, at.y), (at.x + width * end, at.y + height), look.u32(look.ACCENT), height / 2
        )
    imgui.dummy((width, height))


def pill(theme: Theme, words: str, centre: tuple[float, float], *, room: float, alpha: float = 1.0) -> None:
    """A rounded label on the picture, centred at `centre`, over everything; smaller where `room` pixels are few."""
    draw = imgui.get_foreground_draw_list()
    with font(theme, look.BODY):
        wish = imgui.calc_text_size(words).x + theme.px(36)
    with font(theme, look.BODY * min(1.0, room / wish)):
        extent = imgui.calc_text_size(words)
        across, down = extent.x / 2 + theme.px(18), extent.y / 2 + theme.px(10)
        x, y = centre
        fill = (*look.SHADE[:3], 0.86 * alpha)
        draw.add_rect_filled((x - across, y - down), (x + across, y + down), look.u32(fill), down)
        draw.add_text((x - extent.x / 2, y - extent.y / 2), look.u32((*look.INK[:3], alpha)), words)
