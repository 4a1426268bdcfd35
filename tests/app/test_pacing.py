"""The pacer, under a clock of its own."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pacing import Pacer, PacerConfig

FRAME = 1 / 24


def play(pacer, start, seconds, *, step=0.004, feed=None):
    """Tick every `step` seconds; returns [(time, frame)]. `feed(now)` yields frames that arrive."""
    shown = []
    for tick in range(int(seconds / step)):
        now = start + tick * step
        for frame in feed(now) if feed else ():
            pacer.push(frame)
        outcome = pacer.tick(now)
        if outcome.frame is not None:
            shown.append((now, outcome.frame))
    return shown


def bursts(size, every, start):
    """Frames that arrive `size` at a time."""
    state = {"next": start, "number": 0}

    def feed(now):
        while now >= state["next"]:
            state["next"] += every
            for _ in range(size):
                yield state["number"]
                state["number"] += 1

    return feed


def test_bursts_of_sixteen_are_shown_evenly():
    pacer = Pacer()
    pacer.produced(16, 0.4)
    shown = play(pacer, 0.0, 6.0, feed=bursts(16, 16 * FRAME, 0.0))
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(shown[2:])]
    assert max(gaps) < 1.3 * FRAME
    assert pacer.drops == pacer.repeats == 0


def test_every_frame_is_shown_once_and_in_order():
    pacer = Pacer()
    shown = play(pacer, 0.0, 3.0, feed=bursts(4, 4 * FRAME, 0.0))
    assert [frame for _, frame in shown] == list(range(len(shown)))
    assert len(shown) > 60


def test_nothing_is_shown_faster_than_the_world_runs():
    pacer = Pacer()
    pacer.produced(16, 0.01)
    for frame in range(200):
        pacer.push(frame)
    assert len(play(pacer, 0.0, 2.0)) <= 2 * 24 + 1


def test_a_slow_worker_is_shown_at_its_own_even_rate():
    pacer = Pacer()
    for _ in range(12):
        pacer.produced(16, 1.6)
    assert pacer.fps == pytest.approx(10.0)
    shown = play(pacer, 0.0, 8.0, feed=bursts(4, 0.4, 0.0))
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(shown[8:])]
    assert min(gaps) > 0.08
    assert max(gaps) < 0.125


def test_a_worker_that_recovers_is_shown_faster_again():
    pacer = Pacer()
    pacer.produced(16, 4.0)
    for _ in range(20):
        pacer.produced(16, 0.3)
    assert pacer.fps == 24.0


def test_a_growing_queue_quickens_the_pace():
    pacer = Pacer()
    pacer.produced(10, 1.0)
    slow = pacer.fps
    for frame in range(12):
        pacer.push(frame)
    assert pacer.fps > slow


def slow_once(size, at, late):
    """Bursts of sixteen in time, but one is `late`."""
    feed, held = bursts(size, size * FRAME, 0.0), []

    def with_a_stall(now):
        held.extend(feed(now))
        if not at <= now < at + late:
            yield from held
            held.clear()

    return with_a_stall


def repeats_of_a_stall(bracing):
    """Pictures repeated where one burst of sixteen comes a seventh of a second late, known a second before or not."""
    pacer = Pacer()
    pacer.produced(16, 0.4)
    feed = slow_once(16, 4.0, 0.15)

    def braced(now):
        pacer.bracing = bracing and now >= 3.0
        yield from feed(now)

    shown = play(pacer, 0.0, 4.6, feed=braced)
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(shown[2:])]
    return pacer.repeats, max(gaps)


def test_who_braces_for_something_slow_shows_pictures_a_little_slower_instead_of_stopping():
    assert repeats_of_a_stall(bracing=False)[0] >= 3
    repeats, longest = repeats_of_a_stall(bracing=True)
    assert repeats == 0 and longest < 1.4 * FRAME


def test_who_has_enough_in_hand_needs_no_bracing():
    pacer = Pacer()
    pacer.produced(16, 0.4)
    pacer.bracing = True
    easy = pacer.fps
    for frame in range(12):
        pacer.push(frame)
    assert (easy, pacer.fps) == (pytest.approx(0.8 * 24), 24.0)


def test_a_slow_display_skips_pictures_and_counts_them():
    pacer = Pacer()
    shown = play(pacer, 0.0, 4.0, step=0.1, feed=bursts(4, 4 * FRAME, 0.0))
    assert pacer.drops > 40
    assert len(shown) + pacer.drops == pytest.approx(96, abs=8)
    assert [frame for _, frame in shown] == sorted(frame for _, frame in shown)


def test_dropped_frames_are_handed_over_with_the_one_that_is_shown():
    pacer = Pacer()
    for frame in range(8):
        pacer.push(frame)
    pacer.tick(0.0)
    late = pacer.tick(3.5 * FRAME)
    assert (late.dropped, late.frame) == ((1, 2), 3)


def test_waiting_for_frames_counts_repeats_and_pausing_does_not():
    running, paused = Pacer(), Pacer()
    for pacer in (running, paused):
        pacer.push(0)
        pacer.tick(0.0)
    for tick in range(1, 100):
        running.tick(tick * 0.01)
        paused.tick(tick * 0.01, running=False)
    assert running.repeats == pytest.approx(23, abs=1)
    assert paused.repeats == 0


def test_after_a_suspend_no_burst_of_stale_frames_follows():
    pacer = Pacer()
    for frame in range(16):
        pacer.push(frame)
    pacer.tick(0.0)
    assert pacer.tick(3600.0).frame == 1
    assert pacer.tick(3600.0 + FRAME / 2).frame is None
    assert pacer.drops == 0
    assert pacer.resets == 1


def test_a_clock_that_jumps_back_does_not_freeze_the_picture():
    pacer = Pacer()
    for frame in range(4):
        pacer.push(frame)
    pacer.tick(1000.0)
    assert pacer.tick(1.0).frame == 1


def test_a_reset_forgets_waiting_frames_without_calling_them_dropped():
    pacer = Pacer()
    for frame in range(9):
        pacer.push(frame)
    pacer.tick(0.0)
    pacer.clear()
    assert len(pacer) == 0
    assert pacer.tick(0.01).frame is None
    assert pacer.drops == 0


@given(st.lists(st.tuples(st.integers(0, 16), st.floats(0.0005, 0.4)), min_size=1, max_size=60))
def test_whatever_the_rhythm_no_frame_is_lost_or_reordered(rhythm):
    pacer, now, pushed, seen = Pacer(), 0.0, 0, []
    for arriving, pause in rhythm:
        for _ in range(arriving):
            pacer.push(pushed)
            pushed += 1
        outcome = pacer.tick(now)
        seen += [*outcome.dropped, *([] if outcome.frame is None else [outcome.frame])]
        now += pause
    assert seen == list(range(len(seen)))
    assert len(seen) + len(pacer) == pushed


def test_a_configuration_without_a_sensible_range_is_refused():
    with pytest.raises(ValueError, match="min_fps"):
        PacerConfig(max_fps=10.0, min_fps=20.0)
