"""The side panel: four pages, of which the first is the walk itself."""

from __future__ import annotations

from imgui_bundle import imgui
from msgspec.structs import replace

from app import theme as look
from app.bindings import Command
from app.panel_events import draw_events
from app.panel_scan import draw_scan
from app.panel_story import draw_story
from app.settings import PictureSize
from app.story import clock, latents_before, seconds
from app.theme import Icon, Theme
from app.view import Change, Do, Intent, SetChunk, StartWorld, UiState, View
from app.widgets import FIXED, button, colours, heading, segments, text, toggle

WIDTH = 372.0
"""Width of the panel in pixels before the interface scale."""
PAGES = (("Walk", 0), ("Worlds", 1), ("Scan", 2), ("View", 3))
_CHUNKS = (("1  quick", 1), ("2", 2), ("4  smooth", 4))
_PICTURES: tuple[tuple[str, PictureSize], ...] = (
    ("automatic", ""), ("160x96", "160x96"), ("320x192", "320x192"),
)  # fmt: skip


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
    imgui.dummy((0, theme.px(2)))
    ui.page = 0 if ui.focus_event else ui.page
    page = segments(PAGES, ui.page, imgui.get_content_region_avail().x)
    ui.page = ui.page if page is None else page
    imgui.begin_child("##page")
    if ui.page == 0:
        intents += draw_events(theme, view, ui) + draw_story(theme, view, ui)
    elif ui.page == 1:
        intents += _worlds(theme, view, ui)
    elif ui.page == 2:
        intents += draw_scan(theme, view, ui)
    else:
        intents += _view(theme, view)
    imgui.end_child()
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
        chunks = view.walk.picture.chunk + 1 if view.walk.picture else 0
        walked = clock(seconds(latents_before(world, chunks), world.fps))
        text(theme, f"{world.preset}  ·  {walked} walked", size=look.SMALL, colour=look.MUTED)
        if imgui.is_item_hovered():
            imgui.set_tooltip(f"Saved as you walk: {world.session}")
    return [Do(Command.PANEL)] if closed else []


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
    if button(f"{Icon.GRID}  Gallery, own pictures and clips", (room, 0)):
        intents.append(Do(Command.MENU))
    return intents


def _view(theme: Theme, view: View) -> list[Intent]:
    heading(theme, "VIEW")
    old = view.settings
    hud = toggle(theme, "Show rates and keys", old.hud)
    sharp = toggle(theme, "Sharp edges", old.sharp)
    warp = toggle(theme, "Turn before the model answers", old.late_warp)
    walls = toggle(theme, "Stop at walls", old.walls)
    invert = toggle(theme, "Invert the mouse up and down", old.invert_y)
    text(theme, "Mouse sensitivity", size=look.SMALL, colour=look.MUTED)
    imgui.set_next_item_width(imgui.get_content_region_avail().x)
    _, speed = imgui.slider_float("##mouse", old.mouse_sensitivity, 0.1, 4.0, "%.1f")
    speed = min(max(round(speed, 2), 0.1), 10.0)
    heading(theme, "LATENTS PER CHUNK")
    current = view.walk.world.chunk if view.walk.world else old.chunk
    chosen = segments(_CHUNKS, current, imgui.get_content_region_avail().x)
    heading(theme, "PICTURES OF NEW WORLDS")
    picture = segments(_PICTURES, old.picture, imgui.get_content_region_avail().x)
    picture = old.picture if picture is None else picture
    new = replace(
        old,
        hud=hud,
        sharp=sharp,
        late_warp=warp,
        invert_y=invert,
        walls=walls,
        mouse_sensitivity=speed,
        picture=picture,
    )
    intents: list[Intent] = [] if new == old else [Change(new)]
    return intents if chosen is None else [*intents, SetChunk(chosen)]


def parse_seed(words: str) -> int | None:
    """The seed that was typed: a whole number below 2**53, else None."""
    return int(words) if words.isdecimal() and int(words) < 1 << 53 else None
