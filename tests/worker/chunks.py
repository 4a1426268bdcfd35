"""Chunks of a journal as small as they can be."""

from worker.entries import ChunkEntry
from worker.protocol import Step


def chunk_of(index: int, prompt: str = "a village", *, generation: int = 1, latents: int = 2) -> ChunkEntry:
    """A sound chunk of `latents` latents of one number each."""
    return ChunkEntry(
        generation=generation,
        index=index,
        steps=(Step(keys=1),) + (Step(),) * (latents - 1),
        shape=(latents, 1, 1, 1),
        latents=bytes([index % 256, 1]) * latents,
        poses=bytes(64 * latents),
        actions=bytes(2 * latents),
        prompt=prompt,
    )
