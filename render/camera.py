"""The camera of every picture: a pin-hole, 70 degrees across, square pixels, its axis in the middle."""

import math

import numpy as np
from numpy.typing import NDArray

FIELD_OF_VIEW = math.radians(70)
"""Horizontal."""
NEAR, FAR = 0.15, 700.0
"""What is nearer or farther, in metres along z, is not drawn."""


def intrinsics(width: int, height: int) -> NDArray[np.float64]:
    """[3, 3] `image_from_camera` in pixels."""
    focal = width / 2 / math.tan(FIELD_OF_VIEW / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def slopes(aspect: float) -> tuple[float, float]:
    """Tangents of half the field of view, across and down, of a picture `aspect` times as wide as high."""
    across = math.tan(FIELD_OF_VIEW / 2)
    return across, across / aspect


def clip_from_world(world_from_camera: NDArray[np.float64], aspect: float) -> NDArray[np.float64]:
    """[4, 4] perspective of a camera [4, 4]; y stays down, so that the first row read back is the top one."""
    across, down = slopes(aspect)
    a, b = (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    clip = np.array([[1 / across, 0, 0, 0], [0, 1 / down, 0, 0], [0, 0, a, b], [0, 0, 1, 0]])
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = world_from_camera[:3, :3].T
    camera_from_world[:3, 3] = -world_from_camera[:3, :3].T @ world_from_camera[:3, 3]
    return clip @ camera_from_world


def depth_from_window(window: NDArray[np.float32]) -> NDArray[np.float32]:
    """Metres along z from a depth buffer in [0, 1]; inf where nothing was drawn."""
    z = NEAR * FAR / (FAR - window.astype(np.float64) * (FAR - NEAR))
    return np.where(window >= 1.0, np.inf, z).astype(np.float32)
