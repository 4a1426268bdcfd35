"""The panel's lower half: time, the timeline of what happened, and the branches of the walk."""

from __future__ import annotations

from imgui_bundle import imgui

from app import theme as look
from app.bindings import Command
from app.story import (
    clock,
    latents_before,
    other_branches,
    present_branch,
    seconds,
    time_of,
    title,
)
from app.theme import Icon, Theme
from app.view import Do, Intent, KeepBranch, RewindTo, SwitchBranch, UiState, View
from app.widgets import button, heading, quiet, text
from worker.protocol import Branch, Happening, World

_SHOWN_EVENTS = 6
_SHOWN_BRANCHES = 6


def draw_story(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """Draw the half; returns what the person asked for."""
    heading(theme, "THIS WALK")
    intents = _time(theme, view)
    world = view.walk.world
    if world is None:
        return intents
    chunks = view.walk.picture.chunk + 1 if view.walk.picture else 0
    intents += _timeline(theme, world, chunks)
    intents += _happenings(theme, world)
    return intents + _branches(theme, world, chunks, ui)


def _time(theme: Theme, view: View) -> list[Intent]:
    intents: list[Intent] = []
    third = (imgui.get_content_region_avail().x - 2 * theme.px(8)) / 3
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
    return intents


def _timeline(theme: Theme, world: World, chunks: int) -> list[Intent]:
    """The walk as a bar with a mark for each event; a click goes back to that moment."""
    width, height = imgui.get_content_region_avail().x, theme.px(24)
    pressed = imgui.invisible_button("##timeline", imgui.ImVec2(width, height))
    inset = theme.px(7)
    at, width = imgui.get_item_rect_min() + imgui.ImVec2(inset, 0), width - 2 * inset
    middle, thick = at.y + height / 2, theme.px(3)
    draw = imgui.get_window_draw_list()
    line = (at.x, middle - thick / 2), (at.x + width, middle + thick / 2)
    draw.add_rect_filled(*line, look.u32(look.RAISED_ACTIVE), thick / 2)
    for happening in world.happenings:
        x = at.x + width * min(happening.chunk / max(chunks, 1), 1.0)
        ink = look.u32(look.ACCENT if happening.active else look.MUTED)
        draw.add_rect_filled((x - theme.px(1.5), middle - theme.px(7)), (x + theme.px(1.5), middle + theme.px(7)), ink)
    draw.add_circle_filled((at.x + width, middle), theme.px(5), look.u32(look.INK))
    if not (imgui.is_item_hovered() and chunks):
        return []
    x = min(max(imgui.get_mouse_pos().x - at.x, 0.0), width)
    target = round(chunks * x / width)
    draw.add_circle_filled((at.x + width * target / chunks, middle), theme.px(6), look.u32(look.ACCENT))
    imgui.set_tooltip(f"Back to {time_of(world, target)}  (undo {chunks - target} chunks)")
    return [RewindTo(target)] if pressed and target < chunks else []


def _happenings(theme: Theme, world: World) -> list[Intent]:
    """What was asked for, newest first, each with the chunk from which it applies and a way back to before it."""
    intents: list[Intent] = []
    shown = world.happenings[-_SHOWN_EVENTS:]
    for happening in reversed(shown):
        at = clock(seconds(happening.latent, world.fps))
        text(theme, at, size=look.SMALL, colour=look.MUTED)
        imgui.same_line(theme.px(42))
        ink = look.INK if happening.active else look.MUTED
        text(theme, words_of(happening), size=look.SMALL, colour=ink, room=theme.px(34))
        if quiet(
            theme,
            f"{Icon.UNDO}##back{happening.chunk} {happening.text}",
            hint=f"Applies from chunk {happening.chunk}. Click: back to just before it, at {at}",
        ):
            intents.append(RewindTo(happening.chunk))
    if len(world.happenings) > len(shown):
        text(theme, f"and {len(world.happenings) - len(shown)} earlier", size=look.SMALL, colour=look.MUTED)
    return intents


def words_of(happening: Happening) -> str:
    """An event in the timeline, with the chunk from which it applies."""
    words = f"ended: {happening.ended}" if happening.ended else " ".join(happening.text.split())
    return f"{words}  \u00b7  from chunk {happening.chunk}"


def _branches(theme: Theme, world: World, chunks: int, ui: UiState) -> list[Intent]:
    heading(theme, "BRANCHES")
    intents: list[Intent] = []
    here = present_branch(world)
    length = clock(seconds(latents_before(world, chunks), world.fps))
    keep = theme.px(76)
    imgui.set_next_item_width(imgui.get_content_region_avail().x - keep - theme.px(8))
    flags = imgui.InputTextFlags_.enter_returns_true
    hint = f"{title(here)}, {length}: name it" if here else "name it"
    entered, ui.branch = imgui.input_text_with_hint("##branch", hint, ui.branch[:40], flags)
    imgui.same_line()
    name = ui.branch.strip()
    if (button("Keep##branch", (keep, 0), enabled=bool(name)) or entered) and name:
        intents.append(KeepBranch(name))
        ui.branch = ""
    others = other_branches(world)
    if not others:
        text(theme, "Undo and walk another way: what you leave is kept here.", size=look.SMALL, colour=look.MUTED)
    for branch in others[:_SHOWN_BRANCHES]:
        if _branch(theme, world, branch):
            intents.append(SwitchBranch(branch.number))
    if len(others) > _SHOWN_BRANCHES:
        text(theme, f"and {len(others) - _SHOWN_BRANCHES} older", size=look.SMALL, colour=look.MUTED)
    return intents


def _branch(theme: Theme, world: World, branch: Branch) -> bool:
    """A row for a branch that one can go on from; returns whether that was asked for."""
    length, shared = (clock(seconds(latents, world.fps)) for latents in (branch.latents, branch.shared))
    place = f"leaves this one at {shared}" if branch.shared else f"seed {branch.seed}"
    theme.push(look.SMALL)
    label = f"{Icon.BRANCH}   {title(branch)}  \u00b7  {length}##branch{branch.number}"
    imgui.push_style_var(imgui.StyleVar_.button_text_align, imgui.ImVec2(0.0, 0.5))
    width = imgui.get_content_region_avail().x
    pressed = button(label, (width, 0), hint=f"Go on from its end; it {place}")
    imgui.pop_style_var()
    imgui.pop_font()
    return pressed
