"""Depth from several views: other cameras agree at the true depth, and untrained the network changes nothing."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.actions import KEY_D, POCKET, Step, frame_poses, start_pose
from engine.depth import FARTHEST, Depth, DepthConfig, DepthHead, estimate_twice, ground_disparity, signed
from engine.geometry import POCKET_LENS, rigid_inverse
from engine.settling import settled
from engine.sweep import Sweep, SweepConfig, differences, estimate_views, others_of, swept
from engine.vae import to_uint8
from tests.engine.tiny import tiny_weights, wake

H, W = 48, 80
CONFIG = SweepConfig(widths=(8, 8, 8))
PATH = frame_poses([Step(keys=KEY_D)] * 6, POCKET, start_pose(POCKET))[::4]
WALL = 6.0


def wall(cameras: np.ndarray, seed: int = 0, away: float = WALL) -> torch.Tensor:
    """Pictures uint8 `[V, H, W, 3]` of a speckled wall `away` units before the first of cameras that move sideways."""
    speckles = torch.rand(1, 3, 24, 80, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    wide = F.interpolate(speckles, (H, 2 * W), mode="bicubic").clamp(-1, 1)
    shown = []
    for camera in cameras:
        aside = (camera[0, 3] - cameras[0, 0, 3]) / away * POCKET_LENS.fx * W  # pixels
        x = (torch.arange(W) + 0.5 + W / 2 + aside) / W - 1
        y = (torch.arange(H) + 0.5) / H * 2 - 1
        at = torch.stack([x.expand(H, W), y[:, None].expand(H, W)], -1)[None].float()
        shown.append(F.grid_sample(wide, at, padding_mode="border", align_corners=False)[0])
    return to_uint8(torch.stack(shown))


@pytest.mark.parametrize("guess", [0.7, 1.0, 1.3])
def test_pictures_differ_least_at_the_depth_that_is_true(guess):
    pictures, moves = signed(wall(PATH)), rigid_inverse(PATH[1:]) @ PATH[0]
    costs = differences(pictures[0], torch.full((H, W), 1 / (WALL * guess)), pictures[1:], moves, CONFIG)
    ratios = np.exp(np.linspace(-CONFIG.reach, CONFIG.reach, CONFIG.depths))
    middle = costs[: CONFIG.depths, 4:-4, 8:-12].flatten(1)
    found = guess * ratios[middle.argmin(0).numpy()]
    assert np.median(np.abs(found - 1)) < 0.06 and (np.abs(found - 1) < 0.15).mean() > 0.9


def test_a_point_that_no_other_view_shows_differs_at_no_depth_from_any():
    pictures, moves = signed(wall(PATH)), (rigid_inverse(PATH[1:]) @ PATH[0]).copy()
    moves[:, :3, :3] = np.diag([-1.0, 1.0, -1.0])  # they look the other way
    behind = differences(pictures[0], torch.full((H, W), 1 / WALL), pictures[1:], moves, CONFIG)
    none = differences(pictures[0], torch.full((H, W), 1 / WALL), pictures[:0], moves[:0], CONFIG)
    assert torch.allclose(behind, none, atol=1e-6) and none[CONFIG.depths].abs().max() == 0


def test_the_better_half_of_the_others_counts():
    pictures, moves = signed(wall(PATH)), rigid_inverse(PATH[1:]) @ PATH[0]
    hidden = torch.cat([pictures[1:], torch.ones(len(pictures) - 1, 3, H, W)])
    truth = torch.full((H, W), 1 / WALL)
    plain, half = (
        differences(pictures[0], truth, others, np.concatenate([moves] * n), CONFIG)[: CONFIG.depths]
        for others, n in ((pictures[1:], 1), (hidden, 2))
    )
    middle = CONFIG.depths // 2
    assert half[middle, 4:-4, 8:-12].mean() < 1.5 * plain[middle, 4:-4, 8:-12].mean() + 0.05


def test_what_is_nearer_moves_more():
    pictures, moves = signed(wall(PATH)), rigid_inverse(PATH[1:]) @ PATH[0]
    near, far = (
        differences(pictures[0], torch.full((H, W), 1 / away), pictures[1:], moves, CONFIG)[-1].mean()
        for away in (3.0, 30.0)
    )
    assert near > far > 0


def estimated(count: int) -> Depth:
    flat = torch.zeros(count, H, W)
    return Depth(torch.full_like(flat, 1 / WALL), flat - 2, flat - 3, flat - 4)


def test_an_untrained_sweep_changes_nothing_and_a_trained_one_looks_at_the_others():
    torch.manual_seed(0)
    sweep, pictures = Sweep(CONFIG).eval().requires_grad_(False), wall(PATH)
    first = estimated(len(PATH))
    views, others = range(len(PATH)), others_of(PATH)
    assert all(len(each) for each in others) and all(
        view not in other for view, other in zip(views, others, strict=True)
    )
    same = swept(sweep, first, pictures, PATH, views, others)
    assert all(torch.allclose(getattr(same, f.name), getattr(first, f.name), atol=1e-6) for f in fields(Depth))
    wake(sweep, 1.0)
    found = swept(sweep, first, pictures, PATH, views, others)
    blind = swept(sweep, first, pictures, PATH, views, [other[:0] for other in others])
    assert not torch.allclose(found.disparity, blind.disparity)


def test_a_sweep_survives_what_a_network_may_say_of_the_sky():
    first = estimated(1)
    first = replace(first, disparity=torch.zeros(1, H, W), sky=first.sky + 100, log_error=first.log_error - 50)
    sweep = Sweep(CONFIG)
    wake(sweep, 1.0)
    found = swept(sweep, first, wall(PATH), PATH, [0], [np.array([1])])
    assert all(torch.isfinite(getattr(found, f.name)).all() for f in fields(Depth))
    assert found.seen().max() <= 1 / FARTHEST * 100


def test_a_sweep_learns_from_other_views_what_one_cannot_tell():
    torch.manual_seed(0)
    sweep, rng = Sweep(CONFIG), np.random.default_rng(0)
    optimiser = torch.optim.Adam(sweep.parameters(), 3e-3)
    first = estimated(1)
    others = np.arange(1, len(PATH))

    def error(seed: int, others: np.ndarray) -> torch.Tensor:
        away = float(np.random.default_rng(seed).uniform(4, 9))
        found = swept(sweep, first, wall(PATH, seed, away), PATH, [0], [others])
        return (found.disparity * away).log().abs()[..., 8:-16].mean()

    for _ in range(160):
        optimiser.zero_grad()
        error(int(rng.integers(1000)), others).backward()
        optimiser.step()
    with torch.inference_mode():
        seeing, blind = (np.mean([error(seed, seen) for seed in range(2000, 2012)]) for seen in (others, others[:0]))
    assert seeing < 0.6 * blind


def test_views_without_a_sweep_are_estimated_each_alone_and_both_ways_round_and_settled():
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    wake(head, 1.0)
    vae = tiny_weights().vae
    pictures, latents = wall(PATH), torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1))
    found = estimate_views(vae, head, None, latents, pictures, PATH, [1, 3], others_of(PATH)[1::2])
    for i, view in ((0, 1), (1, 3)):
        picture, camera = pictures[[view]], PATH[[view]]
        alone = estimate_twice(vae, head, latents[i : i + 1], camera, picture)
        ground = ground_disparity(camera, *picture.shape[1:3], POCKET_LENS)
        assert torch.allclose(found.disparity[i], settled(alone, signed(picture), ground).disparity[0], rtol=2e-2)
