"""What OpenGL this machine offers without a window, through EGL: the context that training data and headless play draw with."""

import moderngl

SOFTWARE = ("llvmpipe", "softpipe", "swrast", "swiftshader")


def graphics() -> dict[str, str | bool | int]:
    """Renderer, version and limits of a headless context. Raises whatever moderngl raises where there is none."""
    context = moderngl.create_context(standalone=True, backend="egl", require=330)
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
