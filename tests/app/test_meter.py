"""Rates, intervals and latencies."""

import pytest

from app.meter import Meter, Rate, percentile


def test_percentiles_interpolate_and_none_is_no_sample():
    assert percentile([3, 1, 2], 50) == 2
    assert percentile([0, 10], 95) == pytest.approx(9.5)
    assert percentile([], 50) is None


def test_bursts_do_not_inflate_the_rate():
    rate = Rate()
    for burst in range(10):
        rate.add(burst * 0.5, 12)
    assert rate.recent(4.5) == pytest.approx(24.0)
    assert rate.overall() == pytest.approx(24.0)


def test_the_recent_rate_forgets_the_past():
    rate = Rate()
    for moment in range(100):
        rate.add(moment / 100)
    assert rate.recent(50.0) == 0.0


def test_latency_runs_from_the_action_to_the_first_frame_that_it_shaped():
    meter = Meter()
    meter.action(5, at=1.0)
    meter.photon(4, now=1.2)
    assert meter.latencies_ms == []
    meter.photon(6, now=1.5)
    meter.photon(7, now=1.6)
    assert meter.latencies_ms == pytest.approx([500.0])


def test_a_pause_is_no_long_interval():
    meter = Meter()
    meter.photon(0, 1.0)
    meter.photon(0, 1.04)
    meter.interrupt()
    meter.photon(0, 60.0)
    assert meter.intervals_ms == pytest.approx([40.0])


def test_intervals_soon_after_words_are_counted_apart_as_well():
    meter = Meter()
    for moment in range(8):
        if moment == 3:
            meter.said(2.5)
        meter.photon(0, float(moment))
    assert len(meter.intervals_ms) == 7
    assert len(meter.prompted_ms) == 2  # those that end at 3 and 4 s
    assert meter.report()["prompts"] == 1 and meter.report()["prompted_p50_ms"] == 1000.0


def test_the_report_has_the_promised_figures_even_when_nothing_was_measured():
    rates = {"fps_generated", "fps_shown", "rtf_p50", "rtf_p95", "frames"}
    times = {"interval_p50_ms", "interval_p99_ms", "latency_p50_ms", "latency_p95_ms"}
    assert rates | times <= Meter().report().keys()


def test_a_chunk_made_in_half_its_showing_time_has_a_real_time_factor_of_one_half():
    meter = Meter()
    meter.chunk(16, 16 / 24 / 2, 24.0)
    assert meter.rtf == pytest.approx([0.5])
