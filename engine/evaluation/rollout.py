"""What is compared with the truth: the model's own frames, two baselines that use no model, and the autoencoder's
ceiling."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.evaluation.clips import TrueClip
from engine.evaluation.visibility import rotate_view, visible_in
from engine.geometry import POCKET_LENS
from engine.precision import autocast
from engine.streamer import PocketWorld, Sampling
from engine.training.latents import encode_frames
from engine.vae import FRAMES_PER_LATENT, decode_clip
from engine.weights import PocketWeights
from engine.world import WorldSpec

Frames = NDArray[np.uint8]


def generate(weights: PocketWeights, clip: TrueClip, *, seed: int, steps: int, chunk: int = 4) -> Frames:
    """Frames `[F, H, W, 3]` along the clip's cameras from its first frame and its caption, as a user's picture would
    start a world."""
    world = PocketWorld(
        weights,
        WorldSpec(seed=seed, prompt=clip.caption, image=clip.frames[0], chunk=chunk),
        sampling=Sampling(steps=steps),
    )
    poses, frames = clip.poses[::FRAMES_PER_LATENT], []
    for first in range(0, len(poses), chunk):
        frames += list(world.follow(poses[first : first + chunk]))
        world.commit()
    return np.concatenate(frames)


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
