"""What may be said about ranks, and what their processes are told."""

import os

import pytest

from worker.errors import LaunchError
from worker.group import LOOPBACK, Group, chosen, taken, told


def test_without_a_word_a_model_is_alone_on_the_loopback_device():
    assert chosen(None, None, {}) == Group(ranks=1, interface=LOOPBACK)


def test_torchrun_says_how_many_ranks_there_are_and_which_one_this_is():
    assert chosen(None, None, {"RANK": "2", "WORLD_SIZE": "4"}) == Group(ranks=4, torchrun=True, rank=2)
    assert chosen(4, None, {"RANK": "0", "WORLD_SIZE": "4"}).ranks == 4


@pytest.mark.parametrize(
    ("ranks", "interface", "environment", "sentence"),
    [
        (0, None, {}, "--ranks 0 is not within 1 to 64"),
        ("many", None, {}, "--ranks many is not within 1 to 64"),
        (2, "no-such-device", {}, "no network device 'no-such-device'"),
        (2, None, {"RANK": "0", "WORLD_SIZE": "4"}, "--ranks 2 and torchrun's WORLD_SIZE 4 differ"),
        (None, None, {"RANK": "4", "WORLD_SIZE": "4"}, "RANK 4 is not one of 4 ranks"),
        (None, None, {"RANK": "0", "WORLD_SIZE": "x"}, "WORLD_SIZE x is not within 1 to 64"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(ranks, interface, environment, sentence):
    with pytest.raises(LaunchError, match=sentence):
        chosen(ranks, interface, environment)


def test_play_takes_what_concerns_ranks_out_of_the_arguments_and_tells_its_children(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    assert taken(["--chunk", "1", "--ranks", "3", "--world", "seed:7"]) == ["--chunk", "1", "--world", "seed:7"]
    assert os.environ == {"WANDER_RANKS": "3"}


def test_ranks_that_are_started_here_share_the_cores_unless_the_person_decided_otherwise(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    group = Group(ranks=3)
    assert group.environment(1, {}) == {"OMP_NUM_THREADS": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "3"}
    assert group.environment(1, {"OMP_NUM_THREADS": "5"})["OMP_NUM_THREADS"] == "5"
    assert Group().environment(0, {"HOME": "/"}) == {"HOME": "/"}
    assert Group(ranks=3, torchrun=True).environment(0, {"LOCAL_RANK": "7"}) == {"LOCAL_RANK": "7"}


def test_sharing_the_decoding_is_told_to_children_and_takes_several_ranks(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    assert taken(["--ranks", "2", "--share-decoding", "--decoder-device", "cuda:1"]) == []
    assert os.environ == {"WANDER_RANKS": "2", "WANDER_SHARE_DECODING": "1", "WANDER_DECODER_DEVICE": "cuda:1"}
    assert told(os.environ).strips and not told({"WANDER_RANKS": "2"}).strips
    with pytest.raises(LaunchError, match="--share-decoding is for several ranks and there is 1"):
        taken(["--ranks", "1", "--share-decoding"])
