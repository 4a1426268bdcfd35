"""How the window comes to a worker: starts one on this machine, joins one here, or reaches one over a network."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from worker.errors import LaunchError
from worker.group import told
from worker.keys import FOLDER, KeyFault, Keyring
from worker.link import LOG, SocketLink, WorldLink
from worker.remote import RemoteLink
from worker.transport import Address, Lane

SESSIONS = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "wander/sessions"
ROOT = Path(__file__).resolve().parent.parent


def launch_local(*, sessions: Path = SESSIONS, options: dict[str, float] | None = None) -> SocketLink:
    """Start the worker processes on this machine and give a link to them; they end with the link, or with this process.

    `sessions` is where session files are kept, `options` overrides fields of `worker.supervisor.Deadlines`. The
    environment says how many ranks share the model (`worker.group`). Raises `LaunchError`.
    """
    group = msgspec.to_builtins(told(os.environ))
    directory = Path(tempfile.mkdtemp(prefix="wander-"))
    start = {"directory": str(directory), "sessions": str(sessions), "deadlines": options or {}, "group": group}
    arguments = json.dumps(start)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        with open(directory / LOG, "wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "worker.router", arguments],
                stdin=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise LaunchError(f"The worker could not be started: {error}.") from error
    return SocketLink(directory, worker=worker)


def connect(directory: Path, *, take_over: bool = False) -> SocketLink:
    """A link to a worker that already serves in `directory`. Raises `LaunchError` if none does."""
    if not (directory / Lane.REQUESTS).exists():
        raise LaunchError(f"No worker serves in {directory}; start one or choose another directory.")
    return SocketLink(directory, take_over=take_over)


def reach(address: str, *, keys: Path = FOLDER, take_over: bool = False) -> WorldLink:
    """A link to the worker that serves at HOST:PORT. Raises `WanderError` if its key is not trusted here."""
    return RemoteLink(Address.parse(address), Keyring(keys), take_over=take_over)


def known(keys: Path = FOLDER) -> tuple[tuple[str, ...], str]:
    """The workers that are trusted here, HOST:PORT, and a sentence if that cannot be read; empty if all is well."""
    try:
        return tuple(sorted(Keyring(keys).trusted())), ""
    except KeyFault as fault:
        return (), str(fault)
