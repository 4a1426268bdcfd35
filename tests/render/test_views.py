"""Views of a place, calm and under each event, fully there."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from engine.trajectories import plan
from render.events import HEROES
from render.views import make_views

FAMILIES = ("nightfall", "fire", "dawn")
REQUEST = {
    "families": FAMILIES,
    "worlds": 2,
    "views": 2,
    "split": "train",
    "seed": 3,
    "plan": plan,
    "width": 64,
    "height": 32,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    paths = make_views(folder, **REQUEST)
    return folder, [(load_file(path)["frames"], json.loads(path.with_suffix(".json").read_text())) for path in paths]


def test_every_view_comes_calm_first_and_then_under_each_event_that_has_room(made):
    for frames, about in made[1]:
        families = [clip["events"][0]["family"] if clip["events"] else None for clip in about["clips"]]
        assert families.count(None) == 2 and families[0] is None and frames.shape[1:] == (1, 32, 64, 3)
        hour = "dawn" if about["clips"][0]["mood"] == "night" else "nightfall"
        assert families.count(hour) == 2 and families.count("dawn") + families.count("nightfall") == 2


def test_the_events_of_a_view_change_that_view(made):
    for frames, about in made[1]:
        calm = None
        for (frame,), clip in zip(frames.astype(int), about["clips"], strict=True):
            calm = frame if not clip["events"] else calm
            assert not clip["events"] or np.abs(frame - calm).max() > 30


def test_the_same_request_gives_the_same_pixels_and_what_is_there_is_not_drawn_again(made, tmp_path):
    folder, shards = made
    again = [load_file(path)["frames"] for path in make_views(tmp_path, **REQUEST)]
    assert all(np.array_equal(mine, its) for mine, (its, _) in zip(again, shards, strict=True))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    make_views(folder, **REQUEST)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("wrong", [{"worlds": 0}, {"views": 0}])
def test_no_worlds_and_no_views_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="at least 1 of each"):
        make_views(tmp_path, **REQUEST | wrong)


def test_somebody_walks_ahead_in_two_views_of_a_world_and_changes_nothing_but_itself(tmp_path):
    paths = make_views(tmp_path, **REQUEST | {"show": HEROES, "split": "heldout"})
    for path in paths:
        arrays, about = load_file(path), json.loads(path.with_suffix(".json").read_text())
        frames, depth, poses = (arrays[name] for name in ("frames", "depth", "poses"))
        assert frames.shape[1:] == (4, 32, 64, 3) and about["heroes"]["pace"] > 0
        for shots, far, cameras, clip in zip(frames.astype(int), depth, poses, about["clips"], strict=True):
            for view, stance in enumerate(clip["hero"]):
                without, there = shots[2 * view], shots[2 * view + 1]
                nearer = far[2 * view + 1] < far[2 * view]
                assert nearer.any() and np.abs(there - without)[nearer].max() > 20
                assert (np.abs(there - without).max(-1) > 20).mean() < 0.3, "most of the view is as it was"
                camera = cameras[2 * view]
                ahead = np.array([stance["x"], stance["z"]]) - camera[[0, 2], 3]
                assert 3.3 < np.hypot(*ahead) < 5.5
                assert ahead[0] * camera[2, 2] == pytest.approx(ahead[1] * camera[0, 2], abs=1e-4), "straight ahead"
