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
from engine.evaluation.walls import TOUCH, Walked, lost_on, nearest, summarise, walk_clip, walk_up
from engine.geometry import POCKET_LENS
from engine.surfaces import Surfaces
from engine.walls import RULE, obstacles
from tests.engine.evaluation.conftest import film
from tests.engine.tiny import tiny_weights

PROTOCOL = walls_protocol()
NOTHING = np.zeros((0, 2))


def walked(gap: float, lost: float = 0.0) -> Walked:
    return Walked(name=f"{gap}", gap=gap, metres=10.0, lost=lost)


def test_what_true_depth_shows_to_be_solid_is_fixed_and_play_may_be_more_careful():
    depth, pose = np.full((96, 160), np.inf), np.eye(4)
    pose[1, 3] = -1.6
    depth[:, 80] = 1.5  # a pole, a pixel wide
    disparity = np.where(np.isfinite(depth), 1 / depth, 0)
    assert len(obstacles(disparity, np.ones_like(depth), pose, POCKET_LENS)) and not len(walls._true_plan(depth, pose))


@pytest.fixture
def plain_walk():
    """Over open ground, 15 latents."""
    return film([Step(keys=KEY_W)] * 60, 64, 32)


def path(*places: tuple[float, float]) -> np.ndarray:
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, [0, 2], 3] = places
    return poses


def test_how_near_a_way_comes_is_looked_at_between_its_cameras_too():
    way = path((0, 0), (0, 2), (0, 2), (1, 2))
    assert nearest(way, np.array([[0.3, 1.0]])) == pytest.approx(0.3, abs=0.01)
    assert nearest(way, np.array([[0.0, 1.05], [5, 5]])) < 0.03
    assert nearest(way, NOTHING) == np.inf


def test_the_model_walks_until_the_rule_stops_it(plain_walk, monkeypatch):
    protocol, wall = replace(PROTOCOL, chunks=2), np.array([[0.0, 2.0]])
    monkeypatch.setattr(walls, "obstacles", lambda *_: wall)
    assert walk_up(tiny_weights(), plain_walk, protocol, seed=1) < TOUCH  # it doesn't see the wall
    monkeypatch.setattr("engine.walls.obstacles", lambda *_: wall)
    assert walk_up(tiny_weights(), plain_walk, protocol, seed=1) == pytest.approx(RULE.clearance, abs=0.07)


@pytest.mark.parametrize("plan", [NOTHING, [[0.5, 2.0]], [[0.0, 7.0]], [[0.1, 0.3]]])
def test_where_nothing_is_in_the_way_or_something_is_touched_already_nothing_is_walked_up_to(
    plan, plain_walk, monkeypatch
):
    monkeypatch.setattr(walls, "obstacles", lambda *_: np.array(plan).reshape(-1, 2))
    assert np.isnan(walk_up(tiny_weights(), plain_walk, PROTOCOL, seed=1))


def test_what_is_taken_from_a_true_walk_without_need_is_lost(plain_walk, monkeypatch):
    weights = tiny_weights()
    monkeypatch.setattr(Surfaces, "walls", lambda *_: NOTHING)
    assert lost_on(weights, plain_walk) == (pytest.approx(12 * 0.48 * 0.94, rel=0.1), 0.0)
    monkeypatch.setattr(Surfaces, "walls", lambda _, path, ends: path[-1:, [0, 2], 3] + [[0, 0.5]])
    metres, lost = lost_on(weights, plain_walk)
    assert lost == pytest.approx(metres, rel=0.05)


def test_what_the_true_depth_would_take_as_well_is_not_lost(plain_walk, monkeypatch):
    wall = np.array([[0.0, 2.5]])
    monkeypatch.setattr(walls, "obstacles", lambda *_: wall)
    monkeypatch.setattr(Surfaces, "walls", lambda self, *_: NOTHING if self.imagines else wall)
    metres, lost = lost_on(tiny_weights(), plain_walk)
    assert metres > 5 and lost == 0.0


def test_with_a_character_ahead_nothing_is_walked_up_to(plain_walk, monkeypatch):
    monkeypatch.setattr(walls, "walk_up", lambda *_: 0.8)
    monkeypatch.setattr(walls, "lost_on", lambda *_: (5.0, 0.0))
    assert walk_clip(tiny_weights(), plain_walk, PROTOCOL, 1).gap == 0.8
    with_hero = replace(plain_walk, about={**plain_walk.about, "hero": "fox"})
    assert np.isnan(walk_clip(tiny_weights(), with_hero, PROTOCOL, 1).gap)


def test_a_report_holds_when_most_walks_stop_and_the_open_is_free():
    good = summarise([walked(0.7)] * 23 + [walked(0.1)], PROTOCOL, seed=1, preset="pocket")
    assert [claim["holds"] for claim in good["claims"]] == [True, True, True]
    assert good["scores"]["stopped"] == pytest.approx(23 / 24, abs=1e-3) and "0.70 units left" in summary(good)
    through = summarise([walked(0.7)] * 20 + [walked(0.1)] * 4, PROTOCOL, seed=1, preset="pocket")
    blocked = summarise([walked(0.7, lost=0.3)] * 24, PROTOCOL, seed=1, preset="pocket")
    few = summarise([walked(0.7), walked(np.nan)], PROTOCOL, seed=1, preset="pocket")
    for report, failing in ((through, 1), (blocked, 2), (few, 0)):
        assert [claim["holds"] for claim in report["claims"]].index(False) == failing
    assert few["clips"] == 2 and few["claims"][0]["value"] == 1


def test_clips_are_asked_for_that_begin_close_to_something_solid():
    _, protocol, request = prepare(parser().parse_args(["--protocol", "walls", "--clips", "2"]))
    assert request.near == protocol.near == 1.0 and request.depth and request.sets[0][:2] == ("compound", 2)
    with pytest.raises(WanderError, match="--protocol walls has none"):
        prepare(parser().parse_args(["--protocol", "walls", "--html", "out.html"]))
