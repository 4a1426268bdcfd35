"""What a prompted world is compared with: the truth with and without the event, and its own course without the words.

Rollouts branch as a user's sessions do, from the records of what they share: the same first chunks, the same noise,
other words. All frames here are one a latent, the last of its four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.evaluation.clips import TrueClip, read_clips
from engine.evaluation.events_protocol import RESIDUE_CHUNKS, STOPS, EventsProtocol, Visible
from engine.evaluation.recogniser import NOTHING, Example
from engine.evaluation.structure import changed
from engine.streamer import PocketWorld, Sampling
from engine.weights import PocketWeights
from engine.world import ChunkRecord, WorldSpec

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A held-out walk with and without an event, and the words for it."""

    name: str
    family: str
    language: str
    words: str
    control: TrueClip
    event: TrueClip

    @property
    def caption(self) -> str:
        """The world's caption in the language of the words."""
        return str(self.control.about["captions"][self.language][0])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rollouts:
    """Frames `[n, H, W, 3]` that the model made for a case."""

    unprompted: Frames
    """All latents, no words."""
    prompted: Frames
    """All latents, told of the event at `event_chunk`."""
    prompted_stale: Frames
    """The first chunks after that without recache."""
    ended: Frames
    """The first chunks from `stop_chunk` on, where words ended the event."""
    ended_stale: Frames
    """The same without recache."""


def groups(folder: Path) -> Iterator[list[TrueClip]]:
    """The clips of each world (`render.pairs`): first the one in which nothing happens."""
    group: list[TrueClip] = []
    for clip in read_clips(folder):
        if not clip.about["events"] and group:
            yield group
            group = []
        group.append(clip)
    yield group


def read_cases(folder: Path, protocol: EventsProtocol) -> Iterator[Case]:
    """The held-out walks below `folder`, one folder a family. Raises `WanderError` if they are not as asked for."""
    for family in protocol.families:
        if not (folder / family).is_dir():
            continue
        for number, (control, event) in enumerate(groups(folder / family)):
            facts = event.about["events"][0]
            if facts["family"] != family or len(control.frames) != protocol.latents:
                raise WanderError(
                    f"the clips in {folder / family} hold {facts['family']} and {len(control.frames)} latents, "
                    f"{family} and {protocol.latents} were asked for; delete the folder and evaluate again"
                )
            language, words = protocol.words(family, number, facts["words"])
            yield Case(name=event.name, family=family, language=language, words=words, control=control, event=event)


def read_examples(folder: Path, visible: Visible) -> Iterator[Example]:
    """What the recogniser learns from: each clip of the training worlds below `folder`, and which of its pictures show
    what happens in it."""
    for calm, *eventful in groups(folder):
        yield Example(family=NOTHING, frames=calm.frames, shows=np.ones(len(calm.frames) - 1, np.bool_))
        for clip in eventful:
            shows = changed(clip.frames[1:], calm.frames[1:], visible.step) >= visible.share
            yield Example(family=clip.about["events"][0]["family"], frames=clip.frames, shows=shows)


def rollouts(weights: PocketWeights, case: Case, protocol: EventsProtocol, *, seed: int) -> Rollouts:
    """The model's frames of a case, from the given frame and the caption alone."""
    spec = WorldSpec(seed=seed, prompt=case.caption, image=case.control.frames[0], chunk=protocol.chunk)
    sampling = Sampling(steps=protocol.sampling_steps)
    last, begins, ends = protocol.latents // protocol.chunk, protocol.event_chunk, protocol.stop_chunk

    def branch(
        records: Sequence[ChunkRecord], words: str, until: int, *, recache: bool = True
    ) -> tuple[Frames, Sequence[ChunkRecord]]:
        world = PocketWorld(weights, spec, records, sampling=sampling, recache=recache)
        if words:
            world.prompt(words)
        return walk_on(world, case.control.poses, until), world.records

    before, shared = branch((), "", begins)
    unprompted, _ = branch(shared, "", last)
    prompted, told = branch(shared, case.words, last)
    stop = STOPS[case.language]
    return Rollouts(
        unprompted=np.concatenate([before, unprompted]),
        prompted=np.concatenate([before, prompted]),
        prompted_stale=branch(shared, case.words, begins + RESIDUE_CHUNKS, recache=False)[0],
        ended=branch(told[:ends], stop, ends + RESIDUE_CHUNKS)[0],
        ended_stale=branch(told[:ends], stop, ends + RESIDUE_CHUNKS, recache=False)[0],
    )


def walk_on(world: PocketWorld, poses: NDArray[np.float64], until: int) -> Frames:
    """The last frame of each latent of the next chunks, along the cameras `[T, 4, 4]` of all latents, up to chunk
    `until`."""
    frames = []
    while world.chunks < until:
        first = world.chunks * world.chunk
        frames += [made[-1] for made in world.follow(poses[first : first + world.chunk])]
        world.commit()
    return np.stack(frames)
