"""Edge-adaptive upscaling of small frames, in two passes on the GPU.

Worlds are 320x192 or 160x96 and windows are not. Bilinear filtering makes such a picture foggy, plain bicubic makes
staircases of its slanted edges. So the first pass measures the local structure tensor of the luma at source
resolution (cheap), and the second interpolates with a radial cubic-like kernel that is stretched along the edge and
kept narrow across it, then clamped to the range of the four nearest pixels so that edges cannot ring.
"""

from __future__ import annotations

import moderngl
import numpy as np

QUAD_VERTEX = """#version 330
in vec2 position;                      // two triangles over [-1, 1]^2
out vec2 uv;                           // [0, 1]^2, y up
void main() { uv = position * 0.5 + 0.5; gl_Position = vec4(position, 0.0, 1.0); }
"""

_STRUCTURE = """#version 330
uniform sampler2D frame;
out vec4 tensor;                       // smoothed (gx gx, gx gy, gy gy) of the luma
float luma(ivec2 p) {
    return dot(texelFetch(frame, clamp(p, ivec2(0), textureSize(frame, 0) - 1), 0).rgb, vec3(0.299, 0.587, 0.114));
}
vec3 products(ivec2 p) {
    vec2 g = vec2(luma(p + ivec2(1, 0)) - luma(p - ivec2(1, 0)), luma(p + ivec2(0, 1)) - luma(p - ivec2(0, 1)));
    return vec3(g.x * g.x, g.x * g.y, g.y * g.y);
}
void main() {
    ivec2 p = ivec2(gl_FragCoord.xy);
    vec3 sum = 4.0 * products(p);
    sum += 2.0 * (products(p + ivec2(1, 0)) + products(p - ivec2(1, 0)));
    sum += 2.0 * (products(p + ivec2(0, 1)) + products(p - ivec2(0, 1)));
    tensor = vec4(sum / 12.0, 1.0);
}
"""

_INTERPOLATE = """#version 330
uniform sampler2D frame;
uniform sampler2D tensors;
uniform float stretch;                 // how much longer the kernel is along a clear edge
in vec2 uv;
out vec4 colour;
float kernel(float r2) {               // radial Catmull-Rom
    float r = sqrt(r2);
    float near = (1.5 * r - 2.5) * r2 + 1.0;
    float far = ((-0.5 * r + 2.5) * r - 4.0) * r + 2.0;
    return r < 1.0 ? near : (r < 2.0 ? far : 0.0);
}
void main() {
    ivec2 size = textureSize(frame, 0);
    vec2 at = uv * vec2(size) - 0.5;
    ivec2 base = ivec2(floor(at));
    vec2 part = at - vec2(base);
    vec3 t = texture(tensors, uv).xyz;
    float spread = sqrt((t.x - t.z) * (t.x - t.z) + 4.0 * t.y * t.y);
    vec2 twice = vec2(t.x - t.z, 2.0 * t.y) / max(spread, 1e-6);      // (cos, sin) of twice the gradient's angle
    float edge = spread / (t.x + t.z + 2e-3);                         // 0: flat or corner, 1: one clear direction
    float along = mix(1.0, 1.0 / (stretch * stretch), edge);
    float mean = 0.5 * (1.0 + along), half_gap = 0.5 * (1.0 - along);
    vec3 metric = vec3(mean + half_gap * twice.x, 2.0 * half_gap * twice.y, mean - half_gap * twice.x);
    vec3 sum = vec3(0.0), low = vec3(1.0), high = vec3(0.0);
    float total = 0.0;
    for (int j = -1; j <= 2; ++j)
        for (int i = -1; i <= 2; ++i) {
            vec2 d = vec2(i, j) - part;
            vec3 c = texelFetch(frame, clamp(base + ivec2(i, j), ivec2(0), size - 1), 0).rgb;
            float w = kernel(metric.x * d.x * d.x + metric.y * d.x * d.y + metric.z * d.y * d.y);
            sum += w * c;
            total += w;
            if ((i == 0 || i == 1) && (j == 0 || j == 1)) { low = min(low, c); high = max(high, c); }
        }
    colour = vec4(clamp(sum / total, low, high), 1.0);
}
"""


def fullscreen_quad(ctx: moderngl.Context, program: moderngl.Program) -> moderngl.VertexArray:
    """A triangle strip over the whole viewport for a program with `QUAD_VERTEX`."""
    corners = np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype="f4")
    return ctx.vertex_array(program, [(ctx.buffer(corners.tobytes()), "2f", "position")])


class Upscaler:
    """Enlarges a frame texture by a whole factor into a texture of its own."""

    def __init__(self, ctx: moderngl.Context, *, stretch: float = 1.4) -> None:
        self._ctx = ctx
        self._structure = ctx.program(vertex_shader=QUAD_VERTEX, fragment_shader=_STRUCTURE)
        self._interpolate = ctx.program(vertex_shader=QUAD_VERTEX, fragment_shader=_INTERPOLATE)
        self._interpolate["tensors"] = 1
        self._interpolate["stretch"] = stretch
        self._structure_quad = fullscreen_quad(ctx, self._structure)
        self._interpolate_quad = fullscreen_quad(ctx, self._interpolate)
        self._tensors: moderngl.Framebuffer | None = None
        self._enlarged: moderngl.Framebuffer | None = None

    def enlarge(self, frame: moderngl.Texture, factor: int) -> moderngl.Texture:
        """`frame` [W, H] RGB -> a texture [factor W, factor H] that stays valid until the next call."""
        if factor < 1:
            raise ValueError(f"the factor must be >= 1, got {factor}")
        width, height = frame.size
        self._tensors = self._target(self._tensors, (width, height), "f2", 4)
        self._enlarged = self._target(self._enlarged, (width * factor, height * factor), "f1", 3)
        self._ctx.disable(moderngl.BLEND)
        frame.use(0)
        self._tensors.use()
        self._structure_quad.render(moderngl.TRIANGLE_STRIP)
        _texture(self._tensors).use(1)
        self._enlarged.use()
        self._interpolate_quad.render(moderngl.TRIANGLE_STRIP)
        return _texture(self._enlarged)

    def _target(
        self, old: moderngl.Framebuffer | None, size: tuple[int, int], dtype: str, components: int
    ) -> moderngl.Framebuffer:
        if old is not None and old.size == size:
            return old
        if old is not None:
            _texture(old).release()
            old.release()
        texture = self._ctx.texture(size, components, dtype=dtype)
        texture.filter = moderngl.LINEAR, moderngl.LINEAR
        texture.repeat_x = texture.repeat_y = False
        return self._ctx.framebuffer(color_attachments=[texture])


def _texture(target: moderngl.Framebuffer) -> moderngl.Texture:
    attachment = target.color_attachments[0]
    assert isinstance(attachment, moderngl.Texture)
    return attachment
