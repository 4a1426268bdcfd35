"""Point by point what `plan --measure` times, and that it says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from engine import measure_released
from engine.cost import flops, parameters
from engine.errors import WanderError
from engine.measure_released import HISTORIES, MIDDLE_5B, MIDDLE_8B, TINY_5B, TINY_8B, WORKS, build, measure, past
from engine.plan import run
from engine.released_world import ReleasedWorld
from engine.world import WorldSpec
from tests.engine.tiny_velocities import FIXTURES
from tests.parity.networks import config_5b, config_8b

PRESETS = tuple(WORKS["tiny"])


def test_tiny_is_the_configuration_of_the_public_fixtures():
    for work, transformer, loop in ((TINY_5B, "wp5b_ar_a", "rollout_wan"), (TINY_8B, "wp8b_ar_a", "rollout_8b")):
        header, case = FIXTURES[transformer].header, FIXTURES[loop].header["cases"][0]
        make = config_5b if work is TINY_5B else config_8b
        assert work.config == make(header["config"]) and work.grid == tuple(case["grid_hw"])
        assert len(work.recipe.levels) == case["steps"] + 1 and work.recipe.chunk == case["chunk_latents"]


def test_middle_has_about_a_hundred_million_parameters_and_the_heads_of_the_released_models():
    for preset, work in WORKS["middle"].items():
        with torch.device("meta"):
            model = build(preset, work, torch.device("meta"), torch.float32)
        count = parameters(model.transformer) + parameters(model.vae)
        assert 90e6 < count < 115e6 and work.config.head_width == 128
    assert type(MIDDLE_5B.recipe) is type(MIDDLE_8B.recipe)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_past_fills_the_context_so_that_a_clip_is_retrieved(preset):
    work = WORKS["tiny"][preset]
    world = ReleasedWorld(build(preset, work, torch.device("cpu"), torch.float32), WorldSpec(seed=0, prompt=""),
                          past(work, measure_released.PAST))  # fmt: skip
    assert len(world._owner) > work.context + work.recipe.memory.spatial_latents
    assert np.allclose(np.linalg.det(world._poses[:, :3, :3]), 1, atol=1e-5)


def test_a_measurement_holds_what_was_timed_beside_what_was_predicted(monkeypatch):
    monkeypatch.setattr(measure_released, "HISTORIES", (64,))
    found = measure("worldplay-5b", "tiny", chunks=1)
    assert found.gflop == flops(TINY_5B).total / 1e9
    assert found.predicted_seconds == pytest.approx(found.gflop / found.gemm_gflops)
    assert found.ratio == pytest.approx(found.chunk_seconds / found.predicted_seconds)
    assert found.ratio > 1 and found.cpu_ratio > 1  # the prediction is a lower bound
    assert 0 < found.selection_ms[64] < 1e3 * found.chunk_seconds  # a part of the chunk


def test_the_verb_prints_lines_or_one_object(monkeypatch):
    asked: list[tuple[str, str, int]] = []
    example = measure_released.Measured(
        preset="worldplay-8b", size="tiny", parameters=8_200_000, picture=(80, 48), tokens=15, context=20, device="cpu",
        precision="float32", chunks=2, threads=1, chunk_seconds=0.5, chunk_cpu_seconds=0.25, gflop=2.0,
        gemm_gflops=100.0, predicted_seconds=0.02, selection_ms=dict.fromkeys(HISTORIES, 1.5),
        selection_cpu_ms=dict.fromkeys(HISTORIES, 1.25),
    )  # fmt: skip
    monkeypatch.setattr(measure_released, "measure", lambda *call: asked.append(call) or example)
    arguments = ["--measure", "--preset", "worldplay-8b", "--size", "tiny", "--chunks", "2"]
    shown = run(arguments)
    assert "measured is 25 times that, 12 times by time on the CPU" in shown and "1.5 (1.2) ms of 64" in shown
    told = json.loads(run([*arguments, "--json"]))
    assert told["measured"][0]["ratio"] == 25 and told["measured"][0]["cpu_ratio"] == 12.5
    assert asked == [("worldplay-8b", "tiny", 2)] * 2


@pytest.mark.parametrize(("arguments", "said"), [
    (["--preset", "pocket"], "the 2 are worldplay-5b, worldplay-8b"), (["--size", "huge"], "the 2 are tiny, middle"),
    (["--chunks", "0"], "less than 1"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused(arguments, said):
    with pytest.raises(WanderError, match=said):
        run(["--measure", *arguments])
