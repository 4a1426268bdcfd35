"""Dear ImGui drawn by moderngl: textures created on demand, clipped triangles, nothing else (no PyOpenGL)."""

from __future__ import annotations

import ctypes

import moderngl
import numpy as np
from imgui_bundle import imgui

_VERTEX = """#version 330
uniform vec2 display;
in vec2 position;
in vec2 texcoord;
in vec4 tint;
out vec2 uv;
out vec4 colour;
void main() {
    uv = texcoord;
    colour = tint;
    gl_Position = vec4(position / display * vec2(2.0, -2.0) + vec2(-1.0, 1.0), 0.0, 1.0);
}
"""

_FRAGMENT = """#version 330
uniform sampler2D image;
in vec2 uv;
in vec4 colour;
out vec4 result;
void main() { result = colour * texture(image, uv); }
"""

_INITIAL_BYTES = 1 << 17


class ImguiRenderer:
    """Draws the current ImGui context into a framebuffer of `ctx`. Needs a context made by `imgui.create_context`."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        io, platform = imgui.get_io(), imgui.get_platform_io()
        io.backend_flags |= imgui.BackendFlags_.renderer_has_textures
        largest = int(ctx.info["GL_MAX_TEXTURE_SIZE"])
        platform.renderer_texture_max_width = platform.renderer_texture_max_height = largest
        self._program = ctx.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._textures: dict[int, moderngl.Texture] = {}
        self._allocate(_INITIAL_BYTES, _INITIAL_BYTES)

    def register(self, texture: moderngl.Texture) -> imgui.ImTextureRef:
        """Let `imgui.image` show a moderngl texture, which the caller keeps alive."""
        self._textures[texture.glo] = texture
        return imgui.ImTextureRef(texture.glo)

    def draw(self, data: imgui.ImDrawData, target: moderngl.Framebuffer) -> None:
        """Draw what `imgui.render()` made into `target`."""
        self._update_textures()
        width, height = (int(side) for side in data.display_size)
        if width <= 0 or height <= 0:
            return
        target.use()
        self._ctx.viewport = (0, 0, width, height)
        self._ctx.enable_only(moderngl.BLEND)
        self._ctx.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        self._program["display"] = (width, height)
        for commands in data.cmd_lists:
            self._draw_list(commands, target, height)
        self._ctx.scissor = None
        self._ctx.disable(moderngl.BLEND)

    def _draw_list(self, commands: imgui.ImDrawList, target: moderngl.Framebuffer, height: int) -> None:
        vertices = commands.vtx_buffer.size() * imgui.VERTEX_SIZE
        indices = commands.idx_buffer.size() * imgui.INDEX_SIZE
        if vertices > self._vertices.size or indices > self._indices.size:
            self._allocate(2 * vertices, 2 * indices)
        self._vertices.orphan()
        self._indices.orphan()
        self._vertices.write(ctypes.string_at(commands.vtx_buffer.data_address(), vertices))
        self._indices.write(ctypes.string_at(commands.idx_buffer.data_address(), indices))
        for command in commands.cmd_buffer:
            left, top, right, bottom = (int(edge) for edge in command.clip_rect)
            if right <= left or bottom <= top:
                continue
            target.scissor = max(left, 0), height - bottom, right - left, bottom - top
            self._textures[command.tex_ref.get_tex_id()].use(0)
            self._array.render(moderngl.TRIANGLES, vertices=command.elem_count, first=command.idx_offset)

    def _allocate(self, vertex_bytes: int, index_bytes: int) -> None:
        self._vertices = self._ctx.buffer(reserve=max(vertex_bytes, _INITIAL_BYTES), dynamic=True)
        self._indices = self._ctx.buffer(reserve=max(index_bytes, _INITIAL_BYTES), dynamic=True)
        self._array = self._ctx.vertex_array(
            self._program,
            [(self._vertices, "2f 2f 4f1", "position", "texcoord", "tint")],
            self._indices,
            index_element_size=imgui.INDEX_SIZE,
        )

    def _update_textures(self) -> None:
        for wanted in imgui.get_platform_io().textures:
            if wanted.status == imgui.ImTextureStatus.want_create:
                texture = self._ctx.texture((wanted.width, wanted.height), 4, wanted.get_pixels_array().tobytes())
                self._textures[texture.glo] = texture
                wanted.set_tex_id(texture.glo)
                wanted.status = imgui.ImTextureStatus.ok
            elif wanted.status == imgui.ImTextureStatus.want_updates:
                self._write_updates(wanted)
            elif wanted.status == imgui.ImTextureStatus.want_destroy and wanted.unused_frames > 0:
                self._textures.pop(wanted.tex_id).release()
                wanted.set_tex_id(0)
                wanted.status = imgui.ImTextureStatus.destroyed

    def _write_updates(self, wanted: imgui.ImTextureData) -> None:
        pixels = wanted.get_pixels_array().reshape(wanted.height, wanted.width, 4)
        for box in wanted.updates:
            part = np.ascontiguousarray(pixels[box.y : box.y + box.h, box.x : box.x + box.w])
            self._textures[wanted.tex_id].write(part, (box.x, box.y, box.w, box.h))
        wanted.status = imgui.ImTextureStatus.ok
