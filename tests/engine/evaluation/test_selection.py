"""What choosing memory costs and whether it is right, measured on random walks."""

import numpy as np

from engine.evaluation.selection import LENGTHS, lines, measure, wandering
from engine.memory import pocket


def test_the_choice_agrees_with_fifty_thousand_points_and_its_time_is_told():
    found = measure((64, 128), walks=2, repeats=2)
    assert [each.latents for each in found] == [64, 128] and LENGTHS[-1] == 4096
    assert all(each.within == 1.0 and each.same <= each.within for each in found)
    assert all(0 < each.cpu_ms < 1000 and each.wall_ms > 0 for each in found)
    assert len(lines(found).splitlines()) == 3


def test_the_walks_are_as_long_as_asked_and_the_same_every_time():
    assert wandering(70, 1).shape == (70, 4, 4) and np.array_equal(wandering(70, 1), wandering(70, 1))
    assert pocket().retrieves
