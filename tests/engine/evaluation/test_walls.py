"""Whether walking stops before walls and before nothing else: how that is scored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.actions import KEY_W, Step
from engine.errors import WanderError
from engine.evaluation import walls
from engine.evaluation.command import parser, prepare, summary
from engine.evaluation.protocol import walls_protocol
from engine.evaluation.walls import Walked, ahead, lost_on, summarise, walk_clip, walk_up
from engine.surfaces import Surfaces
from engine.walls import RULE
from tests.engine.evaluation.conftest import film
from tests.engine.tiny import tiny_weights

PROTOCOL = walls_protocol()
NOTHING = np.zeros((0, 2))


def walked(left: float, lost: float = 0.0) -> Walked:
    return Walked(name=f"{left}", ahead=4.0, left=left, metres=10.0, lost=lost)


@pytest.fixture
def plain_walk():
    """Over open ground, 15 latents."""
    return film([Step(keys=KEY_W)] * 60, 64, 32)


def test_a_wall_ahead_is_even_and_fills_the_middle():
    wall = np.full((96, 160), 3.0)
    assert ahead(wall) == 3.0
    beside = wall.copy()
    beside[:, 90:] = np.inf
    slanting = wall * np.linspace(0.3, 3, 160)
    assert np.isnan(ahead(beside)) and np.isnan(ahead(slanting)) and np.isnan(ahead(np.full((96, 160), np.inf)))


def test_the_model_walks_until_the_rule_stops_it(plain_walk, monkeypatch):
    protocol = replace(PROTOCOL, chunks=2)
    assert walk_up(tiny_weights(), plain_walk, protocol, seed=1) == pytest.approx(7 * 0.48, abs=1e-3)
    monkeypatch.setattr("engine.walls.obstacles", lambda *_: np.array([[0.0, 2.0]]))
    assert walk_up(tiny_weights(), plain_walk, protocol, seed=1) == pytest.approx(2.0 - RULE.clearance, abs=0.07)


def test_what_is_taken_from_a_true_walk_without_need_is_lost(plain_walk, monkeypatch):
    weights = tiny_weights()
    monkeypatch.setattr(Surfaces, "walls", lambda *_: NOTHING)
    assert lost_on(weights, plain_walk) == (pytest.approx(12 * 0.48 * 0.94, rel=0.1), 0.0)
    monkeypatch.setattr(Surfaces, "walls", lambda self, path, ends: path[-1:, [0, 2], 3] + [[0.0, 0.5]])
    metres, lost = lost_on(weights, plain_walk)
    assert lost == pytest.approx(metres, rel=0.05)


def test_what_the_true_depth_would_take_as_well_is_not_lost(plain_walk, monkeypatch):
    wall = np.array([[0.0, 2.5]])
    monkeypatch.setattr(walls, "obstacles", lambda *_: wall)
    monkeypatch.setattr(Surfaces, "walls", lambda *_: wall)
    metres, lost = lost_on(tiny_weights(), plain_walk)
    assert metres > 5 and lost == 0.0


def test_a_wall_behind_a_character_is_not_walked_up_to(plain_walk, monkeypatch):
    monkeypatch.setattr(walls, "ahead", lambda _: 3.0)
    monkeypatch.setattr(walls, "walk_up", lambda *_: 2.2)
    monkeypatch.setattr(walls, "lost_on", lambda *_: (5.0, 0.0))
    assert walk_clip(tiny_weights(), plain_walk, PROTOCOL, 1).left == pytest.approx(0.8)
    with_hero = replace(plain_walk, about={**plain_walk.about, "hero": "fox"})
    assert np.isnan(walk_clip(tiny_weights(), with_hero, PROTOCOL, 1).left)


def test_a_report_holds_when_most_walks_stop_and_the_open_is_free():
    good = summarise([walked(0.7)] * 23 + [walked(-3.0)], PROTOCOL, seed=1, preset="pocket")
    assert [claim["holds"] for claim in good["claims"]] == [True, True, True]
    assert good["scores"]["stopped"] == pytest.approx(23 / 24, abs=1e-3) and "0.70 units left" in summary(good)
    through = summarise([walked(0.7)] * 20 + [walked(-3.0)] * 4, PROTOCOL, seed=1, preset="pocket")
    blocked = summarise([walked(0.7, lost=0.3)] * 24, PROTOCOL, seed=1, preset="pocket")
    few = summarise([walked(0.7), replace(walked(0.0), ahead=np.nan)], PROTOCOL, seed=1, preset="pocket")
    for report, failing in ((through, 1), (blocked, 2), (few, 0)):
        assert [claim["holds"] for claim in report["claims"]].index(False) == failing
    assert few["clips"] == 2 and few["claims"][0]["value"] == 1


def test_clips_are_asked_for_that_begin_close_to_something_solid():
    _, protocol, request = prepare(parser().parse_args(["--protocol", "walls", "--clips", "2"]))
    assert request.near == protocol.near == 0.6 and request.depth and request.sets[0][:2] == ("compound", 2)
    with pytest.raises(WanderError, match="--protocol walls has none"):
        prepare(parser().parse_args(["--protocol", "walls", "--html", "out.html"]))
