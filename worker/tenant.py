"""One user's session on a machine of a cluster: a router of its own in a thread, for one key alone.

The pair of keys is made here and its secret half never leaves this machine; whoever placed the session tells the
window the public one. A session that was elsewhere before is opened from its journal before the window comes.
"""

import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec

from worker.door import NetworkDoor
from worker.errors import LaunchError
from worker.journal import Journal
from worker.keys import Keyring
from worker.router import Options, Router
from worker.supervisor import Deadlines
from worker.transport import Address, Lane


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session is started with."""

    guest: str
    """Name of the user."""
    key: str
    """The public key that is let in."""
    host: str
    """Address of this machine."""
    sessions: str
    """The user's folder, which all machines see."""
    preset: str
    """The only one that may be opened: room was made for it."""
    session: str = ""
    """The journal to go on from, a file of that folder; empty for none."""
    starts: int = 0
    """How often the session was started before."""
    park: float
    models: str = ""
    """Folder of the released models."""
    deadlines: Deadlines = Deadlines()


class Tenant:
    """The session, from the moment on which it can be connected to."""

    def __init__(self, lease: Lease) -> None:
        """Raises `JournalError` if the session to go on from is held by another process, or `LaunchError`."""
        if lease.models:
            os.environ["WANDER_MODELS"] = lease.models
        if lease.session:
            journal, _ = Journal.resume(Path(lease.sessions) / lease.session)
            journal.close()
        folder = Path(tempfile.mkdtemp(prefix="wander-"))
        keyring = Keyring(folder / "keys")
        self.key = keyring.new().public
        keyring.allow(lease.guest, lease.key)
        Path(lease.sessions).mkdir(mode=0o700, parents=True, exist_ok=True)
        options = Options(
            directory=str(folder), sessions=lease.sessions, park=lease.park, preset=lease.preset,
            life=lease.starts, deadlines=lease.deadlines,
        )  # fmt: skip
        self.address, self._router = _listening(options, lease.host, keyring)
        if lease.session:
            self._router.resume(lease.session)
        reader, self._lifeline = os.pipe()
        self._thread = threading.Thread(target=self._router.run, args=(reader,), name="router", daemon=True)
        self._thread.start()

    def beacon(self) -> dict[str, Any]:
        """Plain numbers that tell how far everything has come; see `worker.router.Router.beacon`."""
        return {"alive": self._thread.is_alive(), **self._router.beacon}

    def end(self) -> None:
        """Finish the chunk, close the session, end the model."""
        os.close(self._lifeline)
        self._thread.join()


def _listening(options: Options, host: str, keyring: Keyring) -> tuple[Address, Router]:
    """A router on three free ports in a row."""
    problem: LaunchError | None = None
    for _ in range(20):
        address = Address(host, _free_port(host))
        try:
            return address, Router(options, NetworkDoor(address, keyring, lambda _: None))
        except LaunchError as error:
            problem = error
    assert problem is not None
    raise problem


def _free_port(host: str) -> int:
    """A port that is free now, with room for those after it."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return min(probe.getsockname()[1], 65_535 - len(Lane))
