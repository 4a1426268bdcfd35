"""Table 6 at our scale: the same held-out clips by the base model, its teacher and the distilled student.

Streaming forms play as play does, guides lifted from their own pictures; the teacher makes 16 latents at once from what
it has made before, in aligned memory. All start from the clip's first latent, and none uses the compositor, so that the
networks are compared and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import text
from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import Bootstrap, gradient_energy, interval, nanmean, plain, psnr, ssim
from engine.flow import euler, schedule
from engine.memory import MemoryConfig
from engine.streamer import Sampling
from engine.training.base import Batch, lines_at
from engine.training.distill import Distillation, Network, teacher_context
from engine.training.latents import LatentClips
from engine.training.matching import look
from engine.training.rollout import dream
from engine.training.spans import on_device, span_of
from engine.vae import decode_clip
from engine.weights import PocketWeights

Frames = NDArray[np.uint8]
Json = dict[str, Any]
DFD_EVERY = 4
"""Every so many frames are compared by deep features and structure: the last of each latent."""


@dataclass(frozen=True, slots=True)
class Form:
    """One row of the table: evaluations of the network per chunk, and frames `[F, H, W, 3]` of a clip."""

    evaluations: int
    make: Callable[[int], Frames]


def scene(clips: LatentClips, index: int, latents: int) -> Batch:
    """A clip as a batch of one, with its English texts before and after the first change."""
    lines = [lines_at(clips.about[index], t, "en", 0) for t in range(latents)]
    change = next((t for t in range(1, latents) if lines[t] != lines[0]), latents)
    found = [text.encode(each) for each in (lines[0], lines[min(change, latents - 1)])]
    rows = torch.zeros(1, len(found), max(map(len, found)), text.TEXT_WIDTH)
    for v, each in enumerate(found):
        rows[0, v, : len(each)] = torch.from_numpy(each)
    return Batch(
        clips.latents[index : index + 1, :latents].float(),
        clips.actions[index : index + 1, :latents],
        clips.poses[index : index + 1, :latents],
        rows,
        torch.tensor([[len(each) for each in found]]),
        (torch.arange(latents) >= change).long()[None],
    )


def streamed(weights: PocketWeights, clips: LatentClips, index: int, steps: int, latents: int, seed: int = 0) -> Frames:
    """A clip's cameras and texts, played in so many steps a chunk without the compositor."""
    return dream(replace(weights, compositor=None), clips, index, seed, latents, Sampling(steps=steps))


@torch.inference_mode()
def made_at_once(
    teacher: Network, batch: Batch, steps: int, how: Distillation, memory: MemoryConfig, seed: int = 0
) -> Tensor:
    """Latents `[1, T, C, Y, X]` of a batch of one, `how.rolled` at a time from the first latent."""
    T, generator = batch.latents.shape[1], torch.Generator().manual_seed(seed)
    made = batch.latents[:, :0]
    for first in range(0, T, how.rolled):
        length = min(how.rolled, T - first)
        shorter = replace(how, chunks=length // how.chunk)
        seen = [teacher_context(poses, first, shorter, memory) for poses in batch.poses]
        like = batch.latents[:, first : first + length]
        known = torch.zeros(like.shape[:2], dtype=torch.bool, device=like.device)
        known[:, 0] = first == 0
        keep = known[..., None, None, None]
        x = torch.where(keep, like, torch.randn(like.shape, generator=generator).to(like.device))
        history = replace(batch, latents=made)
        for level, next_level in pairwise(schedule(steps, how.shift).tolist()):
            levels = torch.full(known.shape, level, device=x.device).masked_fill(known, 0.0)
            noisy = replace(span_of(batch, first, x), guides=None)
            velocity = look(teacher, noisy, levels, history, first, seen, how.chunk)
            x = torch.where(keep, x, euler(x, velocity, level, next_level))
        made = torch.cat([made, x], 1)
    return made


def compare_forms(
    forms: Mapping[str, Form], truth: Sequence[Frames], pair: tuple[str, str] | None = None
) -> tuple[Json, dict[str, list[Frames]]]:
    """Mean scores of each form against the truth (frames of clip i), and what each made.

    With a `pair` (new, old): by how much the new one's DFD is lower on the same clips, and the paired interval.
    """
    known = [features(frames[DFD_EVERY::DFD_EVERY]) for frames in truth]
    table, distances, shown = {}, {}, {}
    for name, form in forms.items():
        started = time.monotonic()
        shown[name] = [form.make(i) for i in range(len(truth))]
        seconds = (time.monotonic() - started) / max(len(truth), 1)
        scores = [_scores(made, true, found) for made, true, found in zip(shown[name], truth, known, strict=True)]
        distances[name] = [each["dfd"] for each in scores]
        means = {metric: nanmean([each[metric] for each in scores]) for metric in scores[0]}
        table[name] = {"evaluations": form.evaluations, "seconds": seconds} | means
    report: Json = {"clips": len(truth), "forms": table}
    if pair is not None and len(truth) > 1:
        gains = np.subtract(distances[pair[1]], distances[pair[0]])
        mean, low, high = interval(gains, Bootstrap())
        report["dfd_gain"] = {"of": pair[0], "over": pair[1], "mean": mean, "interval": [low, high], "holds": low > 0}
    return plain(report), shown


def _scores(made: Frames, truth: Frames, known: list[Any]) -> dict[str, float]:
    picks = slice(DFD_EVERY, None, DFD_EVERY)
    energy = gradient_energy(made[1:]).mean() / max(gradient_energy(truth[1:]).mean(), 1e-9)
    return {
        "psnr": nanmean(psnr(made[1:], truth[1:])),
        "ssim": nanmean(ssim(made[picks], truth[picks])),
        "dfd": nanmean(feature_distance(features(made[picks]), known)),
        "gradient_energy_ratio": float(energy),
    }


def table_6(
    base: PocketWeights,
    distilled: PocketWeights,
    teacher: Network,
    clips: LatentClips,
    how: Distillation,
    memory: MemoryConfig,
    *,
    count: int,
    steps: int = 50,
) -> tuple[Json, dict[str, list[Frames]], list[Frames]]:
    """The paper's table 6 on the first `count` clips, as far as the autoencoder shows them: scores, frames, truth.

    Beside the paper's rows: the base model in as few steps (what ships without distillation) and half as many.
    """
    latents = clips.latents.shape[1] // how.chunk * how.chunk
    chosen, device = range(min(count, len(clips))), base.vae.mean.device

    def decoded(latent_TCYX: Tensor) -> Frames:
        with torch.inference_mode():
            return decode_clip(base.vae, latent_TCYX[None].float().to(device))[0].cpu().numpy()

    def streaming(weights: PocketWeights, each: int) -> Form:
        return Form(each, lambda i: streamed(weights, clips, i, each, latents))

    def whole(i: int) -> Frames:
        return decoded(made_at_once(teacher, on_device(scene(clips, i, latents), device), steps, how, memory)[0])

    few, fewer = how.steps, max(how.steps // 2, 1)
    forms = {
        f"base, {steps} steps": streaming(base, steps),
        f"teacher, {steps} steps": Form(steps, whole),
        f"base, {few} steps": streaming(base, few),
        f"distilled, {few} steps": streaming(distilled, few),
        f"distilled, {fewer} steps": streaming(distilled, fewer),
    }
    truth = [decoded(clips.latents[i, :latents]) for i in chosen]
    report, shown = compare_forms(forms, truth, (f"distilled, {few} steps", f"base, {few} steps"))
    return report, shown, truth
