"""The folder of session files, and the one among them that is being written."""

import contextlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from worker.errors import JournalError
from worker.history import Entry, Header, ResetEntry
from worker.journal import SUFFIX, Contents, Journal


@dataclass(kw_only=True, slots=True)
class Archive:
    """Session files and the open journal; a journal that fails is given up with a reason, the world goes on unsaved."""

    folder: Path
    confined: bool = False
    """True where the window is on another machine: only files of this folder may be named."""
    unsaved: str = ""
    """Why the open session is no longer saved; empty while it is."""
    _journal: Journal | None = None

    @property
    def path(self) -> Path | None:
        """The file of the open session."""
        return self._journal.path if self._journal else None

    def find(self, text: str) -> Path:
        """The session file that `text` names: a path, or a name in the folder. Raises `JournalError` if there
        is none.
        """
        path = Path(text).expanduser()
        here = self.folder / (path.name.removesuffix(SUFFIX) + SUFFIX)
        if not self.confined and path.is_file():
            return path.resolve()
        if path.name == text and here.is_file():
            return here.resolve()
        raise JournalError(f"There is no session {text}, neither as a path nor in {self.folder}; check its name.")

    def resume(self, path: Path) -> tuple[Journal, Contents]:
        """Lock and read the session at `path`, closing it first if it is the open one. Raises `JournalError`."""
        if self.path == path:
            self.close()
        return Journal.resume(path)

    def create(self, header: Header) -> Path:
        """Begin a new session, closing the open one. Raises `JournalError` if it cannot be written."""
        name = f"world-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}{SUFFIX}"
        return self.adopt(Journal.create(self.folder / name, header))

    def adopt(self, journal: Journal) -> Path:
        """Go on writing to `journal`, closing the open one."""
        self.close()
        self._journal = journal
        return journal.path

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


def notice(contents: Contents, checksum: str) -> str:
    """What the person should know about a session that was resumed with weights `checksum`; empty if all is well."""
    sentences = []
    if contents.damaged:
        sentences.append(f"The session is damaged; its last {contents.torn_bytes} bytes are only in the copy .damaged.")
    elif contents.torn_bytes:
        sentences.append(f"The last {contents.torn_bytes} bytes of the session were unfinished and were dropped.")
    made, have = contents.history.checksum, checksum
    if made != have:
        sentences.append(f"The session was made with weights {made[:8] or 'none'}, these are {have[:8] or 'none'}.")
    return " ".join(sentences)
