"""Work in a process of its own, which may crash."""

import os
import signal
from pathlib import Path

import pytest

from render.apart import TRIES, Progress, apart


def count(upto: int, progress: Progress) -> list[int]:
    for done in range(upto):
        progress(done + 1, upto)
    return [os.getpid(), upto]


def refuse(number: int, progress: Progress) -> None:
    progress(0, number)
    raise ValueError(f"{number} is refused")


def crash(notes: Path, times: int, progress: Progress) -> int:
    """Dies so many times of what ends a process whose memory is corrupt, then says how often it was begun."""
    begun = len(list(notes.iterdir()))
    (notes / str(begun)).touch()
    progress(begun, times)
    if begun < times:
        os.kill(os.getpid(), signal.SIGABRT)
    return begun + 1


def test_the_task_runs_elsewhere_and_its_progress_and_result_come_back():
    told: list[tuple[int, int]] = []
    process, result = apart(count, lambda done, total: told.append((done, total)), upto=3)
    assert process != os.getpid() and result == 3 and told == [(1, 3), (2, 3), (3, 3)]


def test_what_the_task_raises_is_raised_here_at_once():
    told: list[int] = []
    with pytest.raises(ValueError, match="7 is refused"):
        apart(refuse, lambda done, total: told.append(done), number=7)
    assert told == [0]


def test_a_task_whose_process_crashes_is_begun_again(tmp_path):
    assert apart(crash, lambda done, total: None, notes=tmp_path, times=TRIES - 1) == TRIES


def test_a_task_that_crashes_again_and_again_is_given_up_with_the_signals(tmp_path):
    with pytest.raises(RuntimeError, match="signals 6, 6, 6, 3 times"):
        apart(crash, lambda done, total: None, notes=tmp_path, times=TRIES)
    assert len(list(tmp_path.iterdir())) == TRIES
