"""A world of a released preset: its context is encoded anew, jointly, for every chunk (SPEC 3.6, 9.1, 9.3).

The same verbs and the same records as `pocket`. What differs between the two models is small: the 8B reads a condition
beside its latents and three kinds of tokens, the 5B is given its first latent. Shapes: T latents, C channels, Y X grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import WORLDPLAY, WORLDPLAY_LABELS, Step
from engine.attention import using
from engine.causal_conv import State
from engine.geometry import WORLDPLAY_LENS, Lens, image_from_camera, rigid_inverse
from engine.images import fit_image
from engine.memory import recalled, select_context
from engine.parallel import Ranks
from engine.precision import autocast
from engine.recorded import Actions, Pending, RecordedWorld, chunk_noise
from engine.released import PlainKeys
from engine.rollout import Autoregressive, Recipe, Track, cached_field, denoise
from engine.spatial import strip_of
from engine.tiny_decoder import Plugged
from engine.vae import to_uint8
from engine.vae_hunyuan import HunyuanVae
from engine.vae_wan import WanVae
from engine.world import ChunkRecord, WorldSpec
from engine.worldplay_8b import WorldPlay8B
from engine.worldplay_8b_text import Prompt8B

Picture = NDArray[np.uint8]
Features = dict[str, Tensor]
"""Encoder states `[S, E]` by name: `text`; for the 8B also `quoted` and, of a picture, `image`."""
Encode = Callable[[str, Picture | None], Features]
"""The encoders: states of a prompt, and of the picture that the world starts from."""
Tell = Callable[[float, str], object]
"""Hears how far something long is (0..1) and what it is, in a sentence."""


def silent(_fraction: float, _sentence: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedModel:
    """Networks in evaluation mode, what encodes words for them, and how they are run."""

    transformer: Autoregressive
    vae: WanVae | HunyuanVae | Plugged
    encode: Encode
    recipe: Recipe
    width: int
    height: int
    fps: float
    checksum: str = ""
    attention: str = "auto"
    """The kernel (engine/attention.py), checked."""
    lens: Lens = WORLDPLAY_LENS

    @property
    def grid(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return self.height // 16, self.width // 16

    @property
    def decoder_device(self) -> torch.device:
        """Where the autoencoder is: beside the transformer, or on a device of its own."""
        return next(self.vae.parameters()).device


def spoken(lines: Sequence[str]) -> str:
    """Caption and events as one text, a sentence each: the released models read a single prompt."""
    said = [line.strip() for line in lines if line.strip()]
    return " ".join(line if line[-1] in ".!?。！？\"”" else f"{line}." for line in said)


class ReleasedWorld(RecordedWorld[State]):
    """A world of `worldplay-5b` or `worldplay-8b`; see `engine.world.World` for the verbs."""

    def __init__(self, model: ReleasedModel, spec: WorldSpec, records: Sequence[ChunkRecord] = (),
                 tell: Tell = silent, ranks: Ranks | None = None) -> None:
        super().__init__(spec, WORLDPLAY, WORLDPLAY_LABELS, ranks)
        self.model, self._tell = model, tell
        self.width, self.height, self.fps, self.checksum = model.width, model.height, model.fps, model.checksum
        self.recipe = replace(model.recipe, chunk=spec.chunk)
        model.transformer.ranks = self.ranks
        self._strip = strip_of(self.ranks, model.grid[0])
        self._given = None if spec.image is None else self._encode_first(spec.image)
        self._keys: list[PlainKeys] = []
        self._restore(records)

    @property
    def device(self) -> torch.device:
        """Where the transformer is."""
        return next(self.model.transformer.parameters()).device

    # -- text and pictures --------------------------------------------------------------------------------------------

    def _read(self, lines: tuple[str, ...]) -> None:
        network = self.model.transformer
        dtype, encoded = next(network.parameters()).dtype, {}

        def rows(name: str) -> Tensor:
            if not encoded:
                encoded.update(self.model.encode(spoken(lines), self.spec.image))
            return encoded[name]

        names = ("text", "quoted", "image") if isinstance(network, WorldPlay8B) else ("text",)
        said = {name: self.ranks.lead(partial(rows, name)) for name in names}
        features = {name: each.to(self.device, dtype)[None] for name, each in said.items()}
        with torch.inference_mode(), self._precision(network):
            if isinstance(network, WorldPlay8B):
                self._keys = network.read_prompt(Prompt8B(features["text"], features["quoted"], features["image"]))
            else:
                self._keys = network.read_prompt(features["text"])

    @contextmanager
    def _precision(self, network: torch.nn.Module) -> Iterator[None]:
        """Autocast to the network's own numbers, where it is; attention by the model's kernel."""
        first = next(network.parameters())
        with autocast(first.device, first.dtype), using(self.model.attention):
            yield

    def _encode_first(self, picture: Picture) -> Tensor:
        """Latent `[C, Y, X]` of the picture that the world starts from, of any size, as rank 0 has it."""
        fitting = fit_image(picture, self.width, self.height)
        return self.ranks.lead(lambda: self._encode(fitting)).to(self.device)

    def _encode(self, picture: Picture) -> Tensor:
        """Latent `[C, Y, X]` of a picture `[H, W, 3]`, rounded as the journal rounds."""
        frame = torch.from_numpy(picture).to(self.model.decoder_device).movedim(-1, 0).float() / 127.5 - 1
        with torch.inference_mode(), self._precision(self.model.vae):
            return self.model.vae.encode(frame[None, None])[0, 0].half().float()

    def _decode(self, latent: Tensor, state: State) -> tuple[Tensor, State]:
        """Frames uint8 `[1, 1 | 4, H, W, 3]` of a latent `[C, Y, X]`, or this rank's rows of them, where the decoder
        is, and the state for the next."""
        with torch.inference_mode(), self._precision(self.model.vae):
            given = latent[None].to(self.model.decoder_device).float()
            frames, state = self.model.vae.decode(given, state, self._strip)
        return to_uint8(frames.float()), state

    def _decoder_state(self) -> State:
        """The decoder's features after the newest latent, decoded once more from as far back as they reach."""
        state: State = ()
        if self._decoder is not None:
            return self._decoder
        first, last = max(0, len(self._owner) - self.model.vae.reach), len(self._owner)
        for index in range(first, last):
            self._tell((index - first) / (last - first), "Decoding what was last seen")
            _, state = self._decode(self._latents([index])[0], state)
        return state

    # -- one chunk ----------------------------------------------------------------------------------------------------

    def _frames(self, steps: tuple[Step, ...], poses: NDArray[np.float32], actions: Actions) -> Iterator[Picture]:
        self._pending, state = None, self._decoder_state() if self._decodes else ()
        latents = self._generate(poses.astype(np.float64), actions)
        if not self._decodes:
            self._pending = Pending(self._record(steps, latents, poses, actions), None)
            return
        for t, latent in enumerate(latents):
            decoded, state = self._decode(latent, state)
            frames = self._strip.join(decoded, -3) if self._strip else decoded
            if t == len(latents) - 1:
                self._pending = Pending(self._record(steps, latents, poses, actions), state)
            if frames is not None:
                yield frames[0].cpu().numpy()

    @torch.inference_mode()
    def _generate(self, poses: NDArray[np.float64], actions: Actions) -> Tensor:
        """Latents half `[T, C, Y, X]` of the next chunk. Raises `WanderError` if no attempt is finite."""
        current, path = len(self._poses), np.concatenate([self._poses, poses])
        chosen = select_context(rigid_inverse(path), current, len(poses), self.recipe.memory)
        self._recalled = recalled(chosen, current, len(poses), self.recipe.memory)
        seen, own = np.arange(len(chosen)), np.arange(len(chosen), len(chosen) + len(poses))

        def attempt(number: int) -> Tensor:
            track = self._track(chosen, path, np.concatenate([self._actions, actions]), number)
            given = torch.from_numpy((own == 0) & (track.given > 0)).to(self.device)
            with self._precision(self.model.transformer):
                field = cached_field(self.model.transformer, track, seen, own, [self._keys])
                *_, made = denoise(field, track.latents[:, own], self.recipe.levels, self.recipe.guidance, given)
            return made[0].half()

        return self._finite(attempt)

    def _track(self, chosen: NDArray[np.int64], path: NDArray[np.float64], actions: Actions, attempt: int) -> Track:
        """The chosen context and the noise of the next chunk, side by side, with all that a call reads of them."""
        shown = np.concatenate([chosen, np.arange(len(self._poses), len(path))])
        channels = self.model.vae.config.latent_channels
        shape = (len(path) - len(self._poses), channels, *self.model.grid)
        latents = chunk_noise(self.spec.seed, self.chunks, shape, attempt)
        if len(chosen):
            latents = torch.cat([self._latents(chosen.tolist()), latents])
        latents, given, conditions = latents.to(self.device)[None], 0, None
        if isinstance(self.model.transformer, WorldPlay8B):
            conditions = latents.new_zeros((1, len(shown), channels + 1, *self.model.grid))
            if self._given is not None and shown[0] == 0:
                conditions[0, 0, :-1], conditions[0, 0, -1] = self._given, 1.0
        elif self._given is not None and not len(chosen):
            latents[0, 0], given = self._given, 1
        lenses = np.tile(image_from_camera(self.model.lens), (len(shown), 1, 1))
        return Track(latents, torch.from_numpy(actions[shown]).to(self.device), rigid_inverse(path[shown]), lenses,
                     conditions, given)  # fmt: skip
