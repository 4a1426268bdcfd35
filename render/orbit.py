"""A camera that circles a point, flies, and is always upright. Pure: every motion gives the next camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_STEEPEST = math.radians(89)
_NEAREST, _FARTHEST = 0.3, 400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class OrbitCamera:
    """Looks at `target` from `distance` units away."""

    target: tuple[float, float, float]
    distance: float
    yaw: float = 0.0
    """Radians, 0 looks along z, to the right positive."""
    pitch: float = -0.45
    """Radians, up positive."""

    @property
    def world_from_camera(self) -> NDArray[np.float64]:
        """Its matrix `[4, 4]`, OpenCV axes."""
        c, s, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        matrix[:3, 3] = np.array(self.target) - self.distance * turn[:, 2]
        return matrix

    def orbited(self, across: float, down: float) -> OrbitCamera:
        """After a drag by so many radians: the scene follows the hand."""
        pitch = min(max(self.pitch - down, -_STEEPEST), _STEEPEST)
        return replace(self, yaw=self.yaw - across, pitch=pitch)

    def zoomed(self, steps: float) -> OrbitCamera:
        """Nearer by so many steps of a wheel."""
        return replace(self, distance=min(max(self.distance * 0.88**steps, _NEAREST), _FARTHEST))

    def panned(self, across: float, down: float) -> OrbitCamera:
        """After a drag by so many shares of the picture's width: the scene follows the hand."""
        turn, reach = self.world_from_camera[:3, :3], 1.4 * self.distance
        return self._moved(-across * reach * turn[:, 0] - down * reach * turn[:, 1])

    def flown(self, ahead: float, right: float, up: float) -> OrbitCamera:
        """After flying so many units, level."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self._moved(np.array([ahead * s + right * c, -up, ahead * c - right * s]))

    def _moved(self, by: NDArray[np.float64]) -> OrbitCamera:
        x, y, z = np.array(self.target) + by
        return replace(self, target=(float(x), float(y), float(z)))


def facing(xyz: NDArray[np.floating], cameras: NDArray[np.float64]) -> OrbitCamera:
    """A first look at points `[N, 3]`: from behind and above the walk, most of them in view."""
    middle = np.median(xyz, axis=0)
    spread = float(np.quantile(np.linalg.norm(xyz - middle, axis=1), 0.8))
    yaw = math.atan2(cameras[0, 0, 2], cameras[0, 2, 2]) if len(cameras) else 0.0
    target = float(middle[0]), float(middle[1]), float(middle[2])
    return OrbitCamera(target=target, distance=min(max(1.5 * spread, 3.0), _FARTHEST), yaw=yaw)
