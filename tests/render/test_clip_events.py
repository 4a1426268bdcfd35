"""What happens in a clip, and when."""

import numpy as np
import pytest

from render.clips import UNFOLDS, at_place, draw_events
from render.moods import MOODS
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


@pytest.mark.parametrize(
    "family, moods",
    [
        ("nightfall", {"noon", "dawn", "dusk", "overcast"}),
        ("dusk", {"noon", "dawn", "overcast"}),
        ("dawn", {"night"}),
        ("rain", set(MOODS)),
    ],
)
def test_an_hour_comes_where_it_changes_the_light_and_weather_at_any(family, moods):
    comes = {
        mood
        for mood in MOODS
        if at_place(family, np.random.default_rng(0), make_world(3, mood=mood), np.eye(4), 1.0) is not None
    }
    assert comes == moods
