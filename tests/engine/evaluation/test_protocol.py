"""The committed protocol and the clips it is run on."""

import json

import numpy as np
import pytest

from engine.actions import KEY_RIGHT, KEY_W
from engine.errors import WanderError
from engine.evaluation.clips import read_clips
from engine.evaluation.command import parser, prepare
from engine.evaluation.protocol import PROTOCOL, drift_protocol, long_protocol, short_protocol
from engine.evaluation.routes import ROUTES
from engine.trajectories import KINDS


def test_the_protocol_asks_for_enough_walking_clips_of_known_walks():
    protocol = short_protocol()
    assert set(protocol.walks) <= set(KINDS) and protocol.frames == 61 and protocol.sampling_steps == 4
    walking = sum(count for kind, count in protocol.walks.items() if kind not in ("look-around", "still"))
    assert walking >= protocol.bounds.walking_clips >= 32


@pytest.mark.parametrize("clips", [1, 5, 48, 100])
def test_any_number_of_clips_is_shared_out_as_the_protocol_does(clips):
    shares = short_protocol().scaled(clips)
    assert sum(shares.values()) == clips
    assert max(shares, key=lambda kind: shares[kind]) == "compound"


def test_a_damaged_protocol_is_one_sentence(tmp_path):
    broken = tmp_path / "protocol.json"
    broken.write_text(PROTOCOL.read_text().replace('"frames": 61', '"frame": 61'))
    with pytest.raises(WanderError, match="can't be read"):
        short_protocol(broken)


@pytest.mark.parametrize("arguments", [["--preset", "worldplay-9b"], ["--clips", "-3"], ["--weights", "/nowhere"]])
def test_what_cannot_be_evaluated_is_refused_before_anything_is_rendered(arguments):
    with pytest.raises(WanderError):
        prepare(parser().parse_args(arguments))


def test_the_long_and_the_drift_protocol_are_frozen():
    long, drift = long_protocol(), drift_protocol()
    assert dict(long.walks) == {"there-and-back": 16, "away-and-back": 6, "circuit": 10}
    assert (long.frames, long.seed, long.sampling_steps, long.overlap_below) == (253, 20262, 4, 0.1)
    assert long.bounds.gradient_energy_ratio == (0.7, 1.3) and long.bounds.motion_over_floor == 2
    assert (drift.frames, drift.seed, drift.early, drift.late) == (2013, 20263, (100, 500), (1500, 2000))
    assert drift.bounds.late_over_early == (0.8, 1.2)
    assert set(long.walks) == set(ROUTES) and set(drift.walks) <= set(KINDS)
    assert len({short_protocol().seed, long.seed, drift.seed}) == 3


@pytest.mark.parametrize(("asked", "frames"), [(0, 2013), (13, 13), (14, 29), (2000, 2013), (253, 253)])
def test_a_rollout_is_rounded_up_to_whole_chunks(asked, frames):
    _, protocol, request = prepare(parser().parse_args(["--protocol", "drift", "--frames", str(asked)]))
    assert protocol.frames == request.frames == frames and request.depth


def test_a_few_clips_of_the_long_protocol_are_asked_for_by_walk_and_seed():
    _, protocol, request = prepare(parser().parse_args(["--protocol", "long", "--clips", "3", "--seed", "7"]))
    assert request.sets == (("there-and-back", 1, 700), ("away-and-back", 1, 701), ("circuit", 1, 702))
    assert request.frames == 253 and protocol.seed == 7


@pytest.mark.parametrize(
    "arguments",
    [["--frames", "500"], ["--protocol", "drift", "--against", "x"], ["--protocol", "short", "--choices", "x.html"],
     ["--protocol", "drift", "--frames", "9"]],
)  # fmt: skip
def test_an_option_of_another_protocol_is_refused(arguments):
    with pytest.raises(WanderError, match=r"belongs to|below one chunk"):
        prepare(parser().parse_args(arguments))


def test_clips_are_grouped_by_what_their_camera_does(walk_of):
    groups = [walk_of(keys, 8).group for keys in (KEY_W, KEY_W | KEY_RIGHT, KEY_RIGHT, 0)]
    assert groups == ["walking", "walking", "rotation_only", "still"]


def test_a_folder_without_clips_and_a_torn_shard_are_refused(tmp_path):
    with pytest.raises(WanderError, match="0 held-out clips"):
        list(read_clips(tmp_path))
    (tmp_path / "clips-00000.json").write_text(json.dumps({"clips": [{}]}))
    (tmp_path / "clips-00000.safetensors").write_bytes(np.arange(9).tobytes())
    with pytest.raises(WanderError, match="can't be read"):
        list(read_clips(tmp_path))
