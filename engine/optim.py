"""Optimisers: Muon for matrices inside the network, AdamW for everything else.

Muon replaces the gradient's momentum by the nearest semi-orthogonal matrix, found by a Newton-Schulz iteration, so that
all directions of a weight matrix learn at one speed. On this project's models it needs clearly fewer samples than AdamW
(LOG.md), and samples are what two cores lack.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine.errors import WanderError

_NEWTON_SCHULZ = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Quintic coefficients, one triple an iteration: singular values from 1/200 of the norm upwards end near 1."""


def orthogonalise(matrix: Tensor) -> Tensor:
    """The semi-orthogonal matrix nearest to `matrix` `[rows, columns]`, U V^T of its decomposition U S V^T.

    All iterations are polynomials of the Gram matrix, so the long side is multiplied only twice.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    gram = x @ x.T
    total: Tensor | None = None
    for a, b, c in _NEWTON_SCHULZ:
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        total = factor if total is None else factor @ total
        gram = factor @ gram @ factor
    x = x if total is None else total @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """Momentum, Nesterov, orthogonalised; convolutions are seen as `[out, in * kh * kw]`.

    The update has root mean square `lr * 0.2`, about what AdamW's has, so that one learning rate serves both.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer: Tensor = state["momentum"]
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"])
                flat = orthogonalise(update.flatten(1)).view_as(update)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(flat, alpha=-group["lr"] * 0.2 * max(update.shape[0], update.flatten(1).shape[1]) ** 0.5)


class Optimiser:
    """Muon and AdamW as one; `exclude` are prefixes of parameters that are left to AdamW whatever their shape."""

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float,
        weight_decay: float = 0.01,
        muon: bool = True,
        exclude: tuple[str, ...] = (),
    ) -> None:
        matrices, others = [], []
        for name, p in model.named_parameters():
            inner = p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 32 and not name.startswith(exclude)
            (matrices if muon and inner else others).append(p)
        self.parameters = [*matrices, *others]
        self.lr = lr
        adam = torch.optim.AdamW(others, lr, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
        self.parts: list[torch.optim.Optimizer] = [adam]
        if matrices:
            self.parts.append(Muon(matrices, lr, weight_decay=weight_decay))

    def step(self, rate: float, clip: float = 1.0) -> float:
        """One step at `rate` times the peak learning rate; returns the gradient's norm before clipping and clears it.

        Raises `WanderError` if that is not finite, before any parameter has changed.
        """
        norm = float(nn.utils.clip_grad_norm_(self.parameters, clip))
        if not math.isfinite(norm):
            raise WanderError(f"the gradient's norm is {norm}; resume the last state with a lower learning rate")
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = self.lr * rate
            part.step()
            part.zero_grad(set_to_none=True)
        return norm

    def state(self) -> list[dict[str, Tensor]]:
        """Every buffer of both optimisers, in parameter order, for a checkpoint."""
        return [
            {k: v for k, v in part.state[p].items() if isinstance(v, Tensor)}
            for part in self.parts
            for g in part.param_groups
            for p in g["params"]
        ]

    def load(self, state: list[dict[str, Tensor]]) -> None:
        """Takes back what `state` returned for the same model; raises `ValueError` for another number of parameters."""
        params = [(part, p) for part in self.parts for g in part.param_groups for p in g["params"]]
        if len(params) != len(state):
            raise ValueError(f"optimiser state has {len(state)} entries, the model needs {len(params)}")
        for (part, p), buffers in zip(params, state, strict=True):
            part.state[p] = {k: v.clone() for k, v in buffers.items()}


class Ema:
    """Moving average of a model's parameters; `decay` is reached after a warm-up of about `9 / (1 - decay)` steps."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the average towards the parameters of `model`."""
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, p in model.named_parameters():
            self.shadow[name].lerp_(p, 1 - keep)
