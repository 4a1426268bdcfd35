"""The explorer: pygame window, input, pacing, side panel. Never imports torch or the engine."""

import os

# pygame reads both when it is imported
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("SDL_VIDEO_X11_WMCLASS", "wander")
