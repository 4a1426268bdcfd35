"""Depth begins as the flat ground, learns what stands on it, and knows the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.actions import KEY_RIGHT, KEY_UP, KEY_W, POCKET, Step, frame_poses, start_pose
from engine.depth import (
    MIRROR,
    DepthConfig,
    DepthHead,
    Everywhere,
    confidence,
    depth_loss,
    estimate,
    estimate_twice,
    ground_disparity,
    level_camera,
    slender,
)
from engine.geometry import POCKET_LENS
from engine.vae import stills
from tests.engine.tiny import tiny_weights, wake


def test_the_ground_below_a_camera_is_as_far_as_its_height_says():
    camera = frame_poses([Step(keys=KEY_W | KEY_UP)] * 3, POCKET, start_pose(POCKET))[-1]
    disparity = ground_disparity(camera, 48, 80, POCKET_LENS).numpy()
    row, column = 44, 60
    ray = np.array([((column + 0.5) / 80 - 0.5) / POCKET_LENS.fx, ((row + 0.5) / 48 - 0.5) / POCKET_LENS.fy, 1.0])
    assert (camera[:3, :3] @ ray / disparity[row, column] + camera[:3, 3])[1] == pytest.approx(0, abs=1e-4)
    assert (disparity[:10] < 0).all()


def test_an_untrained_network_says_flat_ground():
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    found = estimate(head, torch.randn(2, 4, 3, 5), None)
    ground = ground_disparity(level_camera(), 48, 80, POCKET_LENS)
    assert torch.allclose(found.disparity[0][30:], ground[30:].clamp(1 / 40, 1.25))
    assert ((confidence(found) > 0) & (confidence(found) < 1)).all()


def test_truth_has_the_least_loss_and_no_error():
    depth = torch.rand(2, 16, 16) * 30 + 1
    depth[:, :4] = float("inf")
    found = estimate(DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8))), torch.zeros(2, 4, 1, 1), None)
    sky = torch.where(depth > 1000, 20.0, -20.0)
    walker = torch.zeros(2, 16, 16, dtype=torch.bool)
    walker[:, 8:12, 6:9] = True
    ground = torch.zeros(2, 16, 16)
    exact = replace(found, disparity=1 / depth.clamp_max(1e6), sky=sky, moving=torch.where(walker, 20.0, -20.0))
    loss, numbers = depth_loss(exact, depth, walker, ground)
    assert numbers["absrel"] == pytest.approx(0, abs=1e-5)
    assert numbers["sky"] == numbers["delta"] == numbers["moving"] == 1
    assert float(loss) < float(depth_loss(replace(exact, disparity=1.2 * exact.disparity), depth, walker, ground)[0])
    assert float(loss) < float(depth_loss(replace(exact, moving=-exact.moving), depth, walker, ground)[0])
    assert float(exact.seen()[:, :4].max()) == 0


def test_the_network_learns_a_wall():
    torch.manual_seed(0)
    head = DepthHead(DepthConfig(latent_channels=4, widths=(16, 16, 16, 8)))
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    latents, depth = torch.randn(4, 4, 2, 2), torch.full((4, 32, 32), 3.0)
    ground = ground_disparity(np.stack([level_camera()] * 4), 32, 32, POCKET_LENS)
    nobody = torch.zeros(depth.shape, dtype=torch.bool)
    for _ in range(120):
        loss, numbers = depth_loss(head(latents, ground), depth, nobody, ground)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert numbers["absrel"] < 0.1


def test_what_passes_and_what_is_next_to_it_do_not_stand():
    found = estimate(DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8))), torch.zeros(1, 4, 1, 1), None)
    moving = torch.full((1, 16, 16), -4.0)
    moving[0, 8, 8] = 4.0
    stands = replace(found, moving=moving).stands()
    assert found.stands().all()
    assert not stands[0, 6:11, 6:11].any() and stands.sum() == 16 * 16 - 25


def test_a_picture_is_seen_and_may_be_missing():
    torch.manual_seed(0)
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    for layer in (head.head, head.look_fine.conv2, head.last[0].conv2):
        torch.nn.init.normal_(layer.weight)
    latents, grey = torch.zeros(1, 4, 1, 1), torch.full((1, 16, 16, 3), 200, dtype=torch.uint8)
    assert not torch.allclose(estimate(head, latents, None).disparity, estimate(head, latents, None, grey).disparity)


def test_what_a_cell_says_is_heard_in_every_other_one():
    torch.manual_seed(0)
    layer = Everywhere(8)
    x = torch.randn(1, 8, 6, 10)
    assert torch.equal(layer(x), x), "an untrained one adds nothing"
    torch.nn.init.normal_(layer.out.weight)
    other = x.clone()
    other[:, :4, 0, 0] += 3
    changed = (layer(other) - layer(x)).abs().amax(1)[0]
    assert (changed > 1e-6).all()


def test_edges_of_the_picture_reach_single_pixels_of_depth():
    torch.manual_seed(0)
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    for layer in (head.head, head.last[0].conv2):
        torch.nn.init.normal_(layer.weight)
    grey = torch.full((1, 32, 32, 3), 128, dtype=torch.uint8)
    edge = grey.clone()
    edge[:, :, 17:] = 255
    found = [estimate(head, torch.zeros(1, 4, 2, 2), None, each).disparity[0].log() for each in (grey, edge)]
    differs = (found[0] - found[1]).abs().mean(0)
    assert differs[16] != differs[17] and differs[17] > 5 * differs[2]


def test_a_mistake_about_an_object_costs_more_than_one_about_the_ground():
    ground, depth = torch.full((1, 16, 16), 0.2), torch.full((1, 16, 16), 5.0)
    depth[..., 8:] = 3.0
    found = estimate(DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8))), torch.zeros(1, 4, 1, 1), None)
    nobody = torch.zeros(depth.shape, dtype=torch.bool)

    def loss(columns: slice) -> float:
        wrong = 1 / depth
        wrong[..., columns] *= 1.2
        return float(depth_loss(replace(found, disparity=wrong), depth, nobody, ground)[0])

    assert loss(slice(8, 16)) > loss(slice(0, 8)) > loss(slice(0, 0))


def test_slender_is_a_post_and_not_a_house_nor_what_is_far():
    depth = torch.full((1, 48, 96), 12.0)
    depth[..., 8:40, 10:12], depth[..., 8:40, 40:60], depth[..., 8:40, 80:82] = 4.0, 4.0, 10.0
    depth[..., :6, 20:30] = float("inf")
    thin, beside = slender(depth)
    post = torch.zeros_like(thin)
    post[..., 8:40, 10:12] = True
    assert torch.equal(thin, post)
    assert beside[..., 20, 9].all() and beside[..., 20, 12].all() and not (beside & thin).any()
    assert not beside[..., 6:].any(-2)[..., 20:].any()


def test_a_mistake_about_a_post_costs_as_much_as_one_about_a_wider_piece_of_a_house():
    ground, depth = torch.full((1, 48, 96), 0.01), torch.full((1, 48, 96), 12.0)
    depth[..., 8:40, 10:12], depth[..., 8:40, 40:60] = 4.0, 4.0
    found = estimate(DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8))), torch.zeros(1, 4, 3, 6), None)
    nobody = torch.zeros(depth.shape, dtype=torch.bool)

    def loss(columns: slice) -> float:
        wrong = 1 / depth
        wrong[..., 8:40, columns] *= 1.3
        return float(depth_loss(replace(found, disparity=wrong), depth, nobody, ground)[0])

    least = loss(slice(0, 0))
    post, house = loss(slice(10, 12)) - least, loss(slice(48, 50)) - least
    assert post > 3 * house > 0
    assert depth_loss(replace(found, disparity=1 / depth), depth, nobody, ground)[1]["delta_slender"] == 1.0


def test_a_world_and_its_mirror_image_are_as_deep_as_each_other():
    torch.manual_seed(0)
    head, vae = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8))), tiny_weights().vae
    wake(head, 1.0)
    camera = frame_poses([Step(keys=KEY_W | KEY_RIGHT | KEY_UP)] * 3, POCKET, start_pose(POCKET))[-1:]
    camera[:, :3, :3] @= np.array([[0.98, -0.2, 0], [0.2, 0.98, 0], [0, 0, 1]])  # held askew
    picture = torch.randint(0, 256, (1, 48, 80, 3), dtype=torch.uint8)
    here = estimate_twice(vae, head, stills(vae, picture), camera, picture)
    there = estimate_twice(vae, head, stills(vae, picture.flip(2)), MIRROR @ camera @ MIRROR, picture.flip(2))
    once = estimate(head, stills(vae, picture), camera, picture)
    assert torch.allclose(here.disparity, there.disparity.flip(-1), rtol=0.04), "as bfloat16 is exact"
    assert torch.allclose(here.sky, there.sky.flip(-1), atol=0.04)
    assert not torch.allclose(once.disparity, here.disparity, rtol=0.5)
