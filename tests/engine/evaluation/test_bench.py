"""Costs that are counted, and figures of a run that really happened."""

import json
from itertools import pairwise

import pytest

from app.script import parse_script
from engine.actions import KEY_W
from engine.errors import WanderError
from engine.evaluation.bench import (
    card,
    combine,
    cost_of_chunk,
    interleaved,
    lines,
    measure,
    parser,
    prepare,
    prompts,
    script,
)
from tests.engine.tiny import tiny_weights

AGREED = {
    "fps_generated", "fps_shown", "rtf_p50", "rtf_p95", "interval_p50_ms", "interval_p99_ms", "latency_p50_ms",
    "latency_p95_ms", "gemm_share", "rss_mb", "frames", "session",
}  # fmt: skip


@pytest.fixture
def clip(walk_of):
    return walk_of(KEY_W, 140, width=64, height=32)


def test_the_cost_of_a_chunk_is_counted_and_grows_with_the_chunk(clip):
    weights = tiny_weights()
    four, two = (cost_of_chunk(weights, clip, chunk) for chunk in (4, 2))
    assert min(four.denoise, four.commit, four.decode) > 0
    assert four.decode == pytest.approx(2 * two.decode) and four.denoise > 1.2 * two.denoise
    assert four.denoise > 3 * four.commit  # four steps over the chunk and its context, against one pass
    assert "GFLOP" in card(four, 100.0, weights, 4)


def test_a_run_reports_distinct_frames_and_their_quality_in_the_agreed_words(clip):
    weights = tiny_weights()
    cost = cost_of_chunk(weights, clip, 4)
    engine = measure(weights, clip, cost, seconds=60.0, chunk=4)  # the walk ends long before
    assert 0 < engine["frames"] <= 64 and engine["fps_generated"] > 0 and engine["dfd"] > 0
    figures = combine(engine, {4: {"fps_shown": 23.9, "rss_mb": 700.0}}, 4)
    assert set(figures) >= AGREED and figures["fps_shown"] == 23.9 and figures["session"] is None
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert "fps_generated" in lines(figures)


def test_the_played_script_is_in_order_and_the_same_every_time():
    found = script(20.0)
    assert found == script(20.0) and found != script(20.0, seed=1)
    assert [line["t"] for line in found] == sorted(line["t"] for line in found) and found[-1]["t"] < 20


def test_a_walk_with_events_says_each_in_its_time_and_keeps_the_keys():
    said = prompts(50, 4.0)
    lines = interleaved(script(210.0), said)
    assert [line["prompt"] for line in lines if "prompt" in line] == [line["prompt"] for line in said]
    assert len(said) == 50 and len({line["prompt"] for line in said}) > 25
    assert not any("{" in line["prompt"] for line in said)
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    for before, line in pairwise(lines):
        assert "prompt" not in line or line["keys"] == before["keys"]


def test_the_script_of_events_is_one_that_the_player_reads():
    text = "\n".join(json.dumps(line) for line in interleaved(script(30.0), prompts(6, 4.0)))
    assert sum(cue.prompt is not None for cue in parse_script(text)) == 6


def test_an_impossible_length_is_one_sentence():
    with pytest.raises(WanderError, match="between 1 and 3600"):
        prepare(parser().parse_args(["--seconds", "0"]))
