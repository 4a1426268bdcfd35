"""What is compared with the truth: the model's own frames, two baselines that use no model, and the autoencoder's
ceiling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.evaluation.clips import TrueClip
from engine.evaluation.visibility import rotate_view, visible_in
from engine.geometry import POCKET_LENS
from engine.memory import MemoryConfig
from engine.precision import autocast
from engine.streamer import PocketWorld, Sampling
from engine.training.latents import encode_frames
from engine.vae import FRAMES_PER_LATENT, decode_clip
from engine.weights import PocketWeights
from engine.world import WorldSpec

Frames = NDArray[np.uint8]


def generate(
    weights: PocketWeights,
    clip: TrueClip,
    *,
    seed: int,
    steps: int,
    chunk: int = 4,
    memory: MemoryConfig | None = None,
) -> Frames:
    """Frames `[F, H, W, 3]` along the clip's cameras from its first frame and its caption, as a user's picture would
    start a world. `memory` replaces the weights'."""
    world = PocketWorld(
        weights,
        WorldSpec(seed=seed, prompt=clip.caption, image=clip.frames[0], chunk=chunk),
        sampling=Sampling(steps=steps),
        memory=memory,
    )
    poses, frames = clip.poses[::FRAMES_PER_LATENT], []
    for first in range(0, len(poses), chunk):
        frames += list(world.follow(poses[first : first + chunk]))
        world.commit()
    return np.concatenate(frames)


class Dreamer(Protocol):
    """Whatever makes a clip's frames again from its first one: what an evaluation judges."""

    def generate(self, clip: TrueClip, seed: int, *, remembers: bool = True) -> Frames:
        """Frames `[F, H, W, 3]` along the clip's cameras; without memory if it does not remember."""
        ...

    def reconstruct(self, clip: TrueClip) -> Frames:
        """The best that it could do: see `reconstruct`."""
        ...


@dataclass(frozen=True, slots=True)
class PocketDreamer:
    """The `pocket` model. Without memory, the most recent latents take the place of the retrieved ones."""

    weights: PocketWeights
    steps: int

    def generate(self, clip: TrueClip, seed: int, *, remembers: bool = True) -> Frames:
        """See `Dreamer.generate`."""
        memory = replace(self.weights.memory, retrieves=remembers and self.weights.memory.retrieves)
        return generate(self.weights, clip, seed=seed, steps=self.steps, memory=memory)

    def reconstruct(self, clip: TrueClip) -> Frames:
        """See `Dreamer.reconstruct`."""
        return reconstruct(self.weights, clip)


def repeat_first(clip: TrueClip) -> Frames:
    """The given frame, again and again."""
    return np.broadcast_to(clip.frames[:1], clip.frames.shape)


def warp_first(clip: TrueClip) -> Frames:
    """The given frame turned as the camera turns; holes replicate its edge. Translation is not known to it."""
    return np.stack([rotate_view(clip.frames[0], clip.poses[0], pose, POCKET_LENS) for pose in clip.poses])


def reconstruct(weights: PocketWeights, clip: TrueClip) -> Frames:
    """The truth through the autoencoder: no model that dreams in its latents can do better."""
    latents = encode_frames(weights.vae, clip.frames[None]).float()
    with torch.inference_mode(), autocast(latents.device):
        return decode_clip(weights.vae, latents)[0].numpy()


def true_depth(clip: TrueClip) -> NDArray[np.floating]:
    """Depth `[F, H, W]` of the clip. Raises `WanderError` if it was rendered without."""
    if clip.depth is None:
        raise WanderError(f"the clip {clip.name} has {len(clip.frames)} frames and 0 depths; render it with --depth")
    return clip.depth


def shown_pixels(clip: TrueClip) -> NDArray[np.bool_]:
    """Pixels `[F, H, W]` of each frame that the given frame shows, by true depth."""
    depths = true_depth(clip)
    views = zip(depths, clip.poses, strict=True)
    return np.stack([visible_in(depths[0], clip.poses[0], depth, pose, POCKET_LENS) for depth, pose in views])
