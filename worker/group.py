"""How many ranks make a world together, where they meet, and what the person says about it on the command line."""

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from worker.errors import LaunchError

MAX_RANKS = 64
DECODER_DEVICE = "WANDER_DECODER_DEVICE"
VARIABLES = ("WANDER_RANKS", "WANDER_INTERFACE", "WANDER_SHARE_DECODING", DECODER_DEVICE)
"""Through these `launch.py play` tells the worker processes that it starts."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ranks that share a world; alone by default."""

    ranks: Annotated[int, Meta(ge=1, le=MAX_RANKS)] = 1
    interface: str = LOOPBACK
    """Network device of their own transport, which is not encrypted."""
    strips: bool = False
    """Whether they share the decoding of pictures too, by rows."""
    torchrun: bool = False
    """Whether torchrun has started this process as one of them; the others are then no children of this one."""
    rank: Annotated[int, Meta(ge=0, lt=MAX_RANKS)] = 0
    """This process's own, of those that torchrun has started."""

    def environment(self, rank: int, base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a rank that is started here: its place on this machine, and its share of the cores."""
        if self.ranks == 1 or self.torchrun:
            return dict(base)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = {"OMP_NUM_THREADS": str(max(1, cores // self.ranks))}
        return share | dict(base) | {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(self.ranks)}


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rank of a group, as its process is told of it."""

    rank: int = 0
    ranks: int = 1
    interface: str = LOOPBACK
    strips: bool = False
    """What rank 0 says about it holds for all."""
    meeting: str = ""
    """The file in which the ranks meet; empty where they meet at torchrun's store."""
    after: str = ""
    """Name of the group that was lost there last."""


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process of the model is started with."""

    preset: str = ""
    endpoint: str = ""
    """Of rank 0, where its jobs come from."""
    place: Place = Place()


def add_options(options: argparse.ArgumentParser) -> None:
    """The options about ranks."""
    add = options.add_argument
    add("--ranks", type=int, metavar="N", help="processes that share the model's heads, a GPU each where there are "
        "GPUs (default: 1, or torchrun's WORLD_SIZE with serve)")  # fmt: skip
    add("--interface", metavar="DEVICE", help="network device between ranks, not encrypted (default: loopback)")
    add("--share-decoding", action="store_true", help="each rank decodes a strip of the pictures, instead of rank 0 "
        "all of them: for large pictures and fast links")  # fmt: skip
    add("--decoder-device", metavar="DEVICE", help="cuda:N or cpu: where a released preset's decoder stands (default: "
        "beside the rest)")  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """What `play` takes besides the window's own options."""
    options = argparse.ArgumentParser(
        prog="launch.py play", add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS
    )
    add_options(options)
    return options


def taken(arguments: Sequence[str]) -> list[str]:
    """The arguments without those about ranks, which are told to this process's children.

    Raises `LaunchError` for what cannot be.
    """
    options, rest = parser().parse_known_args(list(arguments))
    given = (options.ranks, options.interface, int(options.share_decoding) or None, options.decoder_device)
    for name, value in zip(VARIABLES, given, strict=True):
        if value is not None:
            os.environ[name] = str(value)
    told(os.environ)
    return rest


def told(environment: Mapping[str, str]) -> Group:
    """The group that the environment asks a worker on this machine for. Raises `LaunchError` for what cannot be."""
    ranks, interface, strips, _ = (environment.get(name) for name in VARIABLES)
    return chosen(ranks or None, interface or None, {}, strips=bool(strips))


def chosen(
    ranks: int | str | None, interface: str | None, environment: Mapping[str, str], *, strips: bool = False
) -> Group:
    """The group of `ranks` here, or the one that torchrun's variables in `environment` describe.

    Raises `LaunchError` for what cannot be.
    """
    device = interface or LOOPBACK
    known = [name for _, name in socket.if_nameindex()]
    if device not in known:
        raise LaunchError(f"This machine has no network device '{device}'; its {len(known)} are {', '.join(known)}.")
    if "RANK" in environment and "WORLD_SIZE" in environment:
        size = _number(environment["WORLD_SIZE"], "WORLD_SIZE")
        if ranks is not None and _number(ranks, "--ranks") != size:
            raise LaunchError(f"--ranks {ranks} and torchrun's WORLD_SIZE {size} differ; leave --ranks out.")
        own = int(environment["RANK"])
        if not 0 <= own < size:
            raise LaunchError(f"RANK {own} is not one of {size} ranks, 0 to {size - 1}; start them with torchrun.")
        group = Group(ranks=size, interface=device, strips=strips, torchrun=size > 1, rank=own)
    else:
        group = Group(ranks=1 if ranks is None else _number(ranks, "--ranks"), interface=device, strips=strips)
    if strips and group.ranks == 1:
        raise LaunchError("--share-decoding is for several ranks and there is 1; add --ranks N or leave it out.")
    return group


def _number(value: int | str, name: str) -> int:
    number = int(value) if str(value).isdecimal() else 0
    if not 1 <= number <= MAX_RANKS:
        raise LaunchError(f"{name} {value} is not within 1 to {MAX_RANKS}; give the number of processes.")
    return number
