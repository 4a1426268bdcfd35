"""What an evaluation asks to be drawn, kept under data/evaluation until the request, the renderer or the walks change.

Requests are the engine's (`engine.evaluation.command.ClipRequest`, `engine.evaluation.events_command.PairRequest`), and
so are the planners of walks: this layer only draws.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from render.apart import apart
from render.clips import Planner
from render.pairs import make_pairs
from render.shards import make

Bar = Callable[[str], Callable[[int, int], None]]
"""A unit -> what is told about progress."""
WALKS = ("engine/actions.py", "engine/trajectories.py", "engine/evaluation/routes.py")
"""The programs that walks follow from."""


def folder_for(request: Any, root: Path, walks: Sequence[str] = WALKS) -> Path:
    """The folder of what a request asks to be drawn, in the checkout `root`, its walks by the programs `walks`."""
    digest = hashlib.sha256(repr(request).encode())
    for source in [*sorted((root / "render").glob("*.py")), *(root / program for program in walks)]:
        digest.update(source.read_bytes())
    return root / "data" / "evaluation" / digest.hexdigest()[:16]


def clips_for(
    request: Any, root: Path, planner: Callable[[str], Planner], bar: Bar, walks: Sequence[str] = WALKS
) -> Path:
    """The held-out clips of a `ClipRequest`, rendered once: a folder for each kind of walk, which `planner` plans."""
    folder = folder_for(request, root, walks)
    for kind, clips, seed in request.sets:
        apart(
            make,
            bar(f"{kind} clips rendered"),
            out=folder / kind,
            clips=clips,
            split="heldout",
            seed=seed,
            plan=planner(kind),
            frames=request.frames,
            width=request.width,
            height=request.height,
            event_rate=request.event_rate,
            depth=request.depth,
            near=request.near,
        )
    return folder


def pairs_for(request: Any, root: Path, plan: Planner, bar: Bar) -> Path:
    """The walks with and without events of a `PairRequest`, rendered once: a folder for each set."""
    folder = folder_for(request, root)
    for name, families, worlds, seed in request.sets:
        apart(
            make_pairs,
            bar(f"{name} worlds rendered"),
            out=folder / name,
            families=families,
            worlds=worlds,
            split=request.split,
            seed=seed,
            plan=plan,
            latents=request.latents,
            start_frame=request.start_frame,
            width=request.width,
            height=request.height,
        )
    return folder
