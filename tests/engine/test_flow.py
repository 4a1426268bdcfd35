"""Flow matching: a straight path from noise to clean, and levels along it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from engine.flow import LEAD, corrupt, euler, sample, sample_levels, schedule, shift_levels

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


def gaussian(mean: float, spread: float, saw: list[float] | None = None):
    """The exact velocity of latents that are normal with this mean and standard deviation."""

    def velocity(x: torch.Tensor, level: float) -> torch.Tensor:
        if saw is not None:
            saw.append(level)
        gain = (1 - level) * spread**2 / ((1 - level) ** 2 * spread**2 + level**2)
        clean = mean + gain * (x - (1 - level) * mean)
        return (x - clean) / level

    return velocity


def drawn(steps: int, lead: float, mean: float = 0.7, spread: float = 0.4) -> torch.Tensor:
    noises = torch.randn(steps, 20000, generator=torch.Generator().manual_seed(1))
    return sample(gaussian(mean, spread), noises, schedule(steps, 5.0).tolist(), lead)


def test_a_known_clean_latent_is_reached_in_any_number_of_steps_with_any_lead():
    for steps, lead in ((1, 0.0), (4, 0.25), (7, 0.5)):
        made = sample(gaussian(0.7, 0.0), torch.randn(steps, 50), schedule(steps, 3.0).tolist(), lead)
        torch.testing.assert_close(made, torch.full((50,), 0.7))


def test_a_sample_with_no_lead_and_nothing_renewed_takes_euler_steps():
    levels, x = schedule(5, 3.0).tolist(), torch.randn(5, 40, generator=torch.Generator().manual_seed(2))
    expected, velocity = x[0], gaussian(0.3, 0.6)
    for level, next_level in pairwise(levels):
        expected = euler(expected, velocity(expected, level), level, next_level)
    torch.testing.assert_close(sample(velocity, x, levels), expected)


def test_few_steps_draw_too_narrowly_and_the_lead_widens_that():
    mean, spread = drawn(4, LEAD).mean(), [float(drawn(4, lead).std()) for lead in (0.0, LEAD)]
    assert float(mean) == pytest.approx(0.7, abs=0.02) and spread[0] < spread[1] < 0.4 * 1.25


def test_what_is_renewed_forgets_the_start_and_what_is_not_follows_from_it():
    noises = torch.randn(4, 2000, generator=torch.Generator().manual_seed(3))
    other = torch.cat([noises[:1].flip(-1), noises[1:]])
    levels, velocity = schedule(4, 5.0).tolist(), gaussian(0.0, 1.0)

    def change(renewed: float) -> float:
        made = [sample(velocity, each, levels, LEAD, renewed) for each in (noises, other)]
        return float((made[0] - made[1]).std())

    assert change(1.0) < 0.5 * change(0.0)
    later = torch.cat([noises[:1], noises[1:].flip(-1)])
    assert torch.equal(sample(velocity, noises, levels, LEAD), sample(velocity, later, levels, LEAD))


def test_a_sample_asks_once_for_every_level_and_returns_the_estimate_of_the_step_it_exits_after():
    levels, noises, saw = schedule(4, 3.0).tolist(), torch.randn(4, 10), list[float]()
    sample(gaussian(0.0, 1.0, saw), noises, levels)
    assert saw == levels[:4]
    first = sample(gaussian(0.0, 1.0), noises, levels, 0.25, 1.0, exit_after=1)
    assert torch.equal(first, euler(noises[0], gaussian(0.0, 1.0)(noises[0], 1.0), 1.0, 0.0))
    whole = sample(gaussian(0.0, 1.0), noises, levels, 0.25, 1.0)
    assert torch.equal(sample(gaussian(0.0, 1.0), noises, levels, 0.25, 1.0, 4), whole)


def test_the_lead_is_a_share_of_the_second_order_term_of_uneven_steps():
    estimates, levels, x = iter([CLEAN, NOISE]), [1.0, 0.8, 0.0], torch.zeros_like(CLEAN)

    def velocity(x: torch.Tensor, level: float) -> torch.Tensor:
        return (x - next(estimates)) / level

    expected = NOISE + 0.5 * (0.8 - 0.0) / (1.0 - 0.8) * (NOISE - CLEAN)
    torch.testing.assert_close(sample(velocity, [x, x], levels, 0.5), expected)
