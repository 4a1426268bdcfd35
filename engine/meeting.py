"""How the ranks of one world find each other, and what they settle before they make it together.

Ranks that one program started meet in a file; ranks that torchrun started, maybe on several machines, meet at its
store, where rank 0 writes down a new name whenever its process starts anew: a lost group is never joined again.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore

from engine import precision
from engine.errors import WanderError
from engine.parallel import RankLost, Ranks, join
from engine.weights import PocketWeights
from engine.world import ChunkRecord

T = TypeVar("T")
TIMEOUT = 600.0
"""Seconds that a rank waits for the others: longer than rank 0 may have to read words or to think alone."""
NAME = "wander-group"
LOOK_SECONDS = 0.2
"""Between two looks for the name of a new group."""


def in_file(path: Path, rank: int, size: int, *, interface: str, strips: bool = False) -> Ranks:
    """Become one of the ranks that meet in a file, which must be new for every group. Raises `RankLost`."""
    return _join(FileStore(str(path), size), rank, size, interface, strips)


def at_torchrun(
    rank: int, size: int, *, interface: str, after: str, named: Callable[[str], object], strips: bool = False
) -> Ranks:
    """Become one of the ranks that torchrun's MASTER_ADDR and MASTER_PORT bring together.

    Rank 0 opens a new group; the others wait, as long as it takes, for one of another name than `after`, and tell
    `named` before they join it. Raises `RankLost` if the others do not come.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = TCPStore(host, port, is_master=hosts, wait_for_workers=False, timeout=timedelta(seconds=TIMEOUT))
        if rank == 0:
            name = uuid.uuid4().hex
            store.set(NAME, name)
        else:
            name = _next_name(store, after)
    except RuntimeError as error:
        raise RankLost(f"rank {rank} of {size} does not reach {host}:{port}, where the ranks meet: {error}") from error
    named(name)
    return _join(PrefixStore(name, store), rank, size, interface, strips)


def _next_name(store: Store, after: str) -> str:
    while not store.check([NAME]) or (name := store.get(NAME).decode()) == after:
        time.sleep(LOOK_SECONDS)
    return name


def _join(store: Store, rank: int, size: int, interface: str, strips: bool) -> Ranks:
    """Numbers on a GPU travel by NCCL, all others by gloo; a rank computes on the GPU of its place on its machine.

    Rank 0 says whether all decode in strips.
    """
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    ranks = join(interface=interface, timeout=TIMEOUT, backend=backend, store=store, rank=rank, size=size)
    return replace(ranks, strips=bool(ranks.say(torch.tensor([strips])).item()))


def a_gpu_each(ranks: Ranks) -> None:
    """Raises `WanderError` where ranks would have to share a GPU, which NCCL refuses."""
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.size)), torch.cuda.device_count()
    if torch.cuda.is_available() and here > gpus:
        raise WanderError(f"{here} ranks need a GPU each, this machine has {gpus}; start {gpus} here")


def settled(ranks: Ranks, load: Callable[[], PocketWeights]) -> PocketWeights:
    """The networks of `pocket`, the same on every rank, which compute in the precision that suits rank 0.

    Raises `WanderError` on all ranks if one lacks them or has others, or if there are more ranks than heads.
    """
    if ranks.size == 1:
        return load()
    precision.adopt(ranks.say(precision.measured() if ranks.leads else torch.zeros(2, dtype=torch.float64)))
    weights = ranks.together(load)
    same_weights(ranks, weights.checksum, weights.model.config.heads)
    return weights


def same_weights(ranks: Ranks, checksum: str, heads: int) -> None:
    """Raises `WanderError` on all ranks if one has weights of another checksum, or if they can't share the heads."""
    if ranks.size == 1:
        return
    first = ranks.lead_bytes(checksum.encode).decode()

    def check() -> bool:
        ranks.heads(heads)
        if checksum != first:
            raise WanderError(f"the weights have checksum {checksum[:12]}, those of rank 0 {first[:12]}; copy them")
        return True

    ranks.together(check)


def say_records(ranks: Ranks, records: Sequence[ChunkRecord]) -> Sequence[ChunkRecord]:
    """Rank 0's records on every rank; what the others get has neither steps nor pictures, which they never need."""
    if ranks.size == 1:
        return records
    texts = json.loads(ranks.lead_bytes(lambda: json.dumps([record.prompt for record in records]).encode()))
    if not texts:
        return ()
    lengths = ranks.lead(lambda: torch.tensor([len(record.latents) for record in records])).tolist()
    latents, poses, actions = (
        ranks.lead(lambda name=name: torch.from_numpy(np.concatenate([getattr(each, name) for each in records])))
        for name in ("latents", "poses", "actions")
    )
    if ranks.leads:
        return records
    parts = zip(*(part.split(lengths) for part in (latents, poses, actions)), strict=True)
    return [
        ChunkRecord(index=index, steps=(), latents=part.numpy(), poses=where.numpy(), actions=what.numpy(), prompt=text)
        for index, (text, (part, where, what)) in enumerate(zip(texts, parts, strict=True))
    ]
