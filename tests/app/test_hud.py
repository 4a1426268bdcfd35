"""What the display says of the network."""

from types import SimpleNamespace

from app.hud import network


def test_a_slow_network_is_named_with_both_numbers():
    view = SimpleNamespace(fps_generated=6.0, left_out=18.0)
    assert network(view) == "The network is slow: it carries 6 of 24 pictures a second"


def test_of_a_network_that_carries_all_nothing_is_said():
    assert network(SimpleNamespace(fps_generated=24.0, left_out=0.0)) == ""
