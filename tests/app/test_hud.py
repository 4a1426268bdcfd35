"""What the display says of the network and of the words in force."""

from types import SimpleNamespace

from app.hud import in_force, network


def test_a_slow_network_is_named_with_both_numbers():
    view = SimpleNamespace(fps_generated=6.0, left_out=18.0)
    assert network(view) == "The network is slow: it carries 6 of 24 pictures a second"


def test_of_a_network_that_carries_all_nothing_is_said():
    assert network(SimpleNamespace(fps_generated=24.0, left_out=0.0)) == ""


def test_the_newest_event_stands_first_and_the_caption_last():
    assert in_force("a village\nrain\nnight falls") == "night falls  \u00b7  rain  \u00b7  a village"
    assert in_force("\nrain") == "rain" and in_force("a village") == "a village" and not in_force("")
