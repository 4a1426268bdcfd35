"""The short protocol end to end, on exact clips and a tiny random network that has learned nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

from engine.actions import KEY_RIGHT, KEY_W
from engine.evaluation.metrics import Bootstrap
from engine.evaluation.protocol import short_protocol
from engine.evaluation.report import page
from engine.evaluation.rollout import generate
from engine.evaluation.short import better, claim, run_short
from tests.engine.tiny import tiny_weights

PROTOCOL = replace(short_protocol(), bootstrap=Bootstrap(samples=200))


@pytest.fixture(scope="module")
def clips(walk_of):
    keys = {"ahead": KEY_W, "bend": KEY_W | KEY_RIGHT, "turn": KEY_RIGHT, "rest": 0}
    return [replace(walk_of(bits, 28, width=64, height=32), name=name) for name, bits in keys.items()]


@pytest.fixture(scope="module")
def outcome(clips):
    return run_short(tiny_weights(), clips, PROTOCOL, seed=3, preset="pocket")


def test_the_report_has_the_agreed_shape_and_is_plain_json(outcome):
    report, _ = outcome
    assert set(report) == {"protocol", "preset", "clips", "seed", "scores", "baselines", "floors", "claims"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert all({"name", "value", "bound", "holds"} <= set(each) for each in report["claims"])
    names = {each["name"] for each in report["claims"]}
    assert names >= {"dfd_better_than_repeat", "dfd_better_than_warp", "psnr_better_than_repeat", "key_following"}


def test_rotation_only_and_still_clips_are_listed_apart(outcome):
    scores = outcome[0]["scores"]
    assert [scores[group]["clips"] for group in ("walking", "rotation_only", "still")] == [2, 1, 1]


def test_a_network_that_learned_nothing_earns_no_claim_about_quality(outcome):
    holds = {each["name"]: each["holds"] for each in outcome[0]["claims"]}
    assert not any(holds[name] for name in ("dfd_better_than_repeat", "psnr_better_than_repeat", "key_following"))


def test_a_still_camera_is_repeated_perfectly_and_a_turn_is_warped_better_than_repeated(outcome):
    baselines = outcome[0]["baselines"]
    assert baselines["repeat"]["still"]["psnr"] == 60 and baselines["repeat"]["still"]["psnr_hidden"] is None
    for metric, sign in (("psnr", 1), ("dfd", -1)):
        gain = baselines["warp"]["rotation_only"][metric] - baselines["repeat"]["rotation_only"][metric]
        assert sign * gain > 0


def test_the_same_seed_gives_the_same_frames_and_another_does_not(clips):
    weights = tiny_weights()
    one, again, other = (generate(weights, clips[0], seed=seed, steps=2) for seed in (1, 1, 2))
    assert one.shape == clips[0].frames.shape
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_difference_counts_only_if_its_lower_bound_is_above_zero(outcome):
    walking = [result for result in outcome[1] if result.group == "walking"]
    found = better(walking, "dfd", "repeat", PROTOCOL)
    assert found["holds"] == (found["value"] > 0) and found["interval"][0] <= found["mean"] <= found["interval"][1]


@pytest.mark.parametrize(
    ("value", "holds"), [(0.69, False), (0.7, True), (1.3, True), (1.31, False), (float("nan"), False)]
)
def test_a_claim_holds_inside_its_bounds_alone(value, holds):
    assert claim("ratio", value, (0.7, 1.3))["holds"] is holds


def test_the_page_shows_every_claim_and_needs_no_other_file(outcome):
    report, results = outcome
    text = page(report, results)
    assert all(each["name"] in text for each in report["claims"])
    assert text.count("data:image/webp;base64,") == len(results)
    assert "://" not in text and 'src="data:' in text
