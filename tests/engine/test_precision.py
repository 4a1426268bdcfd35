"""The choice of arithmetic is a measurement: it follows the rates and moves nothing else."""

from __future__ import annotations

import contextlib

import pytest
import torch

import engine.precision
from engine.errors import WanderError
from engine.precision import autocast, cast_once, compute_dtype, decoder_device
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


def test_a_decoder_stands_beside_the_transformer_unless_a_device_of_this_machine_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    beside = torch.device("cuda", 0)
    assert decoder_device("", beside) == beside
    assert decoder_device("cuda:1", beside) == torch.device("cuda", 1)
    assert decoder_device("cpu", beside) == torch.device("cpu")
    with pytest.raises(
        WanderError, match="cuda:2 is none of this machine's 3 devices; choose one of cpu, cuda:0, cuda:1"
    ):
        decoder_device("cuda:2", beside)


def test_weights_that_are_cast_once_give_the_same_numbers_to_the_bit():
    conv, norm, linear = torch.nn.Conv2d(3, 8, 3), torch.nn.LayerNorm(288), torch.nn.Linear(288, 4)
    layers = torch.nn.Sequential(conv, torch.nn.Flatten(), norm, linear).requires_grad_(False)
    picture = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        before = layers(picture)
        cast_once(layers, torch.bfloat16)
        assert torch.equal(layers(picture), before)
    assert conv.weight.dtype == linear.bias.dtype == torch.bfloat16 and norm.weight.dtype == torch.float32


def test_weights_stay_as_they_are_where_float32_is_faster():
    layer = torch.nn.Linear(4, 4)
    weight = layer.weight.clone()
    cast_once(layer, torch.float32)
    assert torch.equal(layer.weight, weight)
