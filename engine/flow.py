"""Flow matching: noise levels, the straight path, the velocity, few-step schedules (paper §3.1, equation 1; SPEC 5).

A level t runs from 0 (clean) to 1 (noise); the path is x = (1 - t) clean + t noise; the velocity is noise minus clean.
"""

from __future__ import annotations

import torch
from torch import Tensor


def shift_levels(levels: Tensor, shift: float) -> Tensor:
    """Moves levels towards noise: s u / (1 + (s - 1) u)."""
    return shift * levels / (1 + (shift - 1) * levels)


def schedule(steps: int, shift: float) -> Tensor:
    """Levels `[steps + 1]` from 1 to 0, in float32 arithmetic as released."""
    return shift_levels(torch.linspace(1.0, 0.0, steps + 1), shift)


def sample_levels(shape: tuple[int, ...], shift: float, generator: torch.Generator) -> Tensor:
    """Training levels: logit-normal, then shifted."""
    return shift_levels(torch.sigmoid(torch.randn(shape, generator=generator)), shift)


def corrupt(clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """The point of the path at `levels`, which broadcast from the left."""
    t = levels.reshape(levels.shape + (1,) * (clean.ndim - levels.ndim))
    return (1 - t) * clean + t * noise


def euler(x: Tensor, velocity: Tensor, level: Tensor | float, next_level: Tensor | float) -> Tensor:
    """One Euler step along the path, in float32."""
    return x.float() + (next_level - level) * velocity.float()
