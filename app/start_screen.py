"""The start screen: what Wander is, a gallery of ready starts, an own place, seed or picture, and what is loading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imgui_bundle import imgui

from app import theme as look
from app.bindings import Command
from app.gallery import Start
from app.panel import parse_seed
from app.theme import Icon, Theme
from app.view import Browse, ChoosePreset, ChooseWorker, Do, Intent, Leave, StartWorld, TakeOver, UiState, View
from app.walk import Phase
from app.widgets import FIXED, button, colours, font, primary, progress, segments, text

_CONTENT = 960.0
_CARD_GAP = 14.0
_COLUMNS = 4
_EDGE = 4.0
"""Room for outlines at the edge of the content."""


def draw_start_screen(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """Draw the screen over the whole window; returns what the person asked for."""
    width = min(theme.px(_CONTENT), view.size[0] - theme.px(48))
    edge = theme.px(_EDGE)
    intents: list[Intent] = []
    imgui.set_next_window_pos(((view.size[0] - width) / 2 - edge, 0))
    imgui.set_next_window_size((width + 2 * edge, view.size[1] - theme.px(64)))
    with colours(window_bg=(0, 0, 0, 0), border=(0, 0, 0, 0)):
        imgui.push_style_var(imgui.StyleVar_.window_padding, imgui.ImVec2(edge, theme.px(8)))
        imgui.begin("##start", None, FIXED)
        imgui.pop_style_var()
        imgui.dummy((0, max(theme.px(12), view.size[1] * 0.07)))
        text(theme, "Wander", size=look.HERO, bold=True)
        text(theme, "Walk through worlds that are imagined while you look at them.", size=look.LARGE, colour=look.MUTED)
        imgui.dummy((0, theme.px(14)))
        intents += _workers(theme, view) + _models(theme, view) + _own_place(theme, view, ui)
        intents += _own_picture(theme, view, ui)
        intents += _gallery(theme, view)
        imgui.end()
    intents += _footer(theme, view, width)
    return intents


def _workers(theme: Theme, view: View) -> list[Intent]:
    """Which machine makes the worlds; nothing where no other is known."""
    if not view.workers:
        return []
    choices = [("This machine", ""), *((worker, worker) for worker in view.workers)]
    width = min(theme.px(190) * len(choices), imgui.get_content_region_avail().x)
    chosen = segments(choices, view.worker, width)
    imgui.dummy((0, theme.px(2)))
    return [] if chosen is None else [ChooseWorker(chosen)]


def _models(theme: Theme, view: View) -> list[Intent]:
    """Which model makes the next world; nothing where there is no choice."""
    if len(view.presets) < 2:
        return []
    choices = [(name, number) for number, name in enumerate(view.presets)]
    now = view.presets.index(view.preset) if view.preset in view.presets else -1
    chosen = segments(choices, now, theme.px(150) * len(choices))
    imgui.dummy((0, theme.px(6)))
    return [] if chosen is None else [ChoosePreset(view.presets[chosen])]


def _own_place(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """The first row: walk on, or describe a place, or name a seed."""
    intents: list[Intent] = []
    ready = view.walk.phase is Phase.WALKING
    imgui.push_style_var(imgui.StyleVar_.frame_padding, imgui.ImVec2(theme.px(14), theme.px(13)))
    label = f"{Icon.WALK}  Walk" if ready else "Preparing \u2026"
    if primary(f"{label}##walk", (theme.px(170), 0), enabled=ready):
        intents.append(Do(Command.MENU))
    imgui.same_line(0, theme.px(12))
    seed_width, new_width, gap = theme.px(120), theme.px(140), imgui.get_style().item_spacing.x
    imgui.set_next_item_width(imgui.get_content_region_avail().x - seed_width - new_width - 2 * gap)
    flags = imgui.InputTextFlags_.enter_returns_true
    entered, ui.place = imgui.input_text_with_hint("##place", "or describe a place \u2026", ui.place, flags)
    imgui.same_line()
    imgui.set_next_item_width(seed_width)
    flags |= imgui.InputTextFlags_.chars_decimal
    entered_seed, ui.seed = imgui.input_text_with_hint("##seed", "any seed", ui.seed, flags)
    imgui.same_line()
    pressed = button(f"{Icon.DICE}  New world", (new_width, 0))
    imgui.pop_style_var()
    if entered or entered_seed or pressed:
        intents.append(StartWorld(seed=parse_seed(ui.seed), prompt=ui.place.strip()))
    return intents


def _gallery(theme: Theme, view: View) -> list[Intent]:
    if not view.starts:
        return []
    imgui.dummy((0, theme.px(10)))
    imgui.begin_child("##gallery")
    walks = [pair for pair in view.starts if pair[0].session and not view.worker]  # sessions lie where they were made
    places = [pair for pair in view.starts if not pair[0].session]
    intents = _cards(theme, "WALK ON", walks, view) + _cards(theme, "PLACES TO START", places, view)
    imgui.end_child()
    return intents


def _cards(theme: Theme, title: str, starts: Sequence[tuple[Start, imgui.ImTextureRef]], view: View) -> list[Intent]:
    """A heading and its cards, four in a row; nothing without cards."""
    if not starts:
        return []
    text(theme, title, size=look.SMALL, colour=look.MUTED, bold=True)
    gap = theme.px(_CARD_GAP)
    imgui.push_style_var(imgui.StyleVar_.item_spacing, imgui.ImVec2(gap, gap))
    columns = _COLUMNS if view.size[0] >= theme.px(820) else 2
    width = (imgui.get_content_region_avail().x - gap * (columns - 1)) / columns
    intents: list[Intent] = []
    for place, (start, texture) in enumerate(starts):
        if place % columns:
            imgui.same_line(0, gap)
        if _card(theme, start, texture, width):
            card = start.card
            if start.session:
                intents.append(StartWorld(session=start.session))
            else:
                intents.append(StartWorld(seed=card.seed, prompt=card.prompt, image=start.image))
    imgui.pop_style_var()
    imgui.dummy((0, theme.px(6)))
    return intents


def _card(theme: Theme, start: Start, texture: imgui.ImTextureRef, width: float) -> bool:
    """A picture with its title in a corner; lifts its edge when pointed at."""
    height = width * 0.6
    at = imgui.get_cursor_screen_pos()
    pressed = imgui.invisible_button(f"##card {start.image}", imgui.ImVec2(width, height))
    hovered = imgui.is_item_hovered() or imgui.is_item_focused()
    draw = imgui.get_window_draw_list()
    low, high, round_ = (at.x, at.y), (at.x + width, at.y + height), theme.px(look.ROUND)
    draw.add_image_rounded(texture, low, high, (0, 0), (1, 1), look.u32((1, 1, 1, 1)), round_)
    with font(theme, look.SMALL, bold=True):
        extent, inset, pad = imgui.calc_text_size(start.card.title), theme.px(8), theme.px(8)
        left, foot = at.x + inset, at.y + height - inset
        label = (left, foot - extent.y - pad), (left + extent.x + 2 * pad, foot)
        draw.add_rect_filled(*label, look.u32((*look.SHADE[:3], 0.82)), theme.px(7))
        ink = look.ACCENT if hovered else look.INK
        draw.add_text((left + pad, foot - extent.y - pad / 2), look.u32(ink), start.card.title)
    if hovered:
        draw.add_rect(low, high, look.u32(look.ACCENT), round_, theme.px(2))
    return pressed


def _own_picture(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    intents: list[Intent] = []
    gap, width = imgui.get_style().item_spacing.x, theme.px(110)
    imgui.set_next_item_width(imgui.get_content_region_avail().x - (width + gap) * (2 if view.can_browse else 1))
    entered, ui.image = imgui.input_text_with_hint(
        "##image",
        "or start from your own picture or video: drop it here, paste it, or type its path",
        ui.image,
        imgui.InputTextFlags_.enter_returns_true,
    )
    imgui.same_line()
    if view.can_browse:
        if button(f"{Icon.FOLDER}  Choose", (width, 0)):
            intents.append(Browse())
        imgui.same_line()
    named = ui.image.strip()
    if (button(f"{Icon.IMAGE}  Start", (width, 0), enabled=bool(named)) or entered) and named:
        intents.append(StartWorld(seed=parse_seed(ui.seed), prompt=ui.place.strip(), image=Path(named).expanduser()))
    return intents


def _footer(theme: Theme, view: View, width: float) -> list[Intent]:
    """What is loading, or that all is ready; and the way out."""
    intents: list[Intent] = []
    imgui.set_next_window_pos(((view.size[0] - width) / 2, view.size[1] - theme.px(60)))
    imgui.set_next_window_size((width, theme.px(56)))
    with colours(window_bg=(0, 0, 0, 0), border=(0, 0, 0, 0)):
        imgui.push_style_var(imgui.StyleVar_.window_padding, imgui.ImVec2(0, theme.px(6)))
        imgui.begin("##footer", None, FIXED)
        imgui.pop_style_var()
        imgui.begin_group()
        text(theme, loading_sentence(view), size=look.SMALL, colour=look.MUTED)
        if view.walk.phase is Phase.OPENING:
            told = view.walk.progress
            progress(theme, told.fraction if told and told.fraction > 0 else -1.0, width - theme.px(110))
        imgui.end_group()
        if view.walk.held:
            imgui.same_line(width - theme.px(210))
            if button("Take it over", (theme.px(124), 0)):
                intents.append(TakeOver())
        imgui.same_line(width - theme.px(78))
        with colours(button=(0, 0, 0, 0), text=look.MUTED):
            if button("Quit", (theme.px(78), 0)):
                intents.append(Leave())
        imgui.end()
    return intents


def loading_sentence(view: View) -> str:
    """One sentence on what the worker is doing."""
    walk = view.walk
    if walk.phase is Phase.OPENING:
        return walk.progress.sentence if walk.progress else walk.veil or "Starting the model."
    if walk.phase is Phase.WALKING and walk.world is not None:
        return f"World {walk.world.seed} is ready. Press Enter or Esc to walk in it."
    return walk.veil or "No world is open. Choose a place to start."
