"""The events protocol end to end, on exact clips and a tiny random network that has learned nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.actions import KEY_W
from engine.errors import WanderError
from engine.evaluation.clips import TrueClip
from engine.evaluation.command import parser
from engine.evaluation.events import CaseResult, run_events
from engine.evaluation.events_claims import hits, summarise
from engine.evaluation.events_command import prepare, summary
from engine.evaluation.events_protocol import STOPS, Visible, events_protocol
from engine.evaluation.events_report import page
from engine.evaluation.events_rollout import Case, read_cases, read_examples, rollouts
from engine.evaluation.metrics import Bootstrap
from engine.evaluation.protocol import PROTOCOL
from engine.evaluation.recogniser import Recogniser, describe
from engine.text import is_stop
from engine.vae import FRAMES_PER_LATENT
from render.events import FAMILIES
from render.vocabulary import EVENTS
from tests.engine.tiny import tiny_weights

COMMITTED = events_protocol()
SHORT = replace(COMMITTED, latents=16, chunk=4, event_chunk=1, judged_chunks=(2, 3), stop_chunk=2,
                bootstrap=Bootstrap(samples=200))  # fmt: skip
CLASSES = ("nothing", *COMMITTED.families)


def test_the_protocol_asks_for_every_family_in_words_that_training_never_reads():
    assert set(COMMITTED.families) == set(FAMILIES)
    for family, languages in COMMITTED.wordings.items():
        for language, options in languages.items():
            read = {*EVENTS[family][language].begins, *EVENTS[family][language].ends}
            assert len(options) >= 2 and not read & set(options) and not any(map(is_stop, options))


def test_the_chunks_that_are_judged_lie_after_the_event_and_inside_the_walk():
    plan = COMMITTED
    assert plan.start_frame == FRAMES_PER_LATENT * (plan.event_latent - 1) + 1 == 29
    assert plan.event_chunk < min(plan.judged_chunks) and max(plan.judged_chunks) < plan.latents // plan.chunk
    assert plan.recogniser.latents[0] < plan.event_latent < plan.recogniser.latents[1]
    assert plan.event_chunk < plan.stop_chunk


@pytest.mark.parametrize("pairs", [1, 9, 54, 58])
def test_walks_are_shared_evenly_among_the_families(pairs):
    shares = COMMITTED.shares(pairs)
    assert sum(shares.values()) == pairs and max(shares.values()) - min(shares.values()) <= 1


def test_words_come_in_both_languages_with_their_subject():
    subject = {"en": {"thing": "tree"}, "zh": {"thing": "树"}}
    found = [COMMITTED.words("fire", number, subject) for number in range(8)]
    assert [language for language, _ in found] == ["en", "zh"] * 4
    assert all("树" in words or "tree" in words for _, words in found) and len(set(found)) == 5


def test_words_that_stop_an_event_are_understood_in_both_languages():
    assert set(STOPS) == {"en", "zh"} and all(map(is_stop, STOPS.values()))


def test_a_damaged_protocol_is_one_sentence(tmp_path):
    broken = tmp_path / "protocol.json"
    broken.write_text(PROTOCOL.read_text().replace('"stop_chunk"', '"stop"'))
    with pytest.raises(WanderError, match="can't be read"):
        events_protocol(broken)


def test_it_asks_for_training_worlds_to_learn_from_and_held_out_worlds_to_judge():
    options = parser().parse_args(["--protocol", "events", "--clips", "22", "--seed", "3"])
    _, protocol, (lessons, walks) = prepare(options)
    assert lessons.split == "train" and walks.split == "heldout" and protocol.seed == 3
    assert [worlds for _, _, worlds, _ in walks.sets] == [2] * 11
    assert len({seed for *_, seed in (*lessons.sets, *walks.sets)}) == 12


@pytest.fixture(scope="module")
def cases(walk_of):
    """Walks that get dark, and one in which nothing can be seen of it."""
    made = []
    for number, family in enumerate(("nightfall", "nightfall", "rain")):
        walk = walk_of(KEY_W, 60, width=64, height=32)
        picks = slice(None, None, FRAMES_PER_LATENT)
        facts = {"biome": "plain", "captions": {"en": ["a plain"], "zh": ["平原"]}, "events": []}
        shown = {"frames": walk.frames[picks], "poses": walk.poses[picks], "about": facts}
        control = replace(walk, name=f"{family} {number}", **shown)
        frames = control.frames.copy()
        if family == "nightfall":
            frames[SHORT.event_latent :] //= 3
        words = "darkness comes" if family == "nightfall" else "雨点落了下来"
        made.append(Case(name=control.name, family=family, language="en" if number < 2 else "zh", words=words,
                         control=control, event=replace(control, frames=frames)))  # fmt: skip
    return made


@pytest.fixture(scope="module")
def judge(cases):
    """A classifier that calls a picture a night if it is darker than the one before, else nothing."""
    size = 2 * describe(cases[0].control.frames[:1]).shape[1]
    weight = np.zeros((size, len(CLASSES)), np.float32)
    night, difference = CLASSES.index("nightfall"), slice(size // 2, size // 2 + 3)
    weight[difference, night] = -100.0
    bias = np.full(len(CLASSES), -5.0, np.float32)
    bias[0], bias[night] = 5.0, 0.0
    return Recogniser(CLASSES, np.zeros(size, np.float32), np.ones(size, np.float32), weight, bias)


@pytest.fixture(scope="module")
def outcome(cases, judge):
    results = run_events(tiny_weights(), cases, judge, SHORT, seed=3)
    return summarise(results, CLASSES, SHORT, seed=3, preset="pocket"), results


def test_rollouts_share_what_comes_before_the_words_and_differ_after_them(cases):
    made = rollouts(tiny_weights(), cases[0], SHORT, seed=1)
    first = SHORT.event_latent
    assert made.unprompted.shape == cases[0].control.frames.shape == made.prompted.shape
    assert np.array_equal(made.unprompted[:first], made.prompted[:first])
    assert not np.array_equal(made.unprompted[first:], made.prompted[first:])
    told = made.prompted[first : first + len(made.prompted_stale)]
    assert told.shape == made.prompted_stale.shape and not np.array_equal(told, made.prompted_stale)
    assert made.ended.shape == made.ended_stale.shape and not np.array_equal(made.ended, made.ended_stale)


def test_the_report_has_the_agreed_shape_and_is_plain_json(outcome):
    report, _ = outcome
    assert set(report) == {"protocol", "preset", "clips", "seed", "scores", "baselines", "floors", "claims"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    names = {each["name"] for each in report["claims"]}
    assert names >= {"recall_share", "false_alarms", "edges_kept", "layout_kept", "residue_less_with_recache",
                     "it_stops_ends_the_event"}  # fmt: skip
    assert all({"name", "value", "bound", "holds"} <= set(each) for each in report["claims"])


def test_moments_at_which_the_truth_does_not_show_its_event_are_left_out(outcome):
    report, results = outcome
    assert [result.visible.all() for result in results] == [True, True, False]
    rain, night = (report["scores"]["families"][family] for family in ("rain", "nightfall"))
    assert (rain["cases"], rain["left_out"], rain["truth"]) == (0, 2, None)
    assert (night["cases"], night["left_out"], night["truth"]) == (2, 0, 1.0)


def test_too_few_walks_of_a_family_are_no_measurement(outcome):
    holds = {each["name"]: each["holds"] for each in outcome[0]["claims"]}
    assert not holds["families_measured"] and "recall_share_rain" not in holds and not holds["recall_share"]


def test_the_page_shows_every_claim_and_needs_no_other_file(outcome):
    report, results = outcome
    text = page(report, results)
    assert all(each["name"] in text for each in report["claims"])
    assert text.count("data:image/webp;base64,") == 3 and "://" not in text


def result_of(
    family, calls, happening=(0.5, 0.5), residue=(0.5, 0.5), visible=(True, True), going_on=0.9, language="en"
):
    """A result whose judged chunks were called as `calls` says, per side."""
    one_hot = {side: np.eye(len(CLASSES))[[CLASSES.index(call) for call in each]] for side, each in calls.items()}
    pair = [dict(zip(("with", "without"), np.array(each)[:, None], strict=True)) for each in (happening, residue)]
    kept = {of: {"edges": 0.8, "layout": 0.9} for of in ("truth", "model", "mirror")}
    return CaseResult(name="", family=family, language=language, words="", biome="plain", visible=np.array(visible),
                      probabilities=one_hot, happening=pair[0], residue=pair[1], going_on=np.array([going_on]),
                      was_there=True, kept=kept, strip=np.zeros((4, 8, 3), np.uint8))  # fmt: skip


def calls(prompted, truth, unprompted="nothing"):
    sides = {"prompted": prompted, "truth": truth, "unprompted": unprompted, "truth_calm": "nothing"}
    return {side: [call] * 2 for side, call in sides.items()}


def claims_of(results):
    return {each["name"]: each for each in summarise(results, CLASSES, SHORT, seed=0, preset="pocket")["claims"]}


def test_a_model_as_good_as_the_truth_earns_every_claim_and_one_that_ignores_words_does_not():
    perfect = [
        result_of(family, calls(family, family), happening=(0.9, 0.4), residue=(0.1, 0.6))
        for family in COMMITTED.families
        for _ in range(3)
    ]
    assert all(each["holds"] for each in claims_of(perfect).values())
    deaf = [replace(r, probabilities=r.probabilities | {"prompted": r.probabilities["unprompted"]}) for r in perfect]
    found = claims_of(deaf)
    assert not found["recall_share"]["holds"] and found["recall_share"]["value"] == 0
    assert not found["edges_kept"]["holds"]  # nothing happened, so nothing was put to the test
    assert not any(found[f"recall_share_{family}"]["holds"] for family in COMMITTED.families)


def test_every_family_counts_alike_however_many_walks_it_has():
    results = [result_of("rain", calls("rain", "rain")) for _ in range(9)]
    results += [result_of("fire", calls("nothing", "fire")) for _ in range(3)]
    assert claims_of(results)["recall_share"]["value"] == 0.5


def test_events_that_nobody_prompted_are_false_alarms():
    results = [result_of("rain", calls("rain", "rain")) for _ in range(9)]
    results.append(result_of("rain", calls("rain", "rain", unprompted="fog")))
    assert claims_of(results)["false_alarms"]["value"] == 0.1 and not claims_of(results)["false_alarms"]["holds"]


def test_a_recache_that_changes_nothing_earns_nothing():
    results = [result_of("rain", calls("rain", "rain")) for _ in range(9)]
    found = claims_of(results)
    assert not found["delay_less_with_recache"]["holds"] and found["residue_less_with_recache"]["value"] == 0


def test_an_event_that_is_as_much_there_after_it_was_stopped_as_without_that_has_not_ended():
    gone, stays = ([result_of("rain", calls("rain", "rain"), residue=(left, 0.9)) for _ in range(9)]
                   for left in (0.1, 0.9))  # fmt: skip
    found = claims_of(gone)["it_stops_ends_the_event"]
    assert found["holds"] and found["mean"] == pytest.approx(0.8)
    assert not claims_of(stays)["it_stops_ends_the_event"]["holds"]


def test_each_language_has_its_own_recall_beside_the_truths():
    results = [result_of("rain", calls("rain", "rain")), result_of("rain", calls("nothing", "rain"), language="zh")]
    found = summarise(results, CLASSES, SHORT, seed=0, preset="pocket")["scores"]["languages"]
    assert found == {"en": {"recall": 1.0, "truth": 1.0, "cases": 1}, "zh": {"recall": 0.0, "truth": 1.0, "cases": 1}}


def test_the_summary_tells_languages_and_what_the_recache_is_worth(outcome):
    lines = summary(outcome[0]).splitlines()
    for name in ("en", "zh", "delay", "residue", "it stops"):
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert "walks" in line


def test_a_few_walks_say_nothing_about_the_recache():
    few = [result_of("rain", calls("rain", "rain"), happening=(0.9, 0.4)) for _ in range(7)]
    assert not claims_of(few)["delay_less_with_recache"]["holds"]
    assert claims_of([*few, *few])["delay_less_with_recache"]["holds"]


def test_hidden_moments_are_neither_hits_nor_misses():
    result = result_of("rain", calls("rain", "rain"), visible=(True, False))
    assert np.array_equal(hits(result, "prompted", CLASSES), [1, np.nan], equal_nan=True)


def test_a_folder_without_the_walks_that_were_asked_for_is_refused(tmp_path):
    (tmp_path / "rain").mkdir()
    with pytest.raises(WanderError, match="0 held-out clips"):
        list(read_cases(tmp_path, COMMITTED))


def test_an_example_shows_its_event_where_the_picture_differs_from_the_calm_one(monkeypatch):
    calm = np.full((3, 20, 20, 3), 100, np.uint8)
    rainy = calm.copy()
    rainy[2, :1] += 30
    clips = [
        TrueClip(name="", frames=frames, poses=np.tile(np.eye(4), (3, 1, 1)), depth=None, about={"events": events})
        for frames, events in ((calm, []), (rainy, [{"family": "rain"}]))
    ]
    monkeypatch.setattr("engine.evaluation.events_rollout.read_clips", lambda _: iter(clips))
    nothing, rain = read_examples(Path(), Visible(step=24, share=0.05))
    assert (nothing.family, nothing.shows.tolist()) == ("nothing", [True, True])
    assert (rain.family, rain.shows.tolist()) == ("rain", [False, True])
