"""The session journal: an append-only file from which a world can be rebuilt, whatever stopped the program.

Layout: the magic `WANDER\\n\\0`, then records of `length u32 | crc32 u32 | payload`, little-endian, the payload one
MessagePack message of `Entry`. The first is the `Header`. Latents are kept, cached keys and values never: they follow
from latents.

A record is written by one `write` when its chunk is committed, so a killed process loses at most the chunk in the
making; `fsync` comes at most every few seconds and on request, so a power cut loses a few seconds. An unfinished last
record (a torn tail) is dropped and reported. One writer at a time holds the file's lock.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.codec import Limits, pack, unpack
from worker.entries import FORMAT, AnyHeader, Entry, Header
from worker.errors import JournalError, WireError
from worker.history import History, replay
from worker.protocol import WorldSpec

MAGIC = b"WANDER\n\0"
SUFFIX = ".wander"
DROPPED = ".dropped"
"""Beside a session: what was cut off its end when it was last opened."""
SYNC_SECONDS = 5.0
PREFIX = struct.Struct("<II")
LIMITS = Limits(message=256 * 1024 * 1024, binary=256 * 1024 * 1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What was read from a journal file."""

    history: History
    good_bytes: int
    """Length of the part that holds complete records."""
    torn_bytes: int
    """What follows it: an unfinished record, dropped."""
    damaged: bool
    """True if the first dropped record is complete but wrong: not a torn tail but damage."""


def read(path: Path) -> Contents:
    """Read a session file.

    Raises `JournalError` if it is missing, no session, of another format, or torn in its header.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"The session {path} cannot be read: {error.strerror}; check the path.") from error
    if not data.startswith(MAGIC):
        raise JournalError(f"{path} is not a session of Wander, it begins with {data[:8]!r}; choose a {SUFFIX} file.")
    entries, good, damaged = _scan(data)
    if not entries or not isinstance(entries[0], Header) or entries[0].format > FORMAT:
        _refuse_later_formats(path, data)
        raise JournalError(
            f"The session {path} breaks off in its header, at {len(data)} bytes; nothing can be restored."
        )
    history = replay(entries[0], entries[1:])
    return Contents(history=history, good_bytes=good, torn_bytes=len(data) - good, damaged=damaged)


def spec_of(path: Path) -> WorldSpec:
    """What the world of a session is, from its first record alone. Raises `JournalError` as `read` does."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(MAGIC) + PREFIX.size)
            length = PREFIX.unpack_from(start.ljust(len(MAGIC) + PREFIX.size, b"\0"), len(MAGIC))[0]
            entries, _, _ = _scan(start + file.read(min(length, LIMITS.message)))
    except OSError as error:
        raise JournalError(f"The session {path} cannot be read: {error.strerror}; check its name.") from error
    if not start.startswith(MAGIC) or not entries or not isinstance(entries[0], Header):
        raise JournalError(f"{path} is not a session of Wander, it begins with {start[:8]!r}; choose another one.")
    return entries[0].spec


def encode(entry: Entry) -> bytes:
    """One record as it stands in the file."""
    payload = pack(entry)
    return PREFIX.pack(len(payload), zlib.crc32(payload)) + payload


class Journal:
    """The writing end of a session file, which it keeps locked until `close`."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size = size
        self._synced = time.monotonic()

    @classmethod
    def create(cls, path: Path, header: Header) -> Self:
        """A new session file. Raises `JournalError` if the file exists or cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(
                f"The session {path} cannot be made: {error.strerror}; choose another folder."
            ) from error
        journal = cls(path, descriptor, 0)
        try:
            _lock(descriptor, path)
            journal._write(MAGIC + encode(header))
            journal.sync()
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return journal

    @classmethod
    def resume(cls, path: Path) -> tuple[Self, Contents]:
        """Go on with a session: lock it, read it, move what cannot be read from its end into a file beside it.

        Raises `JournalError` if another writer holds it or `read` does.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"The session {path} cannot be opened: {error.strerror}; check the path.") from error
        try:
            _lock(descriptor, path)
            contents = read(path)
            if contents.torn_bytes:
                path.with_name(path.name + DROPPED).write_bytes(path.read_bytes()[contents.good_bytes :])
                os.ftruncate(descriptor, contents.good_bytes)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"The session {path} cannot be repaired: {error.strerror}.") from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, contents.good_bytes), contents

    def append(self, entry: Entry) -> None:
        """Write one record; on failure the file ends where it ended before. Raises `JournalError`."""
        self._write(encode(entry))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until the system has put everything on the disk. Raises `JournalError` if it cannot."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise JournalError(f"The session {self.path} cannot be put on the disk: {error.strerror}.") from error
        self._synced = time.monotonic()

    def copy(self, name: str) -> Path:
        """A durable copy of the session under `name` in the same folder.

        Raises `JournalError` if that name is taken.
        """
        target = self.path.with_name(name.removesuffix(SUFFIX) + SUFFIX)
        if target.exists():
            raise JournalError(f"A session named {target.name} exists already; choose another name.")
        part = target.with_name(target.name + ".part")
        self.sync()
        try:
            shutil.copyfile(self.path, part)
            os.replace(part, target)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise JournalError(f"The session could not be saved as {target}: {error.strerror}.") from error
        return target

    def close(self) -> None:
        """Make the session durable and give its lock back."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _write(self, record: bytes) -> None:
        written = 0
        try:
            while written < len(record):
                written += os.pwrite(self._descriptor, record[written:], self._size + written)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size)
            raise JournalError(f"The session is no longer saved: {error.strerror} after {self._size} bytes.") from error
        self._size += written


def _scan(data: bytes) -> tuple[list[Entry], int, bool]:
    """Entries of all complete records, where they end, and whether what follows is damage rather than a torn tail."""
    entries: list[Entry] = []
    position = len(MAGIC)
    while position + PREFIX.size <= len(data):
        length, checksum = PREFIX.unpack_from(data, position)
        start, end = position + PREFIX.size, position + PREFIX.size + length
        if end > len(data):
            break
        payload = memoryview(data)[start:end]
        if zlib.crc32(payload) != checksum:
            return entries, position, True
        try:
            entries.append(unpack(payload, Entry, LIMITS))
        except WireError:
            return entries, position, True
        position = end
    return entries, position, False


def _refuse_later_formats(path: Path, data: bytes) -> None:
    payload = data[len(MAGIC) + PREFIX.size :][: PREFIX.unpack_from(data.ljust(16, b"\0"), len(MAGIC))[0]]
    with contextlib.suppress(WireError):
        found = unpack(payload, AnyHeader, LIMITS).format
        if found > FORMAT:
            raise JournalError(f"The session {path} has format {found}, this program reads {FORMAT}; update Wander.")


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise JournalError(
            f"The session {path.name} is already open in another window; close it there first."
        ) from error
