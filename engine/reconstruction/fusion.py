"""From views with depth to one cloud (and mesh): Open3D in a subprocess where it is installed, NumPy where it fails.

The sieve comes first and is the same for both, so they differ only in how surviving pixels are averaged.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from engine.errors import WanderError
from engine.reconstruction.back_projection import average
from engine.reconstruction.cloud import Mesh, PointCloud
from engine.reconstruction.open3d_fusion import RESULT, Job, write_job
from engine.reconstruction.sieve import Advance, SieveConfig, sift
from engine.reconstruction.views import DepthViews, look_at

ROOT = Path(__file__).resolve().parent.parent.parent
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """How views become a cloud."""

    sieve: SieveConfig = field(default_factory=SieveConfig)
    voxel: float | None = None
    """Units between points; None: what a pixel covers at the median depth, between 2 and 30 hundredths."""
    open3d: bool = True
    """Use Open3D if it is installed."""
    mesh: bool = False
    """Also make a mesh (Open3D only)."""
    truncation: float = 4.0
    """Voxels on both sides of a surface that a view tells about."""
    weight_threshold: float = 0.9
    """Summed confidence from which a voxel counts."""
    poisson_depth: int = 9
    density_trim: float = 0.06
    memory_gb: float = 8.0
    """Address space of the subprocess."""
    seconds: float = 600.0
    """Its time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fused:
    """What came of it."""

    cloud: PointCloud
    mesh: Mesh | None
    voxel: float
    method: str
    """`open3d` or `numpy`."""
    notice: str = ""
    """A sentence for the person where something was not as asked; else empty."""


class Open3DFailed(Exception):
    """The subprocess ended without a result; its text says how."""


def fuse(views: DepthViews, config: FusionConfig, advance: Advance = lambda fraction: None) -> Fused:
    """One cloud of all views. Raises `WanderError` if no surface point is left."""
    views, keep = sift(views, config.sieve, lambda fraction: advance(0.5 * fraction))
    if not keep.any():
        raise WanderError(no_points(views, config.sieve))
    voxel = config.voxel or scene_voxel(views, keep)
    notice = ""
    if config.open3d and find_spec("open3d") is not None:
        try:
            cloud, mesh = _with_open3d(views, keep, voxel, config, lambda: advance(0.5))
            return Fused(cloud=cloud, mesh=mesh, voxel=voxel, method="open3d")
        except Open3DFailed as error:
            notice = f"Open3D gave no result ({error}); the points were fused without it"
    elif config.mesh:
        notice = "A mesh needs Open3D, which is not installed; the points were written instead"
    cloud = average(views, keep, voxel, lambda fraction: advance(0.5 + 0.5 * fraction))
    return Fused(cloud=cloud, mesh=None, voxel=voxel, method="numpy", notice=notice)


def scene_voxel(views: DepthViews, keep: NDArray[np.bool_]) -> float:
    """Side of a voxel: what a pixel covers at the median depth of the pixels to fuse."""
    return float(np.clip(np.median(views.depth[keep]) * views.radians_per_pixel, 0.02, 0.3))


def no_points(views: DepthViews, config: SieveConfig) -> str:
    """Why nothing could be fused, as a sentence."""
    inside = (views.depth >= config.near) & (views.depth <= config.far)
    return (
        f"no surface was found in {len(views)} views: {100 * inside.mean():.0f} % of their pixels lie between "
        f"{config.near:g} and {config.far:g} units and none is sure, static and confirmed by other views; "
        "walk a little further and scan again"
    )


def _with_open3d(
    views: DepthViews, keep: NDArray[np.bool_], voxel: float, config: FusionConfig, alive: Callable[[], None]
) -> tuple[PointCloud, Mesh | None]:
    """Fuse in the subprocess; what it gives is checked against the views. Raises `Open3DFailed`."""
    job = Job(
        fx=views.lens.fx, fy=views.lens.fy, voxel=voxel, truncation=config.truncation,
        weight_threshold=config.weight_threshold, far=config.sieve.far, mesh=config.mesh,
        poisson_depth=config.poisson_depth, density_trim=config.density_trim, memory_gb=config.memory_gb,
    )  # fmt: skip
    arrays = {
        "rgb": views.rgb,
        "depth": np.where(keep, views.depth, 0).astype(np.float32),
        "weight": np.maximum(views.confidence, 1e-3).astype(np.float32),
        "world_from_camera": views.world_from_camera,
    }
    with tempfile.TemporaryDirectory(prefix="wander-scan-") as name:
        write_job(Path(name), job, arrays)
        run_limited([sys.executable, "-m", "engine.reconstruction.open3d_fusion", name], config.seconds, alive)
        try:
            found = load_file(Path(name) / RESULT)
        except OSError as error:
            raise Open3DFailed("it left no result") from error
    if not len(found["points_xyz"]):
        raise Open3DFailed("it found 0 points")
    cloud = recognised(views, keep, found["points_xyz"], found["points_normals"], found["points_rgb"], voxel, config)
    if not len(cloud):
        raise Open3DFailed("none of its points lies on a surface that the views show")
    if "triangles" not in found:
        return cloud, None
    surface = found["mesh_xyz"], found["mesh_rgb"], found["mesh_normals"]
    return cloud, Mesh(xyz=surface[0], rgb=surface[1], normals=surface[2], triangles=found["triangles"])


def run_limited(command: list[str], seconds: float, alive: Callable[[], None]) -> None:
    """Run a command to its end, calling `alive` while it runs; it is killed when that raises.

    Raises `Open3DFailed` with the last line it wrote if it fails or takes longer than `seconds`.
    """
    last = time.monotonic() + seconds
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        try:
            while process.poll() is None:
                if time.monotonic() > last:
                    raise Open3DFailed(f"it took longer than {seconds:.0f} seconds")
                alive()
                time.sleep(_POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        words.seek(0)
        plain = re.sub(r"\x1b?\[[0-9;]*m", "", words.read().decode(errors="replace"))  # without Open3D's colours
        lines = plain.strip().splitlines()
    if process.returncode:
        raise Open3DFailed(f"status {process.returncode}: {lines[-1][:200] if lines else 'no word'}")


def recognised(
    views: DepthViews, keep: NDArray[np.bool_], xyz: NDArray[np.float32], normals: NDArray[np.float32],
    rgb: NDArray[np.uint8], voxel: float, config: FusionConfig,
) -> PointCloud:  # fmt: skip
    """The points that some view has on a kept pixel, with the best confidence, the first frame, and normals towards it.

    A signed distance field also crosses zero behind its truncation; such points are in no view.
    """
    confidence, frame = np.zeros(len(xyz), np.float32), np.full(len(xyz), -1, np.int32)
    facing = normals.copy()
    for index in range(len(views)):
        seen = look_at(xyz, views.lens, views.world_from_camera[index], views.size)
        there = views.depth[index].ravel()[seen.pixel]
        near = np.abs(there - seen.depth) <= np.maximum(config.sieve.agreement * seen.depth, 2 * voxel)
        hit = seen.inside & keep[index].ravel()[seen.pixel] & near
        first = hit & (frame < 0)
        frame[first] = views.frame_ids[index]
        away = np.einsum("nd,nd->n", normals, views.centres[index].astype(np.float32) - xyz) < 0
        facing[first & away] *= -1
        confidence[hit] = np.maximum(confidence[hit], views.confidence[index].ravel()[seen.pixel[hit]])
    found = frame >= 0
    length = np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-9)
    cloud = PointCloud(xyz=xyz, rgb=rgb, normals=facing / length, confidence=confidence, frame=frame)
    return cloud.select(found)
