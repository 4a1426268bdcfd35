"""Streamed blocks give the same numbers from two rooms."""

from __future__ import annotations

import copy
import gc
import weakref
from importlib.util import find_spec

import pytest
import torch

from engine.offload import Streamed, numbers, offload
from engine.quantise import blocks_of, quantise
from engine.worldplay_8b import WorldPlay8B
from tests.engine.tiny_released import PRESETS
from tests.engine.tiny_velocities import fixture_network, velocities

CPU = torch.device("cpu")
DEVICES = [CPU, *([torch.device("cuda")] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_velocities_are_the_same_to_the_bit(preset):
    exact = velocities(fixture_network(preset), preset)
    streamed = offload(fixture_network(preset), CPU)
    assert torch.equal(velocities(streamed, preset), exact)
    assert torch.equal(velocities(streamed, preset), exact)  # the rooms hold other blocks than at the first time


@pytest.mark.skipif(find_spec("torchao") is None, reason="torchao is not installed: [gpu] of the lock")
def test_quantised_blocks_stream_as_well():
    exact = velocities(quantise(fixture_network("worldplay-8b"), "int8", CPU), "worldplay-8b")
    streamed = offload(quantise(fixture_network("worldplay-8b"), "int8", CPU), CPU)
    assert torch.equal(velocities(streamed, "worldplay-8b"), exact)


def blocks(count: int) -> torch.nn.ModuleList:
    return torch.nn.ModuleList([torch.nn.Linear(3, 3) for _ in range(count)])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_block_comes_in_its_turn_whatever_their_number(count, device):
    layers = blocks(count)
    weights = [layer.weight.detach().clone() for layer in layers]
    streamed = Streamed(layers, device)
    for _ in range(3):
        seen = [block.weight.detach().cpu().clone() for block in streamed]
        assert len(seen) == len(streamed) == count and all(map(torch.equal, seen, weights))


def test_the_next_block_is_on_its_way_while_one_computes():
    layers = blocks(5)
    weights = [layer.weight.detach().clone() for layer in layers]
    streamed = Streamed(layers, CPU)
    for index, block in enumerate(streamed):
        beside = next(room for room in streamed.children() if room is not block)
        assert torch.equal(beside.weight, weights[(index + 1) % 5])


def test_a_pass_that_breaks_off_leaves_the_next_one_right():
    layers = blocks(4)
    weights = [layer.weight.detach().clone() for layer in layers]
    streamed = Streamed(layers, CPU)
    for broken in range(4):
        for index, _ in enumerate(streamed):
            if index == broken:
                break
        assert all(torch.equal(block.weight, weight) for block, weight in zip(streamed, weights, strict=True))


def test_two_rooms_are_all_the_device_holds_and_they_never_move():
    network = fixture_network("worldplay-8b")
    assert isinstance(network, WorldPlay8B)
    network.double_blocks.extend(copy.deepcopy(block) for block in [*network.double_blocks] * 2)  # 6 blocks
    whole = sum(part.nbytes for part in numbers(blocks_of(network)))
    gone = weakref.ref(blocks_of(network)[0])
    streamed = blocks_of(offload(network, CPU))
    assert isinstance(streamed, Streamed) and 3 * streamed.held == whole
    places = [part.data_ptr() for part in numbers(streamed)]
    velocities(network, "worldplay-8b")
    gc.collect()
    assert gone() is None and [part.data_ptr() for part in numbers(streamed)] == places
