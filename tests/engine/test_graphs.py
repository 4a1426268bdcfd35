"""Steps by slots and graphs are the steps without them, and the slots never move.

`Tape` is a CUDA graph on the CPU: operations with the addresses they had, replayed without a line of the network's
Python. So a number that a graph would keep from the time of its recording is noticed here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from engine import speed
from engine.actions import KEY_RIGHT, KEY_W, Step
from engine.errors import WanderError
from engine.graphs import MOST, Called, Graphs, Record, Room, Slots, install, recorder, tensors
from engine.parallel import Ranks
from engine.speed import Speed, hasten, practice
from tests.engine.tiny_released import PRESETS, tiny_released, tiny_world
from tests.engine.tiny_velocities import fixture_network, velocities

CPU = torch.device("cpu")
ROOM = Room(context=400, text=512)
STEP = Step(keys=KEY_W | KEY_RIGHT)


def storages(value: object) -> set[int]:
    return {each.untyped_storage().data_ptr() for each in tensors(value)}


class Tape(TorchDispatchMode):
    """Records what reaches torch's kernels while a function runs."""

    def __init__(self, step: Callable[[], Tensor]) -> None:
        super().__init__()
        self._done: list[tuple[Callable[[], object], list[Tensor]]] = []
        with self:
            self._result = step()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        fresh = [each for each in tensors(made) if not storages(each) & storages([*args, *(kwargs or {}).values()])]
        if fresh or func._schema.is_mutable:
            self._done.append((partial(func, *args, **(kwargs or {})), fresh))
        return made

    def replay(self) -> Tensor:
        for work, places in self._done:
            made = [each for each in tensors(work()) if places]
            for place, each in zip(places, made, strict=True):
                place.copy_(each)
        return self._result


def played(preset: str, record: Record | None, device: str = "cpu") -> tuple[list[NDArray[np.uint8]], Graphs | None]:
    """Pictures of a walk of 6 chunks that hears words in its fourth, with graphs or without."""
    model = tiny_released(preset)
    model.transformer.to(device)
    model.vae.to(device)
    made = install(model.transformer, Room(context=20 * 8, text=16), record) if record else None
    world, shown = tiny_world(model), []
    for chunk in range(6):
        if chunk == 3:
            world.prompt('a storm "now"')
        shown.append(np.concatenate(list(world.step([STEP] * 4))))
        world.commit()
    return shown, made


@pytest.mark.parametrize("preset", PRESETS)
def test_a_walk_by_graphs_is_the_walk_without_to_the_bit(preset):
    plain, _ = played(preset, None)
    shown, made = played(preset, Tape)
    assert all(map(np.array_equal, shown, plain))
    assert made is not None and len(made) == (5 if preset == "worldplay-5b" else 6)  # contexts; the 8B's new words too


@pytest.mark.parametrize("preset", PRESETS)
def test_velocities_are_those_of_the_network_as_it_was(preset):
    exact = velocities(fixture_network(preset), preset)
    network = fixture_network(preset)
    install(network, ROOM, Tape)
    for _ in range(3):
        assert torch.equal(velocities(network, preset), exact)


def test_a_tape_holds_what_python_did_once_and_so_would_notice_it():
    calls: list[int] = []
    slot = torch.ones(3)

    def step() -> Tensor:
        calls.append(len(calls))
        return slot * len(calls)

    tape = Tape(step)
    slot.fill_(5.0)
    assert tape.replay().tolist() == [5.0] * 3 and calls == [0]


@pytest.mark.parametrize("preset", PRESETS)
def test_keys_and_values_stay_where_they_are_from_chunk_to_chunk(preset):
    model = tiny_released(preset)
    made = install(model.transformer, Room(context=20 * 8, text=16), Called)
    world, places = tiny_world(model), []
    for _ in range(6):
        for _frames in world.step([STEP] * 4):
            pass
        world.commit()
        held = [made._newest and made._newest.keys, made._newest and made._newest.values, made._read]
        places.append([each.data_ptr() for part in held for each in tensors(part)])
    cached = 2 * len(made._context._slots)
    assert places[1] == places[-1] and len(places[1]) > cached and places[0] == places[1][cached:]


def test_the_context_pass_writes_into_the_slots_and_copies_no_context_twice():
    network = fixture_network("worldplay-5b")
    install(network, ROOM, Called)
    velocities(network, "worldplay-5b")
    (first,) = {each.untyped_storage().nbytes() for each in tensors(network.remember.__self__._newest.keys)}
    assert first == ROOM.context * 4 * network.config.width


def test_more_tokens_than_there_is_room_for_are_one_sentence():
    slots = Slots("context", 1, 8)
    few = slots.put(0, torch.zeros(1, 8, 2, 3), torch.zeros(1, 8, 2, 3))
    with pytest.raises(WanderError, match="room for 8 tokens of context and 9 came; leave graphs out"):
        slots.put(0, torch.zeros(1, 9, 2, 3), torch.zeros(1, 9, 2, 3))
    assert few.keys.data_ptr() == slots.put(0, torch.ones(1, 3, 2, 3), torch.ones(1, 3, 2, 3)).keys.data_ptr()


def test_a_context_that_another_has_overwritten_is_refused():
    network = fixture_network("worldplay-5b")
    install(network, ROOM, Called)
    passes = practice(network, (4, 6))  # remembers twice
    next(passes)
    remember, kept = network.remember, []
    network.remember = lambda *given: kept.append(remember(*given)) or kept[0]
    next(passes)
    with pytest.raises(WanderError, match="slots for 1 context and an older one was asked for"):
        next(passes)


def test_only_the_shapes_of_late_are_kept():
    network = fixture_network("worldplay-5b")
    made = install(network, Room(context=4000, text=512), Called)
    with torch.inference_mode():
        for latents in range(1, MOST + 4):
            for _ in range(2):
                next(practice(network, (4, 6), latents))
    assert len(made) == MOST


def test_ranks_that_share_a_model_are_refused():
    network = fixture_network("worldplay-5b")
    install(network, ROOM, Called)
    network.ranks = Ranks(0, 2)
    with pytest.raises(WanderError, match="2 ranks share this model; leave graphs out"):
        next(practice(network, (4, 6)))


def test_without_cuda_the_sentence_says_what_they_need():
    with pytest.raises(WanderError, match=r"graphs need an NVIDIA GPU, .* this process computes on cpu; leave graphs"):
        recorder(CPU)


@pytest.mark.parametrize(("chosen", "said"), [
    (Speed(graphs=True), "graphs need an NVIDIA GPU"), (Speed(graphs=True, offload=True), "offload moves them"),
])  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_has_changed(chosen, said):
    network = fixture_network("worldplay-5b")
    with pytest.raises(WanderError, match=said):
        hasten(network, chosen, CPU, partial(practice, grid=(4, 6)), lambda *_: None, ROOM)
    assert "velocity" not in vars(network)


def test_where_there_is_cuda_the_choice_installs_them_and_changes_no_number(monkeypatch):
    monkeypatch.setattr(speed, "recorder", lambda _device: Called)
    network = fixture_network("worldplay-8b")
    hasten(network, Speed(graphs=True), CPU, partial(practice, grid=(3, 5)), lambda *_: None, ROOM)
    assert isinstance(network.velocity.__self__, Graphs) and Speed(graphs=True).mark == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("preset", PRESETS)
def test_on_a_gpu_a_walk_by_graphs_is_the_walk_without(preset):
    plain, _ = played(preset, None, device="cuda")
    shown, made = played(preset, recorder(torch.device("cuda")), device="cuda")
    assert made is not None and len(made) >= 5
    assert all(np.abs(ours.astype(int) - theirs).max() <= 1 for ours, theirs in zip(shown, plain, strict=True))
