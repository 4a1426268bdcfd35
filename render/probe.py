"""What this machine offers for drawing, as plain values for `launch.py doctor`."""

from typing import Any

import moderngl

from render.fonts import find_cjk_font

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader")


def graphics() -> dict[str, str | bool | int]:
    """The OpenGL that EGL gives without a window. Raises whatever moderngl raises where there is none."""
    settings: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
    context = moderngl.create_context(**settings)
    try:
        renderer = context.info["GL_RENDERER"]
        return {
            "renderer": renderer,
            "version": context.info["GL_VERSION"].split()[0],
            "software": any(name in renderer.lower() for name in SOFTWARE),
            "max_texture": int(context.info["GL_MAX_TEXTURE_SIZE"]),
        }
    finally:
        context.release()


def fonts() -> dict[str, str | None]:
    """The font file that Chinese text is drawn with, None where there is none."""
    return {"chinese": find_cjk_font()}
