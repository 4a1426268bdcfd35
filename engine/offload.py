"""Blocks that stay in the machine's memory and visit the GPU one after the other: for cards that can't hold them all.

Weights wait in page-locked memory. The GPU has room for two blocks: while one computes, the next is copied beside it on
a stream of its own, the first again after the last. The rooms stay where they are, so nothing is allocated while a
world is played. On a CPU the same code copies without streams; the numbers are those of the network as it was, always.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from engine.quantise import blocks_of
from engine.rollout import Autoregressive
from engine.worldplay_5b import WorldPlay5B


def plain(tensor: Tensor) -> list[Tensor]:
    """The ordinary tensors that a tensor is made of: itself, or the parts of a quantised one."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor.detach()]
    names, _ = tensor.__tensor_flatten__()  # pyright: ignore[reportAttributeAccessIssue]
    return [part for name in names for part in plain(getattr(tensor, name))]


def numbers(block: nn.Module) -> list[Tensor]:
    """Every ordinary tensor of a block's parameters and buffers, in a fixed order."""
    return [part for tensor in (*block.parameters(), *block.buffers()) for part in plain(tensor)]


class Streamed(nn.Module):
    """Blocks, one at a time: iterating yields each when its weights have arrived; the block before it is then over.

    Takes the blocks, which must be of one shape, out of the list that it is given. Nothing but iterating and `len`
    works: only the rooms are modules.
    """

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        rooms = [copy.deepcopy(block).to(device) for block in list(blocks)[:2]]
        super().__init__()
        for number, room in enumerate(rooms):
            self.add_module(str(number), room)
        self._rooms = [numbers(room) for room in rooms]
        self._cuda = device.type == "cuda"
        self._copies = torch.cuda.Stream(device) if self._cuda else None
        self._home: list[list[Tensor]] = []
        for index, block in enumerate(blocks):
            parts = numbers(block)
            self._home.append([part.pin_memory() for part in parts] if self._cuda else parts)
            blocks[index] = nn.Identity()  # or all weights would be in memory twice
        self._holds: list[int | None] = [None] * len(rooms)
        self._arrived = [torch.cuda.Event() if self._cuda else None for _ in rooms]

    def __len__(self) -> int:
        return len(self._home)

    def __iter__(self) -> Iterator[nn.Module]:
        rooms = [*self.children()]
        for index in range(len(self)):
            here = self._bring(index, 0)
            self._bring((index + 1) % len(self), (here + 1) % len(rooms))
            arrived = self._arrived[here]
            if arrived is not None:
                torch.cuda.current_stream().wait_event(arrived)
            yield rooms[here]

    def _bring(self, index: int, room: int) -> int:
        """The room that holds block `index`; copied into `room` if none does, after all that was asked of the GPU."""
        if index in self._holds:
            return self._holds.index(index)
        self._holds[room] = index
        if self._copies is None:
            self._copy(index, room)
            return room
        self._copies.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._copies):
            self._copy(index, room)
            cast(torch.cuda.Event, self._arrived[room]).record()
        return room

    @torch.no_grad()
    def _copy(self, index: int, room: int) -> None:
        for into, part in zip(self._rooms[room], self._home[index], strict=True):
            into.copy_(part, non_blocking=True)

    @property
    def held(self) -> int:
        """Bytes of the rooms."""
        return sum(part.nbytes for room in self._rooms for part in room)


def offload(network: Autoregressive, device: torch.device) -> Autoregressive:
    """The same network, computing on `device`, its blocks streamed there; load it onto the CPU first."""
    streamed = Streamed(blocks_of(network), device)
    empty: Any = nn.ModuleList()
    if isinstance(network, WorldPlay5B):
        network.blocks = empty
        network.to(device).blocks = cast(Any, streamed)
    else:
        network.double_blocks = empty
        network.to(device).double_blocks = cast(Any, streamed)
    return network
