"""The committed protocol and the clips it is run on."""

import json

import numpy as np
import pytest

from engine.actions import KEY_RIGHT, KEY_W
from engine.errors import WanderError
from engine.evaluation.clips import read_clips
from engine.evaluation.command import parser, prepare
from engine.evaluation.protocol import PROTOCOL, short_protocol
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
