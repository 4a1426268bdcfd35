"""Signs of life: silence, or a lane that loses everything, is noticed; waiting, pausing and looking away are not."""

from worker.protocol import Control, Frames, Reply, Welcome
from worker.pulse import ASK_SECONDS, SILENCE_SECONDS, Pulse


def pictures(index: int) -> Frames:
    return Frames(
        generation=1, chunk=0, latent=0, index=index, seq=1, width=1, height=1, count=4, produced_ns=0, gen_ms=0.0
    )


def answered(pulse: Pulse, *, produced: int = 0, shown: int = 0, until: float = 30.0, answers: bool = True) -> float:
    """Ask when it is due, and have the answer (or not) at once; when the connection is given up, else infinity."""
    now, question = 0.0, 0
    while now < until:
        if pulse.stopped(now):
            return now
        if pulse.due(now):
            question += 1
            pulse.asked(question, now)
            reply = Reply(id=question, data={"generation": 1, "produced": produced, "shown": shown})
            if answers:
                pulse.heard(reply, now)
                assert pulse.answered(reply, now)
        now += 0.25
    return float("inf")


def test_a_connection_whose_questions_are_answered_is_kept_for_ever():
    assert answered(Pulse()) == float("inf")


def test_one_that_answers_nothing_is_given_up():
    pulse = Pulse()
    pulse.heard(Welcome(schema=""), 0.0)
    assert SILENCE_SECONDS < answered(pulse, answers=False) < SILENCE_SECONDS + ASK_SECONDS + 1


def test_pictures_that_were_made_and_never_come_mean_that_their_lane_is_stuck():
    pulse = Pulse()
    pulse.heard(pictures(0), 0.0)
    assert SILENCE_SECONDS < answered(pulse, produced=8) < SILENCE_SECONDS + 2 * ASK_SECONDS


def test_a_credit_that_the_worker_never_hears_of_means_that_the_control_lane_is_stuck():
    pulse = Pulse()
    pulse.heard(pictures(4), 0.0)
    pulse.steered(Control(seq=1, generation=1, shown=8), 0.0)
    assert SILENCE_SECONDS < answered(pulse, produced=8, shown=4) < SILENCE_SECONDS + 2 * ASK_SECONDS


def test_a_world_that_waits_for_its_window_is_no_trouble():
    pulse = Pulse()
    pulse.heard(pictures(4), 0.0)
    pulse.steered(Control(seq=1, generation=1, shown=4), 0.0)
    assert answered(pulse, produced=8, shown=4) == float("inf")


def test_a_window_that_looked_away_blames_nobody():
    pulse = Pulse()
    pulse.heard(pictures(0), 0.0)
    pulse.asked(1, 0.0)
    assert not pulse.stopped(100.0)


def test_an_answer_to_somebody_elses_question_is_not_taken():
    pulse = Pulse()
    assert not pulse.answered(Reply(id=0), 1.0)
    pulse.asked(7, 0.0)
    assert not pulse.answered(Reply(id=6), 1.0)
