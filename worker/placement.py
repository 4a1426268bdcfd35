"""On which machine of a cluster a session may run: what it needs, what is free there, and what to say where none fits.

Pure. What a session needs comes from the planner (`engine.plan.needs`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.errors import WanderError


class NoRoom(WanderError):
    """No machine has room for another session now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a session takes."""

    cores: float
    memory: float
    """Bytes."""
    gpus: float = 0
    gpu_memory: float = 0.0
    """Bytes on each of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A machine of the cluster, with all that it has."""

    name: str
    label: str
    """What people call it."""
    cores: float
    memory: float
    gpus: int = 0
    gpu_memory: float = 0.0
    """Bytes of its smallest GPU."""


def choose(
    preset: str, need: Need, nodes: Iterable[Node], taken: Mapping[str, Iterable[Need]], avoid: str = ""
) -> Node:
    """The machine with the most free cores among those with room; the one to `avoid` only if no other has.

    `taken` are the needs of the sessions on each node. Raises `NoRoom` with what is needed and what is free.
    """
    left = {node: _left(node, taken.get(node.name, ())) for node in nodes}
    fitting = [node for node, free in left.items() if not _lacks(need, free)]
    if not fitting:
        raise NoRoom(_sentence(preset, need, left, sum(len(list(needs)) for needs in taken.values())))
    return max(fitting, key=lambda node: (node.name != avoid, left[node].cores, node.name))


def _left(node: Node, taken: Iterable[Need]) -> Need:
    """What is free on a node."""
    needs = list(taken)
    return Need(
        cores=node.cores - sum(need.cores for need in needs),
        memory=node.memory - sum(need.memory for need in needs),
        gpus=node.gpus - sum(need.gpus for need in needs),
        gpu_memory=node.gpu_memory,
    )


def _lacks(need: Need, free: Need) -> str:
    """What is missing first: the two numbers in words; empty if nothing is."""
    if need.gpus and free.gpu_memory < need.gpu_memory:
        return f"{need.gpu_memory / 1e9:.1f} GB on a GPU, {free.gpu_memory / 1e9:.1f} GB are there"
    for wanted, there, unit in (
        (need.gpus, free.gpus, "GPUs"),
        (need.cores, free.cores, "cores"),
        (need.memory / 1e9, free.memory / 1e9, "GB of memory"),
    ):
        if there < wanted:
            return f"{wanted:.3g} {unit}, {max(there, 0):.3g} are free"
    return ""


def _sentence(preset: str, need: Need, left: Mapping[Node, Need], sessions: int) -> str:
    if not left:
        return f"{preset} needs 1 machine and the cluster has 0; start Ray on one."
    freest = max(left, key=lambda node: (left[node].gpu_memory, left[node].gpus, left[node].cores, left[node].memory))
    lack = _lacks(need, left[freest])
    return (
        f"There is no room for {preset}: it needs {lack} on {freest.label}, the freest of {len(left)} machines with "
        f"{sessions} sessions; try again when somebody has left, or add a machine."
    )
