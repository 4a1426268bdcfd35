"""From a small generated frame to the window: aspect kept, edge-adaptive upscaling, late rotation warp, dimming."""

from __future__ import annotations

import math
from dataclasses import dataclass

import moderngl
import numpy as np

from render.upscale import QUAD_VERTEX, Upscaler, fullscreen_quad

_PLAIN = """#version 330
uniform sampler2D picture;             // the enlarged frame, first row on top
uniform float dim;                     // 0: as it is, 1: black
in vec2 uv;
out vec4 colour;
void main() {
    vec3 c = texture(picture, vec2(uv.x, 1.0 - uv.y)).rgb;
    float grey = dot(c, vec3(0.299, 0.587, 0.114));
    colour = vec4(mix(c, vec3(grey), 0.6 * dim) * (1.0 - dim), 1.0);
}
"""

_WARPED = """#version 330
uniform sampler2D picture;
uniform sampler2D frame;               // the frame itself with its mipmaps: softness for what it does not show
uniform mat3 frame_from_view;          // rotation from the eye now to the camera of the frame
uniform vec2 half_extent;              // tangents of half the horizontal and vertical field of view
in vec2 uv;
out vec4 colour;
void main() {
    vec2 view = vec2(uv.x, 1.0 - uv.y) * 2.0 - 1.0;
    vec3 ray = frame_from_view * vec3(view * half_extent, 1.0);
    vec2 at = ray.z > 0.05 ? 0.5 + 0.5 * ray.xy / (ray.z * half_extent) : vec2(9.0);
    vec2 inside = clamp(at, 0.0, 1.0);
    float outside = length(at - inside);
    vec3 soft = textureLod(frame, inside, clamp(2.0 + 16.0 * outside, 2.0, 5.0)).rgb;
    colour = vec4(mix(texture(picture, inside).rgb, soft, smoothstep(0.0, 0.02, outside)), 1.0);
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
        self._plain = ctx.program(vertex_shader=QUAD_VERTEX, fragment_shader=_PLAIN)
        self._warped = ctx.program(vertex_shader=QUAD_VERTEX, fragment_shader=_WARPED)
        self._warped["frame"] = 1
        self._plain_quad = fullscreen_quad(ctx, self._plain)
        self._warped_quad = fullscreen_quad(ctx, self._warped)
        self._frame: moderngl.Texture | None = None
        self._enlarged: moderngl.Texture | None = None
        self._factor = 0
        self.sharp = True
        """Whether the edge-adaptive pass is used; without it frames are enlarged by bilinear filtering alone."""
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
            self._frame.filter = moderngl.LINEAR, moderngl.LINEAR
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

        `yaw`, `pitch`: radians that the viewer has turned since the frame was made (late warp); `dim` 0..1 fades a
        frame that is not warped.
        """
        target.use()
        self._ctx.viewport = (0, 0, *window)
        target.clear(*self.config.background)
        if self._frame is None:
            return
        left, bottom, width, height = place(self._frame.size, window, covered=covered)
        enlarged = self._enlarge(width)
        quad = self._prepare_warp(yaw, pitch) if yaw or pitch else self._plain_quad
        self._plain["dim"] = dim
        target.use()
        self._ctx.viewport = (left, bottom, width, height)
        self._ctx.disable(moderngl.BLEND)
        enlarged.use(0)
        quad.render(moderngl.TRIANGLE_STRIP)
        self._ctx.viewport = (0, 0, *window)

    def _enlarge(self, width: int) -> moderngl.Texture:
        """The enlarged frame; the costly pass is redone only for a new frame or another size."""
        assert self._frame is not None
        if not self.sharp:
            return self._frame
        factor = max(1, min(self._limit, math.ceil(width / self._frame.width)))
        if factor != self._factor or self._enlarged is None:
            self._enlarged = self._upscaler.enlarge(self._frame, factor)
            self._factor = factor
        return self._enlarged

    def _prepare_warp(self, yaw: float, pitch: float) -> moderngl.VertexArray:
        assert self._frame is not None
        self._frame.build_mipmaps()
        self._frame.use(1)
        tangent = math.tan(math.radians(self.config.horizontal_fov_deg) / 2)
        self._warped["half_extent"] = (tangent, tangent * self._frame.height / self._frame.width)
        self._warped["frame_from_view"] = tuple(rotation(yaw, pitch).T.ravel())  # column by column
        return self._warped_quad
