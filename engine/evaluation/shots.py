"""Frames at the measured moments of a rollout, with their features: compared once with this, once with that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import Frames, Scores, gradient_energy, nanmean, psnr, ssim


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """P measured frames."""

    frames: Frames
    """`[P, H, W, 3]`."""
    features: list[Tensor]
    """Per stage of the backbone, `[P, C, h, w]`."""

    def at(self, which: NDArray[np.intp]) -> Shots:
        """Some of them, by place in the series."""
        return Shots(self.frames[which], [stage[which] for stage in self.features])

    def __len__(self) -> int:
        return len(self.frames)


def take(frames: Frames, picks: NDArray[np.intp]) -> Shots:
    """The frames `picks` `[P]` of a rollout `[F, H, W, 3]`."""
    return Shots(frames[picks], features(frames[picks]))


def differences(one: Shots, other: Shots) -> dict[str, Scores]:
    """PSNR, SSIM and DFD of each pair of shots, `[P]`."""
    if not len(one):
        return {metric: np.zeros(0) for metric in ("psnr", "ssim", "dfd")}
    return {
        "psnr": psnr(one.frames, other.frames),
        "ssim": ssim(one.frames, other.frames),
        "dfd": feature_distance(one.features, other.features),
    }


def means_of(scores: dict[str, Scores], prefix: str = "") -> dict[str, float]:
    """Mean of each score, its name after `prefix`; NaN where there are none."""
    return {prefix + name: nanmean(values) for name, values in scores.items()}


def energy_ratio(made: Shots, truth: Shots) -> float:
    """Gradient energy of all shots over that of the truth's; NaN where there are none."""
    if not len(made):
        return float("nan")
    return float(gradient_energy(made.frames).mean() / max(gradient_energy(truth.frames).mean(), 1e-9))
