"""Stage 2b, depth from several views: the sweep's network learns to correct the frozen depth network (paper E.1).

Its worlds must be others than those which that network has learnt from: on these there is hardly an error to correct.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.checkpoint import Json
from engine.depth import Depth, DepthHead, depth_loss, estimate_twice, ground_disparity, signed
from engine.evaluation.metrics import nanmean
from engine.geometry import POCKET_LENS, Matrix
from engine.reconstruction.stereo import partners
from engine.settling import settled
from engine.sweep import OTHERS, Sweep, swept
from engine.training.depth import BLUR, EVERY, DepthSamples, blurred, drawn, save_picture, worn
from engine.training.loop import Run
from engine.vae import Vae, to_uint8

FEWER = 0.3
"""Share of the samples that see fewer others than there are, or none."""
CLIPS = 2
"""Clips of a batch: pictures of one clip are looked up together."""


def corrected(
    vae: Vae,
    head: DepthHead,
    sweep: Sweep,
    latents: Tensor,
    pictures_NHW3: Tensor,
    cameras: Matrix,
    views: list[int],
    others: list[NDArray[np.intp]],
) -> tuple[Depth, Depth, Tensor]:
    """Depth of some `views` of a walk from one view and from several, and the ground's disparity in them; `latents`
    `[V, C, Y, X]` are those of the views, pictures uint8 and cameras those of the whole walk."""
    H, W = pictures_NHW3.shape[1:3]
    ground = ground_disparity(cameras[views], H, W, POCKET_LENS)
    first = estimate_twice(vae, head, latents, cameras[views], pictures_NHW3[views])
    return first, swept(sweep, first, pictures_NHW3, cameras, views, others), ground


def loss_of(
    vae: Vae,
    head: DepthHead,
    sweep: Sweep,
    samples: DepthSamples,
    rng: random.Random,
    batch: int,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Mean loss of a batch, which is taken from few clips."""
    losses, numbers = [], []
    for clip in drawn(samples, rng, CLIPS)[0]:
        T = samples.latents.shape[1]
        times = sorted(rng.sample(range(T), min(T, batch // CLIPS)))
        cameras, pictures = samples.poses[clip], samples.pictures[clip]
        if rng.random() < BLUR:
            pictures = to_uint8(blurred(signed(pictures)))
        others = [partners(cameras, t, OTHERS) for t in times]
        others = [each[: rng.randint(0, len(each))] if rng.random() < FEWER else each for each in others]
        latents = worn(samples.latents[clip, times].float(), generator)
        _, found, ground = corrected(vae, head, sweep, latents, pictures, cameras, times, others)
        loss, found_numbers = depth_loss(
            found, samples.depth[clip, times].float(), samples.passing[clip, times], ground
        )
        losses.append(loss)
        numbers.append(found_numbers)
    return torch.stack(losses).mean(), {key: nanmean([each[key] for each in numbers]) for key in numbers[0]}


@torch.inference_mode()
def evaluate_sweep(run: Run, vae: Vae, head: DepthHead, sweep: Sweep, held_out: DepthSamples) -> Json:
    """AbsRel, share within 1.25, sky and what passes on held-out worlds, from several views and from one, settled as in
    scans; PNGs."""
    averaged, several, one = run.averaged(Sweep(sweep.config)), [], []
    n, T = held_out.latents.shape[:2]
    times = list(range(0, T, EVERY))
    for i in range(n):
        cameras, pictures = held_out.poses[i], held_out.pictures[i]
        others = [partners(cameras, t, OTHERS) for t in times]
        latents = held_out.latents[i, times].float()
        first, found, ground = corrected(vae, head, averaged, latents, pictures, cameras, times, others)
        first, found = (settled(each, signed(pictures[times]), ground) for each in (first, found))
        truth = held_out.depth[i, times].float(), held_out.passing[i, times], ground
        several.append(depth_loss(found, *truth)[1])
        one.append(depth_loss(first, *truth)[1])
        if i < 6:
            save_picture(found.seen()[-1], truth[0][-1], run.config.out / f"step{run.step:06d}-{i}.png")
    return {
        key + end: round(nanmean([each[key] for each in found]), 4)
        for end, found in (("", several), ("_one_view", one))
        for key in found[0]
    }
