"""Shards: clips of procedural worlds on disk, in an open format that anything can read.

A shard is three files with one stem, `clips-00000`:

- `clips-00000.safetensors`: `frames` uint8 [n, F, H, W, 3]; `poses` float32 [n, F, 4, 4] world_from_camera in OpenCV
  axes; `keys` uint8 [n, F] (bits w s d a right left up down); `mouse` float32 [n, F, 2] radians of yaw and pitch; and,
  if asked for, `depth` float16 [n, F, H, W] along z (inf in the sky) and `passing` uint8 [n, F, H, W], 1 where a pixel
  shows who or what passes through the place and not the place. Frame f follows from frame f - 1 by keys and
  mouse of f.
- `clips-00000.json`: `{"format": 1, "split", "seed", "fps", "width", "height", "frames", "intrinsics" [3][3],
  "clips": [...]}`; a clip has `world` (seed), `biome`, `mood`, `hero` or null, `walk`, `captions` {en: [...],
  zh: [...]} (several wordings) and `events`, each `{family, caption_en, caption_zh, ends_en, ends_zh, start_frame,
  stop_frame or null}`. An event that starts at frame 0 was there before the clip began.
- `clips-00000.png`: a contact sheet, a row per clip.

The json is written last, each file under a temporary name first: a shard whose json exists is complete. The same
arguments give the same files, so an interrupted run resumes by skipping complete shards.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from render.camera import intrinsics
from render.clips import FPS, Clip, Planner, film
from render.renderer import Renderer

FORMAT = 1
CLIPS_PER_SHARD = 32


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shard:
    """A shard opened for reading; arrays are views of the file where the format allows."""

    meta: dict[str, Any]
    frames: NDArray[np.uint8]
    poses: NDArray[np.float32]
    keys: NDArray[np.uint8]
    mouse: NDArray[np.float32]
    depth: NDArray[np.float16] | None
    passing: NDArray[np.uint8] | None


def make(
    out: Path,
    *,
    clips: int,
    split: str,
    seed: int,
    plan: Planner,
    frames: int = 93,
    width: int = 320,
    height: int = 192,
    biomes: Sequence[str] = (),
    event_rate: float = 0.5,
    depth: bool = False,
    near: float = 0.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Renders `clips` clips into shards under `out` and returns the paths of their safetensors files.

    `plan` plans the walk of a clip (`engine.trajectories.plan`). `biomes` limits the kinds of place; `event_rate`
    is the share of clips in which something happens, `near` of those that begin close to something solid.
    `progress(done, total)` is told after every clip.

    Raises:
        ValueError: no clips, or a clip length that is not a whole number of latents (4 k + 1 frames).
    """
    if clips < 1:
        raise ValueError(f"asked for {clips} clips; ask for at least 1")
    if frames % 4 != 1:
        raise ValueError(f"a clip of {frames} frames is not whole latents; use {frames - (frames - 1) % 4} frames")
    out.mkdir(parents=True, exist_ok=True)
    renderer, paths = None, []
    for index, first in enumerate(range(0, clips, CLIPS_PER_SHARD)):
        path, count = out / f"clips-{index:05d}.safetensors", min(CLIPS_PER_SHARD, clips - first)
        paths.append(path)
        if not _complete(path, count):
            renderer = renderer or Renderer(width, height)
            made = []
            for number in range(first, first + count):
                made.append(
                    film(renderer, plan, seed=seed, number=number, split=split, frames=frames, biomes=biomes,
                         event_rate=event_rate, depth=depth, near=near)
                )  # fmt: skip
                progress(number + 1, clips)
            write_shard(path, made, {"split": split, "seed": seed, "width": width, "height": height, "frames": frames})
        progress(first + count, clips)
    return paths


def halve(source: Path, out: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Path]:
    """The same clips at half the size: pictures box-filtered, of depth the nearest of four pixels, passing where one of
    them is; resumes like `make`.

    Raises:
        ValueError: there are no complete shards, or their sides are odd.
    """
    shards, paths = sorted(source.glob("clips-*.json")), []
    if not shards:
        raise ValueError(f"there are 0 complete shards in {source}; make some with 'launch.py data make'")
    out.mkdir(parents=True, exist_ok=True)
    for done, sidecar in enumerate(shards):
        shard, path = read_shard(sidecar.with_suffix(".safetensors")), out / sidecar.with_suffix(".safetensors").name
        width, height = shard.meta["width"], shard.meta["height"]
        if width % 2 or height % 2:
            raise ValueError(f"pictures of {width}x{height} can't be halved; both sides must be even")
        paths.append(path)
        if not _complete(path, len(shard.meta["clips"])):
            arrays: dict[str, NDArray] = {"frames": np.stack([_halved(clip) for clip in shard.frames])}
            arrays |= {"poses": shard.poses, "keys": shard.keys, "mouse": shard.mouse}
            if shard.depth is not None:
                arrays["depth"] = np.stack([np.minimum.reduce(_quarters(clip)) for clip in shard.depth])
            if shard.passing is not None:
                arrays["passing"] = np.stack([np.maximum.reduce(_quarters(clip)) for clip in shard.passing])
            _write_shard(path, arrays, shard.meta | {"width": width // 2, "height": height // 2})
        progress(done + 1, len(shards))
    return paths


def _quarters(pictures: NDArray) -> list[NDArray]:
    """The four pixels of each 2x2 cell of pictures [F, H, W, ...]."""
    return [pictures[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]


def _halved(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    total = np.full((len(frames), frames.shape[1] // 2, frames.shape[2] // 2, 3), 2, np.uint16)
    for part in _quarters(frames):
        total += part
    return (total // 4).astype(np.uint8)


def _complete(path: Path, count: int) -> bool:
    """Whether a shard with this many clips is already there."""
    sidecar = path.with_suffix(".json")
    if not (path.exists() and sidecar.exists()):
        return False
    return len(json.loads(sidecar.read_text(encoding="utf-8"))["clips"]) == count


def write_shard(path: Path, clips: list[Clip], about: dict[str, Any]) -> None:
    """One shard of `clips` at the path of its safetensors file; `about` goes into the sidecar beside them."""
    arrays = {
        "frames": np.stack([clip.frames for clip in clips]),
        "poses": np.stack([clip.poses for clip in clips]).astype(np.float32),
        "keys": np.stack([clip.keys for clip in clips]),
        "mouse": np.stack([clip.mouse for clip in clips]),
    }
    depths = [clip.depth for clip in clips if clip.depth is not None]
    if depths:
        arrays["depth"] = np.stack(depths).astype(np.float16)
        arrays["passing"] = np.stack([clip.passing for clip in clips if clip.passing is not None]).astype(np.uint8)
    _write_shard(path, arrays, {"format": FORMAT, **about, "fps": FPS, "clips": [clip.about for clip in clips]})


def _write_shard(path: Path, arrays: dict[str, NDArray], about: dict[str, Any]) -> None:
    meta = {**about, "intrinsics": intrinsics(about["width"], about["height"]).tolist()}
    text = json.dumps(meta, ensure_ascii=False, indent=1)
    _replace(path, lambda temporary: save_file(arrays, temporary))
    _replace(path.with_suffix(".png"), lambda temporary: contact_sheet(arrays["frames"]).save(temporary, "PNG"))
    _replace(path.with_suffix(".json"), lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def _replace(path: Path, write: Callable[[str], object]) -> None:
    """Writes under a temporary name, then renames."""
    temporary = f"{path}.part"
    write(temporary)
    os.replace(temporary, path)


def contact_sheet(frames: NDArray[np.uint8], columns: int = 8, width: int = 160) -> Image.Image:
    """A picture of clips [n, F, H, W, 3]: a row per clip, columns spread over its time."""
    count, wide = frames.shape[1], frames.shape[3]
    picks = np.linspace(0, count - 1, columns).round().astype(int)
    step = max(1, wide // width)
    rows = frames[:, picks, ::step, ::step]
    n, _, h, w, _ = rows.shape
    return Image.fromarray(np.ascontiguousarray(rows.transpose(0, 2, 1, 3, 4)).reshape(n * h, columns * w, 3))


def read_shard(path: Path) -> Shard:
    """Opens a shard by its safetensors path; the arrays are memory-mapped, so a clip is read when it is touched.

    Raises:
        ValueError: the shard is incomplete, or of another format version.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        raise ValueError(f"the shard {path.name} has no {sidecar.name}: it was not finished; run data make again")
    meta = json.loads(sidecar.read_text(encoding="utf-8"))
    if meta["format"] != FORMAT:
        raise ValueError(
            f"the shard {path.name} has format {meta['format']}, this program reads {FORMAT}; make it again"
        )
    with safe_open(path, framework="numpy") as names:
        present = set(names.keys())
    arrays = {name: _mapped(path, name) for name in present}
    return Shard(meta=meta, depth=arrays.pop("depth", None), passing=arrays.pop("passing", None), **arrays)


_DTYPES = {"U8": np.uint8, "F32": np.float32, "F16": np.float16}


def _mapped(path: Path, name: str) -> NDArray:
    """One array of a safetensors file as a memory map (header: 8 bytes of length, then JSON of offsets)."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[name]
    return np.memmap(path, _DTYPES[entry["dtype"]], "r", 8 + size + entry["data_offsets"][0], tuple(entry["shape"]))
