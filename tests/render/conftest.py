"""A renderer shared by the tests of the worlds, and cameras to look with."""

import math

import numpy as np
import pytest

from render.renderer import Renderer
from render.scene import Scene


@pytest.fixture(scope="session")
def renderer() -> Renderer:
    """Small pictures, drawn headless."""
    return Renderer(160, 96)


@pytest.fixture(scope="session")
def stand():
    """A function (x, z, yaw, pitch) -> camera [4, 4] at eye height."""

    def at(x: float, z: float, yaw: float, pitch: float = 0.0) -> np.ndarray:
        c, s, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
        pose = np.eye(4)
        pose[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        pose[:3, 3] = x, -1.6, z
        return pose

    return at


@pytest.fixture(scope="session")
def start(stand):
    """A function scene -> a good camera in it."""

    def of(scene: Scene) -> np.ndarray:
        return stand(*scene.good_start(np.random.default_rng(0)))

    return of
