"""The sheet of clouds: a row for each world, its frames beside views of its points."""

from types import SimpleNamespace

import numpy as np
import pytest

from render.cloud_sheet import CELL, GAP, LINE, VIEWS, draw_sheet


def exhibit(colour, points=4000):
    rng = np.random.default_rng(0)
    xyz = rng.uniform((-3, -2, 3), (3, 0, 9), (points, 3)).astype(np.float32)
    rgb = np.tile(np.array(colour, np.uint8), (points, 1))
    cloud = SimpleNamespace(xyz=xyz, rgb=rgb, confidence=np.ones(points, np.float32))
    frames = np.full((3, 24, 40, 3), 77, np.uint8)
    return SimpleNamespace(name="walk", cloud=cloud, cameras=np.stack([np.eye(4)] * 2), frames=frames)


def test_each_world_has_a_row_with_its_frames_and_its_cloud_in_its_colour():
    sheet = draw_sheet([exhibit((220, 30, 30)), exhibit((30, 30, 220))])
    height = LINE + CELL[1] + GAP
    assert sheet.dtype == np.uint8 and sheet.shape[0] == 2 * height
    for row, channel in ((sheet[:height], 0), (sheet[height:], 2)):
        views = row[LINE : LINE + CELL[1], -len(VIEWS) * (CELL[0] + GAP) + GAP :]
        for place in range(len(VIEWS)):
            view = views[:, place * (CELL[0] + GAP) :][:, : CELL[0]].astype(int)
            assert (view[..., channel] - view[..., 2 - channel] > 150).mean() > 0.05
        assert (row[LINE + 10, 10] == 77).all()


def test_a_world_without_points_leaves_its_views_empty_and_no_world_is_refused():
    assert draw_sheet([exhibit((220, 30, 30), points=0)])[LINE:, -CELL[0] :].max() < 25
    with pytest.raises(ValueError, match="a sheet of 0 clouds"):
        draw_sheet([])
