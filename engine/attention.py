"""Softmax attention, one place: `softmax(q k^T / sqrt(D) + bias) v`, by a kernel that has a name.

On a CPU two batched matrix products around a softmax beat the fused kernel for this project's short sequences; on CUDA
the fused kernel wins: `auto` takes the one that suits. Who wants another (`engine.speed`) has it compared with the
float32 reference first (`checked`) and then puts it in force (`using`), as one does with autocast.

Shapes: queries `[B, N, L, D]`, keys and values `[B, N, K, D]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import WanderError

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys, values -> what is read, `[B, N, L, D]`. Must leave its arguments as they are."""
SAGE_HEADS = (64, 96, 128)
"""Channels of a head that SageAttention 1 has kernels for."""
ALLOWED = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Relative error that rounding explains, by the numbers that a kernel reads and writes."""
ALLOWED_8BIT = 5e-2
"""... of a kernel that multiplies queries and keys in 8 bits. Assumed: none has run on this project's machines."""


def attend(q_BNLD: Tensor, k_BNKD: Tensor, v_BNKD: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention output `[B, N, L, D]`; `bias` is added to the scores and broadcasts to `[B, N, L, K]`.

    With a bias it is always `auto`'s kernel, which alone reads one.
    """
    if bias is None and _in_force:
        return _in_force[-1](q_BNLD, k_BNKD, v_BNKD)
    if q_BNLD.is_cuda:
        return F.scaled_dot_product_attention(q_BNLD, k_BNKD, v_BNKD, attn_mask=bias)
    B, N, L, D = q_BNLD.shape
    q, k, v = (x.reshape(B * N, -1, D) for x in (q_BNLD * D**-0.5, k_BNKD, v_BNKD))
    scores = torch.bmm(q, k.mT)
    if bias is not None:
        scores = (scores.view(B, N, L, -1) + bias).flatten(0, 1)
    return torch.bmm(scores.softmax(-1), v).view(B, N, L, D)


def reference(q_BNLD: Tensor, k_BNKD: Tensor, v_BNKD: Tensor) -> Tensor:
    """By the definition, in float32 whatever the arguments are."""
    with torch.autocast(q_BNLD.device.type, enabled=False):
        q, k, v = q_BNLD.float(), k_BNKD.float(), v_BNKD.float()
        return ((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).to(v_BNKD.dtype)


def sdpa(q_BNLD: Tensor, k_BNKD: Tensor, v_BNKD: Tensor) -> Tensor:
    """torch's fused kernel."""
    return F.scaled_dot_product_attention(q_BNLD, k_BNKD, v_BNKD)


def sage(q_BNLD: Tensor, k_BNKD: Tensor, v_BNKD: Tensor) -> Tensor:
    """SageAttention: queries and keys in 8 bits. The package changes the keys that it is given, so it gets a copy."""
    from sageattention import sageattn

    dtype = torch.bfloat16 if v_BNKD.dtype == torch.float32 else v_BNKD.dtype
    q, v = (x.to(dtype).contiguous() for x in (q_BNLD, v_BNKD))
    return sageattn(q, k_BNKD.to(dtype, copy=True).contiguous(), v).to(v_BNKD.dtype)


KERNELS: dict[str, Kernel] = {"auto": attend, "reference": reference, "sdpa": sdpa, "sage": sage}
_in_force: list[Kernel] = []
"""The innermost choice is the last."""


@contextmanager
def using(name: str) -> Iterator[None]:
    """`attend` is the kernel of this name (a key of `KERNELS`) within the context."""
    if name == "auto":
        yield
        return
    _in_force.append(KERNELS[name])
    try:
        yield
    finally:
        _in_force.pop()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected; infinite where a number is not finite."""
    error = float((found.double() - expected.double()).norm() / expected.double().norm())
    return error if error == error else float("inf")


def checked(name: str, head: int, device: torch.device, dtype: torch.dtype) -> str:
    """`name`, if the kernel is what it should be for heads of `head` channels on this device, in these numbers.

    Compared with `reference` on random tensors: several heads, more keys than queries and neither a multiple of a tile,
    keys off centre as a network's are. Raises `WanderError` for a kernel that this machine lacks or that is wrong.
    """
    if name not in KERNELS:
        raise WanderError(f"there is no attention {name!r}; the {len(KERNELS)} kernels are {', '.join(KERNELS)}")
    if name == "sage":
        _can_sage(head, device)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, length, head, generator=generator) for length in (75, 203, 203))
    k += torch.randn(1, 2, 1, head, generator=generator)
    q, k, v = given = [x.to(device, dtype) for x in (q, k, v)]
    before = [x.clone() for x in given]
    allowed = max(ALLOWED[dtype], ALLOWED_8BIT if name == "sage" else 0.0)
    try:
        with torch.inference_mode():
            error = relative_error(KERNELS[name](q, k, v), reference(*before))
    except Exception as problem:
        first = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise WanderError(f"attention {name!r} fails on {device} for heads of {head} ({first}); choose auto") from None
    if error > allowed:
        raise WanderError(f"attention {name!r} is wrong on {device} for heads of {head}: relative error {error:.2g} "
                          f"against the float32 reference, allowed {allowed:.2g}; choose auto")  # fmt: skip
    if not all(map(torch.equal, given, before)):
        raise WanderError(f"attention {name!r} changes the tensors it reads, 0 changes are allowed; choose auto")
    return name


def _can_sage(head: int, device: torch.device) -> None:
    """Raises `WanderError` where SageAttention can't run, and says what to do."""
    if device.type != "cuda":
        raise WanderError(f"attention 'sage' needs an NVIDIA GPU, this process computes on {device}; choose auto")
    missing = [package for package in ("sageattention", "triton") if find_spec(package) is None]
    if missing:
        raise WanderError(f"attention 'sage' needs the package {missing[0]}, 1 of 2 that are not all installed; "
                          "install requirements.lock [gpu], or choose auto")  # fmt: skip
    if head not in SAGE_HEADS:
        raise WanderError(f"attention 'sage' has kernels for heads of {', '.join(map(str, SAGE_HEADS))} channels, "
                          f"these have {head}; choose auto")  # fmt: skip
