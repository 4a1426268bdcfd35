"""Streaming generation by chunks (paper §3.5, Algorithm 2): select context, denoise, decode progressively, commit.

`PocketWorld` is the one object with state, and its state is plain: the records of its chunks and the text in force.
Keys, values and the decoder's features are rebuilt from them when they are needed, exactly, because latents are rounded
to the journal's float16, and poses to its float32, before anything reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses, start_pose
from engine.errors import WanderError
from engine.flow import euler, schedule
from engine.geometry import POCKET_LENS, image_from_camera, rigid_inverse
from engine.guide import Guide
from engine.images import fit_image
from engine.kv_cache import CommitMixer, Committed, Context, DenoiseMixer, KvCache, read_context
from engine.memory import MemoryConfig, select_context
from engine.memory import pocket as pocket_memory
from engine.precision import autocast
from engine.prope import Frustums, frustums
from engine.surfaces import Surfaces
from engine.text import encode, lines_of, revise
from engine.transformer import TextCache
from engine.vae import DecoderState, group_frames, to_uint8
from engine.walls import stopped
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec

FPS = 24.0
UNIT = 0.25
"""Translations are given to the network in units of four metres."""
ATTEMPTS = 2
"""Noises tried for a chunk before the world counts as unstable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a chunk is denoised: Euler steps, and the shift of their levels towards noise."""

    steps: int = 4
    shift: float = 3.0


def pocket_frustums(world_from_camera: NDArray[np.floating], origin: NDArray[np.floating]) -> Frustums:
    """Frustums `[B, T, 4, 4]` of `pocket` cameras `[B, T, 4, 4]`, relative to the camera `origin` `[B, 1, 4, 4]`.

    For one world the batch axis may be left out: cameras `[T, 4, 4]`, origin `[4, 4]`.
    """
    camera_from_origin = rigid_inverse(np.asarray(world_from_camera, dtype=np.float64)) @ np.asarray(
        origin, dtype=np.float64
    )
    batched = torch.from_numpy(camera_from_origin.reshape(-1, *camera_from_origin.shape[-3:]))
    return frustums(batched, torch.from_numpy(image_from_camera(POCKET_LENS)), UNIT)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk whose last frames are leaving: its record, and the decoder's features after it."""

    record: ChunkRecord
    decoder: DecoderState | None


class PocketWorld:
    """A world of the `pocket` preset; see `engine.world.World` for the verbs."""

    fps = FPS

    def __init__(
        self,
        weights: PocketWeights,
        spec: WorldSpec,
        records: Sequence[ChunkRecord] = (),
        *,
        sampling: Sampling | None = None,
        memory: MemoryConfig | None = None,
        cache_chunks: int = 24,
        recache: bool = True,
    ) -> None:
        """`recache=False` leaves context as it was made under its own text (an ablation of supplement E.2)."""
        self.weights, self.spec, self._recache = weights, spec, recache
        self.sampling, self.memory = sampling or Sampling(), memory or pocket_memory()
        self.width, self.height, self.checksum = weights.width, weights.height, weights.checksum
        self._cache = KvCache(cache_chunks, self._commit_chunk)
        self._surfaces = Surfaces(weights, self._latent, self._picture)
        self._start = None if spec.image is None else fit_image(spec.image, self.width, self.height)
        self._first = None if self._start is None else self._encode(self._start)
        self._lines: tuple[str, ...] = ()
        self._prompt_version = 0
        self._restore(records)

    # -- what others may ask ------------------------------------------------------------------------------------------

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
    def pose(self) -> NDArray[np.float64]:
        """Current world_from_camera `[4, 4]`."""
        return self._poses[-1] if len(self._poses) else start_pose(POCKET)

    # -- the verbs, and those of the journal --------------------------------------------------------------------------

    def step(self, steps: Sequence[Step]) -> Iterator[NDArray[np.uint8]]:
        """Generates the next chunk and yields frames uint8 `[1 | 4, H, W, 3]` latent by latent.

        No picture is computed before the first frames are taken, nor kept unless all are. Raises `ValueError` for
        another number of steps, `WanderError` when the network's numbers get out of hand.
        """
        first = not self._records  # latent 0 of a world stands at the start
        poses = latent_poses(steps[1:] if first else steps, POCKET, self.pose)
        if any(step.walls for step in steps) and self.weights.depth and (self._records or self._first is not None):
            poses = stopped(self._surfaces.get(max(len(self._poses) - 1, 0), self.pose), poses)
        return self._make(tuple(steps), poses if first else poses[1:], actions_from_poses(poses, POCKET_LABELS))

    def follow(self, poses: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """Like `step`, along given cameras: world_from_camera `[chunk, 4, 4]` of the latents (latent 0 included)."""
        path = np.concatenate([self._poses[-1:], np.asarray(poses, dtype=np.float64)])
        return self._make((Step(),) * len(poses), path[-len(poses) :], actions_from_poses(path, POCKET_LABELS))

    def start_from(self, latent: Tensor) -> None:
        """Gives latent 0 `[C, Y, X]` (normalised) of a world that has no chunk yet, instead of a picture."""
        if self._records:
            raise ValueError(f"the world has {self.chunks} chunks already; latent 0 is given before the first")
        self._first, self._start = latent.to(self._device).half(), None
        self._surfaces.forget_from(0)

    def commit(self) -> ChunkRecord:
        """Finishes the chunk whose frames have left: writes its keys and values and returns its record."""
        if self._pending is None:
            raise ValueError("there is no chunk to commit; take all frames of a step first")
        record, self._decoder_state, self._pending = self._pending.record, self._pending.decoder, None
        self._append([record])
        self._cache.get(record.index, self._context_version)
        return record

    def prompt(self, text: str) -> int:
        """See `engine.world.World.prompt`; context made under the old text is recomputed when it is next selected."""
        self._read(revise(self._lines, text))
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

    # -- history ------------------------------------------------------------------------------------------------------

    def _restore(self, records: Sequence[ChunkRecord]) -> None:
        self._pending: _Pending | None = None
        self._cache.forget_from(len(records))
        self._surfaces.forget_from(sum(len(record.latents) for record in records))
        self._records: list[ChunkRecord] = []
        self._owner: list[tuple[int, int]] = []
        self._poses: NDArray[np.float64] = np.zeros((0, 4, 4))
        self._append(records)
        self._read(lines_of(records[-1].prompt if records else self.spec.prompt))
        self._decoder_state = self._decode_state()

    def _append(self, records: Sequence[ChunkRecord]) -> None:
        self._owner += [(self.chunks + i, t) for i, record in enumerate(records) for t in range(len(record.latents))]
        self._poses = np.concatenate([self._poses, *(record.poses.astype(np.float64) for record in records)])
        self._records += records

    def _decode_state(self) -> DecoderState | None:
        """The decoder's features after the newest latent; they depend on the last two latents alone."""
        state: DecoderState | None = None
        for latent in [latent for record in self._records[-2:] for latent in record.latents][-2:]:
            _, state = self._decode(torch.from_numpy(latent.copy()).to(self._device), state)
        return state

    def _read(self, lines: tuple[str, ...]) -> None:
        """Makes `lines` the text in force."""
        if lines == self._lines:
            return
        self._lines, self._prompt_version = lines, self._prompt_version + 1
        self._text: TextCache = self._words(lines)

    def _words(self, lines: tuple[str, ...]) -> TextCache:
        rows = torch.from_numpy(encode(lines)).to(self._device)
        lengths = torch.tensor([len(rows)], device=self._device)
        with torch.inference_mode(), autocast(self._device):
            return self.weights.model.read_prompt(rows[None], lengths)

    @property
    def _context_version(self) -> int:
        """Of the prompt that cached context must have been made under; 0 where every chunk keeps its own."""
        return self._prompt_version if self._recache else 0

    @property
    def _device(self) -> torch.device:
        return self.weights.vae.mean.device

    def _encode(self, picture: NDArray[np.uint8]) -> Tensor:
        """Latent `[C, Y, X]` of a picture that stands still, `[H, W, 3]`."""
        frame = torch.from_numpy(picture)[None, None].to(self._device)
        with torch.inference_mode(), autocast(self._device):
            return self.weights.vae.encode(group_frames(frame))[0, 0].half()

    def _picture(self, index: int) -> NDArray[np.uint8] | None:
        """What latent `index` showed, if it ended a chunk or is the given picture."""
        if not self._records:
            return self._start
        owner, t = self._owner[index]
        record = self._records[owner]
        return record.picture if t == len(record.latents) - 1 else None

    def _latent(self, index: int) -> Tensor:
        """Latent `[C, Y, X]` of history, or the given first one of a world that has no chunk yet."""
        if not self._records and self._first is not None:
            return self._first.float()
        owner, t = self._owner[index]
        return torch.from_numpy(self._records[owner].latents[t].copy()).to(self._device).float()

    # -- one chunk ----------------------------------------------------------------------------------------------------

    def _make(
        self, steps: tuple[Step, ...], poses: NDArray[np.float64], actions: NDArray[np.int64]
    ) -> Iterator[NDArray[np.uint8]]:
        """Frames of the next chunk; `poses` `[T, 4, 4]`, the last T of `actions`."""
        if len(steps) != self.chunk:
            raise ValueError(f"a chunk takes {self.chunk} steps, got {len(steps)}")
        return self._frames(steps, poses.astype(np.float32).astype(np.float64), actions[-len(steps) :])

    def _frames(
        self, steps: tuple[Step, ...], poses: NDArray[np.float64], actions: NDArray[np.int64]
    ) -> Iterator[NDArray[np.uint8]]:
        self._pending, state, first = None, self._decoder_state, not self._records
        latents, guide = self._generate(poses, actions)
        for t, latent in enumerate(latents):
            frames, state = self._decode(latent, state, guide, t)
            if first and t == 0:
                frames = frames[-1:] if self._start is None else self._start[None]
            if t == len(latents) - 1:
                record = ChunkRecord(
                    index=self.chunks,
                    steps=steps,
                    latents=latents.cpu().numpy(),
                    poses=poses.astype(np.float32),
                    actions=actions.astype(np.int16),
                    prompt="\n".join(self._lines),
                    picture=frames[-1].copy(),
                )
                self._pending = _Pending(record, state)
            yield frames

    def _decode(
        self, latent: Tensor, state: DecoderState | None, guide: Guide | None = None, t: int = 0
    ) -> tuple[NDArray[np.uint8], DecoderState]:
        """Frames uint8 `[4, H, W, 3]` of latent t `[C, Y, X]` of a chunk, and the state for the next."""
        with torch.inference_mode(), autocast(latent.device):
            frames, state = self.weights.vae.decode(latent[None].float(), state)
            if guide is not None and self.weights.compositor is not None:
                frames = self.weights.compositor(frames, guide.frames[t : t + 1], guide.covered[t : t + 1])
        return to_uint8(frames[0].float()).cpu().numpy(), state

    @torch.inference_mode()
    def _generate(self, poses: NDArray[np.float64], actions: NDArray[np.int64]) -> tuple[Tensor, Guide | None]:
        """Latents half `[T, C, Y, X]` of the next chunk, and their guide, None if there is nothing to show.

        Raises `WanderError` if no attempt is finite.
        """
        model, current, path = self.weights.model, len(self._poses), np.concatenate([self._poses, poses])
        chosen = [int(i) for i in select_context(rigid_inverse(path), current, len(poses), self.memory)]
        times = torch.arange(len(chosen), len(chosen) + len(poses), dtype=torch.float64)
        geometry = model.geometry(times, self.weights.grid, pocket_frustums(poses, poses[0]))
        mixer = DenoiseMixer(model.positions, geometry, self._read_context(path, chosen, current))
        given = self._first if current == 0 else None
        shows = model.config.guided and (current > 0 or given is not None)
        guide = self._surfaces.guide(path, chosen, current) if shows else None
        for attempt in range(ATTEMPTS):
            latents = self._denoise(self._noise(len(poses), attempt), given, actions, mixer, guide).half()
            if torch.isfinite(latents).all():
                return latents, guide
        raise WanderError(
            f"the world became unstable: chunk {self.chunks} is not finite after {ATTEMPTS} attempts; undo 2 chunks"
        )

    def _denoise(
        self, x: Tensor, given: Tensor | None, actions: NDArray[np.int64], mixer: DenoiseMixer, guide: Guide | None
    ) -> Tensor:
        """From noise `[T, C, Y, X]` to clean latents; a given latent 0 stays as it is, at level 0."""
        seen = None if guide is None else guide.latents[None]
        device, known = x.device, 0 if given is None else 1
        if given is not None:
            x = torch.cat([given[None].float(), x[1:]])
        labels = torch.from_numpy(actions)[None].to(device)
        for level, next_level in pairwise(schedule(self.sampling.steps, self.sampling.shift).tolist()):
            levels = torch.full((1, len(x)), level, device=device)
            levels[:, :known] = 0.0
            with autocast(device):
                velocity = self.weights.model(x[None], levels, labels, self._text, mixer, seen)[0]
            x = torch.cat([x[:known], euler(x, velocity, level, next_level)[known:]])
        return x

    def _noise(self, latents: int, attempt: int) -> Tensor:
        """The chunk's own noise `[T, C, Y, X]`, from (seed, chunk) and, after a failure, the attempt."""
        words = [self.spec.seed % 2**32, self.chunks, *[attempt] * (attempt > 0)]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        shape = (latents, self.weights.vae.config.latent_channels, *self.weights.grid)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self._device)

    def _read_context(self, poses: NDArray[np.float64], chosen: Sequence[int], current: int) -> Context:
        """Positioned context of the chunk at `current`."""
        if not chosen:
            return Context(None, None)
        model = self.weights.model
        parts = [(self._cache.get(owner, self._context_version), t) for owner, t in (self._owner[i] for i in chosen)]
        times, cameras = torch.arange(len(chosen), dtype=torch.float64), pocket_frustums(poses[chosen], poses[current])
        with autocast(self._device):
            return read_context(model.positions, parts, model.geometry(times, self.weights.grid, cameras))

    @torch.inference_mode()
    def _commit_chunk(self, chunk: int) -> Committed:
        """Keys and values of a finished chunk: of its own latents and actions and the text in force, nothing else.

        Without recache the text is the one that the chunk was made under.
        """
        model, record = self.weights.model, self._records[chunk]
        latents = torch.from_numpy(np.array(record.latents)).to(self._device).float()[None]
        times, cameras = (
            torch.arange(latents.shape[1], dtype=torch.float64),
            pocket_frustums(record.poses, record.poses[0]),
        )
        mixer = CommitMixer(model.positions, model.geometry(times, self.weights.grid, cameras))
        labels = torch.from_numpy(record.actions.astype(np.int64))[None].to(self._device)
        words = self._text if self._recache else self._words(lines_of(record.prompt))
        with autocast(self._device):
            model(latents, torch.zeros(latents.shape[:2], device=self._device), labels, words, mixer)
        return Committed(mixer.keys, mixer.values, latents.shape[1], self._context_version)
