"""Where a walk has been, as the window is told it: the places of committed latents, for the map."""

from collections.abc import Iterable

import numpy as np

from worker.entries import ChunkEntry
from worker.protocol import Trail

MAX_PLACES = 8_000
"""Most places that are told at once; of a longer walk the newest."""


def trail(chunks: Iterable[ChunkEntry], *, whole: bool, recalled: tuple[int, ...] = ()) -> Trail:
    """What committed chunks add to the map; `whole` where the window is to forget what it knows. `recalled` as in
    `Trail`."""
    places = [_places(chunk) for chunk in chunks]
    told = np.concatenate(places)[-MAX_PLACES:] if places else np.zeros((0, 4), np.float32)
    return Trail(whole=whole, places=told.tobytes(), recalled=recalled)


def _places(chunk: ChunkEntry) -> np.ndarray:
    """A chunk's latents as rows of `Trail.places`."""
    poses = np.frombuffer(chunk.poses, np.float32).reshape(-1, 4, 4)
    heading = np.arctan2(poses[:, 0, 2], poses[:, 2, 2])
    chunks = np.full(len(poses), chunk.index)
    return np.stack([poses[:, 0, 3], poses[:, 2, 3], heading, chunks], axis=1).astype(np.float32)
