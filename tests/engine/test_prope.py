"""Projective attention sees P_query P_key^-1 and nothing else of the cameras (paper, equation 3)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.actions import KEY_A, KEY_RIGHT, KEY_W, POCKET, Step, latent_poses
from engine.attention import attend
from engine.geometry import POCKET_LENS, image_from_camera, rigid_inverse
from engine.prope import Frustums, apply_per_latent, frustums

LENS = torch.from_numpy(image_from_camera(POCKET_LENS))


def walk() -> np.ndarray:
    return latent_poses([Step(keys=KEY_W | KEY_RIGHT), Step(keys=KEY_A), Step(keys=KEY_RIGHT)], POCKET)


def seen_from(origin: np.ndarray) -> Frustums:
    return frustums(torch.from_numpy(rigid_inverse(walk()) @ origin)[None], LENS, 0.25)


def attention(cameras: Frustums) -> torch.Tensor:
    """Two tokens a latent, one head of 8 channels."""
    q, k, v = torch.randn(3, 1, 8, 1, 8, generator=torch.Generator().manual_seed(0))
    q, k, v = (
        apply_per_latent(matrices, x).transpose(1, 2)
        for matrices, x in ((cameras.queries, q), (cameras.keys, k), (cameras.keys, v))
    )
    return apply_per_latent(cameras.outputs, attend(q, k, v).transpose(1, 2))


@pytest.mark.parametrize("x, yaw", [(0.0, 0.7), (5.0, 0.0), (-3.0, 2.0)])
def test_moving_the_worlds_origin_changes_no_output(x, yaw):
    origin = latent_poses([Step(yaw=yaw)], POCKET)[-1]
    origin[0, 3] += x
    assert torch.allclose(attention(seen_from(origin)), attention(seen_from(np.eye(4))), atol=1e-4)


def test_outputs_depend_on_the_products_of_one_frustum_with_anothers_inverse_only():
    plain, warp = seen_from(np.eye(4)), torch.randn(4, 4, generator=torch.Generator().manual_seed(3)) / 4 + torch.eye(4)
    warped = Frustums(plain.image_from_world @ warp, torch.linalg.inv(warp) @ plain.world_from_image)
    assert torch.allclose(attention(warped), attention(plain), atol=1e-3)


def test_moving_one_camera_alone_changes_outputs():
    moved = walk()
    moved[1, 0, 3] += 1.0
    other = frustums(torch.from_numpy(rigid_inverse(moved))[None], LENS, 0.25)
    assert not torch.allclose(attention(other), attention(seen_from(np.eye(4))), atol=1e-3)


def test_one_camera_for_all_is_no_encoding_at_all():
    still = frustums(torch.from_numpy(rigid_inverse(walk()[[2, 2, 2, 2]]))[None], LENS, 0.25)
    eye = torch.eye(4).expand(1, 4, 4, 4)
    assert torch.allclose(attention(still), attention(Frustums(eye, eye)), atol=1e-5)


def test_the_inverse_inverts_and_the_unit_scales_translations_alone():
    cameras = seen_from(np.eye(4))
    assert torch.allclose(
        cameras.image_from_world @ cameras.world_from_image, torch.eye(4).expand(1, 4, 4, 4), atol=1e-5
    )
    whole = frustums(torch.from_numpy(rigid_inverse(walk()))[None], LENS)
    assert torch.allclose(cameras.image_from_world[..., :3, 3], 0.25 * whole.image_from_world[..., :3, 3])
    assert torch.equal(cameras.image_from_world[..., :3, :3], whole.image_from_world[..., :3, :3])


def test_each_token_is_moved_by_the_matrix_of_its_own_latent_in_its_own_dtype():
    matrices = torch.stack([torch.eye(4), 2 * torch.eye(4)])[None]
    moved = apply_per_latent(matrices, torch.ones(1, 6, 2, 8, dtype=torch.bfloat16))
    assert moved.dtype == torch.bfloat16
    assert torch.equal(moved[0, :, 0, 0].float(), torch.tensor([1.0, 1, 1, 2, 2, 2]))
