"""What the rest of the program knows of a generated world: how to start one, what a chunk leaves behind, and the four
verbs.

    world = open_world(WorldSpec(preset="pocket", seed=7, prompt="a village at dusk"))
    for frames in world.step([Step(keys=KEY_W)] * world.chunk):    # uint8 [1 | 4, H, W, 3], latent by latent
        ...
    record = world.commit()
    world.prompt("it starts to rain")
    world.reset()

Importing this module does not import torch; opening a world does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.actions import Step
from engine.errors import WanderError

if TYPE_CHECKING:
    from engine.parallel import Ranks
    from engine.weights import PocketWeights

RELEASED = ("worldplay-5b", "worldplay-8b")
"""Presets whose weights the user downloads."""
PRESETS = ("pocket", *RELEASED)
CHUNKS = (1, 2, 4)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorldSpec:
    """Everything needed to start the same world again."""

    preset: str = "pocket"
    seed: int = 0
    prompt: str = ""
    """The world's caption; events are added later with `World.prompt`."""
    image: NDArray[np.uint8] | None = None
    """First picture, RGB `[H, W, 3]` of any size: scaled to cover the frame and centre-cropped."""
    video: NDArray[np.uint8] | None = None
    """A clip to go on from, RGB `[F, H, W, 3]` at 24 frames a second: its end becomes the first chunks."""
    chunk: int = 4
    """Latents generated at once: 4 is smoothest, 1 answers soonest."""
    size: tuple[int, int] | None = None
    """Width and height of the pictures; None for the largest that this machine makes in real time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChunkRecord:
    """What the journal keeps of a finished chunk of T latents; with the `WorldSpec` it is all the state there is."""

    index: int
    steps: tuple[Step, ...]
    latents: NDArray[np.float16]
    """`[T, C, Y, X]`, normalised."""
    poses: NDArray[np.float32]
    """`[T, 4, 4]` world_from_camera."""
    actions: NDArray[np.int16]
    prompt: str
    """The full text the chunk was made under: the caption and one line for each event."""
    picture: NDArray[np.uint8] | None = None
    """The chunk's last frame `[H, W, 3]` as it was shown: later chunks are drawn from it. None where none is kept."""
    recalled: tuple[int, ...] = ()
    """Latents that memory chose for it, older than the recent ones, counted back from its last (0): for the map, a
    journal doesn't keep them."""


class World(Protocol):
    """A world being generated."""

    spec: WorldSpec
    width: int
    height: int
    fps: float
    checksum: str
    """Of the weights in use."""

    @property
    def chunk(self) -> int:
        """Latents per chunk."""
        ...

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        ...

    @property
    def lines(self) -> tuple[str, ...]:
        """The text that the next chunk reads: caption, then active events."""
        ...

    @property
    def remark(self) -> str:
        """What a person should know of the words that were given last, as a sentence; empty if all is well."""
        ...

    @property
    def pose(self) -> NDArray[np.float64]:
        """Current world_from_camera `[4, 4]`."""
        ...

    def step(self, steps: Sequence[Step]) -> Iterator[NDArray[np.uint8]]:
        """Generates the next chunk from one `Step` per latent and yields its frames as each latent is decoded.

        Latent 0 of a world is one frame and its step is not used.
        """
        ...

    def commit(self) -> ChunkRecord:
        """Finishes the chunk once its frames have left."""
        ...

    def prompt(self, text: str) -> int:
        """Adds an event ("it stops" ends the newest); several lines replace caption and events.

        Returns the first chunk that reads it.
        """
        ...

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks."""
        ...

    def reset(self, seed: int | None = None) -> None:
        """The same world from its beginning, with a new seed if one is given."""
        ...


def open_world(
    spec: WorldSpec,
    records: Sequence[ChunkRecord] = (),
    tell: Callable[[float, str], object] = lambda _fraction, _sentence: None,
    ranks: Ranks | None = None,
) -> World:
    """Opens a world, or rebuilds one from its records. Raises `WanderError` for what a person can mend.

    `tell` hears, now and later, of what takes long: how far it is (0..1) and a sentence. `ranks` make the world
    together: all open it with the same `spec` and are given the same verbs, rank 0 alone has records and frames.
    """
    if spec.preset not in PRESETS:
        raise WanderError(f"there is no preset {spec.preset!r}; choose one of {', '.join(PRESETS)}")
    if spec.chunk not in CHUNKS:
        raise WanderError(f"a chunk has 1, 2 or 4 latents, not {spec.chunk}; choose one of these")
    if spec.preset in RELEASED:
        from engine.released_preset import open_released

        return open_released(spec, records, tell, ranks=ranks)
    from engine.meeting import say_records, settled
    from engine.parallel import Ranks
    from engine.streamer import PocketWorld

    ranks = ranks or Ranks()
    records = say_records(ranks, records)
    weights = settled(ranks, partial(_pocket, size_of(records) or spec.size, draws=ranks.leads))
    if spec.video is not None:
        from engine.continuation import ContinuedWorld

        return ContinuedWorld(weights, spec, records, ranks)
    return PocketWorld(weights, spec, records, ranks=ranks)


def _pocket(size: tuple[int, int] | None, *, draws: bool) -> PocketWeights:
    """The networks, and what else takes time once a process, where words are read and guides drawn."""
    from engine import drawing, joining
    from engine.text import load_encoder
    from engine.weights import load_pocket

    weights = load_pocket(size=size)
    if draws:
        load_encoder()
        drawing.warm_up()
        joining.warm_up()
        if weights.phrases is not None:
            weights.phrases.load()
    return weights


def size_of(records: Sequence[ChunkRecord]) -> tuple[int, int] | None:
    """Width and height of the pictures of a world that has chunks."""
    if not records:
        return None
    Y, X = records[0].latents.shape[-2:]
    return 16 * X, 16 * Y
