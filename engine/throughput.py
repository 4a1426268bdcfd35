"""How fast this machine multiplies matrices: the peak that every speed figure is a share of."""

import time

import torch


def gemm_gflops(dtype: torch.dtype, *, size: int = 512, seconds: float = 0.4) -> float:
    """Best rate of a [size, size] x [size, size] product on the CPU, in 10^9 operations a second.

    Times single products for about `seconds` (at least one, after a first that is not counted) and takes the fastest,
    since other work on the machine can only slow one down.
    """
    generator = torch.Generator().manual_seed(0)  # a measurement must not move the program's own random numbers
    left, right = (torch.randn(size, size, generator=generator).to(dtype) for _ in range(2))
    out = left @ right
    best, stop = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < stop:
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9
