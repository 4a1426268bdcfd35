"""The entries of a session journal, and the world that they tell.

Pure: a `History` is a value, and every entry gives the next one. Undo and reset are entries like any other, nothing
is ever taken out of a journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import Annotated

import msgspec
from msgspec import Meta

from worker.errors import JournalError, WireError
from worker.model_protocol import Committed, Shape
from worker.protocol import Chunk, Count, Message, Prompt, Seed, Step, WorldSpec

FORMAT = 1


class Header(Message, frozen=True, kw_only=True, tag="header"):
    """What the session started from, the user's picture included."""

    format: Count = FORMAT
    spec: WorldSpec


class AnyHeader(msgspec.Struct, tag="header"):
    """What headers of all formats, past and to come, have in common."""

    format: Count


class WeightsEntry(Message, frozen=True, kw_only=True, tag="weights"):
    """The weights that the chunks from here on are made with; written whenever the world is opened."""

    checksum: Annotated[str, Meta(max_length=128)]


class ChunkEntry(Message, frozen=True, kw_only=True, tag="chunk"):
    """One committed chunk; arrays as in `model_protocol.Committed`."""

    generation: Count
    index: Count
    steps: tuple[Step, ...]
    shape: Shape
    latents: bytes
    poses: bytes
    actions: bytes
    prompt: str

    @property
    def whole(self) -> bool:
        """Whether the arrays have the sizes that they claim."""
        count = self.shape[0]
        sizes = (len(self.steps), len(self.latents), len(self.poses), len(self.actions))
        return sizes == (count, 2 * prod(self.shape), 64 * count, 2 * count)


class PromptEntry(Message, frozen=True, kw_only=True, tag="prompt"):
    """A prompt that applies from the next chunk."""

    text: Prompt


class ResetEntry(Message, frozen=True, kw_only=True, tag="reset"):
    """Back to the beginning with this seed."""

    seed: Seed


class RewindEntry(Message, frozen=True, kw_only=True, tag="rewind"):
    """Back to the state after this many chunks."""

    chunks: Count


class ChunkSizeEntry(Message, frozen=True, kw_only=True, tag="chunk_size"):
    """Latents per chunk from here on."""

    chunk: Chunk


Entry = Header | WeightsEntry | ChunkEntry | PromptEntry | ResetEntry | RewindEntry | ChunkSizeEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A world as its journal tells it: what it started from and the chunks that still stand."""

    spec: WorldSpec
    """With the seed and the chunk size that are in force."""
    checksum: str = ""
    """Fingerprint of the weights that it was last opened with."""
    chunks: tuple[ChunkEntry, ...] = ()
    prompt: str = ""
    """The text that the last chunk was made under, before any chunk the world's caption."""
    pending: tuple[str, ...] = ()
    """Prompts that were given after it."""
    generation: int = 0

    def then(self, entry: Entry) -> "History":
        """The world after one more entry. Raises `JournalError` if the entry cannot follow."""
        match entry:
            case ChunkEntry():
                if entry.index != len(self.chunks) or not entry.whole:
                    raise JournalError(f"The session has no sound chunk {len(self.chunks)}; it is damaged.")
                chunks = (*self.chunks, entry)
                return replace(self, chunks=chunks, prompt=entry.prompt, pending=(), generation=entry.generation)
            case WeightsEntry():
                return replace(self, checksum=entry.checksum)
            case PromptEntry():
                return replace(self, pending=(*self.pending, entry.text))
            case ResetEntry():
                spec = msgspec.structs.replace(self.spec, seed=entry.seed)
                return replace(self, spec=spec, chunks=(), prompt=spec.prompt, pending=())
            case RewindEntry():
                chunks = self.chunks[: entry.chunks]
                return replace(self, chunks=chunks, prompt=_prompt(chunks, self.spec), pending=())
            case ChunkSizeEntry():
                return replace(self, spec=msgspec.structs.replace(self.spec, chunk=entry.chunk))
            case Header():
                raise JournalError("The session has two beginnings; it is damaged.")


def chunk_entry(message: Committed, latents: bytes, expected: int) -> ChunkEntry:
    """The entry for a chunk that the model has committed.

    Raises `WireError` if it is not chunk `expected` or incomplete.
    """
    entry = ChunkEntry(
        generation=message.generation,
        index=message.chunk,
        steps=message.steps,
        shape=message.shape,
        latents=latents,
        poses=message.poses,
        actions=message.actions,
        prompt=message.prompt,
    )
    if entry.index != expected or not entry.whole:
        raise WireError(f"The model committed chunk {entry.index} with {len(latents)} bytes where {expected} was next.")
    return entry


def replay(header: Header, entries: Iterable[Entry]) -> History:
    """The world that a header and the entries after it tell."""
    history = History(spec=header.spec, prompt=header.spec.prompt)
    for entry in entries:
        history = history.then(entry)
    return history


def _prompt(chunks: tuple[ChunkEntry, ...], spec: WorldSpec) -> str:
    return chunks[-1].prompt if chunks else spec.prompt
