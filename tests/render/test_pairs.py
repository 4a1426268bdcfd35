"""The same walk with and without an event."""

from functools import partial

import numpy as np
import pytest

import render.pairs as pairs
from engine.trajectories import plan
from render.pairs import make_pairs
from render.shards import read_shard

LATENTS = (0, 7, 8, 15)
small = partial(
    make_pairs, families=("rain", "fire"), worlds=2, split="heldout", seed=5, plan=plan, latents=LATENTS,
    start_frame=29, width=64, height=40,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small(tmp_path_factory.mktemp("pairs"))


def test_until_the_event_begins_its_clip_is_the_control_and_then_it_is_not(made):
    for path in made:
        shard = read_shard(path)
        for frames, about in list(zip(shard.frames, shard.meta["clips"], strict=True))[1:]:
            assert about["events"][0]["start_frame"] == 29
            assert np.array_equal(frames[:2], shard.frames[0, :2])
            assert not np.array_equal(frames[3], shard.frames[0, 3])
        assert np.array_equal(shard.poses, np.broadcast_to(shard.poses[:1], shard.poses.shape))


def test_the_control_stands_first_and_every_event_knows_the_words_for_its_subject(made):
    for path in made:
        control, *others = read_shard(path).meta["clips"]
        assert control["events"] == [] and others
        assert all(clip["captions"] == control["captions"] and clip["world"] == control["world"] for clip in others)
        for event in (clip["events"][0] for clip in others):
            assert set(event["words"]) == {"en", "zh"} and bool(event["words"]["en"]) == (event["family"] == "fire")


def test_a_group_that_is_there_is_not_made_again_and_the_next_is_the_same(made, tmp_path, monkeypatch):
    small(tmp_path, worlds=1)
    before = (tmp_path / "clips-00000.safetensors").stat().st_mtime_ns
    again = small(tmp_path)
    assert (tmp_path / "clips-00000.safetensors").stat().st_mtime_ns == before
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]
    monkeypatch.setattr(pairs, "Renderer", None)  # nothing is drawn any more
    small(tmp_path)


def test_a_family_for_which_no_world_has_room_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "at_place", lambda *_: None)
    monkeypatch.setattr(pairs, "PATIENCE", 2)
    with pytest.raises(ValueError, match="have no room for rain"):
        small(tmp_path, families=("rain",))
