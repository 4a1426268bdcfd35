"""The window: pygame, an OpenGL 3.3 core context, full screen, resizing, screenshots, pointer capture."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import moderngl
import numpy as np
import pygame
from PIL import Image
from pygame._sdl2.video import Window as SdlWindow

from app.errors import AppError

TITLE = "Wander"
DEFAULT_SIZE = (1280, 768)
"""Four times the picture of `pocket`."""
SMALLEST = (480, 320)

_NO_WINDOW = (
    "No window could be opened ({reason}): on Debian run 'apt-get install libgl1 libgl1-mesa-dri', and without "
    "a display use 'launch.py play --headless'."
)


class Window:
    """One pygame window with a moderngl context. Raises `AppError` with what to do if there is no display or no GL."""

    def __init__(self, size: tuple[int, int] = DEFAULT_SIZE, *, fullscreen: bool = False) -> None:
        self.fullscreen = fullscreen
        self._windowed = size
        self._captured = False
        self._handle: SdlWindow | None = None
        try:
            pygame.display.init()
            for attribute, value in (
                (pygame.GL_CONTEXT_MAJOR_VERSION, 3),
                (pygame.GL_CONTEXT_MINOR_VERSION, 3),
                (pygame.GL_CONTEXT_PROFILE_MASK, pygame.GL_CONTEXT_PROFILE_CORE),
                (pygame.GL_CONTEXT_FORWARD_COMPATIBLE_FLAG, 1),
                (pygame.GL_DOUBLEBUFFER, 1),
            ):
                pygame.display.gl_set_attribute(attribute, value)
            pygame.display.set_icon(_icon())
            self._open(size)
            pygame.display.set_caption(TITLE)
            self.ctx = _context()
        except Exception as error:  # SDL and moderngl raise several kinds, some of them bare
            pygame.display.quit()
            raise AppError(_NO_WINDOW.format(reason=error)) from error

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return pygame.display.get_window_size()

    @property
    def target(self) -> moderngl.Framebuffer:
        """The framebuffer that is shown."""
        return self.ctx.screen

    def events(self) -> list[pygame.event.Event]:
        """What happened since the last call."""
        return pygame.event.get()

    def flip(self) -> None:
        """Show what was drawn."""
        pygame.display.flip()

    def toggle_fullscreen(self) -> None:
        """Between a window and the whole screen; the context and its textures live on."""
        if not self.fullscreen:
            self._windowed = self.size
        self.fullscreen = not self.fullscreen
        self._open(self._windowed)
        if not self.fullscreen:  # SDL leaves the old size where no window manager gives it back
            # kept, because pygame leaves a bare pointer to it in every later event
            self._handle = SdlWindow.from_display_module()
            self._handle.size = self._windowed

    def capture(self, captured: bool) -> None:
        """Hold the pointer for looking around (hidden, relative) or let it go."""
        if captured != self._captured:
            self._captured = captured
            pygame.event.set_grab(captured)
            pygame.mouse.set_visible(not captured)
            pygame.mouse.get_rel()

    def pixels(self) -> np.ndarray:
        """What the window shows, uint8 RGB [H, W, 3]."""
        width, height = self.size
        raw = self.target.read(viewport=(0, 0, width, height), components=3, alignment=1)
        return np.frombuffer(raw, dtype=np.uint8).reshape(height, width, 3)[::-1]

    def screenshot(self, folders: tuple[Path, ...] | None = None) -> Path:
        """Write a PNG to ~/Pictures/Wander, or to the working directory if that cannot be. Raises `AppError`."""
        stamp = time.strftime("%Y-%m-%d %H.%M.%S") + f".{time.time_ns() // 1_000_000 % 1000:03d}"
        for folder in folders or (Path.home() / "Pictures" / TITLE, Path.cwd()):
            path = folder / f"Wander {stamp}.png"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(self.pixels()).save(path)
            except OSError:
                with suppress(OSError):
                    path.unlink()
                continue
            return path
        raise AppError("The screenshot could be written neither to ~/Pictures/Wander nor here; free some space.")

    def close(self) -> None:
        """Close the window."""
        self.capture(False)
        pygame.display.quit()

    def _open(self, size: tuple[int, int]) -> None:
        flags = pygame.OPENGL | pygame.DOUBLEBUF | pygame.RESIZABLE
        if self.fullscreen:
            flags |= pygame.FULLSCREEN
            size = (0, 0)
        pygame.display.set_mode(size, flags)


def _context() -> moderngl.Context:
    """moderngl on the context that SDL made current, whichever way it did so (GLX, EGL, a second window)."""
    moderngl.init_context()
    ctx = moderngl.get_context()
    if ctx.version_code < 330:
        raise OSError(f"it offers OpenGL {ctx.version_code / 100:.1f} and 3.3 is needed")
    return ctx


def _icon() -> pygame.Surface:
    """A sun over two hills, 64x64."""
    icon = pygame.Surface((64, 64), pygame.SRCALPHA)
    pygame.draw.rect(icon, (30, 36, 46), icon.get_rect(), border_radius=14)
    pygame.draw.circle(icon, (242, 179, 101), (42, 23), 10)
    pygame.draw.polygon(icon, (86, 110, 104), [(6, 54), (27, 26), (48, 54)])
    pygame.draw.polygon(icon, (126, 152, 132), [(26, 54), (42, 36), (58, 54)])
    return icon
