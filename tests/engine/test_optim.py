"""The optimisers: orthogonal updates of equal size, states that come back, no step on numbers that are none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.errors import WanderError
from engine.optim import Ema, Muon, Optimiser, orthogonalise


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 48), nn.SiLU(), nn.Linear(48, 40), nn.SiLU(), nn.Linear(40, 4))


def learn(model: nn.Module, optimiser: Optimiser, steps: int) -> None:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        (model(x) - x[:, :4]).square().mean().backward()
        optimiser.step(1.0)


@pytest.mark.parametrize("shape", [(64, 64), (32, 200), (200, 32)])
def test_singular_values_that_are_not_tiny_become_about_1(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    before, after = (torch.linalg.svdvals(m) for m in (matrix, orthogonalise(matrix)))
    sound = int((before > matrix.norm() / 200).sum())
    assert sound >= 0.95 * len(before)
    assert after[:sound].min() > 0.7 and after.max() < 1.3


def test_orthogonalising_keeps_the_singular_directions():
    u, _, vt = torch.linalg.svd(torch.randn(40, 60, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    matrix = u @ torch.diag(torch.linspace(0.3, 1, 40)) @ vt
    assert torch.allclose(orthogonalise(matrix), u @ vt, atol=0.05)


@pytest.mark.parametrize("shape", [(64, 32), (32, 64), (32, 8, 3, 3)])
def test_an_update_has_a_root_mean_square_of_a_fifth_of_the_rate(shape):
    p = nn.Parameter(torch.zeros(shape))
    p.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 100
    Muon([p], lr=0.1).step()
    assert p.detach().square().mean().sqrt() == pytest.approx(0.02, rel=0.15)


def test_matrices_inside_go_to_muon_and_all_else_to_adam():
    model = network()
    inner = {id(p) for p in Optimiser(model, lr=1e-3).parts[1].param_groups[0]["params"]}
    assert inner == {id(model[2].weight)}  # type: ignore[index]
    assert len(Optimiser(model, lr=1e-3, exclude=("2.",)).parts) == 1


def test_training_goes_on_from_a_saved_state_exactly():
    whole, first, second = network(), network(), network()
    learn(whole, Optimiser(whole, lr=1e-2), 6)
    halfway = Optimiser(first, lr=1e-2)
    learn(first, halfway, 3)
    second.load_state_dict(first.state_dict())
    resumed = Optimiser(second, lr=1e-2)
    resumed.load(halfway.state())
    learn(second, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_a_state_of_another_network_is_refused():
    with pytest.raises(ValueError, match="1 entries, the model needs 6"):
        Optimiser(network(), lr=1e-2).load([{}])


def test_a_gradient_that_is_not_finite_changes_nothing():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    (model(torch.ones(1, 8)).sum() * float("nan")).backward()
    with pytest.raises(WanderError, match="norm is nan"):
        Optimiser(model, lr=1e-2).step(1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_average_warms_up_and_then_moves_slowly():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Ema(model, 0.99)
    nn.init.ones_(model.weight)
    average.update(model)
    early = average.shadow["weight"].item()
    for _ in range(2000):
        average.update(model)
    nn.init.zeros_(model.weight)
    average.update(model)
    assert early == pytest.approx(9 / 11)
    assert average.shadow["weight"].item() == pytest.approx(0.99, abs=1e-3)
