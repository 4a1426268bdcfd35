"""`launch.py data make`, `views` and `halve`: what is drawn into shards, and the sentence that says so."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from render import shards
from render.apart import apart
from render.clips import Planner
from render.events import FAMILIES
from render.views import make_views

Bar = Callable[[str], Callable[[int, int], None]]
"""A unit -> what is told about progress."""


def make(options: argparse.Namespace, plan: Planner, bar: Bar) -> str:
    """Draws what `options` ask for, walks by `plan`."""
    if options.action == "halve":
        return f"{len(shards.halve(options.data, options.out, bar('shards')))} shards under {options.out}"
    width, height = options.size
    drawn = {"out": options.out, "split": options.split, "seed": options.seed, "plan": plan}
    drawn |= {"width": width, "height": height}
    if options.action == "views":
        families = options.family or [family for family in FAMILIES if family != "visitor"]
        drawn |= {"families": families, "worlds": options.worlds, "views": options.views, "show": options.show}
        apart(make_views, bar("worlds"), **drawn)
        return f"{options.views} views of each of {options.worlds} worlds under {options.out}"
    written = apart(
        shards.make, bar("clips"), clips=options.clips, frames=options.frames, biomes=options.biome,
        event_rate=options.events, depth=options.depth, near=options.near, **drawn,
    )  # fmt: skip
    return f"{options.clips} clips in {len(written)} shards under {options.out}"
