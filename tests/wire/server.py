"""A process that serves over CURVE on the loopback device, for tests that play over a network."""

import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.walker import Walker
from worker.client import reach
from worker.keys import Keyring
from worker.lease import PARK_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0


def free_port() -> int:
    """The first of three free ports in a row."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        try:
            for number in range(port, port + 3):
                with socket.socket() as each:
                    each.bind(("127.0.0.1", number))
        except (OSError, OverflowError):
            continue
        return port


@dataclass(kw_only=True, slots=True)
class Server:
    """A process that serves, and the keys at both ends."""

    address: str
    here: Keyring
    """The server's keys."""
    away: Keyring
    """The window's keys."""
    process: "subprocess.Popen[bytes]"

    def walker(self, keys: Keyring | None = None, **how: object) -> Walker:
        return Walker(reach(self.address, keys=(keys or self.away).folder, **how))

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def start(folder: Path, *, park: float = PARK_SECONDS) -> Server:
    """A server that lets one window in, which trusts it."""
    address = f"127.0.0.1:{free_port()}"
    here, away = Keyring(folder / "here"), Keyring(folder / "away")
    here.allow("window", away.new().public)
    away.trust(address, here.new().public)
    arguments = ["--listen", address, "--keys", str(here.folder), "--sessions", str(folder), "--park", str(park)]
    code = f"import sys; from worker.serve import run; run({arguments!r}, lambda line: print(line, flush=True))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None and b"listens on" in process.stdout.readline()
    return Server(address=address, here=here, away=away, process=process)
