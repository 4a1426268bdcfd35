"""Walking through a ground-truth world."""

import numpy as np
import pytest

from engine.actions import KEY_LEFT, KEY_W, POCKET, Step, advance
from engine.trajectories import facing_and_stride
from render.preview import Preview
from render.scene import make_world


@pytest.fixture
def preview(renderer):
    return Preview(
        renderer,
        make_world(3, biome="meadow", mood="noon", third_person=False),
        advance=lambda pose, keys, yaw, pitch: advance(pose, Step(keys, yaw, pitch), POCKET),
        facing_and_stride=facing_and_stride,
    )


def test_keys_move_the_camera_as_the_engine_says(preview):
    before = preview.pose
    frame = preview.step(KEY_W | KEY_LEFT)
    assert frame.shape == (96, 160, 3)
    assert np.array_equal(preview.pose, advance(before, Step(KEY_W | KEY_LEFT), POCKET))


def test_nobody_walks_through_what_stands_or_out_of_the_world(preview):
    for _ in range(600):
        preview.step(KEY_W)
    x, z = preview.pose[(0, 2), 3]
    gap = np.hypot(*(preview.scene.obstacles[:, :2] - (x, z)).T) - preview.scene.obstacles[:, 2]
    assert gap.min() >= 0.5 and max(abs(x), abs(z)) <= preview.scene.bounds


def test_an_event_is_toggled_on_and_off(preview):
    calm = preview.step(0).astype(int)
    assert preview.toggle("fog")
    foggy = [preview.step(0).astype(int) for _ in range(48)][-1]
    assert preview.toggle("fog")
    cleared = [preview.step(0).astype(int) for _ in range(48)][-1]
    assert np.abs(foggy - calm).mean() > 10 > np.abs(cleared - calm).mean()
