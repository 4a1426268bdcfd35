"""A small map at the top right, turned so that ahead is up: the path walked, where one looked, the views that memory
recalls, where one stands."""

from __future__ import annotations

import math

import numpy as np
from imgui_bundle import imgui
from numpy.typing import NDArray

from app import theme as look
from app.theme import Theme
from app.view import View

_SIDE = 148.0
_LEAST_REACH, _MOST_REACH = 5.0, 45.0
"""Units from the middle of the map to its edge: grows with the walk."""
_FIELD = math.radians(35)
"""Half the field of view."""
_RECALLED: look.Colour = (0.47, 0.80, 0.74, 1.0)
_GLANCE = 8
"""Latents between two views that are drawn."""


def seen_from(here: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float64]:
    """Places `[N, 4]` from the place `here` `[4]`: right and ahead in units, heading clockwise, `[N, 3]`."""
    dx, dz, turn = (np.asarray(places[:, axis] - here[axis], np.float64) for axis in range(3))
    yaw = float(here[2])
    right, ahead = dx * math.cos(yaw) - dz * math.sin(yaw), dx * math.sin(yaw) + dz * math.cos(yaw)
    return np.stack([right, ahead, turn], axis=1)


def on_map(places: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """A path `[N, 4]` (x, z, heading, chunk) seen from its end: points `[N, 2]` in -1..1 (right, up), headings `[N]`
    relative to the last (clockwise), and the units to the map's edge."""
    found = seen_from(places[-1], places)
    reach = float(np.clip(1.15 * np.hypot(found[:, 0], found[:, 1]).max(), _LEAST_REACH, _MOST_REACH))
    return found[:, :2] / reach, found[:, 2], reach


def draw_map(theme: Theme, view: View) -> None:
    """Draw the map, unless nothing was walked yet."""
    picture = view.walk.picture
    places = view.walk.path.until(picture.chunk) if picture is not None else view.walk.path.places[:0]
    if len(places) < 2:
        return
    side, margin = theme.px(_SIDE), theme.px(18)
    left, top = view.size[0] - view.covered - margin - side, margin
    middle = left + side / 2, top + side / 2
    draw = imgui.get_background_draw_list()
    draw.add_rect_filled((left, top), (left + side, top + side), look.u32(look.SHADE), theme.px(12))
    draw.push_clip_rect((left, top), (left + side, top + side), True)
    points, headings, reach = on_map(places)
    scale = side / 2 - theme.px(8)
    spots = [(middle[0] + scale * right, middle[1] - scale * up) for right, up in points]
    for spot, heading in list(zip(spots, headings, strict=True))[:-1:_GLANCE]:
        _wedge(draw, spot, heading, theme.px(11), (*look.INK[:3], 0.13))
    for right, ahead, turn in seen_from(places[-1], view.walk.path.recalled):
        spot = middle[0] + scale * right / reach, middle[1] - scale * ahead / reach
        _wedge(draw, spot, turn, theme.px(18), (*_RECALLED[:3], 0.5))
        draw.add_circle_filled(spot, theme.px(3), look.u32(_RECALLED))
    draw.add_polyline([imgui.ImVec2(*spot) for spot in spots], look.u32((*look.ACCENT[:3], 0.9)), theme.px(2), 0)
    _wedge(draw, middle, 0.0, theme.px(26), (*look.ACCENT[:3], 0.35))
    draw.add_circle_filled(middle, theme.px(4), look.u32(look.INK))
    draw.pop_clip_rect()
    theme.push(look.SMALL * 0.85)
    words = f"{2 * reach:.0f} m"
    extent = imgui.calc_text_size(words)
    spot = left + side - extent.x - theme.px(8), top + side - extent.y - theme.px(5)
    draw.add_text(spot, look.u32(look.MUTED), words)
    imgui.pop_font()


def _wedge(
    draw: imgui.ImDrawList, spot: tuple[float, float], heading: float, length: float, colour: look.Colour
) -> None:
    """What a camera at `spot` sees, `heading` radians clockwise from up."""
    ends = [
        (spot[0] + length * math.sin(heading + turn), spot[1] - length * math.cos(heading + turn))
        for turn in (-_FIELD, _FIELD)
    ]
    draw.add_triangle_filled(spot, ends[0], ends[1], look.u32(colour))
