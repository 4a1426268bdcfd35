"""A world whose only state is the records of its chunks and the text in force: history and the verbs about it.

How a chunk is made is the business of whoever stands on it. Latents are rounded to the journal's float16 and poses to
its float32 before anything reads them, so that a world rebuilt from its records goes on bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import LabelRule, Step, StepTable, actions_from_poses, latent_poses, start_pose
from engine.errors import WanderError
from engine.parallel import Ranks
from engine.spatial import Strip
from engine.text import lines_of, revise
from engine.world import ChunkRecord, WorldSpec

DecoderT = TypeVar("DecoderT")
Poses = NDArray[np.float64]
Actions = NDArray[np.int64]
ATTEMPTS = 2
"""Noises tried for a chunk before the world counts as unstable."""


def chunk_noise(seed: int, chunk: int, shape: tuple[int, ...], attempt: int = 0) -> Tensor:
    """A chunk's own noise, from (seed, chunk) and, after a failure, the attempt."""
    words = [seed % 2**32, chunk, *[attempt] * (attempt > 0)]
    number = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
    return torch.randn(shape, generator=torch.Generator().manual_seed(number))


@dataclass(frozen=True, slots=True)
class Pending(Generic[DecoderT]):
    """A chunk whose last frames are leaving: its record, and the decoder's features after it, where it is decoded."""

    record: ChunkRecord
    decoder: DecoderT | None


class RecordedWorld(ABC, Generic[DecoderT]):
    """History and verbs of `engine.world.World`; `table` and `labels` say what a step does and how it is called.

    `ranks` make its chunks together: each is given the same verbs and ends with the same records. Rank 0 alone says
    where a step leads and what came of it. It alone decodes, or all do, each its strip; the others' steps yield no
    frames either way.
    """

    def __init__(self, spec: WorldSpec, table: StepTable, labels: LabelRule, ranks: Ranks | None = None) -> None:
        self.spec, self.table, self.labels, self.ranks = spec, table, labels, ranks or Ranks()
        self._records: list[ChunkRecord] = []
        self._owner: list[tuple[int, int]] = []
        self._poses: Poses = np.zeros((0, 4, 4))
        self._actions: Actions = np.zeros(0, dtype=np.int64)
        self._lines: tuple[str, ...] = ()
        self._remark = ""
        self._pending: Pending[DecoderT] | None = None
        self._recalled: tuple[int, ...] = ()
        """By the chunk in the making: see `ChunkRecord.recalled`."""
        self._decoder: DecoderT | None = None
        """The decoder's features after the newest latent; None until they are needed."""
        self._strip: Strip | None = None
        """The rows that this rank decodes; None for whole pictures."""

    @property
    def chunk(self) -> int:
        """Latents per chunk."""
        return self.spec.chunk

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        return len(self._records)

    @property
    def records(self) -> Sequence[ChunkRecord]:
        """All chunks made so far."""
        return tuple(self._records)

    @property
    def lines(self) -> tuple[str, ...]:
        """The text the next chunk reads: caption, then events."""
        return self._lines

    @property
    def remark(self) -> str:
        """See `engine.world.World.remark`."""
        return self._remark

    @property
    def pose(self) -> Poses:
        """Current world_from_camera `[4, 4]`."""
        return self._poses[-1] if len(self._poses) else start_pose(self.table)

    def step(self, steps: Sequence[Step]) -> Iterator[NDArray[np.uint8]]:
        """Generates the next chunk and yields frames uint8 `[1 | 4, H, W, 3]` latent by latent.

        No picture is computed before the first frames are taken, nor kept unless all are. Raises `ValueError` for
        another number of steps, `WanderError` when the network's numbers get out of hand.
        """
        path = self.ranks.lead(lambda: torch.from_numpy(self._path(steps)))
        return self._along(tuple(steps), path.numpy())

    def commit(self) -> ChunkRecord:
        """Finishes the chunk whose frames have left and returns its record."""
        if self._pending is None:
            raise ValueError("there is no chunk to commit; take all frames of a step first")
        record, self._decoder = replace(self._pending.record, recalled=self._recalled), self._pending.decoder
        self._pending = None
        self._append([record])
        return record

    def prompt(self, text: str) -> int:
        """See `engine.world.World.prompt`."""
        lines = self._revised(text)
        self._remark = self._remark_on([line for line in lines[1:] if line not in self._lines])
        self._set_lines(lines)
        return self.chunks + (self._pending is not None)

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks."""
        if not 0 <= chunks <= self.chunks:
            raise WanderError(
                f"this world has {self.chunks} chunks, it can't go back to chunk {chunks}; choose 0 to {self.chunks}"
            )
        self._restore(self._records[:chunks])

    def reset(self, seed: int | None = None) -> None:
        """The same world from its beginning, with a new seed if one is given."""
        self.spec = self.spec if seed is None else replace(self.spec, seed=seed)
        self._restore([])

    @property
    def _decodes(self) -> bool:
        """Whether this rank has a part in decoding."""
        return self.ranks.leads or self._strip is not None

    def _path(self, steps: Sequence[Step]) -> Poses:
        """Where `steps` lead, from where the camera stands `[1 + T, 4, 4]`; latent 0 of a world stands there itself."""
        return latent_poses(steps if self._records else steps[1:], self.table, self.pose)

    def _along(self, steps: tuple[Step, ...], path: Poses) -> Iterator[NDArray[np.uint8]]:
        """Frames of the next chunk along the last cameras of `path`; one before them is where the camera stood."""
        if len(steps) != self.chunk:
            raise ValueError(f"a chunk takes {self.chunk} steps, got {len(steps)}")
        poses, actions = path[-len(steps) :], actions_from_poses(path, self.labels)[-len(steps) :]
        return self._frames(steps, poses.astype(np.float32), actions)

    def _finite(self, attempt: Callable[[int], Tensor]) -> Tensor:
        """Latents of the first attempt at the next chunk whose numbers are all finite, or `WanderError`."""
        for number in range(ATTEMPTS):
            latents = self.ranks.say(attempt(number))
            if torch.isfinite(latents).all():
                return latents
        raise WanderError(
            f"the world became unstable: chunk {self.chunks} is not finite after {ATTEMPTS} attempts; undo 2 chunks"
        )

    def _restore(self, records: Sequence[ChunkRecord]) -> None:
        """Makes `records` the history, and the text of the last one the text in force."""
        self._pending, self._decoder = None, None
        self._records, self._owner = [], []
        self._poses, self._actions = np.zeros((0, 4, 4)), np.zeros(0, dtype=np.int64)
        self._append(records)
        self._set_lines(lines_of(records[-1].prompt if records else self.spec.prompt))

    def _append(self, records: Sequence[ChunkRecord]) -> None:
        self._owner += [(self.chunks + i, t) for i, record in enumerate(records) for t in range(len(record.latents))]
        self._poses = np.concatenate([self._poses, *(record.poses.astype(np.float64) for record in records)])
        self._actions = np.concatenate([self._actions, *(record.actions.astype(np.int64) for record in records)])
        self._records += records

    def _revised(self, text: str) -> tuple[str, ...]:
        """The lines after the user typed `text`."""
        return revise(self._lines, text)

    def _remark_on(self, events: Sequence[str]) -> str:
        """What a person should know of new events."""
        return ""

    def _set_lines(self, lines: tuple[str, ...]) -> None:
        if lines != self._lines:
            self._read(lines)
            self._lines = lines

    def _latents(self, indices: Sequence[int]) -> Tensor:
        """Latents `[T, C, Y, X]` of history, float32."""
        chosen = (self._records[owner].latents[t] for owner, t in (self._owner[i] for i in indices))
        return torch.from_numpy(np.stack([*chosen]).astype(np.float32))

    def _record(self, steps: tuple[Step, ...], latents: Tensor, poses: NDArray[np.float32], actions: Actions,
                picture: NDArray[np.uint8] | None = None) -> ChunkRecord:
        """What the journal keeps of a chunk of latents `[T, C, Y, X]` in float16."""
        return ChunkRecord(index=self.chunks, steps=steps, latents=latents.cpu().numpy(), poses=poses,
                           actions=actions.astype(np.int16), prompt="\n".join(self._lines),
                           picture=picture)  # fmt: skip

    @abstractmethod
    def _read(self, lines: tuple[str, ...]) -> None:
        """Gets `lines` ready to be read by the network."""

    @abstractmethod
    def _frames(self, steps: tuple[Step, ...], poses: NDArray[np.float32], actions: Actions
                ) -> Iterator[NDArray[np.uint8]]:
        """Frames of the next chunk, latent by latent; sets `_pending` with the last ones."""
