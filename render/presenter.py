"""From a small generated frame to the window: aspect kept, edge-adaptive upscaling, late rotation warp, dimming."""

from __future__ import annotations

import math
from dataclasses import dataclass

import moderngl
import numpy as np

from render.upscale import QUAD_VERTEX, Upscaler, fullscreen_quad

_PRESENT = """#version 330
uniform sampler2D picture;             // the enlarged frame, first row on top
uniform sampler2D frame;               // the frame itself with its mipmaps: softness for what it does not show
uniform mat3 frame_from_view;          // rotation of the late warp
uniform vec2 half_extent;              // tangents of half the horizontal and vertical field of view
uniform bool warped;
uniform float dim;                     // 0: as it is, 1: black
in vec2 uv;
out vec4 colour;
vec2 warp(vec2 at) {
    vec3 ray = frame_from_view * vec3((at * 2.0 - 1.0) * half_extent, 1.0);
    return ray.z > 0.05 ? (ray.xy / ray.z / half_extent) * 0.5 + 0.5 : vec2(9.0);
}
void main() {
    vec2 at = vec2(uv.x, 1.0 - uv.y);
    vec3 c;
    if (warped) {
        at = warp(at);
        vec2 inside = clamp(at, 0.0, 1.0);
        float outside = length(at - inside);
        c = mix(texture(picture, inside).rgb, textureLod(frame, inside, clamp(2.0 + outside * 16.0, 2.0, 5.0)).rgb,
                smoothstep(0.0, 0.02, outside));
    } else {
        c = texture(picture, at).rgb;
    }
    float grey = dot(c, vec3(0.299, 0.587, 0.114));
    colour = vec4(mix(c, vec3(grey), 0.6 * dim) * (1.0 - dim), 1.0);
}
"""

Rect = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenterConfig:
    """How frames are shown."""

    horizontal_fov_deg: float = 70.0
    """Field of view of the world's camera; only the late warp needs it."""
    background: tuple[float, float, float] = (0.043, 0.051, 0.063)
    """Colour around the picture, linear 0..1."""
    software_factor: int = 2
    """Largest factor of the edge-adaptive pass when the CPU draws; bilinear does the rest."""
    hardware_factor: int = 6


def place(frame: tuple[int, int], window: tuple[int, int], *, covered: int = 0) -> Rect:
    """Where a frame of size `frame` goes in a window: (left, bottom, width, height) in pixels, aspect kept.

    `covered` pixels at the right are hidden by a panel: the picture keeps its size and moves left by half of them.
    """
    scale = min(window[0] / frame[0], window[1] / frame[1])
    width, height = max(1, round(frame[0] * scale)), max(1, round(frame[1] * scale))
    return (window[0] - width - covered) // 2, (window[1] - height) // 2, width, height


def rotation(yaw: float, pitch: float) -> np.ndarray:
    """`world_from_camera` rotation [3, 3] of a camera turned right by `yaw` and up by `pitch` radians."""
    c, s, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    turn = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return turn @ np.array([[1.0, 0.0, 0.0], [0.0, cp, -sp], [0.0, sp, cp]])


def is_software(ctx: moderngl.Context) -> bool:
    """Whether this context draws on the CPU (Mesa's llvmpipe and its kin)."""
    return any(name in ctx.info["GL_RENDERER"].lower() for name in ("llvmpipe", "softpipe", "swrast", "software"))


class Presenter:
    """Holds the newest frame on the GPU and draws it. Rebuild it when the GL context was lost."""

    def __init__(self, ctx: moderngl.Context, config: PresenterConfig | None = None) -> None:
        self.config = config or PresenterConfig()
        self._ctx = ctx
        self._upscaler = Upscaler(ctx)
        self._program = ctx.program(vertex_shader=QUAD_VERTEX, fragment_shader=_PRESENT)
        self._program["frame"] = 1
        self._quad = fullscreen_quad(ctx, self._program)
        self._frame: moderngl.Texture | None = None
        self._enlarged: moderngl.Texture | None = None
        self._factor = 0
        self._limit = self.config.software_factor if is_software(ctx) else self.config.hardware_factor

    @property
    def size(self) -> tuple[int, int] | None:
        """(width, height) of the frame that is shown; None before the first."""
        return self._frame.size if self._frame else None

    def upload(self, frame: np.ndarray) -> None:
        """Take a new frame, uint8 RGB [H, W, 3]."""
        height, width, channels = frame.shape
        if frame.dtype != np.uint8 or channels != 3:
            raise ValueError(f"a frame must be uint8 [H, W, 3], got {frame.dtype} {frame.shape}")
        if self._frame is None or self._frame.size != (width, height):
            if self._frame is not None:
                self._frame.release()
            self._frame = self._ctx.texture((width, height), 3, alignment=1)
            self._frame.repeat_x = self._frame.repeat_y = False
        self._frame.write(np.ascontiguousarray(frame).data, alignment=1)
        self._factor = 0

    def forget(self) -> None:
        """Show nothing until the next frame."""
        if self._frame is not None:
            self._frame.release()
        self._frame = self._enlarged = None

    def draw(
        self,
        target: moderngl.Framebuffer,
        window: tuple[int, int],
        *,
        covered: int = 0,
        yaw: float = 0.0,
        pitch: float = 0.0,
        dim: float = 0.0,
    ) -> None:
        """Clear `target` and draw the frame into it.

        `yaw`, `pitch`: radians that the viewer has turned since the frame was made (late warp); `dim` 0..1 fades it.
        """
        target.use()
        self._ctx.viewport = (0, 0, *window)
        target.clear(*self.config.background)
        if self._frame is None:
            return
        left, bottom, width, height = place(self._frame.size, window, covered=covered)
        self._enlarge(width)
        warped = bool(yaw or pitch)
        if warped:
            self._frame.build_mipmaps()
        self._uniforms(warped, yaw, pitch, dim)
        target.use()
        self._ctx.viewport = (left, bottom, width, height)
        self._ctx.disable(moderngl.BLEND)
        assert self._enlarged is not None
        self._enlarged.use(0)
        self._frame.use(1)
        self._quad.render(moderngl.TRIANGLE_STRIP)
        self._ctx.viewport = (0, 0, *window)

    def _enlarge(self, width: int) -> None:
        """Redo the costly pass only for a new frame or another size."""
        assert self._frame is not None
        factor = max(1, min(self._limit, math.ceil(width / self._frame.width)))
        if factor != self._factor:
            self._enlarged = self._upscaler.enlarge(self._frame, factor)
            self._factor = factor

    def _uniforms(self, warped: bool, yaw: float, pitch: float, dim: float) -> None:
        assert self._frame is not None
        tangent = math.tan(math.radians(self.config.horizontal_fov_deg) / 2)
        self._program["half_extent"] = (tangent, tangent * self._frame.height / self._frame.width)
        self._program["frame_from_view"].write(rotation(yaw, pitch).T.astype("f4").tobytes())  # column-major
        self._program["warped"] = warped
        self._program["dim"] = dim
