"""The session: nothing older counts, and the world waits for the eye."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.worker.chunks import chunk_of
from worker.history import History
from worker.jobs import job_for, outcome
from worker.model_protocol import Loaded
from worker.protocol import Control, Reset, Rewind, SetPrompt, WorldSpec
from worker.session import Session

LOADED = Loaded(width=320, height=192, fps=24.0, chunk=4, chunks=0)


def fresh(chunk: int = 4) -> Session:
    spec = WorldSpec(preset="fake", seed=5, prompt="a meadow", chunk=chunk)
    return Session.begin(LOADED, History.begin(spec), "a.wander")


def made(session: Session) -> Session:
    """The session after one more chunk."""
    session = session.started()
    for latent in range(session.spec.chunk):
        session = session.pictured(1 if session.chunks == 0 and latent == 0 else 4)
    return session.committed(chunk_of(session.chunks, session.reads, generation=session.generation))


def saw(session: Session, shown: int, lead: int = 64) -> Session:
    seq = session.mailbox.seq + 1
    return session.controlled(Control(seq=seq, generation=session.generation, shown=shown, lead=lead))


def test_without_a_viewer_exactly_one_chunk_is_made():
    session = fresh()
    assert session.may_start
    assert not made(session).may_start


def test_the_next_chunk_starts_when_the_first_picture_of_the_newest_one_is_seen():
    session = made(saw(made(fresh()), 1))
    assert session.produced == 13 + 16
    assert not saw(session, 13).may_start
    assert saw(session, 14).may_start


def test_a_viewer_who_wants_no_lead_is_served_only_when_all_is_seen():
    session = made(fresh())
    assert not saw(session, 12, lead=0).may_start
    assert saw(session, 13, lead=0).may_start


@given(st.lists(st.integers(0, 200), max_size=30), st.sampled_from([1, 2, 4]))
def test_the_world_is_never_more_than_one_chunk_ahead_of_the_eye(credits, chunk):
    session = fresh(chunk)
    for shown in credits:
        if session.may_start:
            before = session.produced
            session = made(session)
            assert before == 0 or session.shown > before - 4 * chunk
        session = saw(session, shown)
    assert session.produced - session.shown <= 2 * 4 * chunk


def test_credit_for_pictures_that_were_never_made_counts_for_nothing():
    assert saw(made(fresh()), 1000).shown == 13


def test_a_paused_world_stands_still():
    assert not replace(fresh(), paused=True).may_start


def test_credit_of_an_older_generation_counts_for_nothing():
    session = made(fresh()).renewed()
    stale = Control(seq=9, generation=session.generation - 1, shown=13)
    assert session.controlled(stale).shown == 0


def test_undo_and_reset_begin_a_new_generation_and_go_back_to_the_text_of_then():
    session = made(fresh())
    _, session = outcome(job_for(SetPrompt(text="it rains"), session), session, "a meadow\nit rains")
    assert session.reads == "a meadow\nit rains"
    session = made(session)
    _, undone = outcome(job_for(Rewind(chunks=1), session), session)
    assert (undone.generation, undone.chunks, undone.reads) == (session.generation + 1, 1, "a meadow")
    _, again = outcome(job_for(Reset(), session), session)
    assert (again.chunks, again.spec.seed, again.reads) == (0, 5, "a meadow")


def test_a_chunk_lost_with_its_model_is_made_again_from_the_same_steps():
    session = saw(fresh(), 0).controlled(Control(seq=2, generation=1, keys=1, yaw=0.3))
    session = session.started()
    lost = session.making
    again = session.renewed().restarted(lost)
    assert again.making.steps == lost.steps
    assert (again.making.generation, again.making.index, again.making.chunk) == (2, 0, 0)
