"""The explorer: pygame window, input, pacing, side panel. Never imports torch or the engine."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
