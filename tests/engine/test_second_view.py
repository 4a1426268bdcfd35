"""An earlier picture says something about a new one: what it showed there, and only that."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch

from engine.actions import KEY_W, POCKET, Step, frame_poses, start_pose
from engine.depth import EARLIER, Depth, DepthConfig, DepthHead, estimate, ground_disparity
from engine.geometry import POCKET_LENS
from engine.guide import Surface
from engine.precision import autocast
from engine.second_view import earlier_view, estimate_views
from tests.engine.tiny import wake

H, W = 48, 80
PATH = frame_poses([Step(keys=KEY_W)] * 12, POCKET, start_pose(POCKET))


def network() -> DepthHead:
    torch.manual_seed(0)
    head = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    wake(head, 1.0)
    return head.eval().requires_grad_(False)


def seen_of(count: int) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (count, H, W, 3), generator=generator, dtype=torch.uint8)
    return torch.randn(count, 4, 3, 5, generator=generator), PATH[:count], pictures


def test_flat_ground_seen_earlier_is_where_the_ground_is_seen_now():
    before, now = PATH[0], PATH[8]
    disparity = ground_disparity(before, H, W, POCKET_LENS).clamp_min(0)
    seen = earlier_view(
        Surface(torch.full((3, H, W), 0.5), disparity, before), now, ground_disparity(now, H, W, POCKET_LENS)
    )
    assert seen.shape == (EARLIER, H, W)
    picture, ratio, covered = seen.split((3, 1, 1))
    ground = covered[0, 34:] > 0
    assert ground.float().mean() > 0.5
    assert (ratio[0, 34:][ground].abs() < 0.05).all() and torch.allclose(picture[:, 34:][:, ground], torch.tensor(0.5))
    assert (seen[:, covered[0] == 0] == 0).all()


def test_a_view_without_an_earlier_one_is_estimated_alone():
    latents, cameras, pictures = seen_of(2)
    both = estimate_views(network(), latents, cameras, pictures, [None, None])
    with autocast(latents.device):
        alone = estimate(network(), latents, cameras, pictures)
    assert all(torch.allclose(getattr(both, f.name), getattr(alone, f.name), atol=1e-5) for f in fields(Depth))


def test_only_the_view_before_matters():
    latents, cameras, pictures = seen_of(4)
    walk = estimate_views(network(), latents, cameras, pictures, [None, 0, 1, 2])
    pair = estimate_views(network(), latents[2:], cameras[2:], pictures[2:], [None, 0])
    alone = estimate_views(network(), latents, cameras, pictures, [None] * 4)
    apart = [(walk.disparity[3] - other).abs().mean() for other in (pair.disparity[1], alone.disparity[3])]
    assert apart[0] < 0.02 * apart[1]
