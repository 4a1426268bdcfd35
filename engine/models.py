"""The verb `models`: what the released presets need, whether it is all there, and the 5B's conversion."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from engine.checkpoint import sha256_of, write_atomically
from engine.convert import convert
from engine.downloads import DOWNLOADS, Download, absent, downloads_of, models_folder
from engine.errors import WanderError
from engine.released_weights import blank, check_names, read_shapes, weight_files
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B, released_name

SUMS = "sha256.json"
CONVERTED = "model.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A download of a preset and, where this program has the network that reads it, how that is made."""

    download: Download
    build: Callable[[], nn.Module] | None = None
    released: Callable[[str], str] = str

    @property
    def folder(self) -> str:
        """Its folder among the preset's."""
        return self.download.folder


BUILDS: dict[tuple[str, str], tuple[Callable[[], nn.Module], Callable[[str], str]]] = {
    ("worldplay-5b", "transformer"): (lambda: WorldPlay5B(Config5B()), str),
    ("worldplay-5b", "vae"): (lambda: WanVae(WanVaeConfig()), str),
    ("worldplay-8b", "transformer"): (lambda: WorldPlay8B(Config8B()), released_name),
    ("worldplay-8b", "vae"): (lambda: HunyuanVae(HunyuanVaeConfig()), str),
}


def _part(preset: str, download: Download) -> Part:
    build, released = BUILDS.get((preset, download.folder), (None, str))
    return Part(download=download, build=build, released=released)


PRESETS = {preset: tuple(_part(preset, part) for part in parts) for preset, parts in DOWNLOADS.items()}


def parser() -> argparse.ArgumentParser:
    """The actions of `models`."""
    options = argparse.ArgumentParser(prog="launch.py models", description="The released weights on this machine.")
    options.add_argument("--folder", type=Path, default=models_folder(), metavar="DIR",
                         help="where the presets' folders are (default: %(default)s)")  # fmt: skip
    actions = options.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="what each preset needs (the default action)")
    verify = actions.add_parser("verify", help="names, shapes and checksums of what is there")
    verify.add_argument("preset", metavar="PRESET", help=" | ".join(PRESETS))
    made = actions.add_parser("convert", help="the 5B's pickled file as safetensors")
    made.add_argument("preset", metavar="PRESET", help="worldplay-5b")
    made.add_argument("source", type=Path, metavar="MODEL.PT")
    return options


def run(arguments: Sequence[str]) -> str:
    """What to print. Raises `WanderError` for what the person can mend."""
    options = parser().parse_args(list(arguments))
    if options.action == "verify":
        return verify(options.preset, options.folder)
    if options.action == "convert":
        if options.preset != "worldplay-5b":
            raise WanderError(f"{options.preset} needs no conversion, 1 preset does: worldplay-5b")
        target = options.folder / options.preset / "transformer" / CONVERTED
        how = convert(options.source, target)
        return f"{target} was written, {target.stat().st_size / 1e9:.1f} GB, by a process {how}"
    return "\n".join(line for preset in PRESETS for line in needed(preset, options.folder))


def needed(preset: str, folder: Path) -> list[str]:
    """Lines that say what a preset needs and what of it is there."""
    parts, missing = downloads_of(preset), absent(preset, folder)
    lines = [f"{preset}: {sum(part.gigabytes for part in parts):.1f} GB in {folder / preset}"]
    for part in parts:
        there = "missing" if part in missing else "there"
        lines.append(f"  {part.folder + '/':<13}{there:<9}{part.gigabytes:5.1f} GB  {part.repository}: {part.files}")
        lines += [f"{'':31}{text}" for text in (part.licence, part.note) if text]
    return lines


def verify(preset: str, folder: Path) -> str:
    """Compare names and shapes with the networks, and checksums with those of the first time.

    The makers publish no list of checksums that this program could carry, so the first verification writes them down
    beside the weights and every later one compares. Raises `WanderError` at the first thing that is wrong.
    """
    lines, home = [], folder / preset
    before = _noted(home / SUMS)
    sums: dict[str, str] = {}
    downloads_of(preset)
    for part in PRESETS[preset]:
        place = home / part.folder
        files = [file for inside in part.download.inside for file in weight_files(place / inside)]
        found = {name: shape for shapes in read_shapes(files).values() for name, shape in shapes.items()}
        if part.build is not None:
            _, _, expected = blank(part.build, part.released)
            check_names(expected, found, str(place))
        for file in files:
            name = file.relative_to(home).as_posix()
            sums[name] = sha256_of(file)
            if before.get(name, sums[name]) != sums[name]:
                now, then = sums[name][:12], before[name][:12]
                raise WanderError(f"{file} has changed: sha256 {now} expected {then}; download it again, or delete "
                                  f"{home / SUMS} if you replaced it yourself")  # fmt: skip
        new = "" if all(name in before for name in sums) else ", checksums written down"
        how = "all as expected" if part.build else "read whole; names are its own library's affair"
        lines.append(f"{part.folder}: {len(found)} tensors in {len(files)} files, {how}{new}")
    write_atomically(home / SUMS, lambda path: path.write_text(json.dumps(before | sums, indent=1, sort_keys=True)))
    return "\n".join(lines)


def _noted(path: Path) -> dict[str, str]:
    """The checksums of the first verification; none if there was none."""
    try:
        return {str(name): str(value) for name, value in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError):
        raise WanderError(f"{path} is damaged; delete it to have the checksums written down anew") from None
