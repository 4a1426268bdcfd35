"""What happens in a clip, and when."""

import numpy as np
import pytest

from render.clips import UNFOLDS, draw_events
from render.scene import make_world


@pytest.mark.parametrize("frames", [21, 93])
def test_in_a_clip_too_short_to_unfold_everything_is_there_from_the_start(frames):
    scene, rng = make_world(3), np.random.default_rng(0)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    events = [event for _ in range(40) for event in draw_events(rng, scene, poses)]
    starts = {event.start <= -UNFOLDS / 24 for event in events}
    stops = {event.stop is not None for event in events}
    assert starts == ({True} if frames < UNFOLDS else {True, False})
    assert stops == ({False} if frames < UNFOLDS else {True, False})
