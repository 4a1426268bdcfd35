"""The verb `cluster`: many users' sessions over the machines of a Ray cluster, behind one front desk.

Ray (https://www.ray.io, optional: section [cluster] of requirements.lock) starts one actor for each session on the
machine that the desk has chosen, counts cores, memory and GPUs, shows each actor its GPUs alone, and says when one has
died. Everything else is ours: the desk, the planner, the journal, and the connection of each window to its session,
which is encrypted from end to end and does not pass through Ray.

Between its own processes Ray pickles. That is Ray's wire, not ours: whoever reaches its ports and has its token can run
code there, so the cluster's own network has to be closed to others. What passes over it from here are plain values
(str, int, float, dict) and public keys; no picture, prompt or secret does.
"""

import argparse
import contextlib
import importlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from worker.desk import Desk, News, Rules
from worker.door import NetworkDoor
from worker.errors import LaunchError, WanderError
from worker.keys import FOLDER, Keyring, fingerprint
from worker.lease import PARK_SECONDS
from worker.placement import Need, Node
from worker.serve import end_on_signal
from worker.tenant import Lease, Tenant
from worker.transport import Address, Lane

ROOT = Path(__file__).resolve().parent.parent
"""Wander lies at the same path on every machine."""
BEACON_SECONDS = 0.5
GOODBYE_SECONDS = 5.0
NODES_SECONDS = 2.0

Plain = dict[str, Any]


class SessionActor:
    """What Ray runs for a session: its router and model are children of this actor's process."""

    def __init__(self) -> None:
        self._tenant: Tenant | None = None

    def open(self, lease: Plain, gpus: float) -> Plain:
        """Start the session; where and with which key it can be reached, or `problem`, a sentence.

        Ray puts the desk's folder on this process's path; the model process is a child and needs it too. A session
        that was given no GPU sees none.
        """
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
        try:
            self._tenant = Tenant(msgspec.convert(lease, Lease))
        except WanderError as error:
            return {"problem": str(error)}
        return {"address": str(self._tenant.address), "key": self._tenant.key, "pid": os.getpid()}

    def beacon(self) -> Plain:
        """See `Tenant.beacon`."""
        assert self._tenant is not None
        return {**self._tenant.beacon(), "pid": os.getpid()}

    def end(self) -> None:
        """End the session."""
        if self._tenant is not None:
            self._tenant.end()
            self._tenant = None


def gpu_memory() -> list[float]:
    """Bytes of each GPU of the machine that this runs on, as its driver says."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, ValueError):
        lines = subprocess.run(query, capture_output=True, text=True, check=False, timeout=30).stdout.split()
        return [float(line) * 2**20 for line in lines]
    return []


@dataclass(kw_only=True)
class RaySession:
    """A session's actor, seen from the desk."""

    ray: Any
    actor: Any
    opening: Any
    """The promise of `SessionActor.open`; None once it was kept."""
    clock: Callable[[], float]
    pid: int = 0
    _beacon: Any = None
    _asked_at: float = 0.0
    _over: bool = False

    def news(self) -> list[News]:
        """See `worker.desk.Running.news`."""
        if self._over:
            return []
        try:
            return self._opened() if self.opening is not None else self._beacons()
        except self.ray.exceptions.RayError as error:
            self._over = True
            return [News(lost=f"Ray tells of {type(error).__name__}")]

    def _opened(self) -> list[News]:
        done, _ = self.ray.wait([self.opening], timeout=0)
        if not done:
            return []
        told = self.ray.get(self.opening)
        self.opening, self.pid = None, told.get("pid", 0)
        if problem := told.get("problem"):
            return [News(lost=problem.rstrip("."))]
        return [News(address=told["address"], key=told["key"])]

    def _beacons(self) -> list[News]:
        now = self.clock()
        if self._beacon is None:
            if now - self._asked_at < BEACON_SECONDS:
                return []
            self._beacon, self._asked_at = self.actor.beacon.remote(), now
        done, _ = self.ray.wait([self._beacon], timeout=0)
        if not done:
            return []
        told, self._beacon = self.ray.get(self._beacon), None
        return [News(beacon=told)]

    def end(self, *, at_once: bool) -> None:
        """See `worker.desk.Running.end`. The model ends with the actor's process, and so does the journal's lock."""
        self._over = True
        if at_once:
            self._kill()
            return
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.actor.end.remote()
        timer = threading.Timer(GOODBYE_SECONDS, self._kill)
        timer.daemon = True
        timer.start()

    def _kill(self) -> None:
        with contextlib.suppress(Exception):  # Ray may be gone
            self.ray.kill(self.actor)


@dataclass(kw_only=True)
class RayFleet:
    """The machines of the Ray cluster that this process has joined."""

    ray: Any
    clock: Callable[[], float]
    _gpus: dict[str, list[float]] = field(default_factory=dict)
    _nodes: list[Node] = field(default_factory=list)
    _looked_at: float = -1e9

    def nodes(self) -> list[Node]:
        """See `worker.desk.Fleet.nodes`; asked for again after two seconds."""
        if self.clock() - self._looked_at > NODES_SECONDS:
            self._nodes = [self._node(each) for each in self.ray.nodes() if each["Alive"]]
            self._looked_at = self.clock()
        return self._nodes

    def start(self, node: Node, need: Need, lease: Lease) -> RaySession:
        """See `worker.desk.Fleet.start`."""
        actor = self.ray.remote(SessionActor).options(
            num_cpus=need.cores,
            num_gpus=need.gpus,
            memory=round(need.memory),
            scheduling_strategy=self._on(node.name),
            max_restarts=0,
            max_concurrency=2,
        ).remote()  # fmt: skip
        self._looked_at = -1e9
        opening = actor.open.remote(msgspec.to_builtins(lease), need.gpus)
        return RaySession(ray=self.ray, actor=actor, opening=opening, clock=self.clock)

    def _on(self, name: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(name, soft=False)

    def _node(self, told: Plain) -> Node:
        """A machine as Ray tells of it, with the memory of its GPUs, which Ray does not know."""
        name, has = told["NodeID"], told["Resources"]
        gpus = int(has.get("GPU", 0))
        if gpus and name not in self._gpus:
            probe = self.ray.remote(gpu_memory).options(num_cpus=0, scheduling_strategy=self._on(name))
            try:
                self._gpus[name] = self.ray.get(probe.remote(), timeout=60)
            except self.ray.exceptions.RayError:  # asked again next time; until then none is counted on
                gpus = 0
        return Node(
            name=name, label=told["NodeManagerAddress"], cores=has.get("CPU", 0), memory=has.get("memory", 0),
            gpus=gpus, gpu_memory=min(self._gpus.get(name) or [0.0]),
        )  # fmt: skip


def load_ray() -> ModuleType:
    """Ray itself. Raises `LaunchError` where it is not installed."""
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise LaunchError(
            "Ray is not installed, 1 package is missing; on every machine: .venv/bin/pip install 'ray>=2.50'."
        ) from error


def parser() -> argparse.ArgumentParser:
    """The options of `cluster`."""
    options = argparse.ArgumentParser(
        prog="launch.py cluster",
        description="Many users' sessions over the machines of a Ray cluster. On every machine: this checkout at the "
        "same path, and Ray started from its .venv: '.venv/bin/ray start --head --port 6379' here, "
        "'.venv/bin/ray start --address THIS:6379' there. Ray's ports must be closed to strangers.",
    )
    add = options.add_argument
    add("--listen", required=True, metavar="HOST:PORT", help="the front desk: an address of this machine; three ports")
    add("--sessions", type=Path, required=True, metavar="DIR",
        help="where sessions are saved: a folder that all machines see under this name, with file locks")  # fmt: skip
    add("--ray", default="auto", metavar="ADDRESS",
        help="the Ray cluster; 'local' is this machine alone (default: the one that 'ray start' made)")  # fmt: skip
    add("--models", type=Path, metavar="DIR", help="the folder with the released presets' folders, on every machine")
    add("--keys", type=Path, default=FOLDER, metavar="DIR", help="the folder of key files (default: %(default)s)")
    add("--park", type=float, default=PARK_SECONDS, metavar="S",
        help="seconds for which the session of a lost window is kept for it (default: %(default)g)")  # fmt: skip
    return options


def run(arguments: Sequence[str], say: Callable[[str], object], needs: Callable[[str], Mapping[str, float]]) -> int:
    """Serve until SIGINT or SIGTERM; `needs` is `engine.plan.needs`. Raises `WanderError` for what can be mended."""
    options = parser().parse_args(list(arguments))
    address, keyring = Address.parse(options.listen), Keyring(options.keys)
    own, door = keyring.own(), NetworkDoor(address, keyring, say)
    ray = load_ray()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        ray.init(address=options.ray, log_to_driver=False, logging_level="ERROR", include_dashboard=None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"The Ray cluster at '{options.ray}' did not answer ({error}); 'ray start --head' makes one."
        ) from error
    rules = Rules(
        sessions=options.sessions.absolute(), park=options.park,
        models=str(options.models.absolute()) if options.models else "",
    )  # fmt: skip
    fleet = RayFleet(ray=ray, clock=time.monotonic)
    desk = Desk(door, fleet, lambda preset: Need(**needs(preset)), rules, say)
    last, keys = address.port + len(Lane) - 1, len(keyring.allowed())
    say(f"the desk listens on {address} to {last}, encrypted, for {keys} keys and {len(fleet.nodes())} machines; its "
        f"fingerprint is {fingerprint(own.public)}")  # fmt: skip
    say(f"on the other machine: launch.py keys trust {address} {own.public}")
    say(f"then: launch.py play --connect {address}")
    desk.run(end_on_signal())
    ray.shutdown()
    return 0
