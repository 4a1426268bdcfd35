"""The planner: what fits, how fast, and why."""

import json

import pytest

from engine.cost import worldplay_8b
from engine.errors import WanderError
from engine.plan import CARDS, RESERVE, card_of, exchanged, make_plan, parse_gpus, run, streaming


@pytest.mark.parametrize(("text", "meant"), [("24GB", (1, 24.0)), ("2x24gb", (2, 24.0)), ("8x80", (8, 80.0))])
def test_gpus_are_written_as_people_write_them(text, meant):
    assert parse_gpus(text) == meant


@pytest.mark.parametrize("text", ["", "0x24GB", "two", "2x", "x24", "99x24GB", "2x0GB"])
def test_what_is_no_set_of_gpus_is_refused(text):
    with pytest.raises(WanderError, match="write 2x24GB"):
        parse_gpus(text)


def test_a_card_is_assumed_that_has_no_more_memory_than_was_said():
    assert [card_of(size).name for size in (8, 24, 40, 96)] == ["RTX 4080", "RTX 4090", "RTX 5090", "H100 SXM"]


def test_more_gpus_are_faster_but_not_in_proportion_and_need_less_memory_each():
    one, two, eight = (make_plan("worldplay-8b", count, CARDS[4], 0.45) for count in (1, 2, 8))
    assert one.seconds > two.seconds > eight.seconds > one.seconds / 8
    assert one.bytes.total > two.bytes.total > eight.bytes.total > one.bytes.transformer
    assert one.exchange == 0 < two.exchange


def test_the_time_is_never_below_the_roofline():
    plan = make_plan("worldplay-5b", 1, CARDS[1], 0.45)
    assert plan.seconds >= plan.flops.total / (CARDS[1].tflops * 1e12 * 0.45)


def test_what_does_not_fit_says_by_how_much_and_what_would_do():
    plan = make_plan("worldplay-8b", 2, card_of(24), 0.45)
    assert plan.spare == pytest.approx(24e9 - RESERVE - plan.bytes.total)
    shown = run(["--preset", "worldplay-8b", "--gpus", "2x24GB"])
    assert ("does not fit" in shown) is (plan.spare < 0)
    assert "assumed: RTX 4090" in shown and "not measured" in shown


def test_ones_own_figures_are_used_and_said():
    shown = json.loads(run(["--preset", "worldplay-5b", "--gpus", "24GB", "--tflops", "100", "--json"]))
    assert (shown["card"]["tflops"], shown["card"]["name"]) == (100, "your figures")


def test_one_gpu_exchanges_nothing():
    assert exchanged(worldplay_8b(), 1) == 0


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(WanderError, match="worldplay-5b, worldplay-8b"):
        run(["--preset", "pocket", "--gpus", "24GB"])


def test_what_does_not_fit_names_the_choices_that_would():
    shown = run(["--preset", "worldplay-5b", "--gpus", "16GB"])
    assert "WANDER_SPEED=weights=int8-weights" in shown and "WANDER_SPEED=offload; a chunk then takes at least" in shown


def test_streaming_takes_the_weights_over_the_bus_once_a_pass():
    plan = make_plan("worldplay-8b", 1, CARDS[1], 0.45)
    assert streaming(plan) == pytest.approx(5 * plan.bytes.transformer / 25e9)  # the context and 4 steps
