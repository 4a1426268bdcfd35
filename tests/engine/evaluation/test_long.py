"""The long protocol on worlds that remember, forget, freeze or blur, whose verdict is known beforehand."""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.actions import KEY_LEFT, KEY_RIGHT, Step
from engine.errors import WanderError
from engine.evaluation.choices import choices_page
from engine.evaluation.claims import lead
from engine.evaluation.long import run_long, score_return
from engine.evaluation.metrics import Bootstrap, blur
from engine.evaluation.protocol import long_protocol
from engine.evaluation.report_long import long_page
from engine.evaluation.revisits import find_revisits
from engine.evaluation.rollout import PocketDreamer
from engine.evaluation.shots import take
from engine.geometry import POCKET_LENS
from tests.engine.evaluation.conftest import film, route_clips
from tests.engine.tiny import tiny_weights

PROTOCOL = long_protocol()
PROTOCOL = replace(PROTOCOL, bootstrap=Bootstrap(samples=200), bounds=replace(PROTOCOL.bounds, revisit_clips=2))


def another_place(frames):
    """The same frames, but the way back shows somewhere else."""
    return np.concatenate([frames[:130], frames[130:, :, ::-1]])


def softened(frames):
    soft = blur(np.moveaxis(frames.astype(float), -1, 0), 2.0, 6)
    return np.moveaxis(soft, 0, -1).astype(np.uint8)


@dataclass(frozen=True)
class FakeDreamer:
    """A world that shows the truth, `seen` through something, with memory or without."""

    remembering: object = staticmethod(lambda frames: frames)
    forgetting: object = staticmethod(another_place)

    def generate(self, clip, seed, *, remembers=True):
        return (self.remembering if remembers else self.forgetting)(clip.frames)

    def reconstruct(self, clip):
        return clip.frames


@pytest.fixture(scope="module")
def clips(quick_estimator):
    return route_clips("there-and-back", "circuit")


@pytest.fixture(scope="module")
def remembered(clips):
    others = {"forgetful": FakeDreamer(remembering=another_place), "soft": FakeDreamer(remembering=softened)}
    return run_long(FakeDreamer(), clips, PROTOCOL, seed=1, preset="pocket", others=others, films=1)


def verdict(dreamer, clips):
    report, _ = run_long(dreamer, clips, PROTOCOL, seed=1, preset="pocket")
    return {each["name"]: each for each in report["claims"]}


def test_a_world_that_remembers_earns_every_claim_but_to_return_better_than_a_soft_one_does_to_itself(remembered):
    report, results = remembered
    failing = [each["name"] for each in report["claims"] if not each["holds"]]
    assert failing == ["return_better_than_soft"] and all(result.revisits for result in results)
    assert report["scores"]["return_psnr"] > 40 > report["baselines"]["no_memory"]["return_psnr"]


def test_every_other_model_is_scored_on_the_same_clips_and_paired_with_the_model(remembered):
    report, results = remembered
    others = report["baselines"]
    assert others["forgetful"]["return_psnr"] == others["no_memory"]["return_psnr"]
    assert others["soft"]["gradient_energy_ratio"] < 0.6 < others["forgetful"]["gradient_energy_ratio"]
    assert all(others[name]["t_dist_of_path"] >= 0 for name in ("forgetful", "soft"))
    gains = [row["psnr"] - row["soft"]["psnr"] for row in report["scores"]["per_clip"]]
    paired = {each["name"]: each for each in report["claims"]}
    assert len(gains) == len(results) and paired["psnr_better_than_soft"]["mean"] == pytest.approx(np.mean(gains))


def test_a_frozen_picture_returns_to_itself_and_does_not_win(clips):
    def freeze(frames):
        return np.broadcast_to(frames[:1], frames.shape)

    claims = verdict(FakeDreamer(remembering=freeze), clips)
    won = {name for name, each in claims.items() if each["holds"]}
    assert "return_better_than_no_memory" in won  # it returns to itself, hence the claims beside
    assert not won & {"return_truth_better_than_repeat", "return_is_remembered", "key_following"}


def test_a_blurred_world_that_remembers_does_not_win(clips):
    dreamer = FakeDreamer(remembering=softened, forgetting=lambda frames: softened(another_place(frames)))
    claims = verdict(dreamer, clips)
    assert claims["return_better_than_no_memory"]["holds"] and not claims["return_is_remembered"]["holds"]
    assert "gradient_energy_ratio" in claims["return_is_remembered"]["failing"]


def test_a_model_that_is_no_better_than_its_rival_on_every_clip_has_no_lead():
    assert not lead("same", [0.0, 0.0, 0.0], PROTOCOL.bootstrap)["holds"]
    assert not lead("mixed", [1.0, -1.0, 0.1], PROTOCOL.bootstrap)["holds"]
    assert lead("ahead", [0.3, 0.2, 0.4], PROTOCOL.bootstrap)["holds"]
    alone = lead("alone", [0.3, float("nan")], PROTOCOL.bootstrap)
    assert np.isnan(alone["value"]) and not alone["holds"]


def test_the_return_is_paired_with_the_first_pass_of_the_same_rollout(clips):
    clip, picks = clips[0], np.arange(12, 253, 12)
    pairs = find_revisits(clip.poses, clip.depth, POCKET_LENS, recent=48, overlap_below=0.1, every=12)
    tinted, truth = take(clip.frames // 2 + 40, picks), take(clip.frames, picks)
    scores = score_return(clip, tinted, truth, pairs, 12)
    assert len(pairs) and scores["return_psnr"] > 40 and scores["return_truth_psnr"] < 25
    assert scores["return_gradient_energy_ratio"] == pytest.approx(0.25, abs=0.03)


def test_the_report_has_the_agreed_shape_and_is_plain_json(remembered, clips):
    report, _ = remembered
    assert set(report) == {"protocol", "preset", "clips", "seed", "scores", "baselines", "floors", "claims"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report and report["protocol"] == "long"
    assert [row["walk"] for row in report["scores"]["per_clip"]] == [clip.about["walk"] for clip in clips]
    lines = report["scores"]["curves"]
    assert {len(values) for values in lines["psnr"].values()} == {len(lines["frames"])} == {63}
    assert report["floors"]["motion_estimator"]["r_dist_degrees"] >= 0


def test_a_network_runs_and_a_walk_too_short_to_forget_claims_nothing(quick_estimator):
    clip = film([Step(KEY_RIGHT)] * 40 + [Step(KEY_LEFT)] * 52, 64, 32)
    report, results = run_long(PocketDreamer(tiny_weights(), 1), [clip], PROTOCOL, seed=1, preset="pocket")
    holds = {each["name"]: each["holds"] for each in report["claims"]}
    assert results[0].revisits == 0 and report["scores"]["return_psnr"] is None
    assert not any(holds[name] for name in holds if name.startswith("return_"))
    curve = report["scores"]["curves"]["psnr"]
    assert curve["model"] != curve["no_memory"]  # the last chunk's context had to be chosen
    assert json.dumps(report, allow_nan=False) and "pocket" in long_page(report, results)


def test_the_page_shows_claims_curves_grids_and_needs_no_other_file(remembered):
    report, results = remembered
    text = long_page(report, results)
    assert all(each["name"] in text for each in report["claims"])
    assert text.count("<svg") == 3 and text.count("data:image/webp;base64,") == 2 * len(results)
    assert "://" not in text and results[0].grid.shape[0] == 4 * 32


def test_people_choose_blindly_between_the_model_and_its_rival_on_a_page_of_its_own(remembered):
    report, results = remembered
    text = choices_page(report, results)
    found = re.search(r"const data = (\{.*\});", text)
    data = json.loads(found[1].replace("<\\/", "</"))
    assert [pair["clip"] for pair in data["pairs"]] == [result.name for result in results[:1]]
    assert all(set(pair["films"]) == {"model", "forgetful"} for pair in data["pairs"])
    assert "://" not in text and "Math.random" in text and "choices.json" in text
    body = text.split("<script>")[0]
    assert "model" not in body and "forgetful" not in body


def test_a_page_without_moving_pictures_is_refused(remembered):
    report, results = remembered
    with pytest.raises(WanderError, match="0 of 1 clips"):
        choices_page(report, results[1:])
