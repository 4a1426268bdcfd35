"""Streaming generation, chunk by chunk (paper §3.5, Algorithm 2): select context, denoise, decode progressively, commit.

`PocketWorld` is the one object with state, and its state is plain: latents, poses, actions and prompts. Keys, values and the decoder's
features are rebuilt from them when they are needed, exactly, because latents are rounded to the journal's float16 before anything reads
them as history.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import text
from engine.actions import POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses, start_pose
from engine.errors import WanderError
from engine.flow import euler, schedule
from engine.geometry import POCKET_LENS, image_from_camera, rigid_inverse
from engine.images import fit_image
from engine.kv_cache import CommitMixer, Committed, Context, DenoiseMixer, KvCache, read_context
from engine.memory import MemoryConfig, select_context
from engine.memory import pocket as pocket_memory
from engine.precision import autocast
from engine.prope import Frustums, frustums
from engine.transformer import TextCache
from engine.vae import DecoderState, group_frames, to_uint8
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec

FPS = 24.0
UNIT = 0.25
"""Translations are given to the network in units of four metres."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a chunk is denoised."""

    steps: int = 4
    shift: float = 3.0


def pocket_frustums(world_from_camera: NDArray[np.floating], origin: NDArray[np.floating]) -> Frustums:
    """Frustums `[1, T, 4, 4]` of `pocket` cameras `[T, 4, 4]`, relative to the camera `origin` `[4, 4]`."""
    camera_from_origin = rigid_inverse(np.asarray(world_from_camera, dtype=np.float64)) @ np.asarray(origin, dtype=np.float64)
    return frustums(torch.from_numpy(camera_from_origin)[None], torch.from_numpy(image_from_camera(POCKET_LENS)), UNIT)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A chunk whose frames are leaving."""

    steps: tuple[Step, ...]
    latents: Tensor
    poses: NDArray[np.float64]
    actions: NDArray[np.int64]


class PocketWorld:
    """A world of the `pocket` preset; see `engine.world.World` for the verbs."""

    fps = FPS

    def __init__(self, weights: PocketWeights, spec: WorldSpec, records: Sequence[ChunkRecord] = (), *, sampling: Sampling | None = None,
                 memory: MemoryConfig | None = None, cache_chunks: int = 24) -> None:
        self.weights, self.spec = weights, spec
        self.sampling, self.memory = sampling or Sampling(), memory or pocket_memory()
        self.width, self.height, self.checksum = weights.width, weights.height, weights.checksum
        self._cache = KvCache(cache_chunks, self._commit_chunk)
        self._records: list[ChunkRecord] = []
        self._pending: _Pending | None = None
        self._first = self._encode_start(spec.image)
        self._set_lines((spec.prompt,))
        self._restore(list(records))

    # -- what others may ask ------------------------------------------------------------------------------------------------------------

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

    # -- the four verbs and the journal's --------------------------------------------------------------------------------------------------

    def step(self, steps: Sequence[Step]) -> Iterator[NDArray[np.uint8]]:
        """Generates the next chunk and yields frames uint8 `[1 | 4, H, W, 3]` latent by latent."""
        if len(steps) != self.chunk:
            raise ValueError(f"a chunk takes {self.chunk} steps, got {len(steps)}")
        poses, actions = self._next_poses(tuple(steps))
        yield from self._make(tuple(steps), poses, actions)

    def start_from(self, latent: Tensor) -> None:
        """Gives latent 0 `[C, Y, X]` (normalised) of a world that has no chunk yet, instead of a picture."""
        if self._records:
            raise ValueError(f"the world has {self.chunks} chunks already; latent 0 is given before the first")
        self._first = latent.to(self._device).half()

    def follow(self, poses: NDArray[np.float64]) -> Iterator[NDArray[np.uint8]]:
        """Like `step`, along a given camera path: world_from_camera `[chunk, 4, 4]` of the chunk's latents (latent 0 included)."""
        path = np.concatenate([self._poses[-1:], np.asarray(poses, dtype=np.float64)])
        yield from self._make((Step(),) * len(poses), path[-len(poses) :], actions_from_poses(path, POCKET_LABELS)[-len(poses) :])

    def _make(self, steps: tuple[Step, ...], poses: NDArray[np.float64], actions: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        self._pending = self._generate(steps, poses, actions)
        state = self._decoder_state
        for t, latent in enumerate(self._pending.latents):
            with torch.inference_mode(), autocast(latent.device):
                frames, state = self.weights.vae.decode(latent[None].float(), state)
            self._pending_decoder = state
            shown = to_uint8(frames[0].float()).cpu().numpy()
            yield shown[-1:] if not self._records and t == 0 else shown

    def commit(self) -> ChunkRecord:
        """Writes the chunk's keys and values and returns its record."""
        pending = self._pending
        if pending is None:
            raise ValueError("there is no chunk to commit; take all frames of a step first")
        record = ChunkRecord(
            index=self.chunks, steps=pending.steps, latents=pending.latents.cpu().numpy(), poses=pending.poses.astype(np.float32),
            actions=pending.actions.astype(np.int16), prompt="\n".join(self._lines),
        )
        self._pending = None
        self._append(record)
        self._decoder_state = self._pending_decoder
        self._cache.get(record.index, self._prompt_version)
        return record

    def prompt(self, words: str) -> int:
        """See `engine.world.World.prompt`; context made under the old text is recomputed when it is next selected (KV recache)."""
        self._set_lines(text.revise(self._lines, words))
        return self.chunks

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks."""
        if not 0 <= chunks <= self.chunks:
            raise WanderError(f"this world has {self.chunks} chunks, it can't go back to chunk {chunks}; choose 0 to {self.chunks}")
        self._restore(self._records[:chunks])

    def reset(self, seed: int | None = None) -> None:
        """The same world from its beginning, with a new seed if one is given."""
        self.spec = self.spec if seed is None else replace(self.spec, seed=seed)
        self._restore([])

    # -- history -----------------------------------------------------------------------------------------------------------------------------

    def _restore(self, records: list[ChunkRecord]) -> None:
        self._pending = None
        self._cache.forget_from(0 if not self._records else len(records))
        self._records = []
        self._latents: list[Tensor] = []
        self._poses: NDArray[np.float64] = np.zeros((0, 4, 4))
        self._actions: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._owner: list[tuple[int, int]] = []
        for record in records:
            self._append(record)
        self._set_lines(tuple(records[-1].prompt.split("\n")) if records else (self.spec.prompt,))
        self._decoder_state = self._decode_state()

    def _append(self, record: ChunkRecord) -> None:
        self._owner += [(len(self._records), t) for t in range(len(record.latents))]
        self._records.append(record)
        self._latents += list(torch.from_numpy(np.array(record.latents)).to(self._device))
        self._poses = np.concatenate([self._poses, record.poses.astype(np.float64)])
        self._actions = np.concatenate([self._actions, record.actions.astype(np.int64)])

    def _decode_state(self) -> DecoderState | None:
        """The decoder's features after the newest latent; they depend on the last two latents alone."""
        state: DecoderState | None = None
        for latent in self._latents[-2:]:
            with torch.inference_mode(), autocast(latent.device):
                _, state = self.weights.vae.decode(latent[None].float(), state)
        return state

    def _set_lines(self, lines: tuple[str, ...]) -> None:
        self._lines = lines
        self._prompt_version = getattr(self, "_prompt_version", -1) + 1
        rows = torch.from_numpy(text.encode(lines)).to(self._device)
        with torch.inference_mode(), autocast(self._device):
            self._text: TextCache = self.weights.model.read_prompt(rows[None], torch.tensor([len(rows)], device=self._device))

    @property
    def _device(self) -> torch.device:
        return self.weights.vae.mean.device

    def _encode_start(self, image: NDArray[np.uint8] | None) -> Tensor | None:
        """Latent `[C, Y, X]` of the user's picture, or None."""
        if image is None:
            return None
        frame = torch.from_numpy(fit_image(image, self.width, self.height))[None, None].to(self._device)
        with torch.inference_mode(), autocast(self._device):
            return self.weights.vae.encode(group_frames(frame))[0, 0].float().half()

    # -- one chunk -------------------------------------------------------------------------------------------------------------------------

    def _next_poses(self, steps: tuple[Step, ...]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Poses `[T, 4, 4]` and actions `[T]` of the chunk; latent 0 of a world stands at the start."""
        first = not self._records
        poses = latent_poses(steps[1:] if first else steps, POCKET, self.pose)
        actions = actions_from_poses(poses, POCKET_LABELS)
        kept = slice(0 if first else 1, None)
        return poses[kept].astype(np.float32).astype(np.float64), actions[kept]

    @torch.inference_mode()
    def _generate(self, steps: tuple[Step, ...], poses: NDArray[np.float64], actions: NDArray[np.int64]) -> _Pending:
        model, device, current = self.weights.model, self._device, len(self._latents)
        context, count = self._read_context(np.concatenate([self._poses, poses]), current, len(steps))
        times = torch.arange(count, count + len(steps), dtype=torch.float64)
        mixer = DenoiseMixer(model.positions, model.geometry(times, self.weights.grid, pocket_frustums(poses, poses[0])), context)
        given = self._first is not None and current == 0
        x = self._noise(len(steps))
        if given:
            x[0] = self._first.float()  # type: ignore[union-attr]
        levels = schedule(self.sampling.steps, self.sampling.shift).tolist()
        labels = torch.from_numpy(actions)[None].to(device)
        for level, next_level in zip(levels, levels[1:], strict=False):
            noise = torch.full((1, len(steps)), level, device=device)
            noise[:, : int(given)] = 0.0
            with autocast(device):
                velocity = model(x[None], noise, labels, self._text, mixer)[0]
            moved = euler(x, velocity, level, next_level)
            x = torch.cat([x[:1], moved[1:]]) if given else moved
        if not torch.isfinite(x).all():
            raise FloatingPointError(f"chunk {self.chunks} is not finite")
        return _Pending(steps, x.half(), poses, actions)

    def _noise(self, latents: int) -> Tensor:
        """The chunk's own noise `[T, C, Y, X]`, from (seed, chunk)."""
        seed = int(np.random.SeedSequence([self.spec.seed % 2**32, self.chunks]).generate_state(1, np.uint64)[0] >> 1)
        shape = (latents, self.weights.vae.config.latent_channels, *self.weights.grid)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self._device)

    def _read_context(self, poses: NDArray[np.float64], current: int, length: int) -> tuple[Context, int]:
        """Positioned context of the chunk at `current`, and its number of latents."""
        chosen = select_context(rigid_inverse(poses), current, length, self.memory)
        if not len(chosen):
            return Context(None, None), 0
        model = self.weights.model
        parts = [(self._cache.get(owner, self._prompt_version), t) for owner, t in (self._owner[i] for i in chosen)]
        geometry = model.geometry(torch.arange(len(chosen), dtype=torch.float64), self.weights.grid, pocket_frustums(poses[chosen], poses[current]))
        with autocast(self._device):
            return read_context(model.positions, parts, geometry), len(chosen)

    @torch.inference_mode()
    def _commit_chunk(self, chunk: int) -> Committed:
        """Keys and values of a finished chunk under the current text; they depend on the chunk's own latents, action and text alone."""
        model, record = self.weights.model, self._records[chunk]
        latents = torch.from_numpy(np.array(record.latents)).to(self._device).float()[None]
        times = torch.arange(len(record.latents), dtype=torch.float64)
        mixer = CommitMixer(model.positions, model.geometry(times, self.weights.grid, pocket_frustums(record.poses, record.poses[0])))
        labels = torch.from_numpy(record.actions.astype(np.int64))[None].to(self._device)
        with autocast(self._device):
            model(latents, torch.zeros(latents.shape[:2], device=self._device), labels, self._text, mixer)
        return Committed(mixer.keys, mixer.values, len(record.latents), self._prompt_version)
