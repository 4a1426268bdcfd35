"""The entries of a session journal: what is written down of a walk, one message for each thing that happens.

Undo, reset and switching are entries like any other; nothing is ever taken out of a journal.
"""

from math import prod
from typing import Annotated

import msgspec
from msgspec import Meta

from worker.errors import WireError
from worker.model_protocol import Committed, Digest, Shape, Text
from worker.protocol import Chunk, Count, Message, Prompt, Seed, Step, Title, WorldSpec

FORMAT = 3
"""Format 1 knew neither branches nor digests, format 2 no walls; both are still read."""


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
    picture: bytes = b""
    digest: Digest = b""
    """Of the pixels that the chunk showed (`model_protocol.fingerprint`); empty in sessions of format 1."""

    @property
    def whole(self) -> bool:
        """Whether the arrays have the sizes that they claim."""
        count = self.shape[0]
        sizes = (len(self.steps), len(self.latents), len(self.poses), len(self.actions))
        return sizes == (count, 2 * prod(self.shape), 64 * count, 2 * count)


class PromptEntry(Message, frozen=True, kw_only=True, tag="prompt"):
    """A prompt that applies from the next chunk."""

    text: Prompt
    reads: Text | None = None
    """The text that the model reads from then on; None in sessions of format 1."""


class ResetEntry(Message, frozen=True, kw_only=True, tag="reset"):
    """Back to the beginning with this seed."""

    seed: Seed


class RewindEntry(Message, frozen=True, kw_only=True, tag="rewind"):
    """Back to the state after this many chunks."""

    chunks: Count


class ChunkSizeEntry(Message, frozen=True, kw_only=True, tag="chunk_size"):
    """Latents per chunk from here on."""

    chunk: Chunk


class KeepEntry(Message, frozen=True, kw_only=True, tag="keep"):
    """The branch that is walked on has this name from here on."""

    name: Title


class SwitchEntry(Message, frozen=True, kw_only=True, tag="switch"):
    """Back to the end of a branch that was left."""

    branch: Count


Entry = (
    Header
    | WeightsEntry
    | ChunkEntry
    | PromptEntry
    | ResetEntry
    | RewindEntry
    | ChunkSizeEntry
    | KeepEntry
    | SwitchEntry
)


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
        picture=message.picture,
        digest=message.digest,
    )
    if entry.index != expected or not entry.whole:
        raise WireError(f"The model committed chunk {entry.index} with {len(latents)} bytes where {expected} was next.")
    return entry


def light(chunk: ChunkEntry) -> ChunkEntry:
    """A chunk as it is remembered while a world is open: without its arrays, which the journal has."""
    return msgspec.structs.replace(chunk, latents=b"", picture=b"")
