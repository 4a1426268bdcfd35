"""Who holds the session, on one machine and over a network."""

import pytest

from worker.lease import Lease

LOCAL, REMOTE = Lease(), Lease(park=600.0)


@pytest.mark.parametrize("lease", [LOCAL, REMOTE])
def test_the_first_window_gets_the_session_and_a_second_only_by_taking_over(lease):
    assert not lease.refusal(b"a", "", False, 0.0)
    held = lease.held(b"a", "")
    assert "open in another window" in held.refusal(b"b", "", False, 0.0)
    assert not held.refusal(b"b", "", True, 0.0)


def test_over_a_network_a_lost_session_is_kept_for_its_holder(lease=REMOTE):
    lost = lease.held(b"a", "").lost(100.0)
    assert "8 more minutes" in lost.refusal(b"b", "guess", False, 100.0 + 130.0)
    assert not lost.refusal(b"b", lost.token, False, 130.0)


def test_on_one_machine_a_lost_session_belongs_to_whoever_comes_next():
    assert not LOCAL.held(b"a", "").lost(100.0).refusal(b"b", "", False, 101.0)


def test_the_holder_keeps_its_token_and_anybody_else_gets_a_new_one():
    held = REMOTE.held(b"a", "")
    assert held.lost(1.0).held(b"b", held.token).token == held.token
    assert held.lost(1.0).held(b"b", "").token != held.token


def test_a_parked_session_is_over_when_its_time_is_and_never_before():
    lost = REMOTE.held(b"a", "").lost(100.0)
    assert not lost.over(699.9)
    assert lost.over(700.0)
    assert not REMOTE.held(b"a", "").over(1e9)
    assert not REMOTE.over(1e9)
    assert not LOCAL.held(b"a", "").lost(0.0).over(1e9)


def test_losing_the_window_twice_does_not_start_the_time_again():
    assert REMOTE.held(b"a", "").lost(100.0).lost(400.0).over(700.0)
