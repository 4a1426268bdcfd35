"""The fake engine keeps the contract of engine/world.py, so that what is tested with it holds for the real one."""

from dataclasses import replace

import numpy as np
import pytest

from engine.actions import KEY_RIGHT, KEY_W, Step
from engine.world import WorldSpec
from worker.fake import FakeConfig, FakeWorld, open_world

SPEC = WorldSpec(preset="fake", seed=3, prompt="plain", chunk=2)


def walk(world: FakeWorld, chunks: int, keys: int = KEY_W) -> list[bytes]:
    """Walk some chunks; the pictures of each as bytes."""
    seen = []
    for _ in range(chunks):
        seen.append(b"".join(frames.tobytes() for frames in world.step([Step(keys=keys)] * world.chunk)))
        world.commit()
    return seen


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_the_first_latent_of_a_world_is_one_picture_and_every_other_four(chunk):
    world, counts = open_world(replace(SPEC, chunk=chunk), config=FakeConfig()), []
    for _ in range(4 // chunk):
        counts += [len(frames) for frames in world.step([Step()] * chunk)]
        world.commit()
    assert counts == [1, 4, 4, 4]


def test_walking_forward_moves_the_camera_as_far_as_the_keys_say():
    world = open_world(SPEC, config=FakeConfig())
    walk(world, 2)
    assert np.allclose(world.pose[:3, 3], [0, -1.6, 3 * 4 * 0.12], atol=1e-5)


def test_turning_right_turns_the_picture():
    still, turned = (walk(open_world(SPEC, config=FakeConfig()), 1, keys)[0] for keys in (0, KEY_RIGHT))
    assert still != turned


def test_a_world_rebuilt_from_its_records_goes_on_as_if_nothing_had_happened():
    world = open_world(SPEC, config=FakeConfig())
    records = []
    for _ in range(3):
        list(world.step([Step(keys=KEY_W)] * 2))
        records.append(world.commit())
    again = open_world(SPEC, records, FakeConfig())
    assert walk(world, 2, KEY_RIGHT) == walk(again, 2, KEY_RIGHT)


def test_a_world_rebuilt_from_other_records_does_not():
    world = open_world(SPEC, config=FakeConfig())
    walk(world, 2)
    other = open_world(SPEC, config=FakeConfig())
    walk(other, 2, KEY_RIGHT)
    records = [*world._records[:1], other._records[1]]
    assert walk(open_world(SPEC, records, FakeConfig()), 1) != walk(world, 1)
