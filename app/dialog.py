"""The system's own file dialog, in a process of its own so that the window never waits for it."""

from __future__ import annotations

import shutil
import subprocess

_PROGRAMS = {
    "zenity": ["zenity", "--file-selection", "--title=Choose a picture or a video"],
    "kdialog": [
        "kdialog",
        "--getopenfilename",
        ".",
        "Pictures and videos (*.png *.jpg *.jpeg *.webp *.bmp *.gif *.tif *.tiff *.mp4 *.mov *.m4v *.mkv *.webm *.avi)",
    ],
}


class FileDialog:
    """At most one open dialog; `poll` tells what was chosen."""

    def __init__(self) -> None:
        self._command = next((command for name, command in _PROGRAMS.items() if shutil.which(name)), None)
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
