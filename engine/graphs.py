"""Denoising steps as CUDA graphs: a released transformer's kernels recorded once for every shape, then replayed.

A graph reads the addresses that it was recorded with, so what a step reads lies in slots that never move: keys and
values of context and prompt in slots with room for the most there can be, of which a shorter context is the first rows;
latents, times and places in slots of the graph. The context pass writes its keys and values straight into them. There
is a graph for each shape of a call: as the context grows over the first chunks, and for a prompt of another length.
The first call of a shape is made as ever, which also warms the kernels up; the second is recorded. On a CPU a
`Called` stands for a graph, so that all but the recording itself runs anywhere; the numbers are those without graphs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from engine.errors import WanderError
from engine.released import Clip, ContextCache, PlainKeys, keep, per_latent
from engine.rollout import Autoregressive
from engine.transformer import QKV

T = TypeVar("T")
MOST = 12
"""Graphs that are kept; the one that was not used for longest goes first."""
Shape = tuple[torch.Size, ...]


class Graph(Protocol):
    """Something that was recorded."""

    def replay(self) -> Tensor:
        """Does it again with what lies in the slots now; its result, which the next replay may overwrite."""
        ...


Record = Callable[[Callable[[], Tensor]], Graph]
"""Records what a function does; it reads nothing but slots and parameters."""


@dataclass(frozen=True, slots=True)
class Called:
    """The CPU's graph: nothing was recorded, the function is called."""

    replay: Callable[[], Tensor]


class Recorded:
    """CUDA's graph. All graphs of a pool share their memory, since only one of them runs at a time."""

    def __init__(self, step: Callable[[], Tensor], pool: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._result = step()

    def replay(self) -> Tensor:
        """Asks the GPU for all kernels at once."""
        self._graph.replay()
        return self._result


def recorder(device: torch.device) -> Record:
    """What records on this device. Raises `WanderError` where there is no CUDA."""
    if device.type != "cuda":
        raise WanderError(f"graphs need an NVIDIA GPU, 1 device with CUDA; this process computes on {device}; "
                          "leave graphs out")  # fmt: skip
    pool = torch.cuda.graph_pool_handle()
    return lambda step: Recorded(step, pool)


def tensors(value: object) -> Iterator[Tensor]:
    """All tensors in lists and dataclasses, in a fixed order."""
    if isinstance(value, Tensor):
        yield value
    for part in value if isinstance(value, list | tuple) else (getattr(value, name) for name in _names(value)):
        yield from tensors(part)


def copied(value: T) -> T:
    """The same with a copy of every tensor, contiguous."""
    made: Any = value
    if isinstance(value, Tensor):
        made = value.clone(memory_format=torch.contiguous_format)
    elif names := _names(value):
        made = replace(made, **{name: copied(getattr(value, name)) for name in names})
    return made


def _names(value: object) -> list[str]:
    return [field.name for field in fields(value)] if is_dataclass(value) else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What the slots of a model hold, in tokens."""

    context: int
    text: int


class Slots:
    """Keys and values of every block, each in a slot of `room` rows along the second axis that never moves."""

    def __init__(self, what: str, blocks: int, room: int) -> None:
        self._what, self.room = what, room
        self._slots: list[PlainKeys | None] = [None] * blocks

    def put(self, block: int, keys: Tensor, values: Tensor) -> PlainKeys:
        """Copies a block's keys and values `[1, S, N, H]` into its slot: the first S rows of it.

        Raises `WanderError` for more rows than there is room for.
        """
        rows = keys.shape[1]
        if rows > self.room:
            raise WanderError(f"graphs have room for {self.room} tokens of {self._what} and {rows} came; leave graphs "
                              "out of WANDER_SPEED")  # fmt: skip
        slot = self._slots[block]
        if slot is None:
            slot = self._slots[block] = PlainKeys(*(each.new_empty(1, self.room, *each.shape[2:])
                                                    for each in (keys, values)))  # fmt: skip
        held = PlainKeys(slot.keys[:, :rows], slot.values[:, :rows])
        held.keys.copy_(keys)
        held.values.copy_(values)
        return held


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a step reads beside keys and values."""

    clip: Clip
    times: Tensor
    context: object
    """Geometry of the context; None without one."""


class Graphs:
    """A released transformer's `remember` and `velocity` by slots and graphs; see `install`."""

    def __init__(self, network: Autoregressive, room: Room, record: Record) -> None:
        self._network, self._record = network, record
        self._remember, self._velocity = network.remember, network.velocity
        self._context = Slots("context", network.config.depth, room.context)
        self._text = Slots("a prompt", network.config.depth, room.text)
        self._read: tuple[list[PlainKeys], list[PlainKeys]] | None = None
        """The prompt whose keys and values lie in the slots, as it was given and as it lies there."""
        self._newest: ContextCache | None = None
        self._graphs: OrderedDict[Shape, tuple[Inputs, Graph] | None] = OrderedDict()

    def __len__(self) -> int:
        return sum(each is not None for each in self._graphs.values())

    def remember(self, clip: Clip, text: list[PlainKeys]) -> ContextCache:
        """The context pass; its keys and values lie in the slots until the next one."""
        self._newest = None
        self._newest = self._remember(clip, text, self._keep)
        return self._newest

    def _keep(self, block: int, own: QKV) -> PlainKeys:
        kept = keep(block, own)
        return self._context.put(block, kept.keys, kept.values)

    def velocity(self, clip: Clip, timesteps: float | Tensor, text: list[PlainKeys],
                 context: ContextCache | None) -> Tensor:  # fmt: skip
        """The network's velocity. Raises `WanderError` for a context that another has overwritten."""
        if self._network.ranks.size > 1:
            raise WanderError(f"graphs need a GPU of their own and {self._network.ranks.size} ranks share this model; "
                              "leave graphs out of WANDER_SPEED")  # fmt: skip
        if context is not None and context is not self._newest:
            raise WanderError("graphs have slots for 1 context and an older one was asked for, as guidance does; "
                              "leave graphs out of WANDER_SPEED")  # fmt: skip
        text = self._place(text)
        given = Inputs(clip, per_latent(timesteps, clip), context and context.geometry)
        shape = tuple(each.shape for each in (*tensors(given), text[0].keys))
        if shape not in self._graphs:
            made = self._velocity(clip, given.times, text, context)
            self._graphs[shape] = None
            while len(self._graphs) > MOST:
                self._graphs.popitem(last=False)
            return made
        self._graphs.move_to_end(shape)
        found = self._graphs[shape]
        if found is None:
            found = self._graphs[shape] = self._recorded(copied(given), text, context)
        inputs, graph = found
        for slot, each in zip(tensors(inputs), tensors(given), strict=True):
            slot.copy_(each)
        return graph.replay().clone()

    def _place(self, text: list[PlainKeys]) -> list[PlainKeys]:
        """The prompt in its slots; copied there when it is another than before."""
        if self._read is None or self._read[0] is not text:
            self._read = None
            self._read = text, [self._text.put(block, each.keys, each.values) for block, each in enumerate(text)]
        return self._read[1]

    def _recorded(self, inputs: Inputs, text: list[PlainKeys], context: ContextCache | None) -> tuple[Inputs, Graph]:
        cache = context and replace(context, geometry=inputs.context)
        return inputs, self._record(lambda: self._velocity(inputs.clip, inputs.times, text, cache))


def install(network: Autoregressive, room: Room, record: Record) -> Graphs:
    """Gives the network's `remember` and `velocity` to graphs."""
    graphs, taken = Graphs(network, room, record), cast(Any, network)
    taken.remember, taken.velocity = graphs.remember, graphs.velocity
    return graphs
