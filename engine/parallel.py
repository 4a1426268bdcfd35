"""Several processes share one world's attention by heads (paper §3.5), over `torch.distributed`.

Every rank holds all weights and all tokens and computes the same projections; each attends with its own heads alone and
keeps only their keys and values, then the ranks exchange what they attended. Heads that the ranks do not divide are
dealt out as evenly as possible. `pocket` and its cache know nothing of it: `HeadParallel` stands between them, at the
`Mixer` boundary; the released networks have it in their two-branch attention. All that is random or comes from outside
is said by rank 0 (`agree`), as tensors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from engine.errors import WanderError
from engine.transformer import QKV, Mixer

MAX_LATENTS = 16
MAX_TEXT = 16_000
"""Longest text in bytes that rank 0 passes on."""
_HEADER = 4


class RankLost(WanderError):
    """Another rank has ended or hangs: what is being computed is lost, and the whole group must start again."""


@dataclass(slots=True)
class Traffic:
    """What a rank has exchanged."""

    collectives: int = 0
    received: int = 0
    """Bytes from other ranks."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that share a world; alone by default."""

    rank: int = 0
    size: int = 1
    traffic: Traffic = field(default_factory=Traffic, compare=False)

    def heads(self, heads: int, rank: int | None = None) -> slice:
        """The heads of a rank (default: this one). Raises `WanderError` if there are more ranks than heads."""
        if self.size > heads:
            raise WanderError(f"{self.size} GPUs cannot share {heads} heads; use at most {heads}")
        number = self.rank if rank is None else rank
        most, more = divmod(heads, self.size)
        first = number * most + min(number, more)
        return slice(first, first + most + (number < more))

    def mine(self, qkv: QKV) -> QKV:
        """This rank's heads of queries, keys and values `[B, L, N, H]`."""
        own = self.heads(qkv.q.shape[2])
        return QKV(qkv.q[:, :, own], qkv.k[:, :, own], qkv.v[:, :, own])

    def gather(self, own_BLNH: Tensor, heads: int) -> Tensor:
        """All heads `[B, L, S * heads, H]` from this rank's `[B, L, S * own, H]`, S streams side by side.

        One collective. Raises `RankLost`.
        """
        if self.size == 1:
            return own_BLNH
        counts = [_length(self.heads(heads, rank)) for rank in range(self.size)]
        parts = own_BLNH.unflatten(2, (-1, counts[self.rank]))  # [B, L, S, own, H]
        padded = parts.new_zeros((*parts.shape[:3], max(counts), parts.shape[4]))
        padded[:, :, :, : counts[self.rank]] = parts
        found = [torch.empty_like(padded) for _ in counts]
        self._count(padded.nbytes * (self.size - 1))
        try:
            dist.all_gather(found, padded)
        except RuntimeError as error:
            raise self._lost() from error
        return torch.cat([part[:, :, :, :n] for part, n in zip(found, counts, strict=True)], 3).flatten(2, 3)

    def say(self, tensor: Tensor) -> Tensor:
        """Rank 0's tensor, on every rank; the others bring one of the same shape and dtype. Raises `RankLost`."""
        if self.size > 1:
            self._count(0 if self.rank == 0 else tensor.nbytes)
            try:
                dist.broadcast(tensor, 0)
            except RuntimeError as error:
                raise self._lost() from error
        return tensor

    def _count(self, received: int) -> None:
        self.traffic.collectives += 1
        self.traffic.received += received

    def _lost(self) -> RankLost:
        return RankLost(f"one of {self.size} ranks does not answer rank {self.rank}; the group starts again")


def _length(part: slice) -> int:
    return part.stop - part.start


class HeadParallel:
    """A mixer whose heads are shared: any mixer of `engine/kv_cache.py`, on this rank's heads alone."""

    def __init__(self, inner: Mixer, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def __call__(self, index: int, qkv: QKV) -> Tensor:
        """Attention output of block `index`, all heads, before its projection."""
        return self.ranks.gather(self.inner(index, self.ranks.mine(qkv)), qkv.q.shape[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """What all ranks must know alike to make a chunk; every number is below 2^53."""

    generation: int
    seed: int
    chunk: int
    """Index of the chunk."""
    keys: tuple[int, ...] = ()
    """Bit set of each latent."""
    looks: tuple[tuple[float, float], ...] = ()
    """Yaw and pitch of each latent, radians."""


def agree(ranks: Ranks, step: Agreed | None) -> Agreed:
    """Rank 0's step on every rank, in one collective; the others bring None. Raises `RankLost`."""
    numbers = torch.zeros(_HEADER + 3 * MAX_LATENTS, dtype=torch.float64)
    if ranks.rank == 0:
        if step is None or len(step.keys) != len(step.looks) or len(step.keys) > MAX_LATENTS:
            raise ValueError(f"rank 0 says a step of at most {MAX_LATENTS} latents, got {step}")
        rows = [[keys, *look] for keys, look in zip(step.keys, step.looks, strict=True)]
        flat = [step.generation, step.seed, step.chunk, len(rows), *(value for row in rows for value in row)]
        numbers[: len(flat)] = torch.tensor(flat, dtype=torch.float64)
    generation, seed, chunk, count, *rest = ranks.say(numbers).tolist()
    rows = [rest[3 * row : 3 * row + 3] for row in range(int(count))]
    return Agreed(generation=int(generation), seed=int(seed), chunk=int(chunk), keys=tuple(int(row[0]) for row in rows),
                  looks=tuple((row[1], row[2]) for row in rows))  # fmt: skip


def agree_on_text(ranks: Ranks, text: str) -> str:
    """Rank 0's text on every rank, in one collective. Raises `WanderError` if it is too long, or `RankLost`."""
    raw = text.encode() if ranks.rank == 0 else b""
    if len(raw) > MAX_TEXT:
        raise WanderError(f"the text has {len(raw)} bytes, ranks pass on at most {MAX_TEXT}; shorten it")
    letters = torch.zeros(4 + MAX_TEXT, dtype=torch.uint8)
    letters[: 4 + len(raw)] = torch.tensor([*len(raw).to_bytes(4, "big"), *raw], dtype=torch.uint8)
    said = bytes(ranks.say(letters).tolist())
    return said[4 : 4 + int.from_bytes(said[:4], "big")].decode()


def join(*, interface: str = "lo", timeout: float = 30.0, backend: str | None = None) -> Ranks:
    """Become a rank of the group that torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) describe.

    The ranks' own transport is not encrypted, so it stays on the loopback device unless another interface is named.
    A collective that takes longer than `timeout` seconds fails.
    """
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = interface
    chosen = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    dist.init_process_group(chosen, timeout=timedelta(seconds=timeout))
    return Ranks(dist.get_rank(), dist.get_world_size())
