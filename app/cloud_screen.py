"""A scan in the window: orbit with the left button, pan with the right, zoom with the wheel, fly with W A S D."""

from __future__ import annotations

from pathlib import Path

import moderngl
from imgui_bundle import imgui

from app import theme as look
from app.errors import AppError
from app.theme import Icon, Theme
from app.view import CloseScan, Intent, UiState, View
from app.widgets import FIXED, button, segments, text, toggle
from render.orbit import OrbitCamera, facing
from render.point_cloud import Colouring, PointCloudView
from render.scan_files import read_scan

_COLOURS = tuple((way.name.capitalize(), int(way)) for way in Colouring)
_RADIANS_PER_PIXEL = 0.006
_SPEED = 0.6
"""Distances to the middle that one flies in a second."""
_FLY = ((imgui.Key.w, (1, 0, 0)), (imgui.Key.s, (-1, 0, 0)), (imgui.Key.d, (0, 1, 0)), (imgui.Key.a, (0, -1, 0)),
        (imgui.Key.e, (0, 0, 1)), (imgui.Key.q, (0, 0, -1)))  # fmt: skip
_HELP = "Drag to turn, right drag to move, wheel to zoom, W A S D E Q to fly"


class CloudScreen:
    """The cloud that is shown, the camera on it and how it is coloured."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        self._shown: PointCloudView | None = None
        self.camera = OrbitCamera(target=(0.0, -1.0, 0.0), distance=10.0)
        self.colouring = Colouring.PICTURE
        self._walk = True

    def open(self, path: Path) -> None:
        """Show a scan's file. Raises `AppError` if it cannot be read."""
        try:
            cloud = read_scan(path)
        except ValueError as error:
            raise AppError(f"{error}.") from error
        self.close()
        self._shown = PointCloudView(self._ctx, cloud)
        self.camera = facing(cloud.xyz, cloud.cameras)

    def draw_cloud(self, target: moderngl.Framebuffer, size: tuple[int, int]) -> None:
        """The points, over the whole of `target`."""
        if self._shown is not None:
            matrix = self.camera.world_from_camera
            self._shown.draw(target, matrix, size, colouring=self.colouring, walk=self._walk)

    def draw_interface(self, theme: Theme, view: View, ui: UiState) -> list[Intent]:
        """Take the mouse and the keys, and draw the card with the choices; returns what the person asked for."""
        self._steer(view, ui)
        imgui.set_next_window_pos((theme.px(18), theme.px(18)))
        imgui.set_next_window_size((theme.px(440), 0))
        imgui.begin("##cloud", None, FIXED | imgui.WindowFlags_.always_auto_resize)
        cloud = self._shown.cloud if self._shown else None
        room = imgui.get_content_region_avail().x
        if cloud is not None:
            text(theme, f"{len(cloud.xyz):,} points", size=look.LARGE, bold=True)
            text(theme, cloud.name, size=look.SMALL, colour=look.MUTED)
        chosen = segments(_COLOURS, int(self.colouring), room)
        self.colouring = self.colouring if chosen is None else Colouring(chosen)
        self._walk = toggle(theme, "Show the walk", self._walk)
        closed = button(f"{Icon.WALK}  Back to the walk", (room, 0), hint="Esc")
        text(theme, _HELP, size=look.SMALL, colour=look.MUTED)
        imgui.end()
        return [CloseScan()] if closed or imgui.is_key_pressed(imgui.Key.escape) else []

    def _steer(self, view: View, ui: UiState) -> None:
        io = imgui.get_io()
        if not io.want_capture_mouse:
            drag = io.mouse_delta
            if imgui.is_mouse_down(imgui.MouseButton_.left):
                self.camera = self.camera.orbited(drag.x * _RADIANS_PER_PIXEL, drag.y * _RADIANS_PER_PIXEL)
            elif imgui.is_mouse_down(imgui.MouseButton_.right):
                self.camera = self.camera.panned(drag.x / view.size[0], drag.y / view.size[0])
            self.camera = self.camera.zoomed(io.mouse_wheel) if io.mouse_wheel else self.camera
        held = [way for key, way in _FLY if imgui.is_key_down(key)]
        ui.flying = bool(held)
        step = _SPEED * max(self.camera.distance, 2.0) * io.delta_time
        for ahead, right, up in held:
            self.camera = self.camera.flown(ahead * step, right * step, up * step)

    def close(self) -> None:
        """Give the cloud back."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None
