"""The engine's attention is softmax attention."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.attention import attend


@pytest.mark.parametrize("bias_shape", [None, (2, 1, 1, 7), (2, 3, 5, 7)])
def test_it_equals_the_fused_kernel(bias_shape):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 8, generator=generator) for length in (5, 7, 7))
    bias = None if bias_shape is None else torch.randn(bias_shape, generator=generator)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    assert torch.allclose(attend(q, k, v, bias), expected, atol=1e-6)


def test_a_key_with_a_bias_of_minus_a_milliard_is_not_seen():
    q, k, v = torch.randn(3, 1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    bias = torch.tensor([0.0, 0, 0, -1e9]).expand(1, 1, 1, 4)
    assert torch.allclose(attend(q, k, v, bias), attend(q, k[:, :, :3], v[:, :, :3]), atol=1e-6)
