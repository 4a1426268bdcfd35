"""The system's own file dialog, else Tk's, in a process of its own so that the window never waits for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

_TITLE, _KINDS = "Choose a picture or a video", "Pictures and videos"
_FILES = ("*.png *.jpg *.jpeg *.webp *.bmp *.gif *.tif *.tiff "
          "*.mp4 *.mov *.m4v *.mkv *.webm *.avi *.mpg *.mpeg *.ogv *.ts")  # fmt: skip
_PROGRAMS = {
    "zenity": ["zenity", "--file-selection", f"--title={_TITLE}"],
    "kdialog": ["kdialog", "--getopenfilename", ".", f"{_KINDS} ({_FILES})"],
}


def _command() -> list[str] | None:
    """The program that asks for a file; None where there is none."""
    for name, command in _PROGRAMS.items():
        if shutil.which(name):
            return command
    return [sys.executable, "-P", __file__] if find_spec("_tkinter") else None


class FileDialog:
    """At most one open dialog; `poll` tells what was chosen."""

    def __init__(self) -> None:
        self._command = _command()
        self._process: subprocess.Popen[str] | None = None

    @property
    def available(self) -> bool:
        """Whether this system has a dialog that can be used."""
        return self._command is not None

    def open(self) -> None:
        """Show the dialog, unless it is open already."""
        if self._command is not None and self._process is None:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )

    def poll(self) -> str | None:
        """The path that was chosen, once; None while the dialog is open, was cancelled or is not there."""
        if self._process is None or self._process.poll() is None:
            return None
        process, self._process = self._process, None
        chosen = process.communicate()[0].strip()
        return chosen if process.returncode == 0 and chosen else None

    def close(self) -> None:
        """Take the dialog away."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def ask() -> str:
    """The path that is chosen in Tk's dialog; empty for none. Raises `TclError` without a display."""
    import tkinter
    from tkinter import filedialog

    root = tkinter.Tk()
    root.withdraw()
    return filedialog.askopenfilename(title=_TITLE, filetypes=[(_KINDS, _FILES), ("All files", "*")]) or ""


if __name__ == "__main__":
    sys.stdout.buffer.write(os.fsencode(ask()))
