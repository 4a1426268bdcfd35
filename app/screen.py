"""Everything that is drawn into the window, in order: picture, display, panel, overlays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moderngl
import numpy as np

from app.cloud_screen import CloudScreen
from app.gallery import Start
from app.gui import Gui
from app.hud import draw_hud
from app.minimap import draw_map
from app.overlays import draw_help, draw_hint, draw_paused, draw_toasts, draw_veil, veil_sentence
from app.panel import draw_panel
from app.start_screen import draw_start_screen
from app.view import Intent, UiState, View
from render.presenter import Presenter

_MENU_DIM = 0.72
_VEIL_DIM = 0.45


@dataclass(frozen=True, kw_only=True, slots=True)
class Turned:
    """Radians that the mouse has made since the picture; zero without the late warp."""

    yaw: float = 0.0
    pitch: float = 0.0


class Screen:
    """Owns all that lives on the GPU. After a lost context, make another one."""

    def __init__(self, ctx: moderngl.Context, starts: Sequence[Start], *, scale: float = 1.0) -> None:
        self.gui = Gui(ctx, scale=scale)
        self.presenter = Presenter(ctx)
        self.cloud = CloudScreen(ctx)
        self._textures = [_texture(ctx, start.thumbnail) for start in starts]
        self.starts = [
            (start, self.gui.renderer.register(texture)) for start, texture in zip(starts, self._textures, strict=True)
        ]
        self._shown: np.ndarray | None = None

    def draw(
        self, target: moderngl.Framebuffer, view: View, ui: UiState, turned: Turned, elapsed_s: float
    ) -> list[Intent]:
        """One picture of the whole window, `elapsed_s` seconds after the last; returns what the person asked for."""
        self.gui.flying = ui.cloud
        if ui.cloud:
            self.cloud.draw_cloud(target, view.size)
        else:
            self._draw_world(target, view, ui, turned)
        self.gui.begin(view.size, elapsed_s)
        intents = self._draw_interface(view, ui)
        self.gui.end(target)
        return intents

    def _draw_world(self, target: moderngl.Framebuffer, view: View, ui: UiState, turned: Turned) -> None:
        picture = view.walk.picture
        if picture is not None and picture.pixels is not self._shown:
            self.presenter.upload(picture.pixels)
            self._shown = picture.pixels
        dim = _MENU_DIM if ui.menu else (_VEIL_DIM if veil_sentence(view) else 0.0)
        self.presenter.draw(target, view.size, covered=view.covered, yaw=turned.yaw, pitch=turned.pitch, dim=dim)

    def _draw_interface(self, view: View, ui: UiState) -> list[Intent]:
        theme = self.gui.theme
        intents: list[Intent] = []
        if ui.cloud:
            intents += self.cloud.draw_interface(theme, view, ui)
        elif ui.menu:
            intents += draw_start_screen(theme, view, ui)
        else:
            if view.settings.hud and view.walk.world is not None:
                draw_hud(theme, view)
                draw_map(theme, view)
            if ui.panel:
                intents += draw_panel(theme, view, ui)
            if not ui.help:
                intents += draw_veil(theme, view)
                draw_hint(theme, view, ui)
                if view.walk.paused:
                    draw_paused(theme, view)
        if ui.help:
            draw_help(theme, view)
        draw_toasts(theme, view, ui)
        return intents

    def close(self) -> None:
        """Give everything back."""
        self.cloud.close()
        self.gui.close()
        for texture in self._textures:
            texture.release()


def _texture(ctx: moderngl.Context, pixels: np.ndarray) -> moderngl.Texture:
    height, width, channels = pixels.shape
    texture = ctx.texture((width, height), channels, np.ascontiguousarray(pixels).tobytes(), alignment=1)
    texture.build_mipmaps()
    texture.filter = moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR
    return texture
