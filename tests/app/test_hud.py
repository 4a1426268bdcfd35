"""What the display says of the network, of the model and of the words in force."""

from types import SimpleNamespace

import pytest

from app.hud import display, in_force, network, pace


def test_a_slow_network_is_named_with_both_numbers():
    view = SimpleNamespace(fps_generated=6.0, left_out=18.0)
    assert network(view) == "The network is slow: it carries 6 of 24 pictures a second"


def test_of_a_network_that_carries_all_nothing_is_said():
    assert network(SimpleNamespace(fps_generated=24.0, left_out=0.0)) == ""


@pytest.mark.parametrize(
    ("shown", "words"), [(16.0, "The display is slow: it shows 16 of 24 pictures a second"), (23.0, ""), (0.0, "")]
)
def test_a_display_that_shows_too_few_of_the_pictures_is_named_with_both_numbers(shown, words):
    assert display(SimpleNamespace(fps_generated=24.0, fps_shown=shown)) == words


def test_the_newest_event_stands_first_and_the_caption_last():
    assert in_force("a village\nrain\nnight falls") == "night falls  \u00b7  rain  \u00b7  a village"
    assert in_force("\nrain") == "rain" and in_force("a village") == "a village" and not in_force("")


def seen(makes, left_out=0.0, fps=24.0):
    return SimpleNamespace(makes=makes, left_out=left_out, walk=SimpleNamespace(world=SimpleNamespace(fps=fps)))


def test_a_model_slower_than_its_world_is_named_with_both_numbers():
    assert pace(seen(3.26)) == "Slower than real time: 3.3 of 24 pictures a second; the world waits for you"
    assert pace(seen(15.0, fps=16.0)).startswith("Slower than real time: 15.0 of 16")


def test_nothing_is_said_of_a_model_that_keeps_up_or_has_made_nothing_yet_or_behind_a_slow_network():
    assert [pace(view) for view in (seen(23.5), seen(90.0), seen(None), seen(8.0, left_out=16.0))] == [""] * 4
    assert pace(SimpleNamespace(walk=SimpleNamespace(world=None), makes=1.0)) == ""
