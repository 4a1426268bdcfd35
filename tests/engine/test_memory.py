"""Reconstituted context memory: the released choices exactly, and what any choice must hold."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from engine import actions, memory
from engine.actions import KEY_LEFT, KEY_RIGHT, KEY_S, KEY_W, POCKET, Motion, Step
from engine.geometry import rigid_inverse

FIXTURES = Path(__file__).parents[1] / "parity" / "fixtures"
CONFIG = memory.pocket()
walks = st.lists(st.tuples(st.integers(0, 255), st.integers(1, 25)), min_size=4, max_size=12).map(
    lambda parts: [Step(keys) for keys, count in parts for _ in range(count)])


def cameras(steps: list[Step], minimum: int = 40) -> np.ndarray:
    return rigid_inverse(actions.latent_poses([*steps, *[Step(KEY_W)] * max(minimum - len(steps), 0)], POCKET))


def wandering(latents: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    steps: list[Step] = []
    while len(steps) < latents:
        keys, look = int(random.choice([1, 1, 2, 4, 16, 32, 17, 33, 64, 128, 0, 21])), float(random.normal(0, 0.03))
        steps += [Step(keys, look)] * int(random.integers(1, 30))
    return cameras(steps)[:latents]


def test_what_is_recalled_is_older_than_the_recent_latents_and_counted_back_from_the_chunks_last():
    chosen = memory.select_context(wandering(44, 3), 40, 4, CONFIG)
    told = memory.recalled(chosen, 40, 4, CONFIG)
    assert len(told) == CONFIG.spatial_latents and all(back > 43 - 28 for back in told)
    assert [43 - back for back in told] == chosen[: len(told)].tolist()
    assert memory.recalled(memory.select_context(wandering(12, 3), 8, 4, CONFIG), 8, 4, CONFIG) == ()


@pytest.mark.parametrize("rule", ["8b", "wan", "8b_bi16"])
def test_every_released_selection_is_reproduced(rule):
    header, tensors = json.loads((FIXTURES / "memory.json").read_text()), load_file(FIXTURES / "memory.safetensors")
    config = memory.worldplay_5b() if rule == "wan" else memory.worldplay_8b()
    queries = [(tensors[path["w2c"]], query) for path in header["paths"] for query in path["queries"]
               if query["rule"] == rule]
    assert queries
    for poses, query in queries:
        points = memory.points_in_field(tensors["points"][: query["n_points"]], config)
        choose, length = (memory.aligned_context, 16) if rule == "8b_bi16" else (memory.select_context, 4)
        assert choose(poses, query["cur"], length, config, points=points).tolist() == query["selected"]


def test_turning_around_and_back_brings_the_first_chunk_into_memory():
    around, back = [Step(KEY_RIGHT)] * 41, [Step(KEY_LEFT)] * 41      # 180 degrees
    poses = cameras([Step()] * 3 + around + back + [Step()] * 4)
    assert memory.select_context(poses, 84, 4, CONFIG)[:4].tolist() == [0, 1, 2, 3]


def test_walking_out_and_returning_backwards_finds_the_way_out():
    poses = cameras([Step(KEY_W)] * 40 + [Step(KEY_S)] * 40)
    retrieved = memory.select_context(poses, 72, 4, CONFIG)[0]
    assert abs(np.linalg.inv(poses)[retrieved + 1, 2, 3] - np.linalg.inv(poses)[73, 2, 3]) < 4 * 4 * 0.12


@given(walks, st.sampled_from([1, 2, 4, 16]), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_context_is_recent_latents_plus_one_whole_clip_at_every_chunk_length(steps, length, current):
    poses = cameras(steps, minimum=80)
    context = memory.select_context(poses, current, length, CONFIG)
    if current <= CONFIG.context_latents:
        assert context.tolist() == list(range(current))
        return
    assert context[-12:].tolist() == list(range(current - 12, current))
    assert context[0] % 4 == 0 and context[:4].tolist() == list(range(context[0], context[0] + 4))
    assert len(set(context)) == len(context) == CONFIG.context_latents and (np.diff(context) > 0).all()


@given(walks, st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_moving_the_world_origin_changes_no_choice(steps, yaw, x, z):
    poses = cameras(steps, minimum=60)
    moved = poses @ rigid_inverse(actions.walk(np.eye(4), Motion(yaw=yaw, right=x, forward=z)))
    for current in (24, 40, 56):
        one, two = (memory.select_context(p, current, 4, CONFIG) for p in (poses, moved))
        overlaps = memory.clip_overlaps(poses, np.arange(current, current + 4), np.array([one[0], two[0]]), CONFIG,
                                        memory.field_points(CONFIG))
        assert abs(overlaps[0] - overlaps[1]) < 1e-3     # the same clip, or one that is as good to the last point


@given(walks, st.sampled_from([17, 31, 44]))
@settings(max_examples=20, deadline=None)
def test_the_choice_is_the_same_every_time_and_blind_to_the_future(steps, current):
    poses = cameras(steps, minimum=80)
    choice = memory.select_context(poses, current, 4, CONFIG)
    np.testing.assert_array_equal(choice, memory.select_context(poses[: current + 4], current, 4, CONFIG))


def test_standing_still_keeps_the_oldest_clip_after_the_sink():
    still = np.tile(np.eye(4), (400, 1, 1))
    assert memory.select_context(still, 396, 4, CONFIG)[0] == 0
    assert memory.select_context(still, 396, 4, memory.worldplay_8b())[:8].tolist() == list(range(8))


@pytest.mark.parametrize("current", [8, 16, 17, 60])
def test_without_retrieval_a_context_is_as_long_and_all_recent(current):
    poses = wandering(80, seed=2)
    context = memory.select_context(poses, current, 4, replace(CONFIG, retrieves=False))
    assert context.tolist() == list(range(max(0, current - 16), current))


def test_the_teachers_context_holds_everything_its_student_would_see_and_none_of_its_own_chunk():
    poses = wandering(120, seed=3)
    context = memory.aligned_context(poses, 96, 16, CONFIG)
    students = [memory.select_context(poses, first, 4, CONFIG) for first in (96, 100, 104, 108)]
    assert set(context) == {latent for student in students for latent in student if latent < 96}


def test_the_choice_agrees_with_a_fifty_thousand_point_oracle():
    random = np.random.default_rng(1)
    distance, turn, fall = random.random((3, 50_000))
    level = np.sqrt(1 - (1 - 2 * fall) ** 2)
    ball = CONFIG.radius * np.cbrt(distance)[:, None] * np.stack(
        [level * np.cos(2 * np.pi * turn), level * np.sin(2 * np.pi * turn), 1 - 2 * fall], axis=1)
    oracle = memory.points_in_field(ball, CONFIG).astype(np.float32)
    good = 0
    for seed in range(24):
        current = int(random.integers(100, 800))
        poses, queries = wandering(current + 4, seed), np.arange(current, current + 4)
        clips = np.arange(0, current - 15, 4)
        overlap = memory.clip_overlaps(poses, queries, clips, CONFIG, oracle)
        choice = memory.retrieve(poses, queries, clips, CONFIG, memory.field_points(CONFIG))
        good += overlap.max() - overlap[choice // 4] <= 0.01
    assert good == 24


def views(poses: np.ndarray, queries: list[int], latent: int) -> set[tuple[int, int]]:
    """Field points of the queries' cameras that a latent's camera sees, point by point and in plain trigonometry."""
    points, found = memory.field_points(CONFIG)[: 4 * CONFIG.coarse_points], set()
    for query in queries:
        for number, point in enumerate(points):
            there = poses[query] @ rigid_inverse(poses[latent])
            x, y, z = point - there[:3, 3]
            across = np.arctan2(x, z) - np.arctan2(there[0, 2], there[2, 2])
            down = np.arctan2(y, np.hypot(x, z)) - np.arctan2(there[1, 2], np.hypot(there[0, 2], there[2, 2]))
            across = (across + np.pi) % (2 * np.pi) - np.pi
            halves = np.radians(CONFIG.field_of_view) / 2
            if abs(across) < halves[0] and abs(down) < halves[1] and x * x + y * y + z * z < CONFIG.radius**2:
                found.add((query, number))
    return found


def test_pictures_are_added_for_what_the_context_does_not_show_the_best_one_first():
    poses = cameras([Step(KEY_RIGHT)] * 60 + [Step(KEY_LEFT)] * 60)
    current, queries = 112, [112, 115]
    shown = memory.select_context(poses, current, 4, CONFIG)[::-1][::4].tolist()
    added = memory.complementary(poses, current, 4, shown, CONFIG)
    assert added and len(added) <= CONFIG.complements and not set(added) & set(shown)
    seen = set.union(*(views(poses, queries, latent) for latent in shown))
    old = range(3, current - CONFIG.temporal_latents, 4)
    gains = {latent: len(views(poses, queries, latent) - seen) for latent in old}
    assert gains[added[0]] == max(gains.values()) > 0
    for before, latent in enumerate(added):
        known = seen.union(*(views(poses, queries, other) for other in added[:before]))
        assert len(views(poses, queries, latent) - known) >= 0.03 * 2 * 4 * CONFIG.coarse_points


@given(walks, st.integers(17, 40))
@settings(max_examples=20, deadline=None)
def test_added_pictures_end_clips_and_are_older_than_the_recent_latents(steps, current):
    poses = cameras(steps, current + 4)
    added = memory.complementary(poses, current, 4, [current - 1], CONFIG)
    assert all(latent % 4 == 3 and latent < current - CONFIG.temporal_latents for latent in added)
    assert len(set(added)) == len(added) <= CONFIG.complements


def test_what_one_added_picture_shows_no_other_is_added_for():
    assert len(memory.complementary(cameras([Step(0)] * 100), 96, 4, [], CONFIG)) == 1


def test_pictures_are_added_from_among_those_that_are_allowed():
    poses = cameras([Step(KEY_RIGHT)] * 60 + [Step(KEY_LEFT)] * 60)
    (best, *_), among = memory.complementary(poses, 112, 4, [111], CONFIG), np.ones(112, dtype=np.bool_)
    among[best] = False
    others = memory.complementary(poses, 112, 4, [111], CONFIG, among)
    assert others and best not in others
    assert memory.complementary(poses, 112, 4, [111], CONFIG, np.zeros(112, dtype=np.bool_)) == []


def test_nothing_is_added_where_recent_pictures_show_all_or_memory_is_off():
    straight = cameras([Step()] * 60)
    assert memory.complementary(straight, 40, 4, [39], CONFIG) == []
    around = cameras([Step(KEY_RIGHT)] * 60 + [Step(KEY_LEFT)] * 60)
    assert memory.complementary(around, 112, 4, [111], replace(CONFIG, retrieves=False)) == []
    assert memory.complementary(around, 12, 4, [11], CONFIG) == []


def test_the_field_points_fill_the_field_evenly():
    points = memory.field_points(replace(CONFIG, points=4096))
    assert len(memory.points_in_field(points, CONFIG)) == 4096
    inner = np.linalg.norm(points, axis=1) < CONFIG.radius / 2
    assert np.mean(inner) == pytest.approx(1 / 8, abs=0.005)
    assert abs(points[:, 0].mean()) < 0.05 and abs(points[:, 1].mean()) < 0.05


@pytest.mark.slow
def test_choosing_from_four_thousand_latents_takes_ten_milliseconds():
    poses = wandering(4100, seed=0)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        memory.select_context(poses, 4096, 4, CONFIG)
        times.append(time.perf_counter() - start)
    assert min(times) <= 0.010


@pytest.mark.parametrize("wrong", [{"spatial_latents": 0}, {"sink_latents": 3}, {"field_of_view": (180.0, 35.0)}])
def test_an_impossible_memory_is_refused(wrong):
    with pytest.raises(ValueError):
        memory.MemoryConfig(**wrong)


def test_missing_poses_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="need 24 poses, there are 22"):
        memory.select_context(np.tile(np.eye(4), (22, 1, 1)), 20, 4, CONFIG)


def test_a_context_stands_directly_before_its_chunk_unless_memory_does_not_reframe():
    chosen = [3, 4, 200, 201]
    assert memory.context_times(chosen, 202, 2, CONFIG).tolist() == [0, 1, 2, 3, 4, 5]
    assert memory.context_times(chosen, 202, 2, replace(CONFIG, reframes=False)).tolist() == [*chosen, 202, 203]
