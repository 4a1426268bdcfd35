"""Which arithmetic a network runs in on this machine: bfloat16 where its matrix products are faster, float32 elsewhere.

Server CPUs with AVX-512 bf16 multiply five times faster in bfloat16; older ones emulate it eight times *slower*. So it
is measured, once a process.
"""

from __future__ import annotations

import contextlib
from functools import cache

import torch
from torch import Tensor, nn

from engine.errors import WanderError
from engine.throughput import gemm_gflops

ROUNDS = 3
"""Measurements of each precision."""
PRECISIONS = (torch.float32, torch.bfloat16)
_adopted: dict[torch.dtype, float] = {}
"""What another process has measured, if that holds here."""


def default_device() -> torch.device:
    """The CUDA device of this process (the first, unless it has chosen another), or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def decoder_device(asked: str, beside: torch.device) -> torch.device:
    """Where the decoder stands that belongs to a transformer on `beside`: there, unless another device is `asked` for,
    "cpu" or one of this machine's CUDA devices, such as "cuda:1".

    Raises `WanderError` if there is no such device.
    """
    if not asked:
        return beside
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if asked not in known:
        raise WanderError(
            f"--decoder-device {asked} is none of this machine's {len(known)} devices; choose one of {', '.join(known)}"
        )
    return torch.device(asked)


def measured() -> Tensor:
    """Matrix products on this CPU in float32 and bfloat16, in 10^9 operations a second, float64 `[2]`."""
    return torch.tensor([*_rates().values()], dtype=torch.float64)


def adopt(rates: Tensor) -> None:
    """Choose from here on as the machine does that measured these rates: ranks of one world must agree."""
    _adopted.update(zip(PRECISIONS, rates.tolist(), strict=True))
    _rates.cache_clear()
    compute_dtype.cache_clear()


@cache
def _rates() -> dict[torch.dtype, float]:
    """Matrix products on this CPU, in 10^9 operations a second, of each precision."""
    if _adopted:
        return dict(_adopted)
    best = dict.fromkeys(PRECISIONS, 0.0)
    for dtype in ROUNDS * tuple(best):  # in turns, so that other work on the machine can't decide
        best[dtype] = max(best[dtype], gemm_gflops(dtype, size=384, seconds=0.01))
    return best


def peak_gflops() -> float:
    """Matrix products on this CPU in the precision that is chosen, in 10^9 operations a second."""
    return max(_rates().values())


@cache
def compute_dtype(device_type: str) -> torch.dtype:
    """bfloat16 or float32, whichever multiplies faster on this device (CUDA: bfloat16)."""
    if device_type == "cuda":
        return torch.bfloat16
    rates = _rates()
    return torch.bfloat16 if rates[torch.bfloat16] > rates[torch.float32] else torch.float32


def autocast(device: torch.device, dtype: torch.dtype | None = None) -> contextlib.AbstractContextManager[object]:
    """Autocast to `dtype` (default: the machine's own choice); no context at all for float32."""
    chosen = dtype or compute_dtype(device.type)
    return contextlib.nullcontext() if chosen == torch.float32 else torch.autocast(device.type, chosen)


def cast_once(network: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Casts, in place, the weights that `autocast` would cast at every call; what the network says stays the same to
    the bit, as long as it runs under `autocast`. For networks that learn no more."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.to(dtype or compute_dtype(layer.weight.device.type))
