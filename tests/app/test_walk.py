"""A walk over a link: credits, generations, undo, pauses, figures."""

import pytest

from app.input import Controls
from app.walk import Phase, Walk
from worker import protocol as wire

FRAME = 1 / 24
W = 1


@pytest.fixture
def walk(link):
    """A walk in a world that has just opened."""
    walk = Walk(link)
    walk.open(wire.WorldSpec(preset="fake", seed=7))
    link.world()
    walk.tick(0.0, Controls())
    return walk


def run(walk, frames, start=0.0, controls=None):
    """Tick once per frame interval; returns the pictures shown."""
    shown = []
    for number in range(frames):
        now = start + number * FRAME * 1.0001
        picture = walk.tick(now, controls or Controls())
        if picture is not None:
            walk.presented(picture, now)
            shown.append(picture)
    return shown


def branch_of(number, chunks, made=1):
    """A branch as a worker tells of it."""
    return wire.Branch(number=number, seed=7, latents=4 * chunks, shared=0, made=made, chunks=chunks)


def test_a_world_that_opened_is_walked_in(walk):
    assert walk.state.phase is Phase.WALKING


def test_pictures_are_shown_in_order_and_credit_is_given_for_each(walk, link):
    link.pictures(4)
    shown = run(walk, 6, 1.0)
    assert [picture.index for picture in shown] == [0, 1, 2, 3]
    assert link.controls[-1].shown == 4


def test_pictures_that_the_network_left_out_are_counted_and_credited(walk, link):
    for latent in range(3):
        link.frames += 3
        link.pictures(1, latent=latent)
    shown = run(walk, 6, 1.0)
    assert [picture.index for picture in shown] == [3, 7, 11]
    assert link.controls[-1].shown == 12
    assert walk.meter.report()["left_out"] == 9


def test_no_control_is_sent_when_there_is_no_news(walk, link):
    run(walk, 3, 1.0)
    sent = len(link.controls)
    run(walk, 10, 2.0)
    assert len(link.controls) == sent


def test_a_key_is_told_at_once_with_a_rising_number(walk, link):
    walk.tick(1.0, Controls(keys=W, taps=W))
    walk.tick(1.1, Controls())
    down, up = link.controls[-2:]
    assert (down.keys, down.taps, up.keys) == (W, W, 0)
    assert up.seq > down.seq


def test_latency_is_measured_on_our_own_clock_to_the_frame_that_answers(walk, link):
    walk.tick(1.0, Controls(keys=W, taps=W))
    seq = link.controls[-1].seq
    link.pictures(1, seq=seq - 1)
    link.pictures(1, seq=seq)
    run(walk, 12, 1.2, Controls(keys=W))
    [latency] = walk.meter.latencies_ms
    assert latency == pytest.approx(200 + 1e3 * FRAME, abs=2)


def test_pictures_of_an_older_life_of_the_world_are_thrown_away(walk, link):
    link.world(generation=2)
    link.pictures(4, generation=1)
    assert run(walk, 6, 1.0) == []


def test_a_reset_drops_what_waits_and_starts_the_credit_anew(walk, link):
    link.pictures(8)
    run(walk, 2, 1.0)
    link.frames = 0
    link.world(generation=2)
    link.pictures(2)
    assert [picture.index for picture in run(walk, 4, 2.0)] == [0, 1]
    assert (link.controls[-1].generation, link.controls[-1].shown) == (2, 2)
    assert walk.pacer.drops == 0


def test_the_last_picture_stays_while_the_model_restarts(walk, link):
    link.pictures(1, grey=77)
    run(walk, 2, 1.0)
    link.events.append(wire.WorkerState(sentence="The model stopped. Restarting (1 of 3).", restarts=1))
    link.world(generation=2)
    run(walk, 2, 2.0)
    assert walk.state.picture.pixels.max() == 77
    assert "Restarting" in walk.state.veil
    link.events.append(wire.WorkerState(sentence="", restarts=1))
    run(walk, 1, 3.0)
    assert walk.state.veil == ""


def test_undo_goes_to_the_end_of_the_chunk_before_the_one_on_the_screen(walk, link):
    for chunk in range(3):
        link.pictures(2, chunk=chunk, last=True, grey=10 * chunk)
    run(walk, 8, 1.0)
    walk.undo(1, 2.0)
    assert link.asked(wire.Rewind)[-1].chunks == 2
    link.world(generation=2, branch=1, branches=(branch_of(0, 3), branch_of(1, 2)), chunks=2)
    run(walk, 1, 2.0)
    assert walk.state.picture.pixels.max() == pytest.approx(10, abs=2)
    assert walk.state.picture.chunk == 1


def test_going_to_another_branch_shows_at_once_where_it_ended(walk, link):
    link.pictures(2, chunk=0, last=True, grey=50)
    run(walk, 4, 1.0)
    link.frames = 0
    link.world(generation=2)
    link.pictures(2, chunk=0, last=True, grey=150)
    run(walk, 4, 2.0)
    walk.switch(0)
    assert link.asked(wire.Switch)[-1].branch == 0
    link.world(generation=3, branch=0, branches=(branch_of(0, 1), branch_of(1, 1, made=2)), chunks=1)
    run(walk, 1, 3.0)
    assert walk.state.picture.pixels.max() == pytest.approx(50, abs=2)


def test_a_world_that_began_anew_has_nothing_to_undo(walk, link):
    link.pictures(2, chunk=4, last=True)
    run(walk, 4, 1.0)
    link.world(generation=2, branches=(branch_of(0, 0),))
    run(walk, 1, 2.0)
    walk.undo(1, 9.0)
    assert link.asked(wire.Rewind) == []


def test_undoing_twice_at_once_goes_back_twice(walk, link):
    for chunk in range(5):
        link.pictures(2, chunk=chunk, last=True)
    run(walk, 12, 1.0)
    walk.undo(1, 2.0)
    walk.undo(1, 2.3)
    assert [request.chunks for request in link.asked(wire.Rewind)] == [4, 3]


def test_undo_with_nothing_behind_is_a_sentence_and_no_request(walk, link):
    walk.undo(1, 1.0)
    assert link.asked(wire.Rewind) == []
    assert walk.state.notices


def test_a_pause_stops_the_picture_at_once_and_asks_the_worker_once(walk, link):
    link.pictures(8)
    run(walk, 2, 1.0)
    walk.pause(True)
    walk.pause(True)
    assert run(walk, 5, 2.0) == []
    assert len(link.asked(wire.Pause)) == 1
    walk.pause(False)
    assert len(run(walk, 5, 3.0)) == 5
    assert walk.pacer.drops == walk.pacer.repeats == 0


def test_a_prompt_counts_as_asked_for_until_the_worker_has_answered(walk, link):
    walk.prompt("下雪了")
    run(walk, 1, 1.0)
    assert walk.state.asked == ["下雪了"]
    link.reply(chunk=9)
    run(walk, 1, 2.0)
    assert walk.state.asked == []


def test_a_refused_request_becomes_a_notice(walk, link):
    walk.prompt("rain")
    link.reply("The prompt could not be read.")
    run(walk, 1, 1.0)
    assert walk.state.notices == ["The prompt could not be read."]


def test_a_world_that_does_not_open_leaves_the_old_one(walk, link):
    walk.open(wire.WorldSpec(preset="fake", seed=8))
    link.reply("The picture is damaged.")
    run(walk, 1, 1.0)
    assert walk.state.phase is Phase.WALKING


def test_a_closed_link_says_why(walk, link):
    link.events.append(wire.Closed(sentence="The worker ended."))
    run(walk, 1, 1.0)
    assert (walk.state.phase, walk.state.veil) == (Phase.CLOSED, "The worker ended.")


def test_the_production_rate_comes_from_the_time_a_whole_chunk_took(walk, link):
    for chunk in range(4):
        link.pictures(16, chunk=chunk, latent=0, last=True, chunk_ms=800.0 if chunk else 0.0)
    run(walk, 1, 1.0)
    assert walk.pacer.production_fps == pytest.approx(20.0)
    assert walk.meter.rtf == pytest.approx([1.2, 1.2])


def test_what_the_first_chunk_of_a_world_takes_to_get_ready_is_no_production(walk, link):
    """With one latent a chunk it makes one picture in seconds: no pace for all that follows."""
    link.pictures(1, chunk=0, last=True)
    link.pictures(4, chunk=1, last=True, chunk_ms=4000.0)
    run(walk, 1, 1.0)
    assert walk.pacer.production_fps is None and not walk.meter.rtf
    link.pictures(4, chunk=2, last=True, chunk_ms=160.0)
    run(walk, 1, 1.1)
    assert walk.pacer.production_fps == pytest.approx(25.0)


def test_a_fast_worker_is_asked_for_a_short_lead_and_a_slow_one_for_all_it_can(walk, link):
    assert walk.lead == 64
    for chunk in range(3):
        link.pictures(16, chunk=chunk, last=True, chunk_ms=200.0 if chunk else 0.0)
    run(walk, 1, 1.0)
    assert walk.lead < 16


def test_words_are_braced_for_until_they_show_and_more_is_kept_in_hand_while_they_make_chunks_slow(walk, link):
    def arrives(chunk):
        link.pictures(16, chunk=chunk, last=True, chunk_ms=200.0 if chunk else 0.0)
        run(walk, 2, float(chunk))
        return walk.pacer.bracing, walk.lead

    calm, lead = [arrives(chunk) for chunk in range(3)][-1]
    assert not calm
    walk.prompt("rain")
    assert arrives(3) == (True, lead + walk.pacer.config.braced)
    link.world(happenings=(wire.Happening(text="rain", chunk=4, latent=16, active=True),))
    link.reply(chunk=4)
    run(walk, 1, 3.5)
    assert walk.pacer.bracing, "the first chunk under them is still to come"
    more = lead + walk.pacer.config.braced
    assert [arrives(chunk) for chunk in range(4, 8)] == [(False, more), (False, more), (False, more), (False, lead)]


def test_the_turn_since_the_picture_is_what_no_frame_has_answered_yet(walk, link):
    walk.tick(1.0, Controls(yaw=0.1))
    walk.tick(1.1, Controls(yaw=0.2, pitch=0.05))
    assert walk.turned == pytest.approx((0.3, 0.05))
    link.pictures(1, seq=link.controls[-2].seq)
    run(walk, 1, 1.2)
    assert walk.turned == pytest.approx((0.2, 0.05))
