"""Fonts of the interface: Roboto and Font Awesome from imgui-bundle, merged with a font of the system for Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imgui_bundle
from imgui_bundle import imgui

CJK_FONTS: tuple[str, ...] = (
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simsun.ttc",
)
"""Where systems keep a font with Chinese characters, best first."""

NO_CJK_FONT = (
    "No font with Chinese characters was found in {count} known places; "
    "install one with 'apt-get install fonts-wqy-microhei'."
)

_ASSETS = Path(imgui_bundle.__file__).parent / "assets" / "fonts"
_REGULAR = _ASSETS / "Roboto" / "Roboto-Regular.ttf"
_BOLD = _ASSETS / "Roboto" / "Roboto-Bold.ttf"
_ICONS = _ASSETS / "Font_Awesome_6_Free-Solid-900.otf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fonts:
    """Loaded fonts. Sizes are chosen when a font is pushed (ImGui 1.92 rasterises any size)."""

    regular: imgui.ImFont
    bold: imgui.ImFont
    warning: str
    """A sentence if Chinese text cannot be shown, else empty."""


def find_cjk_font(paths: Sequence[str] = CJK_FONTS) -> str | None:
    """The first of `paths` that exists."""
    return next((path for path in paths if Path(path).is_file()), None)


def load_fonts(size: float, cjk_paths: Sequence[str] = CJK_FONTS) -> Fonts:
    """Load the interface fonts into the current ImGui context at a base size in pixels."""
    cjk = find_cjk_font(cjk_paths)
    return Fonts(
        regular=_face(_REGULAR, size, cjk),
        bold=_face(_BOLD, size, cjk),
        warning="" if cjk else NO_CJK_FONT.format(count=len(cjk_paths)),
    )


def _face(latin: Path, size: float, cjk: str | None) -> imgui.ImFont:
    atlas = imgui.get_io().fonts
    font = atlas.add_font_from_file_ttf(str(latin), size)
    icons = imgui.ImFontConfig()
    icons.merge_mode = True
    icons.glyph_offset = imgui.ImVec2(0.0, 1.0)
    atlas.add_font_from_file_ttf(str(_ICONS), size * 0.86, icons)
    if cjk:
        chinese = imgui.ImFontConfig()
        chinese.merge_mode = True
        atlas.add_font_from_file_ttf(cjk, size, chinese)
    return font
