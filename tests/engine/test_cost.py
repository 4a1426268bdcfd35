"""The cost model against counted operations and bytes, at tiny sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine import cost, rollout
from engine.cost import Workload
from engine.geometry import WORLDPLAY_LENS, image_from_camera
from engine.released import Clip
from engine.rope import RopeConfig
from engine.vae_hunyuan import HunyuanVaeConfig
from engine.vae_wan import WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B
from engine.worldplay_8b_text import Prompt8B

TINY_5B = Workload(
    config=Config5B(width=48, heads=2, depth=3, feed_forward=80, latent_channels=4, text_width=8),
    vae=WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1),
    recipe=rollout.worldplay_5b(), grid=(4, 6), text=7, fps=16.0,
)  # fmt: skip
TINY_8B = Workload(
    config=Config8B(width=32, heads=2, depth=3, rope=RopeConfig(time=4, row=6, column=6, theta=256.0),
                    latent_channels=2, text_width=8, image_width=8, byt5_width=8, byt5_inner=8),
    vae=HunyuanVaeConfig(widths=(8, 8, 8, 8, 8), latent_channels=2),
    recipe=rollout.worldplay_8b(), grid=(2, 3), text=5 + 3, fps=24.0,
)  # fmt: skip
WORKS = {"5b": TINY_5B, "8b": TINY_8B}


def network(work: Workload) -> WorldPlay5B | WorldPlay8B:
    return WorldPlay5B(work.config) if isinstance(work.config, Config5B) else WorldPlay8B(work.config)


def clip(model: WorldPlay5B | WorldPlay8B, work: Workload, first: int, count: int) -> Clip:
    cameras = torch.eye(4).expand(count, 4, 4)
    lenses = torch.from_numpy(np.tile(image_from_camera(WORLDPLAY_LENS), (count, 1, 1)))
    channels = 4 if isinstance(model, WorldPlay5B) else 5
    geometry = model.geometry(range(first, first + count), work.grid, cameras, lenses)
    return Clip(torch.randn(1, count, channels, *work.grid), torch.zeros(count, dtype=torch.int64), geometry)


def read(model: WorldPlay5B | WorldPlay8B, work: Workload):
    if isinstance(model, WorldPlay5B):
        return model.read_prompt(torch.randn(1, work.text, 8))
    return model.read_prompt(Prompt8B(torch.randn(1, 5, 8), torch.randn(1, 0, 8), torch.randn(1, 3, 8)))


@pytest.mark.parametrize("name", WORKS)
@torch.inference_mode()
def test_the_operations_of_both_passes_are_the_counted_ones(name):
    work = WORKS[name]
    model = network(work)
    text = read(model, work)
    seen, new = clip(model, work, 0, 5), clip(model, work, 5, 4)
    with FlopCounterMode(display=False) as remembering:
        context = model.remember(seen, text)
    with FlopCounterMode(display=False) as denoising:
        model.velocity(new, 500.0, text, context)
    assert cost.call(work, 5, 0, head=False) == remembering.get_total_flops()
    assert cost.call(work, 4, 5) == denoising.get_total_flops()


@pytest.mark.parametrize("name", WORKS)
def test_a_chunk_is_one_context_pass_its_steps_and_its_decoding(name):
    work = WORKS[name]
    ops = cost.flops(work)
    assert ops.remember == cost.call(work, work.context, 0, head=False)
    assert ops.denoise == 4 * cost.call(work, 4, work.context)
    assert ops.decode == 4 * cost.decode_flops(work)
    assert 0 < ops.attention < ops.remember + ops.denoise


@pytest.mark.parametrize("name", WORKS)
@torch.inference_mode()
def test_weights_keys_and_values_take_the_counted_bytes(name):
    work = WORKS[name]
    model = network(work)
    held = cost.memory(work, number=4)
    text = read(model, work)
    context = model.remember(clip(model, work, 0, work.context), text)
    assert held.transformer == sum(p.nbytes for p in model.parameters())
    assert held.context == sum(t.nbytes for t in context.keys + context.values)
    assert held.text == sum(t.nbytes for part in text for t in (part.keys, part.values))


def test_ranks_share_keys_and_values_even_if_they_do_not_divide_the_heads():
    work = replace(TINY_5B, config=replace(TINY_5B.config, width=96, heads=4))
    one, three = cost.memory(work), cost.memory(work, ranks=3)
    assert three.context == one.context // 2
    assert three.transformer == one.transformer


def test_the_released_sizes_are_those_of_the_specification():
    sizes = {name: cost.memory(make()).transformer / 2 for name, make in cost.WORKLOADS.items()}
    assert sizes == {"worldplay-5b": 5_293_225_152, "worldplay-8b": 8_557_933_856}
    halved = cost.memory(cost.worldplay_8b()).context
    assert math.isclose(halved, 27.6e9 / 2, rel_tol=0.01)
    ops = cost.flops(cost.worldplay_8b())
    assert math.isclose(ops.remember + ops.denoise, 2.2e15, rel_tol=0.1)
    assert ops.attention > (ops.remember + ops.denoise) / 2
    small = cost.flops(cost.worldplay_5b())
    assert math.isclose(small.remember + small.denoise, 0.6e15, rel_tol=0.1)
