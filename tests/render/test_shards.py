"""Clips on disk."""

import json
from functools import partial

import numpy as np
import pytest

import render.shards as shards
from engine.trajectories import plan
from render.shards import halve, make, read_shard

small = partial(make, clips=3, split="train", seed=5, plan=plan, frames=9, width=64, height=40, event_rate=1.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    return small(out, depth=True)


def test_a_shard_holds_frames_poses_keys_and_mouse_of_every_clip(made):
    shard = read_shard(made[0])
    assert shard.frames.shape == (3, 9, 40, 64, 3) and shard.frames.dtype == np.uint8
    assert shard.poses.shape == (3, 9, 4, 4) and shard.keys.shape == (3, 9) and shard.mouse.shape == (3, 9, 2)
    assert shard.depth is not None and shard.passing is not None
    assert shard.depth.shape == shard.passing.shape == (3, 9, 40, 64)
    assert shard.passing.max() <= 1 and shard.passing.mean() < 0.5
    assert shard.frames.std() > 10


def test_reading_maps_the_file_instead_of_loading_it(made):
    assert isinstance(read_shard(made[0]).frames, np.memmap)


def test_the_sidecar_says_what_is_in_every_clip(made):
    meta = read_shard(made[0]).meta
    assert meta["format"] == 1 and np.shape(meta["intrinsics"]) == (3, 3) and len(meta["clips"]) == 3
    for clip in meta["clips"]:
        assert clip["captions"]["en"] and clip["captions"]["zh"]
        for event in clip["events"]:
            assert event["caption_en"] and event["caption_zh"] and 0 <= event["start_frame"] < 9
    assert made[0].with_suffix(".png").stat().st_size > 1000


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made, tmp_path):
    again = small(tmp_path / "again", depth=True)
    other = small(tmp_path / "other", seed=6, depth=True)
    assert again[0].read_bytes() == made[0].read_bytes() != other[0].read_bytes()
    assert again[0].with_suffix(".json").read_bytes() == made[0].with_suffix(".json").read_bytes()


def test_a_killed_run_goes_on_and_leaves_finished_shards_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 1)
    whole = small(tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        small(tmp_path / "cut", progress=kill)
    (tmp_path / "cut" / "clips-00001.safetensors.part").write_bytes(b"torn")
    finished = (tmp_path / "cut" / "clips-00000.safetensors").stat().st_mtime_ns
    resumed = small(tmp_path / "cut")
    assert (tmp_path / "cut" / "clips-00000.safetensors").stat().st_mtime_ns == finished
    assert [path.read_bytes() for path in resumed] == [path.read_bytes() for path in whole]


def test_an_unfinished_shard_and_another_format_are_refused_in_a_sentence(made, tmp_path):
    lonely = tmp_path / "clips-00000.safetensors"
    lonely.write_bytes(made[0].read_bytes())
    with pytest.raises(ValueError, match="was not finished"):
        read_shard(lonely)
    meta = json.loads(made[0].with_suffix(".json").read_text()) | {"format": 99}
    lonely.with_suffix(".json").write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="format 99"):
        read_shard(lonely)


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"frames": 10}])
def test_numbers_that_make_no_clips_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"10 frames|0 clips"):
        small(tmp_path, **wrong)


def test_halved_clips_are_the_box_filtered_ones_with_the_nearest_depth(made, tmp_path):
    (path,) = halve(made[0].parent, tmp_path)
    whole, half = read_shard(made[0]), read_shard(path)
    cells = whole.frames.reshape(3, 9, 20, 2, 32, 2, 3).astype(float).mean((3, 5))
    assert np.abs(half.frames - cells).max() <= 0.51
    assert np.array_equal(half.depth, whole.depth.reshape(3, 9, 20, 2, 32, 2).min((3, 5)))
    assert np.array_equal(half.passing, whole.passing.reshape(3, 9, 20, 2, 32, 2).max((3, 5)))
    assert (half.meta["width"], half.meta["height"], half.meta["clips"]) == (32, 20, whole.meta["clips"])
    assert np.array_equal(half.poses, whole.poses)
