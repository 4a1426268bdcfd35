"""A session again, without a window: the same seed, keys, mouse and words, and so the same pictures.

Everything that shaped a chunk stands in the journal, so a branch can be made anew from nothing but its header. On the
machine that made it every pixel must come out equal: the journal has a fingerprint of what each chunk showed.

With another preset the same keys walk another way: places follow from that preset's own step table, and nothing can be
compared.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from worker.archive import Archive
from worker.client import SESSIONS
from worker.errors import JournalError
from worker.history import Branch, History
from worker.journal import read
from worker.model_process import engine_of, engine_spec, engine_steps
from worker.model_protocol import fingerprint

OpenWorld = Callable[[Any, list[Any]], Any]
CELL = 16
"""Pixels across and down that a cell of a latent shows."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Played:
    """A chunk that was made again."""

    chunk: int
    frames: list[NDArray[np.uint8]]
    """uint8 RGB [1 | 4, H, W, 3] of each latent."""
    digest: bytes
    expected: bytes
    """The fingerprint in the journal; empty if it has none."""

    @property
    def equal(self) -> bool:
        """Whether the pictures are the very ones of then."""
        return self.digest == self.expected


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What a whole replay has shown."""

    chunks: int = 0
    frames: int = 0
    differing: list[int] | None = None
    """Chunks whose pictures differ, if that was asked for."""
    digest: str = ""
    """Fingerprint of all pictures."""
    approximate: str = ""
    """The preset that made it, where that is not the session's own."""


def parser() -> argparse.ArgumentParser:
    """The options of `replay`."""
    options = argparse.ArgumentParser(
        prog="launch.py replay", description="Make a session's pictures again from its keys, mouse and words."
    )
    add = options.add_argument
    add("session", metavar="SESSION", help="a session file, or the name of one among the saved ones")
    add("--branch", metavar="NAME|N", help="another branch than the one that was walked on last")
    add("--preset", metavar="NAME", help="replay the keys and words with another preset: approximate, another walk")
    add("--verify", action="store_true", help="compare the pictures' fingerprints: exit status 1 if any differs")
    add("--record", type=Path, metavar="OUT.mp4", help="write the pictures to a video")
    add("--sessions", type=Path, default=SESSIONS, metavar="DIR", help="where names are looked up (%(default)s)")
    add("--json", action="store_true", help="print one JSON object")
    return options


def chosen(session: str, folder: Path, name: str | None) -> tuple[History, Branch]:
    """A session, and its branch of this name or number. Raises `JournalError` if there is none."""
    history = read(Archive(folder=folder).find(session)).history
    if name is None:
        return history, history.branch
    for branch in history.branches:
        if name in (branch.name, str(branch.number)):
            return history, branch
    known = ", ".join(f"{branch.number} {branch.name}".strip() for branch in history.branches)
    raise JournalError(f"The session has no branch '{name}'; its {len(history.branches)} branches are {known}.")


def with_preset(branch: Branch, preset: str | None) -> Branch:
    """The branch as its keys and words alone tell it to another preset: sizes and fingerprints are not its own."""
    if preset is None or preset == branch.spec.preset:
        return branch
    spec = msgspec.structs.replace(branch.spec, preset=preset, size=None)
    chunks = tuple(msgspec.structs.replace(chunk, shape=(), digest=b"") for chunk in branch.chunks)
    return replace(branch, spec=spec, chunks=chunks)


def again(branch: Branch, opening: OpenWorld | None = None) -> Iterator[Played]:
    """Make the chunks of a branch anew, from its beginning."""
    opening = opening or engine_of(branch.spec.preset)
    spec, records = engine_spec(branch.spec), []
    if branch.chunks and branch.chunks[0].shape and spec.size is None:
        *_, rows, columns = branch.chunks[0].shape
        spec = replace(spec, size=(CELL * columns, CELL * rows))
    world: Any = None
    for entry in branch.chunks:
        if world is None or world.chunk != len(entry.steps):
            world = opening(replace(spec, chunk=len(entry.steps)), records)
        for said in branch.said:
            if said.chunk == entry.index:
                world.prompt(said.text)
        frames = [np.ascontiguousarray(frames) for frames in world.step(engine_steps(entry.steps))]
        records.append(world.commit())
        state = fingerprint()
        for pixels in frames:
            state.update(pixels.tobytes())
        yield Played(chunk=entry.index, frames=frames, digest=state.digest(), expected=entry.digest)


def play(
    branch: Branch,
    *,
    verify: bool,
    show: Callable[[Played], object],
    opening: OpenWorld | None = None,
    preset: str | None = None,
) -> Outcome:
    """Make a branch anew, showing every chunk; its keys and words with another `preset`, if one is given.

    Raises `JournalError` if there is nothing to compare with.
    """
    own, branch = branch.spec.preset, with_preset(branch, preset)
    if verify and branch.spec.preset != own:
        raise JournalError(
            f"The session was made with {own}, {branch.spec.preset} shows another walk; replay without --verify."
        )
    without = sum(not entry.digest for entry in branch.chunks)
    if verify and without:
        raise JournalError(
            f"{without} of {len(branch.chunks)} chunks have no fingerprint, they were made by an older Wander; "
            "replay without --verify."
        )
    outcome, state = Outcome(differing=[] if verify else None), fingerprint()
    outcome.approximate = "" if branch.spec.preset == own else branch.spec.preset
    for played in again(branch, opening):
        show(played)
        state.update(played.digest)
        outcome.chunks += 1
        outcome.frames += sum(len(frames) for frames in played.frames)
        if outcome.differing is not None and not played.equal:
            outcome.differing.append(played.chunk)
    outcome.digest = state.hexdigest()
    return outcome


def sentence(outcome: Outcome) -> str:
    """What came of it, in a sentence."""
    made = f"{outcome.frames} frames of {outcome.chunks} chunks"
    if outcome.approximate:
        return (
            f"{made} made with {outcome.approximate} from the same keys and words: approximate, its steps are its own."
        )
    if outcome.differing is None:
        return f"{made} made again."
    if not outcome.differing:
        return f"{made} made again, all equal."
    return (
        f"{made} made again; {len(outcome.differing)} chunks differ, the first is chunk {outcome.differing[0]}. "
        "Equal pictures need the same machine, weights and OMP_NUM_THREADS."
    )
