"""The engine's attention is softmax attention, by whatever kernel; a kernel that is not is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine import attention
from engine.attention import ALLOWED, KERNELS, attend, checked, reference, using
from engine.errors import WanderError

CPU = torch.device("cpu")


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["auto", "reference", "sdpa"])
@pytest.mark.parametrize("head", [24, 128])
def test_right_kernels_are_accepted(name, head, dtype):
    assert checked(name, head, CPU, dtype) == name


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def unscaled(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def without_the_last_tile(q, k, v):
    return reference(q, k[:, :, :192], v[:, :, :192])


def of_another_head(q, k, v):
    return reference(q, k.flip(1), v)


def not_finite(q, k, v):
    return reference(q, k, v) * float("nan")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wrong", [causal, unscaled, without_the_last_tile, of_another_head, not_finite])
def test_a_wrong_kernel_is_refused_with_the_measured_and_the_allowed_error(wrong, dtype, monkeypatch):
    monkeypatch.setitem(KERNELS, "sdpa", wrong)
    allowed = f"{ALLOWED[dtype]:.2g}"
    with pytest.raises(WanderError, match=rf"'sdpa' is wrong on cpu .* error \S+ .*, allowed {allowed}; choose auto"):
        checked("sdpa", 32, CPU, dtype)


def test_a_kernel_that_writes_into_what_it_reads_is_refused(monkeypatch):
    # as SageAttention's own function does with the keys, which a released network keeps
    monkeypatch.setitem(KERNELS, "sdpa", lambda q, k, v: reference(q, k.sub_(k.mean(2, keepdim=True)), v))
    with pytest.raises(WanderError, match="changes the tensors it reads"):
        checked("sdpa", 32, CPU, torch.float32)


def test_a_kernel_that_fails_is_one_sentence(monkeypatch):
    monkeypatch.setitem(KERNELS, "sdpa", lambda q, k, v: q @ k)
    with pytest.raises(WanderError, match=r"'sdpa' fails on cpu for heads of 32 \(.*\); choose auto"):
        checked("sdpa", 32, CPU, torch.float32)


def test_sage_without_a_gpu_says_what_it_needs():
    with pytest.raises(WanderError, match="needs an NVIDIA GPU, this process computes on cpu; choose auto"):
        checked("sage", 128, CPU, torch.bfloat16)


def test_sage_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda name: None if name == "sageattention" else object())
    with pytest.raises(WanderError, match=r"needs the package sageattention.*requirements.lock \[gpu\], or choose"):
        checked("sage", 128, torch.device("cuda"), torch.bfloat16)


def test_sage_with_heads_it_has_no_kernel_for_is_refused(monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda _name: object())
    with pytest.raises(WanderError, match="heads of 64, 96, 128 channels, these have 48"):
        checked("sage", 48, torch.device("cuda"), torch.bfloat16)


def test_an_unknown_kernel_is_refused():
    with pytest.raises(WanderError, match="the 4 kernels are auto, reference, sdpa, sage"):
        checked("flash", 128, CPU, torch.float32)


def test_a_kernel_is_in_force_within_its_context_alone(monkeypatch):
    calls: list[str] = []
    monkeypatch.setitem(KERNELS, "sdpa", lambda q, k, v: calls.append("sdpa") or reference(q, k, v))
    q, k, v = torch.randn(3, 1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    with using("sdpa"):
        attend(q, k, v)
        attend(q, k, v, torch.zeros(1, 1, 4, 4))  # a bias: only `auto` reads it
        with using("reference"):
            attend(q, k, v)
        attend(q, k, v)
    attend(q, k, v)
    assert calls == ["sdpa", "sdpa"]
