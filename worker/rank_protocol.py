"""What rank 0 says to the other ranks before they do something together, and how it says it.

A command is a message of the worker's codec, passed on as plain bytes: every rank checks it against this schema, and
that it stands where rank 0 stands, before it computes. No other rank ever hears of windows, files or the network.
"""

from collections.abc import Callable
from typing import Protocol

from worker.codec import UPLOAD, Limits, pack, unpack
from worker.errors import WireError
from worker.model_protocol import ApplyPrompt, ApplyReset, ApplyRewind, Generate, Text
from worker.protocol import Count, Message, Seed, WorldSpec

IDLE_SECONDS = 60
"""After so long without a command rank 0 says that it is still there."""
RANK_LOST = 72
"""Exit status of a process that has lost another rank."""
COMMANDS = Limits(message=21 * 1024 * 1024, binary=UPLOAD.binary)


class Restore(Message, frozen=True, kw_only=True, tag="restore"):
    """Open a world and rebuild it from the records that rank 0 says next; then the prompts no chunk has read yet."""

    spec: WorldSpec
    pending: tuple[Text, ...] = ()


class Idle(Message, frozen=True, kw_only=True, tag="idle"):
    """Nothing is asked for."""


Task = Restore | Generate | ApplyPrompt | ApplyRewind | ApplyReset | Idle


class Command(Message, frozen=True, kw_only=True):
    """One thing that all ranks do; `Generate` has the generation and the steps in it."""

    number: Count
    """How many commands rank 0 has said before."""
    seed: Seed
    """Of the world as it is now; 0 without one."""
    chunks: Count
    """Chunks that it has now."""
    task: Task


class Speaker(Protocol):
    """The ranks, as `engine.parallel.Ranks` has them."""

    rank: int
    size: int

    def lead_bytes(self, make: Callable[[], bytes]) -> bytes:
        """The bytes that rank 0 makes, on every rank."""
        ...


class Commands:
    """The commands that have been said, counted alike on every rank."""

    def __init__(self, ranks: Speaker) -> None:
        self._ranks, self._said = ranks, 0

    def say(self, task: Task, seed: int, chunks: int) -> None:
        """On rank 0: have the others do `task` in a world of this seed with so many chunks."""
        if self._ranks.size > 1:
            command = pack(Command(number=self._said, seed=seed, chunks=chunks, task=task))
            self._ranks.lead_bytes(lambda: command)
            self._said += 1

    def hear(self, seed: int, chunks: int) -> Task:
        """On the others: the next task, for this rank's own world.

        Raises `WireError` if it is none, or if rank 0 stands elsewhere.
        """
        command = unpack(self._ranks.lead_bytes(bytes), Command, COMMANDS)
        here, there = (self._said, seed, chunks), (command.number, command.seed, command.chunks)
        if here != there:
            raise WireError(
                f"Rank {self._ranks.rank} stands at (command, seed, chunks) {here}, rank 0 at {there}; all start again."
            )
        self._said += 1
        return command.task
