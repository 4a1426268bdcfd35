"""Flow matching: a straight path from noise to clean, and levels along it."""

from __future__ import annotations

import pytest
import torch

from engine.flow import corrupt, euler, sample_levels, schedule, shift_levels

CLEAN, NOISE = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("steps, shift", [(1, 1.0), (4, 3.0), (16, 5.0)])
def test_a_schedule_falls_from_noise_to_clean(steps, shift):
    levels = schedule(steps, shift)
    assert len(levels) == steps + 1 and levels[0] == 1 and levels[-1] == 0
    assert (levels[1:] < levels[:-1]).all()


def test_a_shift_of_one_changes_nothing_and_a_larger_one_moves_towards_noise():
    levels = torch.linspace(0.1, 0.9, 9)
    assert torch.allclose(shift_levels(levels, 1.0), levels)
    assert (shift_levels(levels, 3.0) > levels).all()


def test_level_0_is_clean_and_level_1_is_noise():
    levels = torch.tensor([0.0, 1.0, 0.5])
    mixed = corrupt(CLEAN, NOISE, levels)
    assert torch.equal(mixed[0], CLEAN[0]) and torch.equal(mixed[1], NOISE[1])
    assert torch.allclose(mixed[2], (CLEAN[2] + NOISE[2]) / 2)


@pytest.mark.parametrize("level", [1.0, 0.3])
def test_with_the_true_velocity_one_step_reaches_the_clean_latents_from_anywhere(level):
    x = corrupt(CLEAN, NOISE, torch.full((3,), level))
    assert torch.allclose(euler(x, NOISE - CLEAN, level, 0.0), CLEAN, atol=1e-6)


def test_training_levels_are_inside_the_path_and_follow_from_the_generator():
    drawn = [sample_levels((200,), 2.5, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*drawn) and drawn[0].min() > 0 and drawn[0].max() < 1
    assert drawn[0].mean() > sample_levels((200,), 1.0, torch.Generator().manual_seed(5)).mean()
