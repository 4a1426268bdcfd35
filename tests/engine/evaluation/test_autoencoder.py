"""What the autoencoder alone makes of true frames, by biome and by event."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import WanderError
from engine.evaluation.autoencoder import happening, lines, run_autoencoder
from engine.evaluation.command import parser, prepare, summary
from engine.evaluation.protocol import autoencoder_protocol

RAIN = {"family": "rain", "start_frame": 3, "stop_frame": 6}
FOG = {"family": "fog", "start_frame": 5, "stop_frame": None}


@pytest.fixture
def report(walk_of):
    """Calm frames' error is 1, that of rainy ones 10, of those with fog (and rain) 20."""
    calm = replace(walk_of(0, 8), about={"biome": "desert", "events": []}, name="calm")
    eventful = replace(calm, about={"biome": "coast", "events": [RAIN, FOG]}, name="eventful")

    def reconstruct(clip):
        found = [happening(clip.about, f) for f in range(len(clip.frames))]
        error = np.array([20 if "fog" in families else 10 if "rain" in families else 1 for families in found])
        away = np.where(clip.frames >= 128, -1, 1) * error[:, None, None, None]
        return (clip.frames + away).astype(np.uint8)

    return run_autoencoder(reconstruct, [calm, eventful], autoencoder_protocol(), seed=1, preset="pocket")


def off(levels: float) -> float:
    return float(20 * np.log10(255 / levels))


def test_events_last_from_their_start_to_their_stop():
    about = {"events": [RAIN, FOG]}
    assert [happening(about, f) for f in (2, 3, 5, 6)] == [{"none"}, {"rain"}, {"rain", "fog"}, {"fog"}]


def test_every_biome_and_every_event_has_its_own_mean(report):
    scores = report["scores"]
    assert scores["by_biome"]["desert"]["psnr"] == pytest.approx(off(1), abs=1e-3)
    assert scores["by_event"]["none"] == {
        "clips": 2, "frames": 12, "psnr": pytest.approx(off(1), abs=1e-3), "worst_clip": pytest.approx(off(1), abs=1e-3)
    }  # fmt: skip
    assert scores["by_event"]["rain"]["psnr"] == pytest.approx((2 * off(10) + off(20)) / 3, abs=1e-3)
    assert scores["by_event"]["fog"]["psnr"] == pytest.approx(off(20), abs=1e-3)
    assert scores["by_event"]["fog"]["frames"] == 4
    assert scores["worst_clip"] == pytest.approx(scores["by_biome"]["coast"]["psnr"])
    frames = 9 * [off(1)] + 3 * [off(1)] + 2 * [off(10)] + 4 * [off(20)]
    assert scores["psnr"] == pytest.approx(np.mean(frames), abs=1e-3)


def test_the_claim_is_thirty_decibels_over_all_frames_of_enough_clips(report):
    claims = {each["name"]: each for each in report["claims"]}
    assert claims["psnr"]["bound"] == 30 and claims["psnr"]["holds"] == (report["scores"]["psnr"] >= 30)
    assert not claims["clips"]["holds"]


def test_the_tables_name_every_biome_and_event(report):
    text = summary(report)
    assert lines(report) in text
    for name in ("desert", "coast", "none", "rain", "fog", "psnr"):
        assert name in text


def test_clips_are_asked_for_in_which_something_happens():
    _, protocol, request = prepare(parser().parse_args(["--protocol", "autoencoder", "--clips", "2"]))
    assert request.event_rate == protocol.event_rate == 0.8 and request.sets[0][:2] == ("compound", 2)


def test_walks_are_not_shown_where_none_are_made():
    with pytest.raises(WanderError, match="--json"):
        prepare(parser().parse_args(["--protocol", "autoencoder", "--html", "out.html"]))
