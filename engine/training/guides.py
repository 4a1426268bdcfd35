"""Guides of training clips, made once: what play would show the network before it makes each chunk of a clip.

`guides-00000.safetensors` holds `guides` float16 [n, T, C + 4, Y, X] for the latent shard of the same number: chunks of
four latents begin at multiples of four, and each guide is lifted from the context that the streamer's own memory
selects there. Half of the clips are lifted from true pictures (as after a start from a picture), half from what the
autoencoder makes of them (as in a long walk). Smaller chunks train on the same guides: their own are only fresher.

`calm-00000.safetensors`, where the same walks were rendered without events, holds `latents` and `guides` of the m clips
of that shard in which something happens, as if nothing did, and their numbers `clips` int64 [m] in the shard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.checkpoint import write_atomically
from engine.depth import DepthHead, estimate, signed
from engine.errors import WanderError
from engine.geometry import POCKET_LENS, rigid_inverse
from engine.guide import Guide, lifted, make_guide
from engine.memory import pocket, select_context
from engine.precision import autocast, default_device
from engine.surfaces import surfaces_of
from engine.training.latents import encode_frames
from engine.transformer import COVERAGE, STALE
from engine.vae import FRAMES_PER_LATENT, Vae, decode_clip, to_uint8

CHUNK = 4
_LATENTS, _GUIDES, _CALM, _FRAMES = "latents-", "guides-", "calm-", "clips-"


@dataclass(frozen=True, slots=True, eq=False)
class Calm:
    """Latents `[m, T, C, Y, X]` and guides `[m, T, C + 4, Y, X]` of clips with events as if nothing happened in them;
    `row` says which of the m belongs to a clip of the folder."""

    row: dict[int, int]
    latents: Tensor
    guides: Tensor


@torch.inference_mode()
def guides_of(
    vae: Vae, head: DepthHead, latents_TCYX: Tensor, pictures_THW3: NDArray[np.uint8], poses: NDArray[np.float64]
) -> Guide:
    """Guides of one clip; `pictures` are what its latents' last frames are taken to show. Latent 0 has none (zeros).

    The latents are those that the depth network reads; `vae`, which may be another, encodes what is drawn.
    """
    T, _, Y, X = latents_TCYX.shape
    pictures = torch.from_numpy(pictures_THW3.copy())
    depth = estimate(head, latents_TCYX, poses, pictures)
    frames = signed(pictures).to(depth.disparity.device)
    surfaces = surfaces_of(depth, frames, poses)
    parts = [Guide.nothing(1, vae.config.latent_channels + COVERAGE + STALE, (Y, X))]
    for start in range(0, T, CHUNK):
        context = select_context(rigid_inverse(poses), start, min(CHUNK, T - start), pocket()) if start else [0]
        first, last = max(start, 1), min(start + CHUNK, T)
        sources = [surfaces[i] for i in lifted(context)]
        parts.append(make_guide(vae, sources, poses[first - 1], poses[first:last], POCKET_LENS))
    return Guide.joined(parts)


def make_guides(
    vae: Vae,
    head: DepthHead,
    frames: Path,
    latents: Path,
    *,
    control: Path | None = None,
    with_frames: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Writes the guides of every latent shard of a folder that has none yet; `frames` holds the shards of pictures.

    `with_frames` shards, spread evenly, keep the drawn frames as well: `frames` uint8 [n, T, 4, H, W, 3] and `covered`
    bool [n, T, 4, H, W], which the compositor is trained on. `control` holds shards of the same names that show the
    same walks without events: what is seen of those goes beside the guides, see `Calm`.

    Raises `WanderError` if there are no latent shards.
    """
    shards = sorted(latents.glob(f"{_LATENTS}*.safetensors"))
    if not shards:
        raise WanderError(f"there are 0 latent shards in {latents}; make some with 'launch.py train encode'")
    keep = {int(i) for i in np.linspace(0, len(shards) - 1, min(with_frames, len(shards)))} if with_frames else set()
    for done, path in enumerate(shards):
        target, name = path.with_name(path.name.replace(_LATENTS, _GUIDES)), path.name.replace(_LATENTS, _FRAMES)
        if not target.is_file():
            found = list(_guides_of_shard(vae, head, path, frames / name))
            tensors = {"guides": torch.stack([_kept(guide) for guide in found])}
            if done in keep:
                tensors["frames"] = torch.stack([to_uint8(guide.frames) for guide in found])
                tensors["covered"] = torch.stack([guide.covered for guide in found])
            write_atomically(target, lambda part, tensors=tensors: save_file(tensors, part))
        target = path.with_name(path.name.replace(_LATENTS, _CALM))
        if control is not None and (control / name).is_file() and not target.is_file():
            tensors = _calm(vae, head, path, control / name)
            write_atomically(target, lambda part, tensors=tensors: save_file(tensors, part))
        progress(done + 1, len(shards))


@torch.inference_mode()
def _guides_of_shard(vae: Vae, head: DepthHead, latents: Path, frames: Path) -> Iterator[Guide]:
    with safe_open(latents, framework="pt") as file:
        clips, poses = file.get_tensor("latents").float(), file.get_tensor("poses").numpy()
    shown = safe_open(frames, framework="np").get_slice("frames")
    for i, clip in enumerate(clips):
        yield _guides_of_clip(vae, head, clip, shown[i], poses[i], through=not i % 2)


def _guides_of_clip(
    vae: Vae, head: DepthHead, clip: Tensor, truth: NDArray[np.uint8], poses: NDArray[np.float64], *, through: bool
) -> Guide:
    """Guides lifted from true frames `[F, H, W, 3]`, or from what went `through` the autoencoder."""
    seen = truth[::FRAMES_PER_LATENT]
    if through:
        with autocast(default_device()):
            seen = decode_clip(vae, clip[None])[0, ::FRAMES_PER_LATENT].numpy()
    return guides_of(vae, head, clip, seen, poses)


def _kept(guide: Guide) -> Tensor:
    """What is kept of a guide, half `[T, C + 4, Y, X]`: what is stale in it depends on the words."""
    return guide.latents[:, :-STALE].half()


@torch.inference_mode()
def _calm(vae: Vae, head: DepthHead, latents: Path, control: Path) -> dict[str, Tensor]:
    """The tensors of a `calm-` file."""
    with safe_open(latents, framework="pt") as file:
        poses, about = file.get_tensor("poses").numpy(), json.loads(file.metadata()["about"])
        _, T, C, Y, X = file.get_slice("latents").get_shape()
    shown = safe_open(control, framework="np").get_slice("frames")
    eventful = [i for i, facts in enumerate(about) if facts["events"]]
    calm, guides = [torch.zeros(0, T, C, Y, X).half()], [torch.zeros(0, T, C + COVERAGE, Y, X).half()]
    for i in eventful:
        truth = shown[i]
        clip = encode_frames(vae, truth[None])
        calm.append(clip)
        guide = _guides_of_clip(vae, head, clip[0].float(), truth, poses[i], through=not i % 2)
        guides.append(_kept(guide)[None])
    return {"clips": torch.tensor(eventful, dtype=torch.long), "latents": torch.cat(calm), "guides": torch.cat(guides)}


def has_guides(folder: Path) -> bool:
    """Whether any latent shard of a folder has guides."""
    return any(folder.glob(f"{_GUIDES}*.safetensors"))


def load_guides(folder: Path) -> Tensor:
    """All guides of a folder, half `[n, T, C + 4, Y, X]`, in the order of its latents.

    Raises `WanderError` when a latent shard has none.
    """
    shards = sorted(folder.glob(f"{_LATENTS}*.safetensors"))
    found = [path.with_name(path.name.replace(_LATENTS, _GUIDES)) for path in shards]
    missing = [path.name for path in found if not path.is_file()]
    if missing:
        raise WanderError(
            f"{len(missing)} of {len(found)} latent shards in {folder} have no guides ({missing[0]}); "
            "make them with 'launch.py train guide'"
        )
    parts = []
    for path in found:
        with safe_open(path, framework="pt") as file:
            parts.append(file.get_tensor("guides"))
    return torch.cat(parts)


def load_calm(folder: Path) -> Calm | None:
    """The clips of a folder with events as if nothing happened, or None if no control was rendered."""
    row: dict[int, int] = {}
    latents, guides, before = [], [], 0
    for path in sorted(folder.glob(f"{_LATENTS}*.safetensors")):
        with safe_open(path, framework="pt") as file:
            count = file.get_slice("latents").get_shape()[0]
        found = path.with_name(path.name.replace(_LATENTS, _CALM))
        if found.is_file():
            with safe_open(found, framework="pt") as file:
                row |= {before + int(clip): len(row) + m for m, clip in enumerate(file.get_tensor("clips"))}
                latents.append(file.get_tensor("latents"))
                guides.append(file.get_tensor("guides"))
        before += count
    return Calm(row, torch.cat(latents), torch.cat(guides)) if row else None
