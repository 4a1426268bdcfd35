"""The look: one dark surface colour, one accent, generous spacing. Everything else asks here."""

from __future__ import annotations

from dataclasses import dataclass

from imgui_bundle import imgui

from render.fonts import Fonts

Colour = tuple[float, float, float, float]

INK: Colour = (0.925, 0.937, 0.949, 1.0)
MUTED: Colour = (0.604, 0.643, 0.690, 1.0)
SURFACE: Colour = (0.078, 0.090, 0.110, 1.0)
RAISED: Colour = (0.133, 0.150, 0.180, 1.0)
RAISED_HOVER: Colour = (0.176, 0.198, 0.235, 1.0)
RAISED_ACTIVE: Colour = (0.215, 0.241, 0.285, 1.0)
LINE: Colour = (1.0, 1.0, 1.0, 0.07)
ACCENT: Colour = (0.949, 0.702, 0.396, 1.0)
ACCENT_HOVER: Colour = (0.976, 0.760, 0.478, 1.0)
ACCENT_ACTIVE: Colour = (0.886, 0.627, 0.322, 1.0)
ON_ACCENT: Colour = (0.110, 0.082, 0.043, 1.0)
SHADE: Colour = (0.031, 0.039, 0.051, 0.72)
"""Behind text that lies on the picture."""

BASE_SIZE = 17.0
SMALL, BODY, LARGE, TITLE, HERO = 14.0, 17.0, 20.0, 28.0, 56.0
"""Font sizes in pixels before the interface scale."""

ROUND = 10.0


class Icon:
    """Glyphs of Font Awesome 6 that the interface uses."""

    PLAY, PAUSE, UNDO, RESET, DICE = "\uf04b", "\uf04c", "\uf2ea", "\uf021", "\uf522"
    IMAGE, MAGIC, CLOSE, CAMERA, FOLDER = "\uf03e", "\ue2ca", "\uf00d", "\uf030", "\uf07c"
    WALK, COMPASS, INFO, WARNING, GRID = "\uf554", "\uf14e", "\uf05a", "\uf071", "\uf00a"
    BRANCH, DOT = "\uf126", "\uf111"
    EYE, SEED, SEND, GAUGE, CHECK = "\uf06e", "\uf4d8", "\uf061", "\uf624", "\uf00c"


@dataclass(frozen=True, kw_only=True, slots=True)
class Theme:
    """Fonts and the scale of the interface (1.0: made for 96 dots per inch)."""

    fonts: Fonts
    scale: float = 1.0

    def px(self, length: float) -> float:
        """A length in screen pixels."""
        return length * self.scale

    def push(self, size: float, *, bold: bool = False) -> None:
        """Use a font of `size` until `imgui.pop_font`."""
        imgui.push_font(self.fonts.bold if bold else self.fonts.regular, size)


def apply(scale: float) -> None:
    """Give the current ImGui context the look."""
    style = imgui.get_style()
    style.font_size_base = BASE_SIZE
    style.window_padding = imgui.ImVec2(20, 18)
    style.frame_padding = imgui.ImVec2(12, 8)
    style.item_spacing = imgui.ImVec2(8, 8)
    style.item_inner_spacing = imgui.ImVec2(8, 6)
    style.window_rounding, style.child_rounding, style.popup_rounding = 16, 12, ROUND
    style.frame_rounding = style.grab_rounding = style.image_rounding = ROUND
    style.scrollbar_rounding, style.scrollbar_size, style.grab_min_size = 6, 8, 16
    style.window_border_size, style.child_border_size, style.frame_border_size = 1, 0, 0
    style.window_title_align = imgui.ImVec2(0.0, 0.5)
    style.scale_all_sizes(scale)
    style.font_scale_main = scale
    style.window_min_size = imgui.ImVec2(8, 8)
    for column, colour in _palette().items():
        style.set_color_(column, imgui.ImVec4(*colour))


def _palette() -> dict[int, Colour]:
    c = imgui.Col_
    clear: Colour = (0, 0, 0, 0)
    return {
        c.text: INK, c.text_disabled: MUTED, c.window_bg: SURFACE, c.child_bg: clear, c.popup_bg: SURFACE,
        c.border: LINE, c.separator: LINE, c.frame_bg: RAISED, c.frame_bg_hovered: RAISED_HOVER,
        c.frame_bg_active: RAISED_HOVER, c.button: RAISED, c.button_hovered: RAISED_HOVER,
        c.button_active: RAISED_ACTIVE, c.header: RAISED, c.header_hovered: RAISED_HOVER,
        c.header_active: RAISED_ACTIVE, c.check_mark: ACCENT, c.checkbox_selected_bg: RAISED,
        c.slider_grab: ACCENT, c.slider_grab_active: ACCENT_HOVER, c.scrollbar_bg: clear,
        c.scrollbar_grab: RAISED_HOVER, c.scrollbar_grab_hovered: RAISED_ACTIVE, c.scrollbar_grab_active: RAISED_ACTIVE,
        c.text_selected_bg: (*ACCENT[:3], 0.35), c.input_text_cursor: ACCENT, c.nav_cursor: (*ACCENT[:3], 0.8),
        c.resize_grip: clear, c.resize_grip_hovered: clear, c.resize_grip_active: clear,
    }  # fmt: skip


def u32(colour: Colour) -> int:
    """A colour for draw lists."""
    return imgui.get_color_u32(imgui.ImVec4(*colour))
