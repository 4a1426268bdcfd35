"""Weights of the released transformers in 8 bits, through torchao: half the memory, and faster products on GPUs.

Only the linear layers of the blocks change, where nearly all weights are. `int8` and `fp8` round what the layers read
as well, token by token, and multiply in 8 bits; layers that read a row a latent (modulation) or run once a prompt (the
8B's text stream) round their weights alone. With `-weights` all layers do. How far a network's velocities move is
measured: tests/engine/test_quantise.py states the bounds.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from engine.errors import WanderError
from engine.rollout import Autoregressive
from engine.worldplay_5b import WorldPlay5B

PRECISIONS = ("full", "int8-weights", "int8", "fp8-weights", "fp8")
FP8_CAPABILITY = 89
"""Compute capability, times ten, from which a GPU multiplies 8-bit floating-point numbers."""
FEW_ROWS = ("mod.", "txt.")
"""Parts of the 8B's blocks whose layers keep what they read as it is."""


def blocks_of(network: Autoregressive) -> nn.ModuleList:
    """The repeated blocks of a released transformer."""
    return network.blocks if isinstance(network, WorldPlay5B) else network.double_blocks


def quantise(network: Autoregressive, precision: str, device: torch.device) -> Autoregressive:
    """The same network, its blocks' weights in `precision` (of `PRECISIONS`), which will compute on `device`.

    It works in place, block by block, so that no second copy of the weights is ever held. Raises `WanderError` where
    package or hardware lack.
    """
    if precision not in PRECISIONS:
        raise WanderError(f"there are no weights {precision!r}; the {len(PRECISIONS)} are {', '.join(PRECISIONS)}")
    if precision == "full":
        return network
    many, few = _recipes(precision, device)
    from torchao.quantization import quantize_

    for block in blocks_of(network):
        quantize_(block, few, lambda layer, name: isinstance(layer, nn.Linear) and _few_rows(name))
        quantize_(block, many, lambda layer, name: isinstance(layer, nn.Linear) and not _few_rows(name))
    return network


def _few_rows(name: str) -> bool:
    return any(part in name for part in FEW_ROWS)


def _recipes(precision: str, device: torch.device) -> tuple[Any, Any]:
    """torchao's configurations: of layers that read many rows, of those that read few."""
    if find_spec("torchao") is None:
        raise WanderError(f"weights={precision} needs the package torchao, 1 package that is not installed; "
                          "install requirements.lock [gpu], or choose full")  # fmt: skip
    if precision == "fp8":
        major, minor = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
        if 10 * major + minor < FP8_CAPABILITY:
            where = f"this one has {major}.{minor}" if major else f"this process is on {device}"
            raise WanderError("weights=fp8 needs a GPU of compute capability 8.9 (RTX 4090, H100) or later, "
                              f"{where}; choose fp8-weights or int8")  # fmt: skip
    from torchao import quantization as ao

    if precision.startswith("int8"):
        few = ao.Int8WeightOnlyConfig()
        return (ao.Int8DynamicActivationInt8WeightConfig() if precision == "int8" else few), few
    few = ao.Float8WeightOnlyConfig()
    rows = ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow())
    return (rows if precision == "fp8" else few), few
