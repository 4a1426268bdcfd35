"""The picture of the ground seen from above, drawn once per world: its colours, and the shadows that fall on it."""

import math
from itertools import pairwise

import moderngl
import numpy as np
from numpy.typing import NDArray

from render import shaders
from render.scene import Scene

EXTENT = 64.0
"""Half-width of the picture, metres; beyond, the ground is plain."""
_SIZE = 1024


class PaintedGround:
    """A texture: colour in rgb, sunlight (0 in shadow) in alpha."""

    def __init__(self, ctx: moderngl.Context) -> None:
        self._ctx = ctx
        self.texture = ctx.texture((_SIZE, _SIZE), 4)
        self.texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        self.texture.build_mipmaps()  # before any drawing: Mesa moves a texture that gets its first small levels
        self._canvas = ctx.framebuffer([self.texture])
        self._flat = ctx.program(shaders.FLAT_VERTEX, shaders.PLAIN_FRAGMENT)
        self._shadow = ctx.program(shaders.SHADOW_VERTEX, shaders.PLAIN_FRAGMENT)

    def paint(self, scene: Scene, vertices: moderngl.Buffer) -> None:
        """Paints the scene's ground and casts the shadows of its vertices."""
        self._aim((True, True, True, True))
        self._canvas.clear(*scene.palette.ground, 1.0)
        self._ctx.disable(moderngl.DEPTH_TEST)
        self._ctx.enable(moderngl.BLEND)
        self._aim((True, True, True, False))
        paint = self._ctx.buffer(scene.paint)
        self._draw(self._flat, paint, "2f 4f", "position", "colour")
        paint.release()
        self._ctx.disable(moderngl.BLEND)
        self._aim((False, False, False, True))
        self._shadow["sun"] = scene.look.sun
        self._draw(self._shadow, vertices, "3f 32x", "position")
        self.texture.build_mipmaps()

    def _aim(self, channels: tuple[bool, bool, bool, bool]) -> None:
        self._canvas.color_mask = channels
        self._canvas.use()

    def _draw(self, program: moderngl.Program, vertices: moderngl.Buffer, *layout: str) -> None:
        program["extent"] = EXTENT
        array = self._ctx.vertex_array(program, [(vertices, *layout)])
        array.render()
        array.release()


def plane() -> NDArray[np.float32]:
    """The ground as rings of triangles about the origin, [V, 2] of (x, z), 320 m in radius."""
    sides = 20
    angles = np.arange(sides + 1) * 2 * math.pi / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    quads = []
    for low, high in pairwise((0.0, 14.0, 40.0, 90.0, 320.0)):
        a, b, c, d = ring[:-1] * low, ring[1:] * low, ring[1:] * high, ring[:-1] * high
        quads.append(np.stack([a, d, c, a, c, b], 1).reshape(-1, 2))
    return np.concatenate(quads).astype(np.float32)
