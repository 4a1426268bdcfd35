"""Projective position encoding, PRoPE (paper §3.2, equation 3): attention sees the whole camera frustum.

Each latent has one matrix P = image_from_world `[4, 4]`. Groups of four consecutive channels of a head are multiplied
by P^T (queries), P^-1 (keys and values) and P (outputs), so that scores and results depend on P_query P_key^-1 alone:
the world's origin cancels. Matrices stay in float32; only the transformed channels take the dtype of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Frustums:
    """P, its inverse and its transpose for T latents, `[..., T, 4, 4]` float32."""

    image_from_world: Tensor
    world_from_image: Tensor

    def __getitem__(self, index: slice | Tensor) -> Frustums:
        return Frustums(self.image_from_world[..., index, :, :], self.world_from_image[..., index, :, :])

    def indistinct(self) -> Frustums:
        """As many of one and the same camera: attention can't tell from where a latent looks."""
        same = torch.eye(4).expand_as(self.image_from_world)
        return Frustums(same, same)

    def to(self, device: torch.device) -> Frustums:
        """The same on a device."""
        return Frustums(self.image_from_world.to(device), self.world_from_image.to(device))

    @property
    def queries(self) -> Tensor:
        """P^T."""
        return self.image_from_world.mT

    @property
    def keys(self) -> Tensor:
        """P^-1, for keys and values."""
        return self.world_from_image

    @property
    def outputs(self) -> Tensor:
        """P."""
        return self.image_from_world


def frustums(camera_from_world: Tensor, image_from_camera: Tensor, unit: float = 1.0) -> Frustums:
    """Frustums of rigid `camera_from_world` `[..., T, 4, 4]` and intrinsics `[4, 4]`; `unit` scales translations.

    Any common rigid change of the world leaves attention unchanged, so poses are best given relative to a nearby
    camera.
    """
    view = camera_from_world.double().clone()
    view[..., :3, 3] *= unit
    inverse = view.clone()
    inverse[..., :3, :3] = view[..., :3, :3].mT
    inverse[..., :3, 3:] = -view[..., :3, :3].mT @ view[..., :3, 3:]
    intrinsics = image_from_camera.double()
    return Frustums((intrinsics @ view).float(), (inverse @ torch.linalg.inv(intrinsics)).float())


def apply_per_latent(matrices_BT44: Tensor, x_BLND: Tensor) -> Tensor:
    """Multiplies groups of four channels of `x` `[B, T * n, N, D]` by the matrix of the token's latent; dtype kept."""
    B, T = matrices_BT44.shape[:2]
    with torch.autocast(x_BLND.device.type, enabled=False):
        groups = x_BLND.float().reshape(B * T, -1, 4)
        return torch.bmm(groups, matrices_BT44.flatten(0, 1).mT).view(x_BLND.shape).type_as(x_BLND)
