"""The picture that was copied, on standard output: a process of its own, because asking other programs takes a while,
and the window, which may own what was copied, must be able to answer meanwhile.

SDL's clipboard knows words alone, so Pillow is asked (macOS, Windows, and Linux with wl-paste or xclip), then Tk.
"""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress

KINDS = ("image/png", "image/jpeg", "image/bmp")
_PATIENCE_S = 10.0


class CopiedPicture:
    """At most one question to the clipboard; `poll` tells what came of it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self) -> None:
        """Find out what picture was copied, unless that is being asked already."""
        if self._process is None:
            command = ["timeout", str(_PATIENCE_S), sys.executable, "-P", __file__]
            command = command if sys.platform == "linux" else command[2:]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def poll(self) -> bytes | None:
        """The bytes of the picture's file, once; empty if there is none, None while nobody has asked or answered."""
        if self._process is None:
            return None
        try:
            data, _ = self._process.communicate(timeout=0.001)
        except subprocess.TimeoutExpired:
            return None
        self._process = None
        return data

    def close(self) -> None:
        """Ask no longer."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def by_pillow() -> bytes:
    """The picture as Pillow finds it, as a PNG; empty for none."""
    from PIL import Image, ImageGrab

    with suppress(Exception):  # neither program is there, or none of them understands what was copied
        found = ImageGrab.grabclipboard()
        if isinstance(found, Image.Image):
            file = io.BytesIO()
            found.save(file, "PNG")
            return file.getvalue()
    return b""


def by_tk() -> bytes:
    """The picture as Tk finds it on an X server; empty for none."""
    with suppress(Exception):  # Tk is not there, or nobody has a picture
        import tkinter

        root = tkinter.Tk()
        root.withdraw()
        for kind in KINDS:
            with suppress(tkinter.TclError):
                words: str = root.selection_get(selection="CLIPBOARD", type=kind)
                return bytes(int(byte, 16) for byte in words.split())
    return b""


if __name__ == "__main__":
    sys.stdout.buffer.write(by_pillow() or by_tk())
