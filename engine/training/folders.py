"""The folders that a stage's command line names: frames, and what was encoded from them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from engine.errors import WanderError

S = TypeVar("S")
T = TypeVar("T")


def pairs_of(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """Folders of frames, each with what was encoded from them. `WanderError` when they aren't as many."""
    frames = options.frames or []
    if len(frames) != len(options.data):
        raise WanderError(
            f"the stage {options.stage} got {len(options.data)} folders of latents and {len(frames)} of frames; give "
            "--frames, for each of --data the folder that it was encoded from"
        )
    return list(zip(frames, options.data, strict=True))


def held_out_of(options: argparse.Namespace) -> tuple[Path, Path]:
    """Frames and latents of held-out worlds; those of the first training folder where none are given."""
    frames, latents = pairs_of(options)[0]
    return options.heldout_frames or frames, options.heldout[0] if options.heldout else latents


def each(folders: Sequence[T], load: Callable[[T], S]) -> list[S]:
    """What is loaded from each folder; a folder that is named twice is loaded once."""
    found = {folder: load(folder) for folder in dict.fromkeys(folders)}
    return [found[folder] for folder in folders]
