"""The panel's upper half: saying what happens next, the events of the keys 1 to 9, and what the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from imgui_bundle import imgui
from msgspec.structs import replace

from app import theme as look
from app.bindings import Command
from app.settings import MAX_LABEL, MAX_WORDS, QUICK_EVENTS, QuickEvent
from app.story import active_events, without
from app.theme import Icon, Theme
from app.view import Change, Do, Intent, SendPrompt, UiState, View
from app.widgets import button, colours, heading, link, primary, quiet, text

_ELLIPSIS = "\u2026"
_COLUMNS = 3


def draw_events(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """Draw the half; returns what the person asked for."""
    heading(theme, "WHAT HAPPENS NEXT")
    if link(theme, "Done" if ui.quick is not None else "Edit 1 - 9"):
        return _edited(view, ui)
    if ui.quick is not None:
        return _edit(theme, ui.quick)
    return _box(theme, view, ui) + _quick_events(theme, view) + _read_by_model(theme, view)


def _box(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    if ui.focus_event:
        imgui.set_keyboard_focus_here()
        ui.focus_event = False
    send = theme.px(44)
    imgui.set_next_item_width(imgui.get_content_region_avail().x - send - theme.px(8))
    flags = imgui.InputTextFlags_.enter_returns_true | imgui.InputTextFlags_.callback_history
    hint, recall = f"it starts to rain {_ELLIPSIS}", partial(_recall, view.settings.prompt_history, ui)
    entered, ui.event = imgui.input_text_with_hint("##event", hint, ui.event, flags, recall)
    imgui.same_line()
    pressed = primary(f"{Icon.SEND}##send", (send, 0), enabled=bool(ui.event.strip()))
    words = ui.event.strip()
    if not ((entered or pressed) and words):
        return []
    ui.event, ui.recalled = "", 0
    return [SendPrompt(words)]


def _recall(history: Sequence[str], ui: UiState, box: imgui.InputTextCallbackData) -> int:
    """Up and down in the box walk through what was asked for before. The box keeps the text that it shows itself."""
    step = 1 if box.event_key == imgui.Key.up_arrow else -1
    if 0 <= ui.recalled + step <= len(history):
        ui.recalled += step
        box.delete_chars(0, box.buf_text_len)
        box.insert_chars(0, history[-ui.recalled] if ui.recalled else "")
    return 0


def _quick_events(theme: Theme, view: View) -> list[Intent]:
    """The events of the keys 1 to 9, three in a row."""
    intents: list[Intent] = []
    imgui.push_style_var(imgui.StyleVar_.frame_padding, imgui.ImVec2(theme.px(10), theme.px(5)))
    theme.push(look.SMALL)
    gap = theme.px(6)
    width = (imgui.get_content_region_avail().x - gap * (_COLUMNS - 1)) / _COLUMNS
    for number, event in enumerate(view.settings.quick_events, start=1):
        if (number - 1) % _COLUMNS:
            imgui.same_line(0, gap)
        if button(f"{number}   {event.label}##quick{number}", (width, 0), hint=event.words):
            intents.append(Do(Command.EVENT, number))
    imgui.pop_font()
    imgui.pop_style_var()
    return intents


def _edit(theme: Theme, quick: list[list[str]]) -> list[Intent]:
    """Nine rows of a name and its words; they count when Done is pressed."""
    theme.push(look.SMALL)
    for number, row in enumerate(quick, start=1):
        imgui.align_text_to_frame_padding()
        imgui.text(str(number))
        imgui.same_line(theme.px(20))
        imgui.set_next_item_width(theme.px(84))
        _, row[0] = imgui.input_text_with_hint(f"##label{number}", "name", row[0])
        imgui.same_line(0, theme.px(6))
        imgui.set_next_item_width(imgui.get_content_region_avail().x)
        _, row[1] = imgui.input_text_with_hint(f"##words{number}", "what happens", row[1])
    imgui.pop_font()
    if button("As they were at first"):
        quick[:] = rows_of(QUICK_EVENTS)
    return []


def _edited(view: View, ui: UiState) -> list[Intent]:
    """Begin to edit, or be done with it."""
    if ui.quick is None:
        ui.quick = rows_of(view.settings.quick_events)
        return []
    events, ui.quick = events_of(ui.quick), None
    return [Change(replace(view.settings, quick_events=events))]


def rows_of(events: tuple[QuickEvent, ...]) -> list[list[str]]:
    """Events as nine rows of [name, words] to type in."""
    rows = [[event.label, event.words] for event in events]
    return rows + [["", ""] for _ in range(9 - len(rows))]


def events_of(rows: list[list[str]]) -> tuple[QuickEvent, ...]:
    """The events that were typed: rows without words are none, a missing name is the first word."""
    typed = [(label.strip(), words.strip()) for label, words in rows]
    return tuple(
        QuickEvent(label=(label or words.split()[0])[:MAX_LABEL], words=words[:MAX_WORDS])
        for label, words in typed
        if words
    )


def _read_by_model(theme: Theme, view: View) -> list[Intent]:
    """The full text that the model reads: the caption, and each active event with a button that ends it."""
    world = view.walk.world
    if world is None:
        return []
    heading(theme, "THE MODEL READS")
    intents: list[Intent] = []
    caption, events = active_events(world)
    text(theme, caption or "no caption: the world is made of pictures alone", size=look.SMALL, colour=look.MUTED)
    for place, event in enumerate(events):
        with colours(text=look.ACCENT):
            text(theme, f"{Icon.DOT}", size=look.SMALL, colour=look.ACCENT)
        imgui.same_line()
        text(theme, event, size=look.SMALL, room=theme.px(34))
        if quiet(theme, f"{Icon.CLOSE}##end{place}", hint="End this event"):
            intents.append(SendPrompt(without(world, event), shown=f"ended: {event}"))
    for words in view.walk.asked:
        text(theme, f"asked for: {' '.join(words.split())}", size=look.SMALL, colour=look.MUTED)
    return intents
