"""The folder of session files, and the one among them that is being written."""

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from worker.entries import Entry, Header, ResetEntry
from worker.errors import JournalError
from worker.journal import SUFFIX, Contents, Journal, read
from worker.protocol import WorldSpec


@dataclass(kw_only=True, slots=True)
class Archive:
    """Session files and the open journal; a journal that fails is given up with a reason, the world goes on unsaved."""

    folder: Path
    confined: bool = False
    """True where the window is on another machine: only files of this folder may be named."""
    unsaved: str = ""
    """Why the open session is no longer saved; empty while it is."""
    _journal: Journal | None = None

    def find(self, text: str) -> Path:
        """The session file that `text` names, by path or by name in the folder. Raises `JournalError`."""
        path = Path(text).expanduser()
        here = self.folder / (path.name.removesuffix(SUFFIX) + SUFFIX)
        if not self.confined and path.is_file():
            return path.resolve()
        if path.name == text and here.is_file():
            return here.resolve()
        raise JournalError(f"There is no session {text}, neither as a path nor in {self.folder}; check its name.")

    def resume(self, path: Path) -> tuple[Journal, Contents]:
        """Lock and read the session at `path`, which may be the open one. Raises `JournalError`."""
        if self._journal is not None and self._journal.path == path:
            return self._journal, read(path)
        return Journal.resume(path)

    def create(self, spec: WorldSpec) -> Journal:
        """Begin the file of a new session. Raises `JournalError` if it cannot be written."""
        name = f"world-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}{SUFFIX}"
        return Journal.create(self.folder / name, Header(spec=spec))

    def adopt(self, journal: Journal) -> None:
        """Write to `journal` from now on, closing the one that was open."""
        if journal is not self._journal:
            self.close()
        self._journal, self.unsaved = journal, ""

    def release(self, journal: Journal, *, discard: bool) -> None:
        """Give up a journal that was not adopted after all; `discard` removes its file."""
        if journal is not self._journal:
            with contextlib.suppress(JournalError):
                journal.close()
            if discard:
                journal.path.unlink(missing_ok=True)

    def record(self, entry: Entry) -> None:
        """Write an entry.

        After a failure nothing more is written, until a reset makes the file a world's beginning again.
        """
        if self._journal is None or (self.unsaved and not isinstance(entry, ResetEntry)):
            return
        try:
            self._journal.append(entry)
            self.unsaved = ""
        except JournalError as error:
            self.unsaved = str(error)

    def save(self, name: str | None) -> Path:
        """Put the session on the disk for good, and a copy under `name`; returns the path. Raises `JournalError`."""
        if self._journal is None or self.unsaved:
            raise JournalError(self.unsaved or "There is no session to save; open a world first.")
        if name is not None:
            return self._journal.copy(name)
        self._journal.sync()
        return self._journal.path

    def close(self) -> None:
        """Close the open session."""
        journal, self._journal, self.unsaved = self._journal, None, ""
        if journal is not None:
            with contextlib.suppress(JournalError):
                journal.close()


def notice(contents: Contents | None, checksum: str) -> str:
    """What the person should know about a session that was resumed with weights `checksum`; empty if all is well."""
    sentences: list[str] = []
    if contents is None:
        return ""
    if contents.damaged:
        sentences.append(
            f"The session is damaged; its last {contents.torn_bytes} bytes were cut off and kept beside it."
        )
    elif contents.torn_bytes:
        sentences.append(f"The last {contents.torn_bytes} bytes of the session were unfinished and were dropped.")
    made, have = contents.history.checksum, checksum
    if made != have:
        sentences.append(f"The session was made with weights {made[:8] or 'none'}, these are {have[:8] or 'none'}.")
    return " ".join(sentences)
