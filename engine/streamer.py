"""Streaming generation by chunks (paper §3.5, Algorithm 2): select context, denoise, decode progressively, commit.

`PocketWorld` is the one object with state, and its state is plain: that of a `RecordedWorld`, the records of its chunks
and the text in force. Keys, values and the decoder's features are rebuilt from them, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import POCKET, POCKET_LABELS, Step
from engine.compositor import AGREE, AGREE_ON_CHANGE, AGREE_STANDING
from engine.flow import LEAD, SHIFT, sample, schedule
from engine.geometry import rigid_inverse
from engine.guide import Guide
from engine.hero import Hero, place_of
from engine.images import fit_image
from engine.kv_cache import CommitMixer, Committed, Context, DenoiseMixer, KvCache, Text, read_context, read_under
from engine.memory import MemoryConfig, context_times, recalled, select_context
from engine.parallel import HeadParallel, Ranks
from engine.precision import autocast
from engine.recorded import Actions, Pending, Poses, RecordedWorld, chunk_noise
from engine.sources import Worth, pictures
from engine.spatial import strip_of
from engine.stills import StillSampling, make_still
from engine.surfaces import Surfaces
from engine.telling import Stretch, Telling
from engine.text import encode, lines_of
from engine.transformer import Mixer, TextCache, known_by, pocket_frustums
from engine.vae import DecoderState, stills, to_uint8
from engine.walls import keep_clear
from engine.weather import Weather
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec

FPS = 24.0
QUIET = 0.1
"""Mean loudness of new words up to which the network isn't asked what the old ones would have made: a guide shows them
nearly everywhere then, and it would take as long again."""
TEXTS = 8
"""Texts whose keys and values are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How a chunk is denoised: steps, the shift of their levels towards noise, the lead (see `engine.flow.sample`), and
    how loud new words are."""

    steps: int = 4
    shift: float = SHIFT
    lead: float = LEAD
    emphasis: float = 1.0
    """While words are new: how much further the velocity goes in the direction from the old words to the new ones."""
    first: StillSampling = field(default_factory=StillSampling)
    """How the picture is made that a world from words begins with."""


class PocketWorld(RecordedWorld[DecoderState]):
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
        cache_latents: int = 96,
        recache: bool = True,
        ranks: Ranks | None = None,
        given: int = 1,
    ) -> None:
        """Keys and values of `cache_latents` latents are kept. `recache=False` leaves context as it was made under its
        own text (an ablation of supplement E.2). The place is as the last of the `given` latents shows it."""
        super().__init__(spec, POCKET, POCKET_LABELS, ranks)
        self.weights, self._recache = weights, recache
        self.sampling, self.memory = sampling or Sampling(), memory or weights.memory
        self.width, self.height, self.checksum = weights.width, weights.height, weights.checksum
        self._strip = strip_of(self.ranks, weights.grid[0])
        self._cache = KvCache(max(1, cache_latents // spec.chunk), self._commit_chunk)
        self._surfaces = Surfaces(weights, self._latent, self._picture, given - 1)
        self._given = self._start = None if spec.image is None else fit_image(spec.image, self.width, self.height)
        self._first: Tensor | None = None
        self._hero: Hero | None = None
        if self._start is not None:
            self._begin_with(self._start)
        self._invents = self._first is None
        self._texts: dict[tuple[str, ...], TextCache] = {}
        self._restore(records)

    def follow(self, poses: Poses) -> Iterator[NDArray[np.uint8]]:
        """Like `step`, along given cameras: world_from_camera `[chunk, 4, 4]` of the latents (latent 0 included)."""
        path = np.concatenate([self._poses[-1:], np.asarray(poses, dtype=np.float64)])
        return self._along((Step(),) * len(poses), path)

    def start_from(self, latent: Tensor) -> None:
        """Gives latent 0 `[C, Y, X]` (normalised) of a world that has no chunk yet, instead of a picture."""
        if self._records:
            raise ValueError(f"the world has {self.chunks} chunks already; latent 0 is given before the first")
        self._first, self._start, self._invents = latent.to(self._device).half(), None, False
        self._surfaces.forget_from(0)

    def commit(self) -> ChunkRecord:
        """Finishes the chunk whose frames have left: writes its keys and values and returns its record."""
        record = super().commit()
        self._cache.get(record.index, self._read_under(record.index))
        return record

    # -- history ------------------------------------------------------------------------------------------------------

    def _path(self, steps: Sequence[Step]) -> Poses:
        path = super()._path(steps)
        if any(step.walls for step in steps) and self.weights.depth and (self._records or self._first is not None):
            walked = self._poses if len(self._poses) else self.pose[None]
            if np.diff(path[:, [0, 2], 3], axis=0).any():
                walls = self._surfaces.walls(walked, np.union1d(0, self._ends))
                path = keep_clear(walls, path, ahead=self._hero.ahead if self._hero else 0.0)
        return path

    def _restore(self, records: Sequence[ChunkRecord]) -> None:
        self._cache.forget_from(len(records))
        self._surfaces.forget_from(sum(len(record.latents) for record in records))
        if self._invents:
            self._first = None
        self._weather = Weather(self._surfaces, self.spec.seed, FPS, self._hero)
        super()._restore(records)
        self._decoder = self._decode_state() if self._decodes else None

    def _decode_state(self) -> DecoderState | None:
        """The decoder's features after the newest latent; they depend on the last two latents alone."""
        state: DecoderState | None = None
        for index in range(len(self._owner))[-2:]:
            _, state = self._decoded(self._latent(index), state)
        return state

    def _revised(self, text: str) -> tuple[str, ...]:
        """In words that the network has learnt, as rank 0 understands them."""
        phrases = self.weights.phrases
        if phrases is None:
            return super()._revised(text)
        said = self.ranks.lead_bytes(lambda: "\n".join(phrases.revise(self._lines, text)).encode())
        return lines_of(said.decode())

    def _remark_on(self, events: Sequence[str]) -> str:
        return self.weights.phrases.remark(events) if self.weights.phrases else ""

    def _read(self, lines: tuple[str, ...]) -> None:
        self._words(lines)

    def _words(self, lines: tuple[str, ...]) -> TextCache:
        """What the network reads; the texts of the last moments are kept."""
        lines = self._told(lines)
        if lines not in self._texts:
            while len(self._texts) >= TEXTS:
                del self._texts[next(iter(self._texts))]
            rows = self.ranks.lead(lambda: torch.from_numpy(encode(lines))).to(self._device)
            lengths = torch.tensor([len(rows)], device=self._device)
            with torch.inference_mode(), autocast(self._device):
                self._texts[lines] = self.weights.model.read_prompt(rows[None], lengths)
        return self._texts[lines]

    @property
    def _telling(self) -> Telling:
        """What words have changed; the picture that was given was made under the text that was given with it."""
        ends = np.cumsum([len(record.latents) for record in self._records], dtype=np.int64).tolist()
        past = [Stretch.under(record.prompt, end) for record, end in zip(self._records, ends, strict=True)]
        given = [] if self._start is None else [Stretch.under(self.spec.prompt, 1)]
        past = [*given, *(each for each in past if not given or each.end > 1)]
        return Telling(
            tuple(past), (self._lines or ("",))[0], self._lines[1:], self.weights.paints, self.weights.spares
        )

    def _read_under(self, chunk: int) -> Text:
        """The text that a chunk of context is read under now; without recache the one that it was made under."""
        recent = -(-self.memory.temporal_latents // self.spec.chunk)
        under = read_under(chunk, self.chunks, recent) if self._recache else chunk
        return self._told(self._lines if under == self.chunks else lines_of(self._records[under].prompt))

    def _told(self, lines: Text) -> Text:
        """What the transformer is told of a text: nothing of who comes along or walks ahead, who are painted."""
        read = self.weights.read(lines)
        return (*map(place_of, read[:1]), *read[1:]) if self._hero else read

    @property
    def _device(self) -> torch.device:
        return self.weights.vae.mean.device

    def _begin_with(self, picture: NDArray[np.uint8]) -> None:
        """Latent 0 of the given picture, without who walks ahead in it, as rank 0 sees it."""
        self._first = self._encode(picture)

        def look() -> Tensor:
            if met := self._surfaces.meet(self.pose):
                self._hero, self._start = met
            return torch.tensor([self._hero.ahead if self._hero else 0.0])

        if ahead := float(self.ranks.lead(look)):
            self._hero = self._hero or Hero(ahead, torch.zeros(0), torch.zeros(0))  # on other ranks
            self._first = self._encode(picture if self._start is None else self._start)

    def _encode(self, picture: NDArray[np.uint8]) -> Tensor:
        """Latent `[C, Y, X]` of a picture that stands still, `[H, W, 3]`, as rank 0 has it."""

        def make() -> Tensor:
            frame = torch.from_numpy(picture)[None].to(self._device)
            with torch.inference_mode(), autocast(self._device):
                return stills(self.weights.vae, frame)[0].half()

        return self.ranks.lead(make).to(self._device)

    def _picture(self, index: int) -> NDArray[np.uint8] | None:
        """What latent `index` showed, if it ended a chunk or is the given picture; latent 0 is lifted before its chunk
        is made."""
        if index == 0:
            return self._start
        owner, t = self._owner[index]
        record = self._records[owner]
        return record.picture if t == len(record.latents) - 1 else None

    def _latent(self, index: int) -> Tensor:
        """Latent `[C, Y, X]` of history, or the given first one of a world that has no chunk yet."""
        if not self._records and self._first is not None:
            return self._first.float()
        return self._latents([index])[0].to(self._device)

    # -- one chunk ----------------------------------------------------------------------------------------------------

    def _frames(
        self, steps: tuple[Step, ...], poses: NDArray[np.float32], actions: Actions
    ) -> Iterator[NDArray[np.uint8]]:
        self._pending, state, first = None, self._decoder, not self._records
        telling = self._telling
        latents, guide = self._generate(poses.astype(np.float64), actions, telling)
        stands = bool(len(self._poses)) and np.allclose(poses, self._poses[-1], atol=1e-6)
        if not self._decodes:
            self._pending = Pending(self._record(steps, latents, poses, actions), None)
            return
        for t, latent in enumerate(latents):
            decoded, state = self._decoded(latent, state)
            shown = self._strip.join(decoded) if self._strip else decoded
            frames = None if shown is None else self._composed(shown, guide, t, stands, telling)
            if frames is not None and first and t == 0:
                frames = frames[-1:] if self._given is None else self._given[None]
            if t == len(latents) - 1:
                picture = None if frames is None else frames[-1].copy()
                self._pending = Pending(self._record(steps, latents, poses, actions, picture), state)
            if frames is not None:
                latent, path = len(self._poses) + t, np.concatenate([self._poses, poses.astype(np.float64)])
                if latent or self._start is None:
                    near = None if guide is None else guide.disparity[t]
                    frames = self._weather.over(frames, path, latent, telling, near)
                yield frames

    def _decoded(self, latent: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """Frames `[1, 4, 3, H, W]` of a latent `[C, Y, X]`, or this rank's rows of them, and the state for the next."""
        with torch.inference_mode(), autocast(latent.device):
            return self.weights.vae.decode(latent[None].float(), state, self._strip)

    def _composed(
        self, frames: Tensor, guide: Guide | None, t: int, stands: bool, telling: Telling
    ) -> NDArray[np.uint8]:
        """Decoded frames `[1, 4, 3, H, W]` of latent t of a chunk, joined with the guide's, as uint8 `[4, H, W, 3]`;
        whether the camera `stands` in all of the chunk."""
        with torch.inference_mode(), autocast(frames.device):
            if self.weights.sharpener is not None:
                frames = self.weights.sharpener(frames)
            if guide is not None and self.weights.compositor is not None:
                news = telling.untold is not None
                agree = AGREE_ON_CHANGE if news else AGREE_STANDING if stands else AGREE
                drawn, covered = guide.frames[t : t + 1], guide.covered[t : t + 1]
                frames = self.weights.compositor(frames, drawn, covered, agree, steady=not news)
        return to_uint8(frames[0].float()).cpu().numpy()

    @torch.inference_mode()
    def _generate(self, poses: Poses, actions: Actions, telling: Telling) -> tuple[Tensor, Guide | None]:
        """Latents half `[T, C, Y, X]` of the next chunk, and their guide, None if there is nothing to show here.

        Raises `WanderError` if no attempt is finite.
        """
        model, current, path = self.weights.model, len(self._poses), np.concatenate([self._poses, poses])
        if current == 0 and self._invents:
            self._first = self._finite(lambda attempt: self._invent(poses[:1], attempt))
            self._surfaces.forget_from(0)
        chosen = [int(i) for i in select_context(rigid_inverse(path), current, len(poses), self.memory)]
        self._recalled = recalled(chosen, current, len(poses), self.memory)
        times = torch.from_numpy(context_times(chosen, current, len(poses), self.memory))
        past, now = times[: len(chosen)], times[len(chosen) :]
        geometry = model.geometry(now, self.weights.grid, pocket_frustums(poses, poses[0]))
        mixer = self._shared(DenoiseMixer(model.positions, geometry, self._read_context(path, chosen, past, current)))
        given, guides = self._first if current == 0 else None, []

        def look() -> Tensor:
            before, lacks = (telling.lacks(latents) or [None] for latents in (current, current + len(poses)))
            worth = telling.worth(lacks) if current else np.zeros(0, np.int64)
            shown, stale = self._pictures(path, chosen, current, worth)
            painted = [(first or (), last or ()) for first, last in zip(before, lacks, strict=True)]
            imagine = not current or lacks[self._surfaces.first] is not None
            guides.append(self._surfaces.guide(path, shown, current, stale, painted.__getitem__, imagine))
            return guides[0].latents

        seen = self.ranks.lead(look).to(self._device)[None] if model.config.guided else None

        def attempt(number: int) -> Tensor:
            noises = self._noise(len(poses), number)
            return self._denoise(noises, given, actions, mixer, seen, telling).half()

        return self._finite(attempt), next(iter(guides), None)

    def _invent(self, pose: Poses, attempt: int) -> Tensor:
        """Latent 0 half `[C, Y, X]` of a world that starts from words, with camera `[1, 4, 4]`."""
        network, words = self.weights.model, (self._words(self._lines), self._words(()))
        geometry = network.geometry(torch.zeros(1), self.weights.grid, pocket_frustums(pose, pose[0]))
        return make_still(network, geometry, self._noise(1, attempt)[0], words, self.sampling.first, self._shared)

    @property
    def _ends(self) -> NDArray[np.int64]:
        """The last latents of the chunks, whose pictures are kept; of a world without any the given one."""
        return np.cumsum([len(record.latents) for record in self._records] or [1], dtype=np.int64) - 1

    def _pictures(self, path: Poses, chosen: list[int], current: int, worth: Worth) -> tuple[list[int], int]:
        """Latents whose pictures are drawn for the chunk at `current`, and how many, the first, are stale."""
        return pictures(path, current, chosen, worth, self._ends, self.memory, self._surfaces.first)

    def _shared(self, mixer: Mixer) -> Mixer:
        """A mixer of this rank's heads where several ranks share them."""
        return HeadParallel(mixer, self.ranks) if self.ranks.size > 1 else mixer

    def _denoise(
        self,
        noises: Tensor,
        given: Tensor | None,
        actions: NDArray[np.int64],
        mixer: Mixer,
        seen: Tensor | None,
        telling: Telling,
    ) -> Tensor:
        """From noises `[steps, T, C, Y, X]` to clean latents; a given latent 0 stays as it is, at level 0. While words
        are new, the velocity goes further in the direction from the old ones to them, where no guide shows them."""
        device, known = noises.device, noises[0, :0] if given is None else given[None].float()
        labels, network = torch.from_numpy(actions)[None].to(device), self.weights.model
        words, before, old = self._words(self._lines), None, telling.old
        shown = torch.zeros(1, device=device) if seen is None else known_by(seen[0])
        loud = self.sampling.emphasis * (1 - (shown if telling.untold is None else 0 * shown))
        if old is not None and float(loud.mean()) > QUIET:
            before = self._words((old.caption, *old.events))
        if before is words:  # what is new isn't for the network
            before = None

        def velocity(x: Tensor, level: float) -> Tensor:
            x = torch.cat([known, x[len(known) :]])[None]
            levels = torch.full((1, x.shape[1]), level, device=device)
            levels[:, : len(known)] = 0.0
            with autocast(device):
                said = network(x, levels, labels, words, mixer, seen)[0]
                if before is None:
                    return said
                unsaid = network(x, levels, labels, before, mixer, seen)[0]
                return said + loud * (said - unsaid)

        levels = schedule(self.sampling.steps, self.sampling.shift).tolist()
        made = sample(velocity, noises, levels, self.sampling.lead, 0.0 if seen is None else shown)
        return torch.cat([known, made[len(known) :]])

    def _noise(self, latents: int, attempt: int) -> Tensor:
        """The chunk's own noises `[steps, T, C, Y, X]`, from (seed, chunk) and, after a failure, the attempt."""
        shape = (self.sampling.steps, latents, self.weights.vae.config.latent_channels, *self.weights.grid)
        return chunk_noise(self.spec.seed, self.chunks, shape, attempt).to(self._device)

    def _read_context(self, poses: Poses, chosen: Sequence[int], times: Tensor, current: int) -> Context:
        """Context of the chunk at `current`, positioned at `times`."""
        if not chosen:
            return Context(None, None)
        model = self.weights.model
        parts = [(self._cache.get(owner, self._read_under(owner)), t) for owner, t in (self._owner[i] for i in chosen)]
        cameras = pocket_frustums(poses[chosen], poses[current])
        with autocast(self._device):
            return read_context(model.positions, parts, model.geometry(times, self.weights.grid, cameras))

    @torch.inference_mode()
    def _commit_chunk(self, chunk: int, text: Text) -> Committed:
        """Keys and values of a finished chunk: of its own latents and actions and the text, nothing else."""
        model, record = self.weights.model, self._records[chunk]
        latents = torch.from_numpy(np.array(record.latents)).to(self._device).float()[None]
        times = torch.arange(latents.shape[1], dtype=torch.float64)
        cameras = pocket_frustums(record.poses, record.poses[0])
        mixer = CommitMixer(model.positions, model.geometry(times, self.weights.grid, cameras))
        labels = torch.from_numpy(record.actions.astype(np.int64))[None].to(self._device)
        with autocast(self._device):
            levels = torch.zeros(latents.shape[:2], device=self._device)
            model(latents, levels, labels, self._words(text), self._shared(mixer))
        return Committed(mixer.keys, mixer.values, latents.shape[1], text)
