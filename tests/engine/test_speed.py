"""The choices of `WANDER_SPEED`: read strictly, carried out, and told."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch

from engine import speed
from engine.attention import KERNELS, relative_error
from engine.errors import WanderError
from engine.graphs import Room
from engine.offload import Streamed
from engine.quantise import blocks_of
from engine.speed import Speed, compile_parts, hasten, parse, practice, wanted, warm_up
from tests.engine.tiny_released import PRESETS
from tests.engine.tiny_velocities import fixture_network, velocities

CPU = torch.device("cpu")
GRID = (4, 6)
ROOM = Room(context=0, text=0)


def test_nothing_said_is_the_network_as_released(monkeypatch):
    monkeypatch.delenv("WANDER_SPEED", raising=False)
    assert wanted() == Speed() and Speed().mark == ""


def test_all_choices_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("WANDER_SPEED", "weights=int8, attention=sdpa,offload,compile")
    assert wanted() == Speed(attention="sdpa", weights="int8", compile=True, offload=True)


@pytest.mark.parametrize(("text", "said"), [
    ("fast", "'fast', which is unknown or said twice; its 6 choices are attention=..., weights=..., compile, "
     "offload, graphs, decoder=..."),
    ("attention", "'attention', which is unknown"), ("offload=1", "'offload=1', which is unknown"),
    ("compile,compile", "said twice"), ("weights=int4", "'weights=int4'; the 5 choices are full, int8-weights, int8"),
    ("attention=", "'attention='; the 4 choices are auto, reference, sdpa, sage"),
])  # fmt: skip
def test_anything_else_is_refused_with_what_there_is(text, said):
    with pytest.raises(WanderError) as caught:
        parse(text)
    assert said in str(caught.value)


def test_what_changes_numbers_marks_the_world_and_what_does_not_does_not():
    assert parse("offload").mark == "" and parse("offload,weights=int8").mark == "weights=int8"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_network_can_be_hastened_and_says_the_same(preset):
    exact, told = velocities(fixture_network(preset), preset), []
    chosen = Speed(attention="sdpa", offload=True)
    network = hasten(
        fixture_network(preset), chosen, CPU, partial(practice, grid=GRID), lambda *news: told.append(news), ROOM
    )
    assert isinstance(blocks_of(network), Streamed) and told == [(0.0, "Moving the blocks to page-locked memory")]
    assert relative_error(velocities(network, preset), exact) < 1e-6


def test_a_wrong_attention_kernel_stops_the_start_before_anything_has_changed(monkeypatch):
    monkeypatch.setitem(KERNELS, "sdpa", lambda q, k, v: v[:, :, : q.shape[2]])
    network = fixture_network("worldplay-5b")
    with pytest.raises(WanderError, match="'sdpa' is wrong on cpu for heads of 24"):
        hasten(network, Speed(attention="sdpa", offload=True), CPU, partial(practice, grid=GRID), lambda *_: None, ROOM)
    assert not isinstance(blocks_of(network), Streamed)


def test_without_a_compiler_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(speed.shutil, "which", lambda _name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(WanderError, match=r"0 of g\+\+, clang\+\+, c\+\+ are installed; .* apt install g\+\+"):
        hasten(
            fixture_network("worldplay-5b"), Speed(compile=True), CPU, lambda _network: iter(()), lambda *_: None, ROOM
        )


@pytest.mark.parametrize("preset", PRESETS)
def test_blocks_share_what_was_traced_and_after_the_warm_up_nothing_is_traced_again(preset):
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    exact = velocities(fixture_network(preset), preset)
    network = fixture_network(preset)
    compile_parts(network, backend)
    with torch.inference_mode():
        for _ in practice(network, GRID if preset == "worldplay-5b" else (3, 5)):
            pass
        warm = len(graphs)
        for _ in practice(network, GRID if preset == "worldplay-5b" else (3, 5)):
            pass
    assert (
        0 < warm == len(graphs) and warm <= 3 * 4
    )  # parts of a block, each for two lengths or any; not of every block
    assert relative_error(velocities(network, preset), exact) < 1e-6


@pytest.mark.slow  # minutes of a C++ compiler
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("preset", PRESETS)
def test_compiled_networks_say_the_same_and_progress_is_told(preset):
    exact, told = velocities(fixture_network(preset), preset), []
    network = hasten(fixture_network(preset), Speed(compile=True), CPU, partial(practice, grid=GRID),
                     lambda *news: told.append(news), ROOM)  # fmt: skip
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1 and told[-1][1].startswith("Compiled in")
    assert relative_error(velocities(network, preset), exact) < 1e-5


def test_the_warm_up_tells_after_every_pass():
    told: list[tuple[float, str]] = []

    def passes() -> Iterator[None]:
        for count in range(3):
            assert len(told) == count + 1
            yield

    warm_up(passes, lambda *news: told.append(news))
    assert [sentence.split(" after")[0] for _, sentence in told[1:4]] == [
        f"Compiling: pass {n} is through" for n in (1, 2, 3)
    ]
