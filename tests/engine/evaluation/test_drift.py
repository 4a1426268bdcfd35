"""The drift protocol on worlds that hold, fade or stand still."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from engine.evaluation.drift import distance_to_set, run_drift
from engine.evaluation.metrics import blur
from engine.evaluation.protocol import drift_protocol
from engine.evaluation.report_long import drift_page
from engine.evaluation.shots import take
from tests.engine.evaluation.conftest import route_clips

PROTOCOL = replace(drift_protocol(), full=253, early=(12, 64), late=(190, 253), dfd_every=8)


@dataclass(frozen=True)
class Dream:
    """A world made of the true frames."""

    of: object

    def generate(self, clip, seed, *, remembers=True):
        return self.of(clip.frames)


@pytest.fixture(scope="module")
def clips(quick_estimator):
    return route_clips("circuit")


def verdict(clips, of):
    report, results = run_drift(Dream(of), clips, PROTOCOL, seed=1, preset="pocket")
    return report, results, {each["name"]: each["holds"] for each in report["claims"]}


def fading(frames):
    """Sharp at first, more and more blurred and grey."""
    out = frames.astype(float)
    for index, frame in enumerate(out):
        sigma = 0.1 + 3.0 * index / len(out)
        out[index] = np.moveaxis(blur(np.moveaxis(frame, -1, 0), sigma, 8), 0, -1)
        out[index] += (out[index].mean(-1, keepdims=True) - out[index]) * index / len(out)
    return out.astype(np.uint8)


def test_the_truth_holds_what_the_protocol_asks(clips):
    report, results, holds = verdict(clips, lambda frames: frames)
    assert holds["drift_frames"] and holds["sharpness_late_over_early"] and holds["saturation_late_over_early"]
    assert holds["late_gradient_energy_ratio"] and holds["late_key_following"]
    assert set(report) == {"protocol", "preset", "clips", "seed", "scores", "baselines", "floors", "claims"}
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    text = drift_page(report, results)
    assert text.count("<svg") == 3 and "://" not in text and all(name in text for name in holds)


def test_a_world_that_fades_is_found_out(clips):
    report, _, holds = verdict(clips, fading)
    assert not holds["sharpness_late_over_early"] and not holds["saturation_late_over_early"]
    assert not holds["dfd_to_set_late_over_early"] and not holds["late_gradient_energy_ratio"]
    assert report["scores"]["dfd_to_set"]["late"] > report["scores"]["dfd_to_set"]["early"]


def test_a_frozen_world_does_not_drift_but_follows_no_key(clips):
    _, _, holds = verdict(clips, lambda frames: np.broadcast_to(frames[:1], frames.shape))
    assert holds["sharpness_late_over_early"] and not holds["late_key_following"]


def test_the_distance_to_a_set_is_zero_for_its_members_and_leaves_out_neighbours(clips):
    picks = np.arange(8, 160, 24)
    shots = take(clips[0].frames, picks)
    assert distance_to_set(shots, shots, picks) == pytest.approx(0, abs=1e-6)
    assert (distance_to_set(shots, shots, picks, apart=48) > 0.01).all()
    assert np.isnan(distance_to_set(shots, shots, picks, apart=1000)).all()


def test_a_shorter_rollout_scales_its_windows_and_a_longer_one_does_not():
    protocol = drift_protocol()
    early, late = (protocol.window(edges, 500) for edges in (protocol.early, protocol.late))
    assert (early.start, early.stop, late.start, late.stop) == (25, 125, 375, 500)
    assert protocol.window(protocol.late, protocol.frames) == slice(1500, 2000)
    assert [protocol.every(frames) for frames in (29, 1000, 2013)] == [4, 8, 16]
