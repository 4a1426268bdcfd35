"""Latent shards: rendered clips encoded once with the frozen autoencoder, read whole into memory by the trainer.

`latents-00000.safetensors` holds `latents` float16 [n, T, C, Y, X] (normalised), `poses` float64 [n, T, 4, 4] (of the
last frame of each latent), `actions` int16 [n, T]; its metadata holds the autoencoder's checksum and, as JSON, what the
sidecar of the frames said of the clips. The name matches the frame shard it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.actions import POCKET_LABELS, actions_from_poses
from engine.checkpoint import write_atomically
from engine.errors import WanderError
from engine.precision import autocast, default_device
from engine.vae import FRAMES_PER_LATENT, Vae, group_frames

PREFIX = "latents-"


@dataclass(frozen=True, slots=True, eq=False)
class LatentClips:
    """Clips in memory: latents half `[n, T, C, Y, X]`, poses float64 `[n, T, 4, 4]`, actions `[n, T]`, facts."""

    latents: Tensor
    poses: NDArray[np.float64]
    actions: Tensor
    about: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.latents)


def events_at(about: dict[str, Any], frame: int) -> list[dict[str, Any]]:
    """The events of a clip, as its sidecar describes them, that have begun by a frame and not ended."""
    return [
        e for e in about["events"] if e["start_frame"] <= frame and (e["stop_frame"] is None or frame < e["stop_frame"])
    ]


def batch_of(count: int, cells: int, largest: int) -> int:
    """How many samples of `cells` latent cells cost about as much as `count` of the largest ones: at most four times as
    many."""
    return count * min(max(largest // cells, 1), 4)


@torch.inference_mode()
def encode_frames(vae: Vae, frames: NDArray[np.uint8], batch: int = 6) -> Tensor:
    """Clips uint8 `[n, F, H, W, 3]` -> latents float16 `[n, T, C, Y, X]`, a few latents at a time."""
    device = default_device()
    groups = (group_frames(torch.from_numpy(np.ascontiguousarray(clip))[None].to(device)) for clip in frames)
    out = []
    for clip in groups:
        with autocast(device):
            out.append(torch.cat([vae.encode(part) for part in clip.split(batch, 1)], 1).half().cpu())
    return torch.cat(out)


def encode_shards(
    vae: Vae, checksum: str, source: Path, out: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Encodes every frame shard of `source` that has no latent shard yet; returns the number of clips.

    Raises `WanderError` if there are none.
    """
    shards = sorted(source.glob("clips-*.json"))
    if not shards:
        raise WanderError(f"there are 0 clips in {source}; make some with 'launch.py data make --out {source}'")
    device, clips = default_device(), 0
    vae.to(device)
    for done, sidecar in enumerate(shards):
        target = out / sidecar.name.replace("clips-", PREFIX).replace(".json", ".safetensors")
        about = json.loads(sidecar.read_text())
        clips += len(about["clips"])
        if not target.is_file():
            with safe_open(sidecar.with_suffix(".safetensors"), framework="np") as file:
                frames, poses = (
                    file.get_tensor("frames"),
                    file.get_tensor("poses").astype(np.float64)[:, ::FRAMES_PER_LATENT],
                )
            actions = np.stack([actions_from_poses(clip, POCKET_LABELS) for clip in poses]).astype(np.int16)
            tensors = {
                "latents": encode_frames(vae, frames),
                "poses": torch.from_numpy(poses.copy()),
                "actions": torch.from_numpy(actions),
            }
            metadata = {"vae": checksum, "about": json.dumps(about["clips"])}
            write_atomically(
                target, lambda part, tensors=tensors, metadata=metadata: save_file(tensors, part, metadata)
            )
        progress(done + 1, len(shards))
    return clips


def load_latents(folder: Path, vae_checksum: str) -> LatentClips:
    """All latent shards of a folder. Raises `WanderError` if there are none or another autoencoder made them."""
    found = sorted(folder.glob(f"{PREFIX}*.safetensors"))
    if not found:
        raise WanderError(f"there are 0 latent shards in {folder}; make some with 'launch.py train encode'")
    parts: dict[str, list[Tensor]] = {"latents": [], "poses": [], "actions": []}
    about: list[dict[str, Any]] = []
    for path in found:
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                for name, tensors in parts.items():
                    tensors.append(file.get_tensor(name))
        except (SafetensorError, OSError) as error:
            raise WanderError(f"the latent shard {path} can't be read ({error}); delete it and encode again") from None
        if (maker := metadata.get("vae", "?")) != vae_checksum:
            raise WanderError(
                f"{path} was encoded with autoencoder {maker[:12]}, the frozen one is {vae_checksum[:12]}; "
                "delete the folder and encode again"
            )
        about += json.loads(metadata["about"])
    return LatentClips(
        torch.cat(parts["latents"]), torch.cat(parts["poses"]).numpy(), torch.cat(parts["actions"]).long(), about
    )
