"""The side panel: events in words, time, responsiveness, other worlds, the view."""

from __future__ import annotations

from imgui_bundle import imgui
from msgspec.structs import replace

from app import theme as look
from app.bindings import Command
from app.theme import Icon, Theme
from app.view import Change, Do, Intent, SendPrompt, SetChunk, StartWorld, UiState, View
from app.widgets import FIXED, button, colours, heading, primary, segments, text, toggle

WIDTH = 372.0
"""Width of the panel in pixels before the interface scale."""
_CHUNKS = (("1  quick", 1), ("2", 2), ("4  smooth", 4))
_SHOWN_EVENTS = 4


def covered_by_panel(theme: Theme, ui: UiState) -> int:
    """Pixels at the right edge that the panel hides."""
    return round(theme.px(WIDTH)) if ui.panel and not ui.menu else 0


def draw_panel(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """Draw the panel at the right edge; returns what the person asked for."""
    width = theme.px(WIDTH)
    imgui.set_next_window_pos((view.size[0] - width, 0))
    imgui.set_next_window_size((width, view.size[1]))
    intents: list[Intent] = []
    imgui.push_style_var(imgui.StyleVar_.window_rounding, 0.0)
    imgui.begin("##panel", None, FIXED)
    imgui.pop_style_var()
    intents += _title(theme, view)
    intents += _events(theme, view, ui)
    intents += _time(theme, view)
    intents += _worlds(theme, view, ui)
    intents += _view(theme, view)
    imgui.end()
    return intents


def _title(theme: Theme, view: View) -> list[Intent]:
    world = view.walk.world
    top = imgui.get_cursor_pos()
    imgui.set_cursor_pos((top.x + imgui.get_content_region_avail().x - theme.px(30), top.y - theme.px(4)))
    with colours(button=(0, 0, 0, 0)):
        closed = button(f"{Icon.CLOSE}##panel", (theme.px(34), 0), hint="Close (Tab)")
    imgui.set_cursor_pos(top)
    text(theme, "World" if world is None else f"World {world.seed}", size=look.LARGE, bold=True)
    if world is not None:
        minutes, seconds = divmod(int(world.chunks * world.chunk * 4 / world.fps), 60)
        text(theme, f"{world.preset}  ·  {minutes}:{seconds:02d} walked", size=look.SMALL, colour=look.MUTED)
        if imgui.is_item_hovered():
            imgui.set_tooltip(f"Saved as you walk: {world.session}")
    return [Do(Command.PANEL)] if closed else []


def _events(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    heading(theme, "WHAT HAPPENS NEXT")
    intents: list[Intent] = []
    if ui.focus_event:
        imgui.set_keyboard_focus_here()
        ui.focus_event = False
    send = theme.px(44)
    imgui.set_next_item_width(imgui.get_content_region_avail().x - send - theme.px(8))
    entered, ui.event = imgui.input_text_with_hint(
        "##event", "it starts to rain \u2026", ui.event, imgui.InputTextFlags_.enter_returns_true
    )
    _recall(view, ui)
    imgui.same_line()
    pressed = primary(f"{Icon.SEND}##send", (send, 0), enabled=bool(ui.event.strip()))
    if (entered or pressed) and ui.event.strip():
        intents.append(SendPrompt(ui.event.strip()))
        ui.event, ui.recalled = "", 0
    intents += _quick_events(theme, view)
    for words, chunk in reversed(view.walk.applied[-_SHOWN_EVENTS:]):
        with colours(text=look.ACCENT):
            imgui.text(Icon.CHECK)
        imgui.same_line()
        text(theme, f"{words}  (from chunk {chunk})", size=look.SMALL, colour=look.MUTED)
    return intents


def _recall(view: View, ui: UiState) -> None:
    """Up and down in the box walk through what was asked for before."""
    if not imgui.is_item_focused():
        return
    history = view.settings.prompt_history
    step = int(imgui.is_key_pressed(imgui.Key.up_arrow)) - int(imgui.is_key_pressed(imgui.Key.down_arrow))
    if step and 0 <= ui.recalled + step <= len(history):
        ui.recalled += step
        ui.event = history[-ui.recalled] if ui.recalled else ""


def _quick_events(theme: Theme, view: View) -> list[Intent]:
    """The events of the keys 1 to 9, three in a row."""
    intents: list[Intent] = []
    imgui.push_style_var(imgui.StyleVar_.frame_padding, imgui.ImVec2(theme.px(10), theme.px(5)))
    theme.push(look.SMALL)
    gap, columns = theme.px(6), 3
    width = (imgui.get_content_region_avail().x - gap * (columns - 1)) / columns
    for number, event in enumerate(view.settings.quick_events, start=1):
        if (number - 1) % columns:
            imgui.same_line(0, gap)
        if button(f"{number}   {event.label}##quick", (width, 0), hint=event.words):
            intents.append(Do(Command.EVENT, number))
    imgui.pop_font()
    imgui.pop_style_var()
    return intents


def _time(theme: Theme, view: View) -> list[Intent]:
    heading(theme, "TIME")
    intents: list[Intent] = []
    room = imgui.get_content_region_avail().x
    third = (room - 2 * theme.px(8)) / 3
    paused = view.walk.paused
    if button(f"{Icon.PLAY}  Go on##p" if paused else f"{Icon.PAUSE}  Pause##p", (third, 0), hint="P"):
        intents.append(Do(Command.PAUSE))
    imgui.same_line()
    can_undo = view.walk.picture is not None
    if button(f"{Icon.UNDO}  Undo", (third, 0), enabled=can_undo, hint="Ctrl Z: back by one chunk"):
        intents.append(Do(Command.UNDO))
    imgui.same_line()
    if button(f"{Icon.RESET}  Restart", (third, 0), hint="R: this world from its beginning"):
        intents.append(Do(Command.RESET))
    text(theme, "Latents per chunk", size=look.SMALL, colour=look.MUTED)
    current = view.walk.world.chunk if view.walk.world else view.settings.chunk
    chosen = segments(_CHUNKS, current, room)
    return intents if chosen is None else [*intents, SetChunk(chosen)]


def _worlds(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    heading(theme, "ANOTHER WORLD")
    intents: list[Intent] = []
    room = imgui.get_content_region_avail().x
    imgui.set_next_item_width(room * 0.45)
    flags = imgui.InputTextFlags_.chars_decimal | imgui.InputTextFlags_.enter_returns_true
    entered, ui.seed = imgui.input_text_with_hint("##seed", "seed", ui.seed, flags)
    imgui.same_line()
    seed = parse_seed(ui.seed)
    if (button("Go##seed", enabled=seed is not None) or entered) and seed is not None:
        intents.append(StartWorld(seed=seed))
    imgui.same_line()
    if button(f"{Icon.DICE}  New", (imgui.get_content_region_avail().x, 0), hint="N: a world nobody has seen"):
        intents.append(Do(Command.NEW_SEED))
    if button(f"{Icon.GRID}  Gallery and own pictures", (room, 0)):
        intents.append(Do(Command.MENU))
    return intents


def _view(theme: Theme, view: View) -> list[Intent]:
    heading(theme, "VIEW")
    old = view.settings
    hud = toggle(theme, "Show rates and keys", old.hud)
    sharp = toggle(theme, "Sharp edges", old.sharp)
    warp = toggle(theme, "Turn before the model answers", old.late_warp)
    invert = toggle(theme, "Invert the mouse up and down", old.invert_y)
    text(theme, "Mouse sensitivity", size=look.SMALL, colour=look.MUTED)
    imgui.set_next_item_width(imgui.get_content_region_avail().x)
    _, speed = imgui.slider_float("##mouse", old.mouse_sensitivity, 0.1, 4.0, "%.1f")
    speed = min(max(round(speed, 2), 0.1), 10.0)
    new = replace(old, hud=hud, sharp=sharp, late_warp=warp, invert_y=invert, mouse_sensitivity=speed)
    return [] if new == old else [Change(new)]


def parse_seed(words: str) -> int | None:
    """The seed that was typed: a whole number below 2**53, else None."""
    return int(words) if words.isdecimal() and int(words) < 1 << 53 else None
