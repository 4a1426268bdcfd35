"""Depth begins as the flat ground, learns what stands on it, and knows the sky."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.actions import KEY_UP, KEY_W, POCKET, Step, frame_poses, start_pose
from engine.depth import DepthConfig, DepthHead, confidence, depth_loss, estimate, ground_disparity, level_camera
from engine.geometry import POCKET_LENS


def test_the_ground_below_a_camera_is_as_far_as_its_height_says():
    camera = frame_poses([Step(keys=KEY_W | KEY_UP)] * 3, POCKET, start_pose(POCKET))[-1]
    disparity = ground_disparity(camera, 48, 80, POCKET_LENS).numpy()
    row, column = 44, 60
    ray = np.array([((column + 0.5) / 80 - 0.5) / POCKET_LENS.fx, ((row + 0.5) / 48 - 0.5) / POCKET_LENS.fy, 1.0])
    assert (camera[:3, :3] @ ray / disparity[row, column] + camera[:3, 3])[1] == pytest.approx(0, abs=1e-4)
    assert (disparity[:10] < 0).all()


def test_an_untrained_network_says_flat_ground():
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8)))
    found = estimate(head, torch.randn(2, 4, 3, 5), None)
    ground = ground_disparity(level_camera(), 48, 80, POCKET_LENS)
    assert torch.allclose(found.disparity[0][30:], ground[30:].clamp(1 / 40, 1.25))
    assert ((confidence(found) > 0) & (confidence(found) < 1)).all()


def test_truth_has_the_least_loss_and_no_error():
    depth = torch.rand(2, 16, 16) * 30 + 1
    depth[:, :4] = float("inf")
    found = estimate(DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8))), torch.zeros(2, 4, 1, 1), None)
    sky = torch.where(depth > 1000, 20.0, -20.0)
    exact = type(found)(1 / depth.clamp_max(1e6), found.log_error, sky)
    loss, numbers = depth_loss(exact, depth)
    assert numbers["absrel"] == pytest.approx(0, abs=1e-5) and numbers["sky"] == 1 and numbers["delta"] == 1
    assert float(loss) < float(depth_loss(type(found)(1.2 / depth.clamp_max(1e6), found.log_error, sky), depth)[0])
    assert float(exact.seen()[:, :4].max()) == 0


def test_the_network_learns_a_wall():
    torch.manual_seed(0)
    head = DepthHead(DepthConfig(latent_channels=4, widths=(16, 16, 16)))
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    latents, depth = torch.randn(4, 4, 2, 2), torch.full((4, 32, 32), 3.0)
    ground = ground_disparity(np.stack([level_camera()] * 4), 32, 32, POCKET_LENS)
    for _ in range(120):
        loss, numbers = depth_loss(head(latents, ground), depth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert numbers["absrel"] < 0.1
