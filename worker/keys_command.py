"""The verb `keys`: this machine's key, who may connect here, and which workers are trusted."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from worker.keys import FOLDER, Keyring, fingerprint, listing
from worker.transport import Address


def parser() -> argparse.ArgumentParser:
    """The actions of `keys`."""
    options = argparse.ArgumentParser(prog="launch.py keys", description="Keys of this machine and of others.")
    options.add_argument(
        "--keys", type=Path, default=FOLDER, metavar="DIR", help="the folder of key files (default: %(default)s)"
    )
    actions = options.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("new", help="make this machine's key")
    actions.add_parser("list", help="this machine's key, who may connect, which workers are trusted")
    trust = actions.add_parser("trust", help="connect to a worker only if it holds this key")
    trust.add_argument("address", metavar="HOST:PORT")
    trust.add_argument("key", metavar="KEY", help="its public key, as 'keys list' shows it there")
    trust.add_argument("--replace", action="store_true", help="instead of the key that is trusted now")
    allow = actions.add_parser("allow", help="let the machine with this key connect here")
    allow.add_argument("name", metavar="NAME", help="what to call it")
    allow.add_argument("key", metavar="KEY", help="its public key, as 'keys list' shows it there")
    forget = actions.add_parser("forget", help="let a machine in no longer, or trust a worker no longer")
    forget.add_argument("name", metavar="NAME|HOST:PORT")
    return options


def run(arguments: Sequence[str]) -> str:
    """Carry out an action; returns what to print. Raises `WanderError` for what the person can mend."""
    options = parser().parse_args(list(arguments))
    ring = Keyring(options.keys)
    match options.action:
        case "new":
            own = ring.new()
            return f"key          {own.public}\nfingerprint  {fingerprint(own.public)}\nkept in      {ring.folder}"
        case "trust":
            address = str(Address.parse(options.address))
            ring.trust(address, options.key, replace=options.replace)
            return f"{address} is trusted with the fingerprint {fingerprint(ring.trusted()[address])}"
        case "allow":
            ring.allow(options.name, options.key)
            return f"{options.name} may connect, with the fingerprint {fingerprint(ring.allowed()[options.name])}"
        case "forget":
            ring.forget(options.name)
            return f"{options.name} is forgotten"
    own, allowed, trusted = ring.own(), ring.allowed(), ring.trusted()
    lines = [f"this machine: key {own.public}", f"  {fingerprint(own.public)}"]
    lines += [f"{len(allowed)} machines may connect here:", *listing(allowed)]
    return "\n".join([*lines, f"{len(trusted)} workers are trusted:", *listing(trusted)])
