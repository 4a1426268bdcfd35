"""This machine's key, the machines it lets in, and the workers it trusts: files that only their owner can read.

Keys are CURVE25519 pairs. People see a public key as 64 hexadecimal digits, which any shell takes as it is, and compare
two by their fingerprints. Nothing is trusted at first sight: `trust` and `allow` are things that a person does.
"""

import contextlib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import zmq
from zmq.utils import z85

from worker.errors import WanderError

FOLDER = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "wander" / "keys"
OWN = "own.json"
ALLOWED = "allowed.json"
TRUSTED = "trusted.json"
TOKENS = "tokens.json"

T = TypeVar("T")
_KEY = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class KeyFault(WanderError):
    """A key or a key file cannot be used."""


class KeyPair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine's own keys, hexadecimal."""

    public: str
    secret: str

    @classmethod
    def generate(cls) -> "KeyPair":
        """A new pair."""
        public, secret = (z85.decode(part).hex() for part in zmq.curve_keypair())
        return cls(public=public, secret=secret)

    def __repr__(self) -> str:
        return f"KeyPair({fingerprint(self.public)})"


def parse_key(text: str) -> str:
    """A public key as people pass it on. Raises `KeyFault` if it is none."""
    key = text.strip().lower()
    if not _KEY.fullmatch(key):
        raise KeyFault(f"A key has 64 hexadecimal digits and this one has {len(key)} characters; copy the whole line.")
    return key


def fingerprint(public: str) -> str:
    """What two people compare: 32 digits of the key's SHA-256 in groups of four."""
    digits = hashlib.sha256(bytes.fromhex(public)).hexdigest()[:32]
    return "-".join(re.findall("....", digits))


@dataclass(frozen=True, slots=True)
class Keyring:
    """The key files of one folder."""

    folder: Path = FOLDER

    def new(self) -> KeyPair:
        """Make this machine's pair. Raises `KeyFault` if it has one already."""
        if (self.folder / OWN).exists():
            raise KeyFault(f"{self.folder / OWN} holds a key already; delete it if nobody needs to know it any more.")
        pair = KeyPair.generate()
        self._write(OWN, msgspec.json.encode(pair))
        return pair

    def own(self) -> KeyPair:
        """This machine's pair. Raises `KeyFault` if there is none or its file is open to others."""
        raw = self._read(OWN)
        if raw is None:
            raise KeyFault(f"This machine has no key in {self.folder}; make one with 'launch.py keys new'.")
        return self._decode(OWN, raw, KeyPair)

    def allowed(self) -> dict[str, str]:
        """The machines that may connect here: name -> public key."""
        return self._book(ALLOWED)

    def trusted(self) -> dict[str, str]:
        """The workers that this machine connects to: HOST:PORT -> public key."""
        return self._book(TRUSTED)

    def allow(self, name: str, key: str) -> None:
        """Let the machine with this key connect here. Raises `KeyFault` for a name that stands for another key."""
        if not _NAME.fullmatch(name):
            raise KeyFault(f"'{name}' cannot be a name; use at most 64 letters, digits, dots and dashes.")
        self._note(ALLOWED, name, parse_key(key), replace=False)

    def trust(self, address: str, key: str, *, replace: bool = False) -> None:
        """Connect to `address` only if it proves to hold this key. Raises `KeyFault` if another one is trusted."""
        self._note(TRUSTED, address, parse_key(key), replace=replace)

    def forget(self, name: str) -> None:
        """Let a machine in no longer, or trust a worker no longer. Raises `KeyFault` if nobody is called so."""
        books = {file: self._book(file) for file in (ALLOWED, TRUSTED)}
        if not any(name in book for book in books.values()):
            raise KeyFault(f"Nobody is called '{name}' here; 'launch.py keys list' shows who is.")
        for file, book in books.items():
            if book.pop(name, None):
                self._write(file, msgspec.json.encode(book))

    def token(self, address: str) -> str:
        """What gives this machine its parked session at `address` back; empty if it has none."""
        return self._book(TOKENS).get(address, "")

    def keep_token(self, address: str, token: str) -> None:
        """Remember the token of the session at `address`."""
        book = self._book(TOKENS)
        if book.get(address) != token:
            self._write(TOKENS, msgspec.json.encode(book | {address: token}))

    def _note(self, file: str, name: str, key: str, *, replace: bool) -> None:
        book = self._book(file)
        before = book.get(name, key)
        if before != key and not replace:
            raise KeyFault(
                f"{name} has the fingerprint {fingerprint(before)} here and the new key {fingerprint(key)}; make sure "
                f"that it really changed, then 'launch.py keys forget {name}' and again."
            )
        self._write(file, msgspec.json.encode(book | {name: key}))

    def _book(self, file: str) -> dict[str, str]:
        raw = self._read(file)
        return {} if raw is None else self._decode(file, raw, dict[str, str])

    def _decode(self, file: str, raw: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise KeyFault(f"{self.folder / file} is damaged ({error}); restore or delete it.") from error

    def _read(self, file: str) -> bytes | None:
        """A file's bytes, None if there is no such file. Raises `KeyFault` if it is open to others."""
        path = self.folder / file
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
            status = os.fstat(stream.fileno())
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077 or status.st_uid != os.getuid():
                raise KeyFault(f"{path} must belong to you with mode 600, it has {mode:o}; chmod 600 it.")
            return stream.read()
        return None

    def _write(self, file: str, data: bytes) -> None:
        """Put a file in place in one step, readable by its owner alone."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, part = tempfile.mkstemp(dir=self.folder)  # mode 600
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(part, self.folder / file)


def listing(book: Mapping[str, str]) -> list[str]:
    """One line for each name: fingerprint, then name."""
    return [f"  {fingerprint(key)}  {name}" for name, key in sorted(book.items())]
