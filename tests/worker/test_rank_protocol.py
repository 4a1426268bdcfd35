"""What rank 0 says to the others: checked bytes, and only to a rank that stands where it stands."""

from collections.abc import Callable

import pytest

from engine.meeting import TIMEOUT
from worker.codec import pack, unpack
from worker.errors import WireError
from worker.model_process import Model
from worker.model_protocol import ApplyReset, Generate
from worker.protocol import Step, WorldSpec
from worker.rank_protocol import Command, Commands, Idle, Restore

GENERATE = Generate(generation=3, chunk=5, index=77, seq=9, steps=(Step(keys=1, yaw=0.1, walls=True), Step()))


class Line:
    """Two ranks in one process: what rank 0 says waits here for the other."""

    def __init__(self, rank: int, said: list[bytes]) -> None:
        self.rank, self.size, self.said = rank, 2, said

    def lead_bytes(self, make: Callable[[], bytes]) -> bytes:
        if self.rank == 0:
            self.said.append(make())
            return self.said[-1]
        return self.said.pop(0)


@pytest.fixture
def both() -> tuple[Commands, Commands, list[bytes]]:
    said: list[bytes] = []
    return Commands(Line(0, said)), Commands(Line(1, said)), said


@pytest.mark.parametrize(
    "task",
    [
        GENERATE,
        ApplyReset(seed=(1 << 53) - 1),
        Idle(),
        Restore(spec=WorldSpec(prompt="下雪", image=bytes(range(256)) * 4096), pending=("fog", "it stops")),
    ],
    ids=lambda task: type(task).__name__,
)
def test_a_task_arrives_as_it_was_said(both, task):
    first, second, _ = both
    first.say(task, seed=7, chunks=5)
    assert second.hear(7, 5) == task


@pytest.mark.parametrize(("seed", "chunks"), [(8, 5), (7, 4)])
def test_a_rank_whose_world_stands_elsewhere_does_nothing(both, seed, chunks):
    first, second, _ = both
    first.say(GENERATE, seed=7, chunks=5)
    with pytest.raises(WireError, match="all start again"):
        second.hear(seed, chunks)


def test_a_rank_that_missed_a_command_does_nothing(both):
    first, second, said = both
    first.say(Idle(), seed=7, chunks=5)
    said.clear()
    first.say(GENERATE, seed=7, chunks=5)
    with pytest.raises(WireError, match="all start again"):
        second.hear(7, 5)


@pytest.mark.parametrize("raw", [b"", b"\x80", pack(Command(number=0, seed=0, chunks=0, task=Idle()))[:-1], b"\xc1"])
def test_bytes_that_are_no_command_are_refused(both, raw):
    _, second, said = both
    said.append(raw)
    with pytest.raises(WireError):
        second.hear(0, 0)


class Quiet(Exception):
    """The test's end."""


class Silence:
    """A socket on which nothing comes for three waits, then no more."""

    def __init__(self) -> None:
        self.waits: list[int] = []

    def poll(self, timeout: int) -> bool:
        self.waits.append(timeout)
        return len(self.waits) > 3

    def recv(self) -> bytes:
        raise Quiet


def test_while_nothing_is_asked_rank_0_says_in_time_that_it_is_still_there():
    silence, said = Silence(), []
    with pytest.raises(Quiet):
        Model(silence, "fake", Line(0, said)).serve()  # type: ignore[arg-type]
    assert [unpack(raw, Command).task for raw in said] == [Idle()] * 3
    assert max(silence.waits) / 1e3 < TIMEOUT / 2
