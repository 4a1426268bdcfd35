"""Three users walk over a Ray cluster of two machines; actors die or hang, and everybody walks on.

A real Ray on this machine: two raylets stand for two machines. The worlds are those of the fake engine; the marker
`slow` has the same with `pocket`.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.faults.walker import Walker, journal_hash
from tests.wire.server import free_port
from worker.client import reach
from worker.cluster import RayFleet, load_ray
from worker.desk import Desk, Rules
from worker.door import NetworkDoor
from worker.keys import Keyring
from worker.placement import Need
from worker.protocol import Closed, Open, Reply, Welcome, World, WorldSpec
from worker.transport import Address

ray = pytest.importorskip("ray", reason="Ray is not installed: .venv/bin/pip install -r the [cluster] section")
MB = 1024 * 1024
CORES = 4
NEED = Need(cores=2, memory=300 * MB)


@dataclass(kw_only=True)
class Cluster:
    """A Ray cluster of two machines, and a desk in front of it."""

    desk: Desk
    address: str
    folder: Path
    here: Keyring
    said: list[str] = field(default_factory=list)

    def user(self, name: str) -> Keyring:
        """A user with a key of their own, who is let in and trusts the desk."""
        keys = Keyring(self.folder / "users" / name)
        if not keys.folder.exists():
            self.here.allow(name, keys.new().public)
            keys.trust(self.address, self.here.own().public)
        return keys

    def walker(self, name: str) -> Walker:
        return Walker(reach(self.address, keys=self.user(name).folder))

    def where(self, name: str) -> str:
        """The id of the machine that a user's session is on."""
        stay = self.desk._guests[name].stay
        assert stay is not None and stay.node is not None
        return stay.node.name

    def actor(self, name: str) -> int:
        """Process id of the actor of a user's session."""
        stay = self.desk._guests[name].stay
        assert stay is not None
        return stay.running.pid


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    from ray.cluster_utils import Cluster as RayCluster

    # what else this machine does is not the test's business, and its own processes are as important as this one
    os.environ.update(RAY_memory_monitor_refresh_ms="0", RAY_worker_niceness="0")
    node = {"num_cpus": CORES, "memory": 2_000 * MB, "object_store_memory": 80 * MB, "include_dashboard": False}
    machines = RayCluster(initialize_head=True, head_node_args=node)
    machines.add_node(**node)
    ray.init(address=machines.address, log_to_driver=False, logging_level=logging.ERROR)
    folder = tmp_path_factory.mktemp("cluster")
    here, address = Keyring(folder / "here"), f"127.0.0.1:{free_port()}"
    here.new()
    here.allow("nobody", "0" * 64)
    said: list[str] = []
    desk = Desk(
        NetworkDoor(Address.parse(address), here, said.append),
        RayFleet(ray=load_ray(), clock=time.monotonic),
        lambda _: NEED,
        Rules(sessions=folder / "sessions", park=60.0, still=8.0),
        said.append,
    )
    reader, lifeline = os.pipe()
    thread = threading.Thread(target=desk.run, args=(reader,), daemon=True)
    thread.start()
    yield Cluster(desk=desk, address=address, folder=folder, here=here, said=said)
    os.close(lifeline)
    thread.join(20)
    if report := os.environ.get("WANDER_CLUSTER_REPORT"):  # where to write how long things took
        Path(report).write_text("\n".join(said))
    ray.shutdown()
    machines.shutdown()
    assert not thread.is_alive()


@pytest.fixture
def walkers(cluster) -> Iterator[dict[str, Walker]]:
    """Three users, each in a world of their own."""
    walkers: dict[str, Walker] = {}
    for seed, name in enumerate(("ada", "bo", "cy")):
        walkers[name] = cluster.walker(name)
        together(walkers, lambda name=name: walkers[name].last(Welcome))
        if cluster.desk.places().get(name) is None:
            number = walkers[name].link.request(Open(spec=WorldSpec(preset="fake", seed=seed, chunk=2)))
            together(walkers, lambda name=name, number=number: answer(walkers[name], number))
            assert answer(walkers[name], number).ok
    for walker in walkers.values():
        together(walkers, lambda walker=walker: len(walker.starts) > 2)
    yield walkers
    for walker in walkers.values():
        walker.close()


def answer(walker: Walker, number: int) -> Reply | None:
    """The reply to a request."""
    return walker.last(Reply, lambda reply: reply.id == number)


def together(walkers: dict[str, Walker], done, seconds: float = 200.0) -> None:
    """Everybody walks until `done`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, {name: walker.told()[-4:] for name, walker in walkers.items()}
        for walker in walkers.values():
            walker.turn()
        time.sleep(0.003)


def all_walk_on(walkers: dict[str, Walker]) -> None:
    """Everybody sees two more chunks."""
    chunks = {name: max(walker.seen, default=0) for name, walker in walkers.items()}
    together(walkers, lambda: all(max(walker.seen, default=0) > chunks[name] + 1 for name, walker in walkers.items()))
    assert not any(walker.last(Closed) for walker in walkers.values())


def test_when_an_actor_is_killed_its_session_goes_on_elsewhere_from_its_journal_and_the_others_never_notice(
    cluster, walkers
):
    walker, place = walkers["ada"], cluster.where("ada")
    assert {cluster.where(name) for name in walkers} > {place}, "the sessions are spread over both machines"
    session = walker.last(World).session
    lives = {name: other.generation for name, other in walkers.items()}
    kept = max(walker.seen) - 1
    begun, pid = journal_hash(session, kept), cluster.actor("ada")
    children = psutil.Process(pid).children(recursive=True)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    together(walkers, lambda: walker.generation > lives["ada"] and walker.sentences()[-1] == "")
    all_walk_on(walkers)
    cluster.said.append(f"walks on {time.monotonic() - killed:.1f} s after the kill")
    assert cluster.where("ada") != place
    assert walker.last(World).session == session
    assert journal_hash(session, kept) == begun
    assert min(walker.seen) == 0 and max(walker.seen) > kept
    assert any("was lost" in sentence for sentence in walker.sentences())
    assert not any(child.is_running() for child in children), "the model has died with its actor"
    assert {name: walkers[name].generation for name in ("bo", "cy")} == {name: lives[name] for name in ("bo", "cy")}


def test_an_actor_that_hangs_is_given_up_and_its_session_goes_on(cluster, walkers):
    walker, life = walkers["bo"], walkers["bo"].generation
    os.kill(cluster.actor("bo"), signal.SIGSTOP)
    together(walkers, lambda: walker.generation > life)
    all_walk_on(walkers)
    assert any("beacon has stood still" in line for line in cluster.said)


def test_a_window_that_comes_again_finds_its_world_where_it_left_it(cluster, walkers):
    session = walkers["cy"].last(World).session
    walkers["cy"].close()
    walkers["cy"] = cluster.walker("cy")
    together(walkers, lambda: walkers["cy"].last(World))
    assert walkers["cy"].last(World).session == session
    all_walk_on(walkers)


def test_a_user_cannot_open_the_session_of_another(cluster, walkers):
    other = Path(walkers["ada"].last(World).session).name
    assert f"There is no session {other}" in walkers["bo"].open(session=other).error


def test_a_fifth_session_finds_no_room_and_is_told_the_numbers(cluster, walkers):
    walkers["di"] = cluster.walker("di")
    assert walkers["di"].open().ok
    walkers["ed"] = cluster.walker("ed")
    refused = walkers["ed"].open().error
    assert "it needs 2 cores, 0 are free" in refused and "2 machines with 4 sessions" in refused
    walkers["ed"].close()
    del walkers["ed"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_sessions_of_the_real_model_go_on_when_an_actor_is_killed(cluster):
    names = ("eva", "flo", "gus")
    walkers: dict[str, Walker] = {}
    for name in names:
        walkers[name] = cluster.walker(name)
        together(walkers, lambda name=name: walkers[name].last(Welcome))
        number = walkers[name].link.request(Open(spec=WorldSpec(preset="pocket", prompt="a village", chunk=2)))
        together(walkers, lambda name=name, number=number: answer(walkers[name], number), 300)
    together(walkers, lambda: all(max(walker.seen, default=0) > 2 for walker in walkers.values()), 300)
    session, life = walkers["eva"].last(World).session, walkers["eva"].generation
    begun = journal_hash(session, 2)
    killed = time.monotonic()
    os.kill(cluster.actor("eva"), signal.SIGKILL)
    together(walkers, lambda: walkers["eva"].generation > life and walkers["eva"].starts[-1][0] > life, 300)
    cluster.said.append(f"pocket walks on {time.monotonic() - killed:.1f} s after the kill")
    all_walk_on(walkers)
    assert journal_hash(session, 2) == begun
    for walker in walkers.values():
        walker.close()
