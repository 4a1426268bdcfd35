"""Which squares of the ground a walk knows."""

from __future__ import annotations

import numpy as np

from engine.actions import POCKET, start_pose
from engine.squares import HOME, MOST, NEAR, SIDE, square_of, visited


def walk(*places: tuple[float, float]) -> np.ndarray:
    """Cameras at places in metres from where a world begins."""
    path = np.repeat(start_pose(POCKET)[None], len(places), axis=0)
    path[:, 0, 3] += [7.0 + x for x, _ in places]
    path[:, 2, 3] += [-3.0 + z for _, z in places]
    return path


def test_the_first_camera_stands_in_the_middle_of_its_square():
    path = walk((0, 0), (SIDE / 2 - 0.1, 0), (SIDE / 2 + 0.1, 0), (0, -SIDE / 2 - 0.1), (3 * SIDE, 2 * SIDE))
    assert [square_of(camera, path[0]) for camera in path] == [HOME, HOME, (1, 0), (0, -1), (3, 2)]


def test_squares_come_in_the_order_in_which_one_came_there_and_stay_when_one_comes_back():
    there_and_back = walk((0, 0), (SIDE, 0), (SIDE, SIDE), (SIDE, 0), (0, 0))
    for end in (3, 4, 5):
        assert visited(there_and_back[:end]) == [HOME, (1, 0), (1, 1)]
    assert visited(there_and_back[:1]) == [HOME]


def test_what_is_far_is_left_out_and_of_many_the_nearest_stay():
    straight = walk(*((SIDE * i, 0) for i in range(12)))
    found = visited(straight)
    assert found == [(9, 0), (10, 0), (11, 0)] and NEAR > 2 * SIDE
    around = walk((0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE), (-SIDE, SIDE), (-SIDE, 0), (0, 0))
    found = visited(around)
    assert len(found) == MOST and found[0] == HOME and (1, 1) not in found
