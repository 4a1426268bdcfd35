"""Ranks that share a tiny `pocket` behind the real supervisor: the frames of one rank, whoever of them is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.walker import Walker
from tests.wire.test_remote import free_port
from tests.worker.shared import SPEC, differences, history, processes, ranks_among, surroundings, until_gone, write_tiny
from worker.client import launch_local, reach
from worker.keys import Keyring
from worker.protocol import Open, Reset, Rewind, SetPrompt, Status

ROOT = Path(__file__).resolve().parents[2]
BACK = ["The model stopped. Restarting (1 of 3)\N{HORIZONTAL ELLIPSIS}", ""]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def walkers() -> Iterator[list[Walker]]:
    walkers: list[Walker] = []
    yield walkers
    for walker in walkers:
        walker.close()


def launch(walkers: list[Walker], sessions: Path, weights: Path, ranks: int) -> Walker:
    """A walker whose worker has so many ranks."""
    with surroundings(WANDER_POCKET=str(weights), WANDER_RANKS=str(ranks), OMP_NUM_THREADS="1"):
        walkers.append(Walker(launch_local(sessions=sessions, options={"progress": 60.0})))
    return walkers[-1]


def alike(session: str, weights: Path) -> bool:
    """Whether one rank makes the same pictures and latents of the same steps and words."""
    found = differences(session, weights)
    return all(apart <= 1e-5 and not differ for _, apart, differ in found) and bool(found)


def test_two_ranks_make_the_frames_of_one_through_words_undoing_and_a_new_seed(walkers, tmp_path, weights):
    walker = launch(walkers, tmp_path, weights, 2)
    session = walker.ask(Open(spec=SPEC)).data["session"]
    walker.until_chunk(2)
    assert walker.ask(SetPrompt(text="it starts to rain")).ok
    walker.until_chunk(4)
    assert walker.ask(Rewind(chunks=1)).ok
    walker.until_chunk(5)
    figures = walker.ask(Status()).data
    assert figures["ranks"] == 2
    # a step is said, its path, its guide and its latents; two blocks meet in each of four steps and in the commit
    assert figures["collectives_per_chunk"] == 3 * 2 + 1 + 2 * (4 + 1)
    assert figures["bytes_per_chunk"] > 2 * 5 * 2 * 2 * 2 * 16 * 2
    assert alike(session, weights)
    assert walker.ask(Reset(seed=9)).ok
    walker.until_chunk(1)
    found = processes(figures["router_pid"])
    assert sorted(ranks_among(found)) == [0, 1]
    walker.close()
    assert history(session).branch.spec.seed == 9 and alike(session, weights)
    until_gone(found, walker)


def test_a_rank_killed_in_the_middle_of_a_step_costs_nothing_but_that_chunk(walkers, tmp_path, weights):
    walker = launch(walkers, tmp_path, weights, 3)
    session = walker.ask(Open(spec=SPEC)).data["session"]
    walker.until_chunk(2)
    before = processes(walker.ask(Status()).data["router_pid"])
    ranks = ranks_among(before)
    os.kill(ranks[2].pid, signal.SIGSTOP)  # the others go on to where they need it, and wait there
    made = len(walker.starts)
    walker.rest(1.0)
    assert len(walker.starts) <= made + 1
    os.kill(ranks[2].pid, signal.SIGKILL)
    until_gone(list(ranks.values()), walker)
    walker.until(lambda: "" in walker.sentences())
    walker.until_chunk(len(history(session).chunks) + 1)
    after = ranks_among(processes(before[0].pid))
    assert walker.sentences() == BACK
    assert sorted(after) == [0, 1, 2] and not set(after.values()) & set(ranks.values())
    walker.close()
    assert alike(session, weights)
    until_gone([before[0], *after.values()], walker)


def test_more_ranks_than_heads_are_refused_in_a_sentence(walkers, tmp_path, weights):
    walker = launch(walkers, tmp_path, weights, 4)
    reply = walker.ask(Open(spec=SPEC))
    assert reply.error == "4 ranks cannot share 3 heads; use at most 3"


@pytest.fixture
def torchrun(tmp_path, weights) -> Iterator[tuple[psutil.Process, Walker]]:
    """Two ranks that torchrun has started, and a window at the first."""
    address = f"127.0.0.1:{free_port()}"
    here, away = Keyring(tmp_path / "here"), Keyring(tmp_path / "away")
    here.allow("window", away.new().public)
    away.trust(address, here.new().public)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m",
               "tests.worker.serving", "--listen", address, "--keys", str(here.folder),
               "--sessions", str(tmp_path)]  # fmt: skip
    with surroundings(WANDER_POCKET=str(weights), OMP_NUM_THREADS="1"):
        started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert started.stdout is not None
    while b"launch.py play --connect" not in started.stdout.readline():
        assert started.poll() is None
    walker = Walker(reach(address, keys=away.folder))
    yield psutil.Process(started.pid), walker
    walker.close()
    found = processes(started.pid)
    started.terminate()
    started.wait(60)
    assert not psutil.wait_procs(found, 30)[1]


def test_ranks_that_torchrun_started_find_each_other_again_after_one_was_killed(torchrun, weights):
    agent, walker = torchrun
    session = walker.ask(Open(spec=SPEC)).data["session"]
    walker.until_chunk(1)
    before = ranks_among(processes(agent.pid))
    os.kill(before[1].pid, signal.SIGKILL)
    walker.until(lambda: "" in walker.sentences())
    walker.until_chunk(len(history(session).chunks) + 1)
    after = ranks_among(processes(agent.pid))
    assert walker.sentences() == BACK
    assert sorted(after) == [0, 1] and after[1] != before[1] and after[0] != before[0]
    assert walker.ask(Status()).data["ranks"] == 2
    assert alike(session, weights)
