"""Draws a point cloud with the cameras that saw it: discs sized by distance, coloured as the viewer likes."""

from __future__ import annotations

from enum import IntEnum

import moderngl
import numpy as np
from numpy.typing import NDArray

from render.camera import FIELD_OF_VIEW, clip_from_world
from render.scan_files import ScannedCloud

BACKGROUND = (0.055, 0.065, 0.082)
_PATH, _FRUSTUM = (0.949, 0.702, 0.396), (0.95, 0.95, 0.97)
_FRUSTA = 40
"""Cameras that are drawn at most, spread over the walk."""
_REACH = 0.45
"""Units from a camera to the picture plane of its frustum."""


class Colouring(IntEnum):
    """What a point's colour tells."""

    PICTURE = 0
    HEIGHT = 1
    CONFIDENCE = 2
    TIME = 3


_VERTEX = """
#version 330
uniform mat4 clip_from_world;
uniform float pixels_per_unit;  // at depth 1
uniform float spacing;
uniform int colouring;
uniform vec2 heights;           // lowest and highest, up
in vec3 position;
in vec3 colour;
in vec2 facts;                  // confidence, time
out vec3 ink;

vec3 ramp(float t) {            // dark violet, teal, yellow: grows evenly in lightness
    t = clamp(t, 0.0, 1.0);
    vec3 low = mix(vec3(0.27, 0.09, 0.43), vec3(0.13, 0.57, 0.55), smoothstep(0.0, 0.5, t));
    return mix(low, vec3(0.99, 0.91, 0.24), smoothstep(0.45, 1.0, t));
}

void main() {
    gl_Position = clip_from_world * vec4(position, 1.0);
    gl_PointSize = clamp(1.35 * spacing * pixels_per_unit / max(gl_Position.w, 0.05), 1.6, 14.0);
    if (colouring == 0) ink = colour;
    else if (colouring == 1) ink = ramp((-position.y - heights.x) / max(heights.y - heights.x, 0.1));
    else ink = ramp(colouring == 2 ? facts.x : facts.y);
}
"""
_FRAGMENT = """
#version 330
in vec3 ink;
out vec4 shown;
void main() {
    vec2 off = gl_PointCoord - 0.5;
    if (dot(off, off) > 0.25) discard;
    shown = vec4(ink, 1.0);
}
"""
_LINE_VERTEX = """
#version 330
uniform mat4 clip_from_world;
in vec3 position;
in vec3 colour;
out vec3 ink;
void main() { gl_Position = clip_from_world * vec4(position, 1.0); ink = colour; }
"""
_LINE_FRAGMENT = """
#version 330
in vec3 ink;
out vec4 shown;
void main() { shown = vec4(ink, 1.0); }
"""


class PointCloudView:
    """One cloud on the GPU."""

    def __init__(self, ctx: moderngl.Context, cloud: ScannedCloud) -> None:
        self._ctx = ctx
        self.cloud = cloud
        self._points = ctx.program(_VERTEX, _FRAGMENT)
        self._lines = ctx.program(_LINE_VERTEX, _LINE_FRAGMENT)
        rows = np.hstack([cloud.xyz, cloud.rgb / 255, cloud.confidence[:, None], cloud.time[:, None]])
        self._rows = ctx.buffer(rows.astype(np.float32).tobytes())
        self._cloud = ctx.vertex_array(self._points, [(self._rows, "3f 3f 2f", "position", "colour", "facts")])
        self._segments = ctx.buffer(walk_lines(cloud.cameras).tobytes() or bytes(24))
        self._walk = ctx.vertex_array(self._lines, [(self._segments, "3f 3f", "position", "colour")])
        self._spacing = spacing(cloud.xyz)
        heights = np.quantile(-cloud.xyz[:, 1], [0.02, 0.98])
        self._points["heights"] = tuple(float(height) for height in heights)

    def draw(
        self,
        target: moderngl.Framebuffer,
        world_from_camera: NDArray[np.float64],
        size: tuple[int, int],
        *,
        colouring: Colouring = Colouring.PICTURE,
        walk: bool = True,
    ) -> None:
        """Clear `target` of `size` pixels and draw the cloud, and the walk's cameras if `walk`."""
        target.use()
        self._ctx.viewport = (0, 0, *size)
        target.clear(*BACKGROUND, depth=1.0)
        clip = np.diag([1.0, -1.0, 1.0, 1.0]) @ clip_from_world(world_from_camera, size[0] / size[1])
        matrix = tuple(clip.T.ravel())  # column by column
        self._ctx.enable(moderngl.DEPTH_TEST | moderngl.PROGRAM_POINT_SIZE)
        self._points["clip_from_world"] = matrix
        self._points["pixels_per_unit"] = size[0] / 2 / np.tan(FIELD_OF_VIEW / 2)
        self._points["spacing"] = self._spacing
        self._points["colouring"] = int(colouring)
        self._cloud.render(moderngl.POINTS)
        if walk and len(self.cloud.cameras):
            self._lines["clip_from_world"] = matrix
            self._walk.render(moderngl.LINES)
        self._ctx.disable(moderngl.DEPTH_TEST | moderngl.PROGRAM_POINT_SIZE)

    def close(self) -> None:
        """Give everything back."""
        for part in (self._cloud, self._walk, self._rows, self._segments, self._points, self._lines):
            part.release()


def spacing(xyz: NDArray[np.floating]) -> float:
    """About how far points `[N, 3]` are apart, units: from how many cells of half a unit they fill and how densely."""
    cells = np.floor(xyz / 0.5).astype(np.int64) @ [1 << 42, 1 << 21, 1]
    counts = np.unique(cells, return_counts=True)[1]
    return float(np.clip(0.5 / np.sqrt(max(1.0, np.median(counts))), 0.02, 0.5)) if len(counts) else 0.1


def walk_lines(cameras: NDArray[np.float64]) -> NDArray[np.float32]:
    """The path and a frustum for some of its cameras `[V, 4, 4]`, as line segments' ends with colours `[2 S, 6]`."""
    if not len(cameras):
        return np.zeros((0, 6), np.float32)
    places = cameras[:, :3, 3]
    path = np.repeat(places, 2, axis=0)[1:-1]
    slope, aspect = np.tan(FIELD_OF_VIEW / 2), 0.6
    corners = _REACH * np.array([[-slope, -slope * aspect, 1], [slope, -slope * aspect, 1],
                                 [slope, slope * aspect, 1], [-slope, slope * aspect, 1]])  # fmt: skip
    shown = cameras[np.unique(np.linspace(0, len(cameras) - 1, _FRUSTA).round().astype(int))]
    frusta = []
    for camera in shown:
        around = corners @ camera[:3, :3].T + camera[:3, 3]
        for here, there in zip(around, np.roll(around, -1, axis=0), strict=True):
            frusta += [camera[:3, 3], here, here, there]
    return np.vstack([_coloured(path, _PATH), _coloured(np.array(frusta), _FRUSTUM)]).astype(np.float32)


def _coloured(points: NDArray[np.floating], colour: tuple[float, float, float]) -> NDArray[np.floating]:
    return np.hstack([points.reshape(-1, 3), np.tile(colour, (len(points), 1))])
