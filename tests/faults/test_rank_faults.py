"""Ranks that share a tiny `pocket` behind the real supervisor: the frames of one rank, whoever of them is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from tests.faults.walker import Walker
from tests.wire.test_remote import free_port
from tests.worker.shared import SPEC, differences, history, processes, ranks_among, surroundings, until_gone, write_tiny
from worker.client import launch_local, reach
from worker.keys import Keyring
from worker.protocol import Open, Reset, Rewind, SetPrompt, Status, World

ROOT = Path(__file__).resolve().parents[2]
DECODED = 2 * (13 + 1)
"""Collectives of the two latents of a chunk where ranks share the decoding: 3x3 convolutions, then pictures."""
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


def launch(walkers: list[Walker], sessions: Path, weights: Path, ranks: int, *, strips: bool = False) -> Walker:
    """A walker whose worker has so many ranks, which may share the decoding as well."""
    share = "1" if strips else ""
    with surroundings(
        WANDER_POCKET=str(weights), WANDER_RANKS=str(ranks), WANDER_SHARE_DECODING=share, OMP_NUM_THREADS="1"
    ):
        walkers.append(Walker(launch_local(sessions=sessions, options={"progress": 60.0})))
    return walkers[-1]


def alike(session: str, weights: Path) -> bool:
    """Whether one rank makes the same pictures and latents of the same steps and words."""
    found = differences(session, weights)
    return all(apart <= 1e-5 and not differ for _, apart, differ in found) and bool(found)


@pytest.fixture(scope="module")
def pair(tmp_path_factory, weights) -> Iterator[Walker]:
    """A walker whose worker has two ranks, in an open world."""
    walkers: list[Walker] = []
    walker = launch(walkers, tmp_path_factory.mktemp("sessions"), weights, 2)
    assert walker.ask(Open(spec=SPEC)).ok
    found = processes(walker.ask(Status()).data["router_pid"])
    assert sorted(ranks_among(found)) == [0, 1]
    yield walker
    walker.close()
    until_gone(found, walker)


def test_two_ranks_make_the_frames_of_one_through_words_undoing_and_a_new_seed(pair, weights):
    pair.until_chunk(2)
    assert pair.ask(Rewind(chunks=1)).ok
    applies = pair.ask(SetPrompt(text="it starts to rain")).data["chunk"]
    generation, session = pair.last(World).generation, pair.last(World).session
    pair.until(lambda: (generation, applies + 2) in pair.starts)
    assert alike(session, weights) and len(history(session).branch.said) == 1
    assert pair.ask(Reset(seed=9)).ok
    generation = pair.last(World).generation
    pair.until(lambda: (generation, 2) in pair.starts)
    assert history(session).branch.spec.seed == 9 and alike(session, weights)


def test_the_status_counts_what_the_ranks_exchange_for_a_chunk(pair):
    chunk = max(2, len(history(pair.last(World).session).chunks) + 1)  # the words are read with the first one
    pair.until_chunk(chunk)
    figures = pair.ask(Status()).data
    assert figures["ranks"] == 2
    # rank 0 says the job, the path, the guide (twice each: shape, then values) and the latents;
    # two blocks meet in each of four steps and once more when the chunk is committed
    gathers = 2 * (4 + 1)
    assert figures["collectives_per_chunk"] == 2 + 2 + 2 + 1 + gathers
    tokens, most_heads, width, ranks = 4, 2, 16, 2
    attended = gathers * ranks * tokens * most_heads * width
    assert 2 * attended < figures["bytes_per_chunk"] < 6 * attended


def test_a_world_that_no_rank_can_open_is_refused_and_the_walk_of_all_goes_on(pair, weights):
    session = pair.last(World).session
    reply = pair.ask(Open(spec=msgspec.structs.replace(SPEC, size=(320, 192))))
    assert "pictures of 320x192 were asked for" in reply.error
    made = len(history(session).chunks)
    pair.until(lambda: len(history(session).chunks) >= made + 2)
    assert pair.sentences() == [] and alike(session, weights)


def test_a_rank_killed_in_the_middle_of_a_step_costs_nothing_but_that_chunk(walkers, tmp_path, weights):
    walker = launch(walkers, tmp_path, weights, 3, strips=True)
    session = walker.ask(Open(spec=SPEC)).data["session"]
    walker.until_chunk(2)
    figures = walker.ask(Status()).data
    assert figures["collectives_per_chunk"] == 17 + DECODED  # and what the pair of ranks above exchanges
    before = processes(figures["router_pid"])
    ranks = ranks_among(before)
    os.kill(ranks[1].pid, signal.SIGSTOP)  # the others go on to where they need it, and wait there
    made = len(walker.starts)
    walker.rest(1.0)
    assert len(walker.starts) <= made + 1
    os.kill(ranks[1].pid, signal.SIGKILL)
    until_gone(list(ranks.values()), walker)
    walker.until(lambda: "" in walker.sentences())
    walker.until_chunk(len(history(session).chunks) + 1)
    after = ranks_among(processes(before[0].pid))
    assert walker.sentences() == BACK
    assert sorted(after) == [0, 1, 2] and not set(after.values()) & set(ranks.values())
    walker.close()
    assert alike(session, weights)
    until_gone([before[0], *after.values()], walker)


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


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_ranks_that_torchrun_started_notice_that_one_was_killed_and_find_each_other_again(torchrun, weights, victim):
    agent, walker = torchrun
    session = walker.ask(Open(spec=SPEC)).data["session"]
    walker.until_chunk(1)
    before = ranks_among(processes(agent.pid))
    os.kill(before[victim].pid, signal.SIGKILL)  # neither has the other for a child
    walker.until(lambda: "" in walker.sentences())
    until_gone(list(before.values()), walker)
    walker.until_chunk(len(history(session).chunks) + 1)
    assert walker.sentences() == BACK
    assert sorted(ranks_among(processes(agent.pid))) == [0, 1]
    assert alike(session, weights)
