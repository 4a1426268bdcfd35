"""Quantised networks say nearly what the networks said; what the machine lacks is told in a sentence."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from engine import quantise as module
from engine.attention import relative_error
from engine.errors import WanderError
from engine.offload import plain
from engine.quantise import blocks_of, quantise
from tests.engine.tiny_released import PRESETS
from tests.engine.tiny_velocities import fixture_network, velocities

CPU = torch.device("cpu")
BOUNDS = {"int8-weights": 0.01, "int8": 0.015, "fp8-weights": 0.05}
"""Largest relative error of the tiny fixtures' velocities (widths 48 and 64, random weights)."""
needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed: [gpu] of the lock")


@needs_torchao
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("precision", BOUNDS)
def test_velocities_stay_within_the_stated_bound(precision, preset):
    exact = velocities(fixture_network(preset), preset)
    error = relative_error(velocities(quantise(fixture_network(preset), precision, CPU), preset), exact)
    assert 1e-4 < error < BOUNDS[precision]  # it is not exact: something was quantised


@needs_torchao
@pytest.mark.parametrize("preset", PRESETS)
def test_every_weight_of_the_blocks_is_in_8_bits_and_no_other(preset):
    network = quantise(fixture_network(preset), "int8", CPU)
    inside = [layer for layer in blocks_of(network).modules() if isinstance(layer, nn.Linear)]
    outside = [layer for layer in network.modules() if isinstance(layer, nn.Linear) and layer not in inside]
    assert inside and all(plain(layer.weight)[0].dtype == torch.int8 for layer in inside)
    assert outside and all(layer.weight.dtype == torch.float32 for layer in outside)


def test_full_weights_are_left_alone():
    network = fixture_network("worldplay-5b")
    before = velocities(network, "worldplay-5b")
    assert torch.equal(velocities(quantise(network, "full", CPU), "worldplay-5b"), before)


def test_without_torchao_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    with pytest.raises(WanderError, match=r"weights=int8 needs the package torchao.*requirements.lock \[gpu\]"):
        quantise(fixture_network("worldplay-5b"), "int8", CPU)


@pytest.mark.parametrize(("device", "capability", "said"), [
    (CPU, (0, 0), "this process is on cpu"), (torch.device("cuda"), (8, 6), "this one has 8.6"),
])  # fmt: skip
def test_fp8_without_the_hardware_says_what_it_needs(device, capability, said, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    with pytest.raises(WanderError, match=f"compute capability 8.9 .*{said}; choose fp8-weights or int8"):
        quantise(fixture_network("worldplay-5b"), "fp8", device)


def test_unknown_weights_are_refused():
    with pytest.raises(WanderError, match="there are no weights 'int4'; the 5 are full, int8-weights"):
        quantise(fixture_network("worldplay-5b"), "int4", CPU)
