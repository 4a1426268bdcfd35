"""What lies between neighbouring pixels of one surface."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from engine.actions import POCKET, start_pose, turn
from engine.geometry import POCKET_LENS
from engine.guide import Surface, look_on_cpu, look_through, rays
from engine.sheets import cells_of, fill_cells, find_cells, points_in

H, W = 48, 80


def wall(distance: float, slant: float) -> Surface:
    """A wall straight ahead, turned away by an angle, in bright and dark columns; sky where it ends."""
    x, _, z = rays(H, W, POCKET_LENS, torch.device("cpu")).unbind(-1)
    disparity = (math.cos(slant) * z - math.sin(slant) * x) / (distance * math.cos(slant))
    shown = torch.sin(40 * x)[None].repeat(3, 1, 1)
    return Surface(shown, disparity.clamp_min(0.0), start_pose(POCKET))


def camera(ahead: float, aside: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    moved = start_pose(POCKET)
    moved[[0, 2], 3] += aside, ahead
    moved[:3, :3] = turn(yaw, 0.0)
    return moved[None]


@pytest.mark.parametrize("drawing", [look_on_cpu, look_through])
def test_a_wall_that_one_looked_along_is_closed_when_one_stands_before_it(drawing):
    angle = math.radians(70)
    before_it = camera(2.89, -0.14, angle)
    _, origin, near = drawing([wall(6.0, -angle)], before_it, POCKET_LENS)
    assert (origin[0, H // 4 : -H // 4, W // 4 : -W // 4] >= 0).float().mean() > 0.99
    assert near[0, H // 2, W // 2] == pytest.approx(1 / 1.2, abs=0.02)


@pytest.mark.parametrize("drawing", [look_on_cpu, look_through])
def test_nothing_is_drawn_between_two_surfaces_one_before_the_other(drawing):
    disparity = torch.full((H, W), 0.1)
    disparity[:, : W // 2] = 0.5
    seen = Surface(torch.zeros(3, H, W), disparity, start_pose(POCKET))
    _, origin, near = drawing([seen], camera(0.5, 0.8), POCKET_LENS)
    between = (origin[0] >= 0) & (near[0] > 0.13) & (near[0] < 0.5)
    assert not between.any() and (origin[0] < 0).float().mean() > 0.05


def test_compiled_and_plain_cells_are_the_same():
    rng = np.random.default_rng(3)
    disparity = np.cumsum(rng.normal(0, 0.004, (H, W)), axis=1).astype(np.float32) + 0.3
    disparity[10:30, 20:40] += 0.2
    kept = rng.random((H, W)) > 0.1
    cells = np.empty((H - 1, W - 1), np.bool_)
    find_cells(disparity, kept, cells)
    assert torch.equal(cells_of(torch.from_numpy(disparity), torch.from_numpy(kept)), torch.from_numpy(cells))
    assert 0.2 < cells.mean() < 0.9


def test_a_plane_that_falls_away_is_one_surface_and_a_step_is_its_end():
    plane = torch.linspace(0.4, 0.02, W).repeat(H, 1)
    everything = torch.ones(H, W, dtype=torch.bool)
    assert cells_of(plane, everything)[:, 1:-1].all()
    plane[:, W // 2 :] -= 0.05
    cells = cells_of(plane.clamp_min(0.0), everything)
    assert not cells[:, W // 2 - 1].any() and cells[:, 1 : W // 2 - 1].all()


def test_compiled_triangles_and_divided_cells_cover_the_same_with_the_same_disparity():
    rows, columns = np.mgrid[0:4, 0:4].astype(np.float32)
    places = np.stack([9.3 * columns + 2 * rows + 4, 8.1 * rows - columns + 5, 0.1 + 0.02 * columns + 0.03 * rows])
    cells, out = np.ones((3, 3), np.bool_), np.full((H, W), -1, np.float32)
    cells[1, 1] = False
    fill_cells(places, cells, out)
    x, y, near = points_in(torch.from_numpy(places), torch.from_numpy(cells), (H, W))
    plain = torch.full((H * W,), -1.0).scatter_reduce_(0, (y.round() * W + x.round()).long(), near, "amax").view(H, W)
    both = (out >= 0) & (plain.numpy() >= 0)
    assert (out >= 0).sum() > 350 and both.sum() == (out >= 0).sum()
    assert np.abs(out - plain.numpy())[both].max() < 0.004
    assert (plain >= 0).sum() < 1.25 * (out >= 0).sum(), "but for half a pixel around"


def test_what_is_behind_the_camera_and_what_is_small_is_not_filled():
    rows, columns = np.mgrid[0:3, 0:3].astype(np.float32)
    places, cells = np.stack([columns + 5, rows + 5, 0 * rows + 0.2]), np.ones((2, 2), np.bool_)
    for scale, behind in ((1.0, False), (9.0, True)):
        moved, out = places * np.array([scale, scale, 1], np.float32)[:, None, None], np.full((H, W), -1, np.float32)
        moved[2, 1, 1] = -1.0 if behind else 0.2
        fill_cells(moved, cells, out)
        assert (out < 0).all() and not points_in(torch.from_numpy(moved), torch.from_numpy(cells), (H, W)).numel()
