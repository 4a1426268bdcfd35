"""Video continuation (supplement E.3): the first chunks of a world are a clip of the user's, then the model goes on.

The clip counts as walked standing still: its pictures are shown as they are, its latents are what the model remembers.
A world keeps chunks of four latents in mind, so a clip is cut to its last 13, 29, 45 or 61 frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import POCKET_LABELS, Step, actions_from_poses
from engine.images import fit_image
from engine.parallel import Ranks
from engine.precision import autocast
from engine.streamer import PocketWorld
from engine.vae import FRAMES_PER_LATENT, group_frames
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec

MOST_LATENTS = 16
"""Latents of a clip: as many as a chunk ever sees."""
_ALIGN = 4
"""Clips have whole chunks at every chunk size."""


def trimmed(clip: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The end of a clip `[F, H, W, 3]` as frames of a world `[1 + 4 k, height, width, 3]`.

    A clip of less than 13 frames stands still on its first one before.
    """
    latents = min(MOST_LATENTS, max(_ALIGN, (len(clip) + 3) // FRAMES_PER_LATENT // _ALIGN * _ALIGN))
    count = FRAMES_PER_LATENT * latents - 3
    frames = np.stack([fit_image(frame, width, height) for frame in clip[-count:]])
    return np.concatenate([frames[:1].repeat(count - len(frames), axis=0), frames])


class ContinuedWorld:
    """A `pocket` world that goes on from `spec.video`; see `engine.world.World` for the verbs."""

    def __init__(self, weights: PocketWeights, spec: WorldSpec, records: Sequence[ChunkRecord] = (),
                 ranks: Ranks | None = None) -> None:  # fmt: skip
        if spec.video is None:
            raise ValueError("a world without a clip is a PocketWorld")
        self.spec = spec
        self._weights, self._clip = weights, trimmed(spec.video, weights.width, weights.height)
        self._ranks = ranks or Ranks()
        self._world = self._with(records)
        self._pending: ChunkRecord | None = None
        self.width, self.height, self.fps, self.checksum = (
            weights.width,
            weights.height,
            PocketWorld.fps,
            weights.checksum,
        )

    @property
    def chunk(self) -> int:
        """Latents per chunk."""
        return self._world.chunk

    @property
    def chunks(self) -> int:
        """Chunks made so far, those of the clip among them."""
        return self._world.chunks

    @property
    def lines(self) -> tuple[str, ...]:
        """The text that the next chunk reads."""
        return self._world.lines

    @property
    def remark(self) -> str:
        """See `engine.world.World.remark`."""
        return self._world.remark

    @property
    def pose(self) -> NDArray[np.float64]:
        """Current world_from_camera `[4, 4]`."""
        return self._world.pose

    def step(self, steps: Sequence[Step]) -> Iterator[NDArray[np.uint8]]:
        """The next chunk: of the clip while it lasts, whatever the steps say, then generated."""
        first = sum(len(record.latents) for record in self._world.records)
        if first + len(steps) > len(self._latents):
            return self._world.step(steps)
        if len(steps) != self.chunk:
            raise ValueError(f"a chunk takes {self.chunk} steps, got {len(steps)}")
        return self._shown(first)

    def commit(self) -> ChunkRecord:
        """Finishes the chunk once its frames have left."""
        if self._pending is None:
            return self._world.commit()
        record, self._pending = self._pending, None
        waiting = self._world.lines
        self._world = self._with([*self._world.records, record])
        if waiting != self._world.lines:  # a prompt that was given while the chunk was shown
            self._world.prompt("\n".join((*waiting, "")))
        return record

    def prompt(self, text: str) -> int:
        """Adds an event; returns the first chunk that reads it."""
        return self._world.prompt(text) + (self._pending is not None)

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks, also into the clip."""
        self._world.rewind(chunks)
        self._pending = None

    def reset(self, seed: int | None = None) -> None:
        """The clip once more, then a world with a new seed if one is given."""
        self._world.reset(seed)
        self.spec, self._pending = self._world.spec, None

    def _with(self, records: Sequence[ChunkRecord]) -> PocketWorld:
        given = (len(self._clip) - 1) // FRAMES_PER_LATENT + 1
        return PocketWorld(self._weights, self.spec, records, ranks=self._ranks, given=given)

    @cached_property
    def _latents(self) -> NDArray[np.float16]:
        """`[T, C, Y, X]`, each latent encoded by itself, by rank 0."""
        return self._ranks.lead(self._encode).numpy()

    def _encode(self) -> Tensor:
        vae = self._weights.vae
        groups = group_frames(torch.from_numpy(self._clip)[None].to(vae.mean.device))
        with torch.inference_mode(), autocast(vae.mean.device):
            return vae.encode(groups)[0].half().cpu()

    def _shown(self, first: int) -> Iterator[NDArray[np.uint8]]:
        """The clip's pictures from latent `first` on, a chunk of them."""
        self._pending, last = None, first + self.chunk
        for latent in range(first, last):
            end = 1 + FRAMES_PER_LATENT * latent
            if latent == last - 1:
                self._pending = self._record(first, self._clip[end - 1])
            yield self._clip[max(end - FRAMES_PER_LATENT, 0) : end]

    def _record(self, first: int, picture: NDArray[np.uint8]) -> ChunkRecord:
        poses = np.repeat(self.pose[None], self.chunk + 1, axis=0)
        return ChunkRecord(
            index=self.chunks,
            steps=(Step(),) * self.chunk,
            latents=self._latents[first : first + self.chunk],
            poses=poses[1:].astype(np.float32),
            actions=actions_from_poses(poses, POCKET_LABELS)[1:].astype(np.int16),
            prompt="\n".join(self.lines),
            picture=picture.copy(),
        )
