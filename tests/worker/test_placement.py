"""Where a session may run: only where all that it needs is free; a refusal names what is needed and what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import WanderError
from engine.plan import needs
from worker.placement import Need, Node, NoRoom, choose

GB = 1e9
POCKET = Need(**needs("pocket"))


def node(name: str, **has: float) -> Node:
    return Node(**{"name": name, "label": f"host-{name}", "cores": 8, "memory": 32 * GB, **has})


def test_the_machine_with_the_most_free_cores_is_taken():
    taken = {"a": [POCKET, POCKET], "b": [POCKET]}
    assert choose("pocket", POCKET, [node("a"), node("b")], taken).name == "b"


def test_a_machine_that_was_lost_is_avoided_unless_no_other_has_room():
    assert choose("pocket", POCKET, [node("a"), node("b")], {"b": [POCKET]}, avoid="a").name == "b"
    assert choose("pocket", POCKET, [node("a"), node("b", cores=1)], {}, avoid="a").name == "a"


@pytest.mark.parametrize(
    ("has", "numbers"),
    [
        ({"cores": 3}, "it needs 2 cores, 1 are free on host-a"),
        ({"memory": 2 * GB}, "it needs 1.5 GB of memory, 0.5 are free on host-a"),
    ],
    ids=["cores", "memory"],
)
def test_a_refusal_tells_what_is_needed_and_what_is_free(has, numbers):
    with pytest.raises(NoRoom) as refused:
        choose("pocket", POCKET, [node("a", **has)], {"a": [POCKET]})
    assert numbers in str(refused.value) and "1 machines with 1 sessions" in str(refused.value)


def test_a_released_model_needs_a_gpu_with_room_for_what_the_planner_counts():
    need = Need(**needs("worldplay-8b"))
    small, large = node("a", gpus=4, gpu_memory=16 * GB), node("b", gpus=1, gpu_memory=80 * GB)
    both = [node(each.name, gpus=each.gpus, gpu_memory=each.gpu_memory, memory=256 * GB) for each in (small, large)]
    assert choose("worldplay-8b", need, both, {}).name == "b"
    with pytest.raises(NoRoom, match="it needs 1 GPUs, 0 are free on host-b"):
        choose("worldplay-8b", need, both, {"b": [need]})
    with pytest.raises(NoRoom, match=rf"it needs {need.gpu_memory / GB:.1f} GB on a GPU, 16.0 GB are there"):
        choose("worldplay-8b", need, both[:1], {})


def test_a_cluster_without_machines_is_said_to_have_none():
    with pytest.raises(NoRoom, match="the cluster has 0"):
        choose("pocket", POCKET, [], {})


def test_a_preset_that_the_planner_does_not_know_is_refused_by_it():
    with pytest.raises(WanderError, match="no plan for 'fake'"):
        needs("fake")


@given(st.lists(st.tuples(st.integers(1, 16), st.integers(1, 64)), max_size=4), st.integers(1, 30))
def test_no_machine_is_ever_given_more_than_it_has(sizes, users):
    nodes = [node(str(place), cores=cores, memory=memory * GB) for place, (cores, memory) in enumerate(sizes)]
    taken: dict[str, list[Need]] = {each.name: [] for each in nodes}
    for _ in range(users):
        try:
            taken[choose("pocket", POCKET, nodes, taken).name].append(POCKET)
        except NoRoom:
            assert all(
                each.cores - POCKET.cores * len(taken[each.name]) < POCKET.cores
                or each.memory - POCKET.memory * len(taken[each.name]) < POCKET.memory
                for each in nodes
            )
    for each in nodes:
        assert sum(need.cores for need in taken[each.name]) <= each.cores
        assert sum(need.memory for need in taken[each.name]) <= each.memory
