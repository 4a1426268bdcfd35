"""Keys and values of finished latents: committed once, read at reframed positions (paper §3.3, Algorithm 2).

A finished chunk is *committed*: its clean latents pass once through the network, attending to themselves, the text and
the action alone, and the un-positioned keys and values of every block are kept. They depend on nothing else, so they
can be dropped and rebuilt from the latents at will; they are never state. Reading gives the selected latents
consecutive time indices whatever their age (temporal reframing) and frustums relative to the chunk that is being made,
so positions stay small for ever.

A cached chunk carries the text it was made under; one that is asked for under another is recomputed (KV recache,
supplement E.2).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.attention import attend
from engine.transformer import QKV, Geometry, Positions

Text = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Committed:
    """Keys and values `[1, T * n, N, H]` of a chunk of T latents before any position, one pair a block."""

    keys: list[Tensor]
    values: list[Tensor]
    latents: int
    text: Text

    def rows(self, latent: int) -> slice:
        """Token rows of one of the chunk's latents."""
        n = self.keys[0].shape[1] // self.latents
        return slice(latent * n, (latent + 1) * n)


@dataclass(frozen=True, slots=True)
class Context:
    """Positioned keys and values `[1, heads', tokens, H]` that a chunk sees, one pair a block; None with no history."""

    keys: list[Tensor] | None
    values: list[Tensor] | None


class CommitMixer:
    """Self-attention among the latents of one call alone; keeps the un-positioned keys and values of every block."""

    def __init__(self, positions: Positions, geometry: Geometry) -> None:
        self.positions, self.geometry = positions, geometry
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def __call__(self, index: int, qkv: QKV) -> Tensor:
        """Attention output of block `index`, before its projection."""
        self.keys.append(qkv.k)
        self.values.append(qkv.v)
        return mix(self.positions, self.geometry, qkv, None, None)


class DenoiseMixer:
    """The chunk attends to the context and to itself."""

    def __init__(self, positions: Positions, geometry: Geometry, context: Context) -> None:
        self.positions, self.geometry, self.context = positions, geometry, context

    def __call__(self, index: int, qkv: QKV) -> Tensor:
        """Attention output of block `index`, before its projection."""
        keys, values = self.context.keys, self.context.values
        return mix(self.positions, self.geometry, qkv, keys[index] if keys else None, values[index] if values else None)


def mix(
    positions: Positions, geometry: Geometry, qkv: QKV, context_k: Tensor | None, context_v: Tensor | None
) -> Tensor:
    """Attention of a call's own tokens over an optional positioned context and themselves: `[B, L, heads', H]`."""
    q = positions.queries(qkv.q, geometry).transpose(1, 2)
    k = positions.keys(qkv.k, geometry).transpose(1, 2)
    v = positions.values(qkv.v, geometry).transpose(1, 2)
    if context_k is not None and context_v is not None:
        k, v = torch.cat([context_k, k], 2), torch.cat([context_v, v], 2)
    return positions.outputs(attend(q, k, v).transpose(1, 2), geometry)


def read_context(positions: Positions, parts: Sequence[tuple[Committed, int]], geometry: Geometry) -> Context:
    """Context of (chunk, latent within it) pairs in ascending order; `geometry` has a latent for each."""
    if not parts:
        return Context(None, None)
    keys, values = [], []
    for block in range(len(parts[0][0].keys)):
        k = torch.cat([chunk.keys[block][:, chunk.rows(latent)] for chunk, latent in parts], 1)
        v = torch.cat([chunk.values[block][:, chunk.rows(latent)] for chunk, latent in parts], 1)
        keys.append(positions.keys(k, geometry).transpose(1, 2).contiguous())
        values.append(positions.values(v, geometry).transpose(1, 2).contiguous())
    return Context(keys, values)


def read_under(chunk: int, made: int, recent: int) -> int:
    """The chunk whose text `chunk` is read under while chunk `made` is made, of a memory of `recent` chunks: the one
    halfway between them.

    So new words reach one of the recent chunks with every chunk that is made, the newest first, none has to wait for
    them all, and what is recalled from longer ago has them with the last of the recent ones.
    """
    return made - min((made - chunk) // 2, -(-recent // 2))


class KvCache:
    """Committed chunks by index. Beyond `capacity` the least recently used is dropped; what is missing or was made
    under another text is committed anew.
    """

    def __init__(self, capacity: int, commit: Callable[[int, Text], Committed]) -> None:
        if capacity < 1:
            raise ValueError(f"a cache needs room for at least 1 chunk, got {capacity}")
        self.capacity, self._commit = capacity, commit
        self._chunks: OrderedDict[int, Committed] = OrderedDict()

    def get(self, chunk: int, text: Text) -> Committed:
        """The committed keys and values of a chunk under this text."""
        found = self._chunks.get(chunk)
        if found is None or found.text != text:
            found = self._commit(chunk, text)
        self._chunks[chunk] = found
        self._chunks.move_to_end(chunk)
        while len(self._chunks) > self.capacity:
            self._chunks.popitem(last=False)
        return found

    def forget_from(self, chunk: int) -> None:
        """Drops this chunk and all later ones (rewind)."""
        for index in [i for i in self._chunks if i >= chunk]:
            del self._chunks[index]

    def __len__(self) -> int:
        return len(self._chunks)
