"""Several processes share one world's attention by heads (paper §3.5), over `torch.distributed`.

Every rank holds all weights and all tokens and computes the same projections; each attends with its own heads alone and
keeps only their keys and values, then the ranks exchange what they attended. Heads that the ranks do not divide are
dealt out as evenly as possible. `pocket` and its cache know nothing of it: `HeadParallel` stands between them, at the
`Mixer` boundary; the released networks have it in their two-branch attention. All that is random or comes from outside
is said by rank 0 (`Ranks.lead`), as tensors of bytes: nothing is ever pickled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from engine.errors import WanderError
from engine.transformer import QKV, Mixer

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

T = TypeVar("T")
DTYPES = (torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What rank 0 can say."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
MAX_AXES = 6
MAX_SENTENCE = 1_000
"""Longest sentence in bytes that a rank tells the others."""


class RankLost(WanderError):
    """Another rank has ended or hangs: what is being computed is lost, and the whole group must start again."""


@dataclass(slots=True)
class Traffic:
    """What the ranks have exchanged so far, as one of them counts it."""

    collectives: int = 0
    received: int = 0
    """Bytes that this rank got from others."""
    moved: int = 0
    """Bytes that all ranks together got from others."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that share a world; alone by default."""

    rank: int = 0
    size: int = 1
    strips: bool = False
    """Whether they also share the decoding of pictures, by rows (`engine.spatial`); else rank 0 decodes alone."""
    traffic: Traffic = field(default_factory=Traffic, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which alone hears of the outside and shows pictures."""
        return self.rank == 0

    def heads(self, heads: int, rank: int | None = None) -> slice:
        """The heads of a rank (default: this one). Raises `WanderError` if there are more ranks than heads."""
        if self.size > heads:
            raise WanderError(f"{self.size} ranks cannot share {heads} heads; use at most {heads}")
        return self.share(heads, rank)

    def share(self, count: int, rank: int | None = None) -> slice:
        """What a rank (default: this one) has of `count` things that are dealt out evenly and in order; the last ranks
        have none where there are more ranks than things."""
        number = self.rank if rank is None else rank
        most, more = divmod(count, self.size)
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
        found = self._all(padded)
        return torch.cat([part[:, :, :, :n] for part, n in zip(found, counts, strict=True)], 3).flatten(2, 3)

    def say(self, tensor: Tensor) -> Tensor:
        """Rank 0's tensor, on every rank; the others bring one of the same shape, dtype and device.

        One collective. Raises `RankLost`.
        """
        if self.size > 1 and tensor.numel():
            tensor = tensor.contiguous()
            self._count(0 if self.leads else tensor.nbytes, (self.size - 1) * tensor.nbytes)
            try:
                dist.broadcast(_bytes(tensor), 0)
            except RuntimeError as error:
                raise self._lost() from error
        return tensor

    def post(self, sent: Sequence[Tensor], heard: Sequence[Tensor], moved: int) -> None:
        """Sends `sent[r]` to rank r, for every r, and fills `heard[r]` with what rank r sends here; empty tensors stand
        for nothing. All are on one device; `moved` is the bytes that travel in all, known to every rank.

        One collective, also for a rank that neither sends nor hears; none at all where `moved` is 0. Raises `RankLost`.
        """
        if not moved:
            return
        self._count(sum(each.nbytes for each in heard), moved)
        outgoing = torch.cat([_bytes(each.contiguous()) for each in sent])
        sizes = [each.nbytes for each in heard]
        incoming = outgoing.new_empty(sum(sizes))
        try:
            dist.all_to_all_single(incoming, outgoing, sizes, [each.nbytes for each in sent])
        except RuntimeError as error:
            raise self._lost() from error
        for part, each in zip(incoming.split(sizes), heard, strict=True):
            each.copy_(part.clone().view(each.dtype).view(each.shape))  # a part may start anywhere, numbers may not

    def lead(self, make: Callable[[], Tensor]) -> Tensor:
        """What rank 0 makes, on every rank: shape and dtype are said with it. The others make nothing.

        Two collectives. It arrives on the CPU; on rank 0 it is what was made, laid out as the others get it, since that
        decides by which kernel it is multiplied. A `WanderError` of `make` is raised on all ranks. Raises `RankLost`.
        """
        if self.size == 1:
            return make().contiguous()
        made, problem = (torch.zeros(0), "") if not self.leads else _attempt(make)
        header = torch.zeros(3 + MAX_AXES, dtype=torch.int64)
        if self.leads:
            said = _letters(problem.encode()) if made is None else made.cpu()
            kind = DTYPES.index(said.dtype)
            header[: 3 + said.ndim] = torch.tensor([made is None, kind, said.ndim, *said.shape])
            self.say(header)
            self.say(said)
            if made is None:
                raise WanderError(problem)
            return made.contiguous()
        failed, kind, axes, *shape = self.say(header).tolist()
        heard = self.say(torch.empty(shape[:axes], dtype=DTYPES[kind]))
        if failed:
            raise WanderError(_text(heard))
        return heard

    def lead_bytes(self, make: Callable[[], bytes]) -> bytes:
        """The bytes that rank 0 makes, on every rank; see `lead`."""
        return self.lead(lambda: _letters(make())).numpy().tobytes()

    def together(self, work: Callable[[], T]) -> T:
        """What `work`, which exchanges nothing, gives here once it has succeeded on every rank.

        One collective. If any fails with a `WanderError`, all raise that of the first. Raises `RankLost`.
        """
        if self.size == 1:
            return work()
        result, problem = _attempt(work)
        told = torch.zeros(MAX_SENTENCE, dtype=torch.uint8)
        letters = _letters(problem.encode())[:MAX_SENTENCE]
        told[: len(letters)] = letters
        for rank, sentence in enumerate(self._all(told)):
            if text := _text(sentence):
                raise WanderError(text if rank == 0 else f"rank {rank} of {self.size}: {text}")
        return cast(T, result)

    def _all(self, own: Tensor) -> list[Tensor]:
        """Every rank's tensor, all of one shape."""
        found = [torch.empty_like(own) for _ in range(self.size)]
        self._count(own.nbytes * (self.size - 1), own.nbytes * (self.size - 1) * self.size)
        try:
            dist.all_gather([_bytes(each) for each in found], _bytes(own))
        except RuntimeError as error:
            raise self._lost() from error
        return found

    def _count(self, received: int, moved: int) -> None:
        self.traffic.collectives += 1
        self.traffic.received += received
        self.traffic.moved += moved

    def _lost(self) -> RankLost:
        return RankLost(f"one of {self.size} ranks does not answer rank {self.rank}; the group starts again")


def _length(part: slice) -> int:
    return part.stop - part.start


def _bytes(tensor: Tensor) -> Tensor:
    """The same memory as bytes: every backend passes those on, whatever they mean."""
    return tensor.view(-1).view(torch.uint8)


def _letters(raw: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(raw, dtype=np.uint8).copy())


def _text(letters: Tensor) -> str:
    return letters.numpy().tobytes().rstrip(b"\0").decode(errors="replace")


def _attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """What `work` gives, or None and the sentence with which it fails. A lost rank is no such failure."""
    try:
        return work(), ""
    except RankLost:
        raise
    except WanderError as error:
        return None, str(error)


class HeadParallel:
    """A mixer whose heads are shared: any mixer of `engine/kv_cache.py`, on this rank's heads alone."""

    def __init__(self, inner: Mixer, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def __call__(self, index: int, qkv: QKV) -> Tensor:
        """Attention output of block `index`, all heads, before its projection."""
        return self.ranks.gather(self.inner(index, self.ranks.mine(qkv)), qkv.q.shape[2])


def join(*, interface: str = LOOPBACK, timeout: float = 30.0, backend: str | None = None,
         store: Store | None = None, rank: int = -1, size: int = -1) -> Ranks:  # fmt: skip
    """Become a rank of the group that meets in `store`, or that torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR,
    MASTER_PORT) describe.

    The ranks' own transport is not encrypted, so it stays on the loopback device unless another interface is named.
    A collective that takes longer than `timeout` seconds fails. Raises `RankLost` if the others do not come.
    """
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = interface
    chosen = backend or ("nccl" if torch.cuda.is_available() else "gloo")
    try:
        dist.init_process_group(chosen, timeout=timedelta(seconds=timeout), store=store, rank=rank, world_size=size)
    except RuntimeError as error:
        raise RankLost(f"the ranks did not find each other through {interface}: {error}") from error
    return Ranks(dist.get_rank(), dist.get_world_size())
