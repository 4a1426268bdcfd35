"""Whether the sessions that a walk has left are what the window was told and shown, and come out again as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worker import protocol as wire
from worker import replay
from worker.history import Branch, History
from worker.journal import read
from worker.model_process import engine_of
from worker.told import branches, happenings


@dataclass(kw_only=True, slots=True)
class Verdict:
    """What was found in the sessions that a walk has left; `wrong` is empty if all is well."""

    sessions: int = 0
    branches: int = 0
    chunks: int = 0
    """Made again, over all branches."""
    seen: int = 0
    """Chunks of which every picture had come to the window, and is in a journal."""
    wrong: list[str] = field(default_factory=list)


def judge(
    sessions: Path, told: dict[str, wire.World], settled: set[str], seen: dict[tuple[int, int], bytes]
) -> Verdict:
    """Every session against what the window was told and shown, and against itself made again.

    `told`: the last that was told of each file; `settled`: files of which nothing changed after that; `seen`:
    (generation, chunk) -> fingerprint of what was shown.
    """
    verdict, known = Verdict(), {}
    for path in sorted(sessions.glob("*.wander")):
        contents = read(path)
        history, world = contents.history, told.get(str(path))
        verdict.sessions += 1
        if contents.torn_bytes:
            verdict.wrong.append(f"{path.name}: {contents.torn_bytes} bytes at its end are no record")
        if world is not None:
            found = disagreements(world, history, str(path) in settled)
            verdict.wrong += [f"{path.name}: {each}" for each in found]
        for branch in history.branches:
            verdict.branches += 1
            verdict.chunks += len(branch.chunks)
            verdict.wrong += [f"{path.name}, branch {branch.number}: {each}" for each in made_again(branch)]
            known |= {(chunk.generation, chunk.index): chunk.digest for chunk in branch.chunks}
    verdict.seen = len(seen)
    for name, digest in seen.items():
        if known.get(name) != digest:
            verdict.wrong.append(f"chunk {name[1]} of generation {name[0]} was shown otherwise than it is kept")
    return verdict


def disagreements(told: wire.World, history: History, settled: bool) -> list[str]:
    """Where what the window was told last is not what the journal tells. Chunks may have been added since, unless the
    session was left at rest."""
    branch = history.branch
    pairs = {
        "seed": (told.seed, branch.spec.seed),
        "prompt": (told.prompt, branch.reads),
        "branch": (told.branch, branch.number),
        "chunk": (told.chunk, branch.spec.chunk),
        "happenings": (told.happenings, happenings(branch)),
        "names": ([each.name for each in told.branches], [each.name for each in branches(history)]),
    }
    if settled:
        pairs |= {"chunks": (told.chunks, len(branch.chunks)), "branches": (told.branches, branches(history))}
    wrong = [f"{name}: told {one}, kept {other}" for name, (one, other) in pairs.items() if one != other]
    return wrong if told.chunks <= len(branch.chunks) else [*wrong, f"{told.chunks} chunks were told"]


def made_again(branch: Branch) -> list[str]:
    """What is different when the branch is made anew: pictures, places, latents or words."""
    kept: list[list[Any]] = []

    def opening(spec: Any, records: list[Any]) -> Any:
        kept.append(records)
        return engine_of(branch.spec.preset)(spec, records)

    wrong = []
    for played, entry in zip(replay.again(branch, opening), branch.chunks, strict=True):
        record = kept[-1][-1]
        same = {
            "pictures": played.equal,
            "places": record.poses.astype(np.float32).tobytes() == entry.poses,
            "latents": record.latents.astype(np.float16).tobytes() == entry.latents,
            "words": record.prompt == entry.prompt,
        }
        wrong += [f"{what} of chunk {entry.index} differ" for what, equal in same.items() if not equal]
    return wrong
