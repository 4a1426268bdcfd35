"""The verb `serve`: a worker for windows on other machines, in this process until it is interrupted.

It opens no port before this machine has a key and a list of the keys that may come in, and only on the address that was
written out.

Under torchrun every process serves: rank 0 as ever, the others follow it, for as long as they run.
"""

import argparse
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.client import SESSIONS
from worker.door import NetworkDoor
from worker.errors import WanderError
from worker.following import follow
from worker.group import DECODER_DEVICE, add_options, chosen
from worker.keys import FOLDER, Keyring, fingerprint
from worker.lease import PARK_SECONDS
from worker.router import Options, Router
from worker.transport import Address, Lane


def parser() -> argparse.ArgumentParser:
    """The options of `serve`."""
    options = argparse.ArgumentParser(
        prog="launch.py serve", description="Let windows on other machines walk here.",
        epilog="Started by torchrun, with the same options on every machine, the processes are ranks of one model: "
        "rank 0 listens, the others follow it through --interface. play takes the options about ranks as well.",
    )  # fmt: skip
    add = options.add_argument
    add("--listen", required=True, metavar="HOST:PORT", help="an address of this machine; PORT and the two after it")
    add("--sessions", type=Path, default=SESSIONS, metavar="DIR", help="where they are saved (default: %(default)s)")
    add("--preset", metavar="NAME", help="worldplay-5b | worldplay-8b: make sure now that it can be opened")
    add("--models", type=Path, metavar="DIR", help="the folder with the released presets' folders")
    add("--keys", type=Path, default=FOLDER, metavar="DIR", help="the folder of key files (default: %(default)s)")
    add("--park", type=float, default=PARK_SECONDS, metavar="S",
        help="seconds for which the session of a lost window is kept for it (default: %(default)g)")  # fmt: skip
    add_options(options)
    return options


def run(arguments: Sequence[str], say: Callable[[str], object], lacking: Callable[[str], str] = lambda _: "") -> int:
    """Serve until SIGINT or SIGTERM. Raises `WanderError` for what the person can mend.

    `lacking` says in a sentence what of a released preset is missing; empty if all is there.
    """
    options = parser().parse_args(list(arguments))
    if options.models:
        os.environ["WANDER_MODELS"] = str(options.models.absolute())  # for the processes that this one starts
    if options.preset not in (None, "pocket") and (sentence := lacking(options.preset)):
        raise WanderError(sentence)
    if options.decoder_device:
        os.environ[DECODER_DEVICE] = options.decoder_device
    group = chosen(options.ranks, options.interface, os.environ, strips=options.share_decoding)
    if group.rank > 0:
        say(f"rank {group.rank} of {group.ranks} follows rank 0 through {group.interface}")
        follow(group, Path(tempfile.mkdtemp(prefix="wander-")), end_on_signal())
        return 0
    address, keyring = Address.parse(options.listen), Keyring(options.keys)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    router = Router(
        Options(directory=tempfile.mkdtemp(prefix="wander-"), sessions=str(options.sessions), park=options.park,
                group=group),
        NetworkDoor(address, keyring, say),
    )  # fmt: skip
    own, last = keyring.own(), address.port + len(Lane) - 1
    say(f"listens on {address} to {last}, encrypted, for {len(keyring.allowed())} keys; its fingerprint is "
        f"{fingerprint(own.public)}")  # fmt: skip
    if group.ranks > 1:
        say(f"{group.ranks} ranks share the model through {group.interface}, not encrypted")
    say(f"on the other machine: launch.py keys trust {address} {own.public}")
    say(f"then: launch.py play --connect {address}")
    router.run(end_on_signal())
    return 0


def end_on_signal() -> int:
    """A descriptor that reaches its end at the first SIGINT or SIGTERM; the second one ends the process as usual."""
    reader, writer = os.pipe()

    def end(_number: int, _frame: object) -> None:
        os.close(writer)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return reader
