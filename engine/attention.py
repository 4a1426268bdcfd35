"""Softmax attention, one place: `softmax(q k^T / sqrt(D) + bias) v`.

On a CPU two batched matrix products around a softmax beat the fused kernel for this project's short sequences; on CUDA
the fused kernel wins. Both are the same function (tests/engine/test_attention.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(q_BNLD: Tensor, k_BNKD: Tensor, v_BNKD: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention output `[B, N, L, D]`; `bias` is added to the scores and broadcasts to `[B, N, L, K]`."""
    if q_BNLD.is_cuda:
        return F.scaled_dot_product_attention(q_BNLD, k_BNKD, v_BNKD, attn_mask=bias)
    B, N, L, D = q_BNLD.shape
    q, k, v = (x.reshape(B * N, -1, D) for x in (q_BNLD * D**-0.5, k_BNKD, v_BNKD))
    scores = torch.bmm(q, k.mT)
    if bias is not None:
        scores = (scores.view(B, N, L, -1) + bias).flatten(0, 1)
    return torch.bmm(scores.softmax(-1), v).view(B, N, L, D)
