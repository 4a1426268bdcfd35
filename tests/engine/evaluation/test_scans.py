"""The scan protocol: exact depth earns a perfect cloud, and a whole run writes its report, its page and its sheet."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.errors import WanderError
from engine.evaluation import scan_command
from engine.evaluation.command import parser, prepare
from engine.evaluation.metrics import Bootstrap
from engine.evaluation.protocol import scan_protocol
from engine.evaluation.routes import ROUTES, plan_route
from engine.evaluation.scans import NAIVE, TRUE_DEPTH, consistency, pick, run_scans, score_clouds, true_views
from engine.reconstruction.sieve import SieveConfig
from engine.trajectories import KINDS
from render.cloud_sheet import draw_sheet
from tests.engine.evaluation.conftest import shoot
from tests.engine.tiny import tiny_weights

COMMITTED = scan_protocol()
PROTOCOL = replace(COMMITTED, bootstrap=Bootstrap(samples=50), far=8.0, voxel=0.1, fineness=0.01)


def there_and_back(seed=0, frames=29, size=(64, 32)):
    walk = plan_route(np.random.default_rng(seed), np.empty((0, 3)), frames, route="there-and-back")
    clip = shoot(walk.poses, *size)
    return replace(clip, name=f"there-and-back {seed}", about=clip.about | {"walk": "there-and-back"})


@pytest.fixture(scope="module")
def clip():
    return there_and_back()


def test_the_protocol_is_frozen():
    assert dict(COMMITTED.walks) == {"there-and-back": 8, "compound": 4}
    assert set(COMMITTED.walks) <= {*ROUTES, *KINDS}
    assert (COMMITTED.frames, COMMITTED.seed, COMMITTED.sampling_steps) == (125, 20265, 4)
    assert COMMITTED.thresholds == (0.01, 0.025, 0.05) and (COMMITTED.far, COMMITTED.voxel) == (30.0, 0.03)
    assert COMMITTED.bounds.disagreement == 0.05


def test_the_options_of_the_scan_protocol_are_its_own():
    _, protocol, request = prepare(parser().parse_args(["--protocol", "scan", "--clips", "3"]))
    assert request.depth and [kind for kind, *_ in request.sets] == ["there-and-back", "compound"]
    assert request.frames == protocol.frames == 125
    with pytest.raises(WanderError, match="--sheet belongs to --protocol scan"):
        prepare(parser().parse_args(["--protocol", "long", "--sheet", "a.png"]))


def test_both_halves_of_a_way_back_are_looked_at_and_a_scan_of_all_of_it_takes_each_place_once(clip):
    poses = clip.poses[::4]
    picks = pick(poses)
    out, back = (picks.chosen[half] for half in picks.halves)
    assert out.max() < len(poses) / 2 <= back.min() and len(back) >= 3
    assert set(picks.chosen[picks.whole]) == set(out)  # the way back shows no new place


def test_exact_depth_earns_a_perfect_cloud_and_wrong_depth_none(clip):
    exact = true_views(clip, 4 * pick(clip.poses[::4]).chosen)
    clouds = score_clouds(clip, exact, exact, PROTOCOL)
    assert clouds["fused"] == clouds[TRUE_DEPTH] and clouds[NAIVE]["f_score_5"] > 0.95
    assert clouds[TRUE_DEPTH]["accuracy_1"] > 0.97 and clouds[TRUE_DEPTH]["f_score_5"] > 0.95
    wrong = score_clouds(clip, replace(exact, depth=1.5 * exact.depth), exact, PROTOCOL)
    assert wrong[NAIVE]["accuracy_5"] < 0.05 and wrong["fused"]["f_score_1"] < 0.05


def test_what_passes_through_the_place_is_no_surface(clip):
    passing = np.zeros(clip.depth.shape, dtype=bool)
    passing[:, 10:20, 28:36] = True
    views = true_views(replace(clip, passing=passing), np.arange(0, 29, 4))
    assert np.array_equal(views.static, ~passing[:29:4])
    assert true_views(clip, np.arange(3)).static.all()


def test_true_depths_agree_and_their_halves_meet(clip):
    picks = pick(clip.poses[::4])
    found = consistency(true_views(clip, 4 * picks.chosen), picks, SieveConfig(far=8.0), PROTOCOL)
    assert found["disagreement"] < 0.01 and found["halves_apart_of_depth"] < 0.01 and found["halves_alone"] < 0.01
    alone = consistency(true_views(clip, 4 * picks.chosen), None, SieveConfig(far=8.0), PROTOCOL)
    assert np.isnan(alone["halves_apart"]) and alone["disagreement"] == found["disagreement"]


def test_a_network_runs_from_clips_to_report_page_and_sheet(tmp_path, clip, monkeypatch):
    monkeypatch.setattr(scan_command, "read_clips", lambda folder: iter([clip]))
    paths = {name: tmp_path / f"a.{name}" for name in ("json", "html", "png")}
    options = parser().parse_args(
        ["--protocol", "scan", "--json", str(paths["json"]), "--html", str(paths["html"]), "--sheet", str(paths["png"])]
    )
    told = []
    report = scan_command.evaluate(
        options, tiny_weights(), PROTOCOL, tmp_path, draw_sheet, lambda done, total: told.append((done, total))
    )
    assert told == [(1, 1)]
    assert set(report) == {"protocol", "preset", "clips", "seed", "scores", "baselines", "floors", "claims"}
    assert json.loads(paths["json"].read_text()) == report and json.dumps(report, allow_nan=False)
    claims = {each["name"]: each for each in report["claims"]}
    assert not claims["walks"]["holds"] and {"generated_disagreement", "f_score_1_better_than_naive"} <= set(claims)
    assert report["floors"][TRUE_DEPTH]["f_score_5"] > 0.9 > report["scores"]["fused"]["f_score_1"]
    page = paths["html"].read_text()
    assert "data:image/webp" in page and "naive" in page and "there-and-back 0" in page
    assert Image.open(paths["png"]).size[0] > 1000
    assert "F-score" in scan_command.summary(report)


def test_weights_without_a_depth_network_are_refused_in_a_sentence(clip):
    with pytest.raises(WanderError, match="0 depth networks, a scan needs 1"):
        run_scans(replace(tiny_weights(), depth=None), [clip], PROTOCOL, seed=1, preset="pocket")
