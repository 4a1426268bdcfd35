"""The album: panoramas of training worlds (`data views --show around`), packed beside the weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.actions import heading
from engine.album import coded, crowd_of, disparity_of, packed, small_of
from engine.checkpoint import save_weights
from engine.errors import WanderError
from engine.geometry import POCKET_LENS, lens_from_field
from engine.guide import Surface
from engine.panorama import FAR, Panorama, shape_of, unrolled

ROWS = 192
"""Of a picture whose pixels are as large as those of a panorama."""
_QUALITY = 80
_MIDDLE = 20.0
"""Units from the middle of a world from which its hills are far off."""
_CLOSE, _ROOM = 5.0, 0.08
"""What stands nearer than so many units may fill at most this share of a panorama: there must be room to walk."""


def panoramas(folder: Path) -> Iterator[tuple[Panorama, str, str]]:
    """Panoramas of a folder's clips that look round near the middle of a world, each six views all round at least twice
    as large, with biome and mood."""
    for sidecar in sorted(folder.glob("clips-*.json")):
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        arrays = _arrays(sidecar.with_suffix(".safetensors"))
        for frames, depths, poses, clip in zip(*arrays, about["clips"], strict=True):
            if math.hypot(*poses[0, [0, 2], 3].tolist()) <= _MIDDLE:
                yield panorama_of(frames, depths, poses.double().numpy()), clip["biome"], clip["mood"]


def panorama_of(frames_FHW3: Tensor, depth_FHW: Tensor, poses_F44: np.ndarray) -> Panorama:
    """What level views from one place show, unrolled; the first looks to its middle."""
    _, H, W, _ = frames_FHW3.shape
    lens = lens_from_field(POCKET_LENS.field_of_view[0], W / H)
    disparity = torch.where(depth_FHW.isinf(), 0.0, 1 / depth_FHW.float())
    views = [
        Surface(frame.permute(2, 0, 1).float() / 127.5 - 1, near, pose)
        for frame, near, pose in zip(frames_FHW3, disparity, poses_F44, strict=True)
    ]
    whole = unrolled(views[::-1], float(heading(poses_F44[0])[0]), lens, flying=True)
    size = shape_of(ROWS)
    picture = F.interpolate(whole.picture[None], size, mode="area")[0]
    near = F.interpolate(whole.disparity[None, None], size, mode="nearest")[0, 0]
    return Panorama(picture, near, torch.ones(size, dtype=torch.bool))


def pack(folders: list[Path], out: Path, progress: Callable[[int], object] = lambda done: None) -> int:
    """Writes the album of all roomy panoramas of folders, and says how many. `WanderError` if there are none."""
    pictures, depths, small, crowds, about = [], [], [], [], []
    for folder in folders:
        for panorama, biome, mood in panoramas(folder):
            if crowd_of(panorama, _CLOSE) <= _ROOM:
                shown = ((panorama.picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
                depth = coded(panorama.disparity)
                pictures.append(packed(shown.numpy(), quality=_QUALITY, method=4))
                depths.append(packed(depth.numpy(), lossless=True, method=4))
                known = Panorama(shown.permute(2, 0, 1) / 127.5 - 1, disparity_of(depth), panorama.known)
                small.append(small_of(known))
                crowds.append(crowd_of(known, FAR))
                about.append(f"{biome} {mood}")
                if len(pictures) % 50 == 0:
                    progress(len(pictures))
    if not pictures:
        raise WanderError(
            f"there are 0 roomy panoramas in {folders[0]}; make some with 'launch.py data views --show around'"
        )
    tensors = {"small": torch.stack(small), "crowd": torch.tensor(crowds)}
    for name, parts in (("pictures", pictures), ("depths", depths)):
        tensors[name] = torch.frombuffer(bytearray(b"".join(parts)), dtype=torch.uint8)
        tensors[f"{name}_end"] = torch.tensor(np.cumsum([len(part) for part in parts]))
    recipe = {"middle": _MIDDLE, "quality": _QUALITY, "rows": ROWS, "close": _CLOSE, "room": _ROOM}
    save_weights(out, tensors, {"kind": "pocket-album", "places": about, "recipe": recipe}, torch.float16)
    return len(pictures)


def _arrays(path: Path) -> tuple[Tensor, Tensor, Tensor]:
    from safetensors.torch import load_file

    arrays = load_file(path)
    return arrays["frames"], arrays["depth"], arrays["poses"]
