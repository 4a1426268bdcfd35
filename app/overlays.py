"""What lies over the picture now and then: the veil, the help, the first-run hint, short notices."""

from __future__ import annotations

from imgui_bundle import imgui

from app import theme as look
from app.bindings import SHORTCUTS
from app.theme import Icon, Theme
from app.view import Intent, RestartModel, TakeOver, UiState, View
from app.walk import Phase
from app.widgets import FIXED, button, colours, font, pill, progress, text

HINT = "Click to look around with the mouse, walk with W A S D, Tab for what happens next, H for help"
HINT_S = 9.0
_STUCK = "No progress"


def veil_sentence(view: View) -> str:
    """What hides the picture now; empty for nothing."""
    walk = view.walk
    if walk.veil:
        return walk.veil
    if walk.phase is Phase.OPENING:
        return walk.progress.sentence if walk.progress else "Starting the model."
    return ""


def draw_veil(theme: Theme, view: View) -> list[Intent]:
    """A card in the middle with the sentence, and what can be done about it."""
    sentence = veil_sentence(view)
    if not sentence:
        return []
    intents: list[Intent] = []
    width = min(theme.px(460), view.size[0] - theme.px(40))
    imgui.set_next_window_pos((view.size[0] / 2, view.size[1] / 2), imgui.Cond_.always, (0.5, 0.5))
    imgui.set_next_window_size((width, 0))
    imgui.begin("##veil", None, FIXED | imgui.WindowFlags_.always_auto_resize)
    text(theme, sentence, size=look.LARGE)
    told = view.walk.progress
    if view.walk.phase is not Phase.CLOSED:
        imgui.dummy((0, theme.px(4)))
        fraction = told.fraction if told and told.fraction > 0 and not view.walk.veil else -1.0
        progress(theme, fraction, imgui.get_content_region_avail().x)
    if _STUCK in view.walk.veil:
        imgui.dummy((0, theme.px(4)))
        if button(f"{Icon.RESET}  Restart the model now"):
            intents.append(RestartModel())
    if view.walk.held:
        imgui.dummy((0, theme.px(4)))
        if button("Take it over##veil"):
            intents.append(TakeOver())
    imgui.end()
    return intents


def draw_help(theme: Theme, view: View) -> None:
    """All keys, in two columns."""
    imgui.set_next_window_pos((view.size[0] / 2, view.size[1] / 2), imgui.Cond_.always, (0.5, 0.5))
    imgui.set_next_window_size((min(theme.px(720), view.size[0] - theme.px(40)), 0))
    imgui.begin("##help", None, FIXED | imgui.WindowFlags_.always_auto_resize)
    text(theme, "Keys", size=look.TITLE, bold=True)
    imgui.dummy((0, theme.px(6)))
    column = imgui.get_content_region_avail().x / 2
    left = imgui.get_cursor_pos_x()
    rows = (len(SHORTCUTS) + 1) // 2
    for row in range(rows):
        for side, place in enumerate((row, row + rows)):
            if place < len(SHORTCUTS):
                if side:
                    imgui.same_line(left + column)
                _shortcut(theme, *SHORTCUTS[place], left + side * column)
    imgui.dummy((0, theme.px(4)))
    text(theme, "Press H again to close.", size=look.SMALL, colour=look.MUTED)
    imgui.end()


def _shortcut(theme: Theme, keys: str, meaning: str, left: float) -> None:
    at = imgui.get_cursor_screen_pos()
    with font(theme, look.SMALL, bold=True):
        extent = imgui.calc_text_size(keys)
        across, down = extent.x + theme.px(16), extent.y + theme.px(10)
        draw = imgui.get_window_draw_list()
        draw.add_rect_filled((at.x, at.y), (at.x + across, at.y + down), look.u32(look.RAISED), theme.px(7))
        draw.add_text((at.x + theme.px(8), at.y + theme.px(5)), look.u32(look.ACCENT), keys)
    imgui.dummy((across, down))
    imgui.same_line(left + theme.px(136))
    imgui.set_cursor_pos_y(imgui.get_cursor_pos_y() + theme.px(2))
    text(theme, meaning)


def draw_hint(theme: Theme, view: View, ui: UiState) -> None:
    """The first-run hint at the bottom centre, fading at its end."""
    if ui.hint_until is None or view.now >= ui.hint_until:
        return
    alpha = min(1.0, ui.hint_until - view.now)
    spot = view.free_centre, view.size[1] - theme.px(92)
    pill(theme, HINT, spot, room=2 * view.free_centre - theme.px(16), alpha=alpha)


def draw_toasts(theme: Theme, view: View, ui: UiState) -> None:
    """Notices at the top centre, newest last; each goes by itself."""
    ui.toasts[:] = [toast for toast in ui.toasts if toast.until > view.now]
    if not ui.toasts:
        return
    width = min(theme.px(560), view.size[0] - view.covered - theme.px(40))
    top = theme.px(84 if view.settings.hud and not ui.menu else 18)
    imgui.set_next_window_pos((view.free_centre, top), imgui.Cond_.always, (0.5, 0.0))
    imgui.set_next_window_size((width, 0))
    imgui.begin("##toasts", None, FIXED | imgui.WindowFlags_.no_inputs | imgui.WindowFlags_.always_auto_resize)
    for toast in ui.toasts:
        with colours(text=look.ACCENT):
            imgui.text(Icon.INFO)
        imgui.same_line()
        text(theme, toast.sentence)
    imgui.end()


def draw_paused(theme: Theme, view: View) -> None:
    """A quiet sign that time stands still."""
    spot = view.free_centre, view.size[1] - theme.px(92)
    pill(theme, f"{Icon.PAUSE}   Paused", spot, room=2 * view.free_centre)
