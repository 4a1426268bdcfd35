"""Processes that train one network together (torchrun): each takes a part of every batch, gradients are averaged.

This is the one seam between training and `torch.distributed`. A network that is sharded over the processes instead
(FSDP averages gradients by itself) needs another `average`, nothing else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from engine.errors import WanderError
from engine.parallel import join
from engine.precision import default_device

PATIENCE = 1800.0
"""Seconds that the others wait while rank 0 evaluates and saves."""


@dataclass(frozen=True, slots=True)
class Replicas:
    """This process among those that train together; alone by default."""

    rank: int = 0
    size: int = 1

    def part(self, samples: int) -> range:
        """This process's samples of a batch. Raises `WanderError` if the processes don't divide it."""
        if samples % self.size:
            raise WanderError(f"a batch of {samples} can't be shared by {self.size} processes; make it a multiple")
        own = samples // self.size
        return range(self.rank * own, (self.rank + 1) * own)

    @torch.no_grad()
    def alike(self, module: nn.Module) -> None:
        """Gives every process the weights of the first."""
        if self.size > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor, 0)

    @torch.no_grad()
    def average(self, module: nn.Module) -> None:
        """Replaces gradients by their means over the processes, in one exchange; a parameter that nobody used keeps
        none."""
        if self.size == 1:
            return
        parameters = [p for p in module.parameters() if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=parts[0].device)
        flat = torch.cat([*(part.flatten().float() for part in parts), used])
        dist.all_reduce(flat)
        sizes = [p.numel() for p in parameters]
        *means, counts = (flat / self.size).split([*sizes, len(parameters)])
        for p, mean, count in zip(parameters, means, counts.tolist(), strict=True):
            p.grad = mean.view_as(p).to(p.dtype) if count else None

    def said(self, number: float) -> float:
        """The first process's number, on all."""
        if self.size == 1:
            return number
        tensor = torch.tensor([number], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return float(tensor)

    @property
    def device(self) -> torch.device:
        """Where this process computes: under torchrun the GPU of its local rank."""
        device = default_device()
        if device.type == "cpu" or self.size == 1:
            return device
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def gathered() -> Replicas:
    """The processes that torchrun started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Replicas()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    ranks = join(interface=os.environ.get("WANDER_INTERFACE", "lo"), timeout=PATIENCE)
    return Replicas(ranks.rank, ranks.size)
