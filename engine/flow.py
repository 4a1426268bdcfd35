"""Flow matching: noise levels, the straight path, the velocity, few-step schedules (paper §3.1, equation 1; SPEC 5).

A level t runs from 0 (clean) to 1 (noise); the path is x = (1 - t) clean + t noise; the velocity is noise minus clean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

SHIFT = 5.0
"""Of the levels at which `pocket` is sampled."""
LEAD = 0.35
"""How far its clean estimates are carried on; `sample` says how. 0.25 is nearer to the truth by DFD and PSNR, but its
gradient energy is below seven tenths of the truth's (LOG.md)."""


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


def sample(
    velocity: Callable[[Tensor, float], Tensor],
    noises: Sequence[Tensor] | Tensor,
    levels: Sequence[float],
    lead: float = 0.0,
    renewed: Tensor | float = 0.0,
    exit_after: int | None = None,
) -> Tensor:
    """Clean latents in few steps, in float32; with no lead and nothing renewed, Euler's.

    `velocity(x, level)` is the network; `noises` has one a step between `levels`, the first is the start; `exit_after`
    so many steps the estimate of the latents is returned. An estimate is carried on in the direction in which it moved
    since the one before, by `lead` times the second-order term: few steps otherwise end near the mean of all that could
    be there. `renewed`, 0..1, is how much of the noise is new at every level: new noise forgets the errors of the steps
    before, which is good where the answer is known, and with them what they have invented, which is not.
    """
    steps = exit_after or len(levels) - 1
    x, before, last, renewed = noises[0], None, 1.0, torch.as_tensor(renewed)
    for number, (level, next_level) in enumerate(pairwise(levels[: steps + 1])):
        moved = velocity(x, level).float()
        clean = euler(x, moved, level, 0.0)
        ahead = clean if before is None else clean + lead * (level - next_level) / (last - level) * (clean - before)
        if number + 1 == steps:
            return ahead
        noise = (1 - renewed**2).sqrt() * (clean + moved) + renewed * noises[number + 1]
        x = (1 - next_level) * ahead + next_level * noise
        before, last = clean, level
    raise ValueError(f"levels must fall from 1 to 0 in at least one step, got {list(levels)}")
