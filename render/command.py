"""The command line of `launch.py data`: ground-truth worlds, rendered into shards or walked through."""

import argparse
from pathlib import Path

from render.biomes import BIOMES
from render.events import EVENTS, FAMILIES, SHOWN
from render.scene import SPLITS

SHORTEST = 13
"""Frames of the shortest clip: one chunk."""


def parser() -> argparse.ArgumentParser:
    """Options of `data make`, `views`, `halve` and `preview`; `options.action` says which."""
    top = argparse.ArgumentParser(prog="launch.py data", description="Ground-truth worlds, drawn and not generated.")
    actions = top.add_subparsers(dest="action", required=True, metavar="make|views|halve|preview")
    make = actions.add_parser("make", help="render clips into shards; goes on where it was stopped")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the shards")
    make.add_argument("--clips", type=at_least_one, default=32, help="how many clips (32)")
    make.add_argument("--frames", type=whole_latents, default=93, help="frames a clip, 4 k + 1 (93)")
    make.add_argument("--events", type=share, default=0.5, help="share of clips in which something happens (0.5)")
    make.add_argument("--near", type=share, default=0.0, help="share of clips that begin close to something solid (0)")
    make.add_argument("--depth", action="store_true", help="keep true depth as well")
    make.add_argument("--biome", action="append", default=[], choices=tuple(BIOMES), help="only this; may be repeated")
    views = actions.add_parser("views", help="views of worlds, calm and under each event (train repaint)")
    views.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the shards, one a world")
    views.add_argument("--worlds", type=at_least_one, default=32, help="how many worlds (32)")
    views.add_argument("--views", type=at_least_one, default=3, help="views of each (3)")
    views.add_argument(
        "--family", action="append", default=[], choices=FAMILIES, help="only this event; may be repeated"
    )
    views.add_argument(
        "--show", choices=SHOWN, default=EVENTS,
        help="events: calm and under each; air: each without and with drops, flakes, lightning and flames (train air); "
             "guests: without and with somebody who comes along (train visitor); "
             "heroes: two views, each without and with somebody who walks ahead (train hero); "
             "around: six that look all round (train album)",
    )  # fmt: skip
    half = actions.add_parser("halve", help="the clips of a folder at half the size")
    half.add_argument("--data", type=shards, required=True, metavar="DIR", help="folder of shards")
    half.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the smaller ones")
    preview = actions.add_parser("preview", help="walk through a world with the explorer's keys")
    preview.add_argument("--biome", choices=tuple(BIOMES), help="kind of place (drawn from the seed)")
    for action in (make, views, preview):
        action.add_argument("--seed", type=int, default=0, help="same seed, same pixels (0)")
        action.add_argument("--split", choices=tuple(SPLITS), default="train", help="the splits share no world (train)")
        action.add_argument(
            "--size", type=at_least_one, nargs=2, default=(320, 192), metavar=("W", "H"), help="pixels (320 192)"
        )
    return top


def at_least_one(text: str) -> int:
    """A positive whole number."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is {text}; give a whole number of at least 1")
    return int(text)


def shards(text: str) -> Path:
    """A folder with finished shards."""
    if not any(Path(text).glob("clips-*.json")):
        raise argparse.ArgumentTypeError(f"there are 0 complete shards in {text}; make some with 'launch.py data make'")
    return Path(text)


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"it is {text}; give a number from 0 to 1")
    return value


def whole_latents(text: str) -> int:
    """A number of frames, at least a chunk's: one frame, then four a latent."""
    frames = at_least_one(text)
    if frames % 4 != 1 or frames < SHORTEST:
        near = max(SHORTEST, frames - (frames - 1) % 4)
        raise argparse.ArgumentTypeError(f"{frames} frames are not whole latents; give {near} (4 k + 1, at least 13)")
    return frames
