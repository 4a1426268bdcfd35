"""Rotary positions: only differences count, lengths stay, resolutions agree."""

from __future__ import annotations

import pytest
import torch

from engine.rope import RopeConfig, canvas_positions, rope_table, rotate

CONFIG = RopeConfig(time=8, row=4, column=4, theta=100.0)


def vectors(count: int, seed: int) -> torch.Tensor:
    return torch.randn(1, count, 2, CONFIG.width, generator=torch.Generator().manual_seed(seed))


def scores(times: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    table = rope_table(times, rows, columns, CONFIG)
    q, k = rotate(vectors(len(table), 0), table), rotate(vectors(len(table), 1), table)
    return torch.einsum("blnd,bknd->bnlk", q, k)


@pytest.mark.parametrize("shift", [1.0, 17.0, 4000.0])
def test_a_common_shift_of_any_axis_changes_no_score(shift):
    axes = [torch.arange(3.0), torch.arange(2.0), torch.arange(2.0)]
    plain = scores(*axes)
    for axis in range(3):
        moved = [x + shift * (i == axis) for i, x in enumerate(axes)]
        assert torch.allclose(scores(*moved), plain, atol=1e-4)


def test_a_shift_of_one_token_alone_changes_scores():
    zero = torch.zeros(1)
    assert not torch.allclose(scores(torch.tensor([0.0, 1]), zero, zero), scores(torch.tensor([0.0, 2]), zero, zero))


def test_rotation_keeps_lengths_and_dtype():
    table = rope_table(torch.arange(5.0), torch.arange(2.0), torch.arange(3.0), CONFIG)
    x = vectors(30, 0)
    assert torch.allclose(rotate(x, table).norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    assert rotate(x.bfloat16(), table).dtype == torch.bfloat16


def test_tokens_are_ordered_time_row_column():
    table = rope_table(torch.tensor([0.0, 5]), torch.arange(2.0), torch.arange(3.0), CONFIG)
    alone = rope_table(torch.tensor([5.0]), torch.tensor([1.0]), torch.tensor([2.0]), CONFIG)
    assert torch.allclose(table[1 * 6 + 1 * 3 + 2], alone[0])


def test_the_same_picture_at_half_the_resolution_has_the_same_positions():
    fine, coarse = canvas_positions(10, 10.0), canvas_positions(5, 10.0)
    assert torch.allclose(fine.view(5, 2).mean(1), coarse)
