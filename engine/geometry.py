"""Cameras: rigid transforms, lenses and the projective matrices of PRoPE (WorldPlay 3.2; SPEC 2 and 6).

Matrices are named target_from_source, shape [..., 4, 4], float64 (released loops cast positions to bfloat16 and lose
steps of 0.08 units twenty units from the origin). Axes: x right, y down, z forward. NumPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import WanderError

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lens:
    """Pin-hole intrinsics in units of the picture: `fx` of its width, `fy` of its height. The centre is never used."""

    fx: float
    fy: float

    @property
    def field_of_view(self) -> tuple[float, float]:
        """Degrees across and down."""
        across, down = (math.degrees(2 * math.atan(0.5 / f)) for f in (self.fx, self.fy))
        return across, down


def lens_from_field(across: float, aspect: float) -> Lens:
    """Lens with square pixels from the horizontal field of view in degrees and width / height."""
    fx = 0.5 / math.tan(math.radians(across) / 2)
    return Lens(fx=fx, fy=fx * aspect)


def lens_from_pixels(camera: ArrayLike) -> Lens:
    """Lens from a pixel intrinsics matrix [3, 3] whose principal point is the picture's centre (SPEC 6).

    Raises `WanderError` when a focal length or the principal point is not positive.
    """
    k = np.asarray(camera, dtype=np.float64)
    fx, fy, cx, cy = float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])
    if min(fx, fy, cx, cy) <= 0:
        raise WanderError(f"the intrinsics have focal lengths {fx:g}, {fy:g} and centre {cx:g}, {cy:g} pixels; "
                          "all four must be above 0")
    return Lens(fx=fx / (2 * cx), fy=fy / (2 * cy))


POCKET_LENS = lens_from_field(70.0, 320 / 192)
WORLDPLAY_LENS = lens_from_pixels([[32_000 / 33, 0, 960], [0, 32_000 / 33, 540], [0, 0, 1]])


def rigid_inverse(transform: Matrix) -> Matrix:
    """Inverse of rigid transforms [..., 4, 4]: [R^T, -R^T t]."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse = np.zeros_like(transform)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3:] = -rotation @ transform[..., :3, 3:]
    inverse[..., 3, 3] = 1
    return inverse


def rebase(camera_from_world: Matrix, origin: int = 0) -> Matrix:
    """The same cameras [T, 4, 4] in the world whose frame is camera `origin`, which becomes the identity."""
    return camera_from_world @ rigid_inverse(camera_from_world[origin])


def image_from_camera(lens: Lens) -> Matrix:
    """Homogeneous intrinsics Kh = diag(fx, fy, 1, 1), [4, 4]."""
    return np.diag([lens.fx, lens.fy, 1.0, 1.0])


def image_from_world(camera_from_world: Matrix, lens: Lens) -> Matrix:
    """Projective matrices P = Kh @ V of cameras [..., 4, 4] (SPEC 2). Their inverse is V^-1 @ Kh^-1."""
    return image_from_camera(lens) @ camera_from_world
