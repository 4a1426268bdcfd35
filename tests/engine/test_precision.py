"""The choice of arithmetic is a measurement: it follows the rates and moves nothing else."""

from __future__ import annotations

import contextlib

import pytest
import torch

import engine.precision
from engine.precision import autocast, compute_dtype
from engine.throughput import gemm_gflops


@pytest.mark.parametrize("fast, chosen", [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_faster_precision_is_chosen_however_busy_the_machine_is_once(monkeypatch, fast, chosen):
    measured: list[torch.dtype] = []

    def rate(dtype: torch.dtype, **_: float) -> float:
        measured.append(dtype)
        disturbed = measured.count(dtype) == 1
        return 1.0 if disturbed else 5.0 if (dtype == torch.bfloat16) == (fast == "bf16") else 2.0

    monkeypatch.setattr("engine.precision.gemm_gflops", rate)
    monkeypatch.setattr("engine.precision._rates", engine.precision._rates.__wrapped__)
    assert compute_dtype.__wrapped__("cpu") == chosen
    assert engine.precision.peak_gflops() == 5.0 if fast == "bf16" else 2.0


def test_measuring_leaves_the_programs_random_numbers_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert gemm_gflops(torch.float32, size=16, seconds=0.0) > 0
    assert torch.equal(torch.rand(1), expected)


def test_float32_needs_no_autocast():
    device = torch.device("cpu")
    assert isinstance(autocast(device, torch.float32), contextlib.nullcontext)
    with autocast(device, torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
