"""The program of the Open3D subprocess: confidence-weighted TSDF fusion, points, and a mesh if one is wanted.

`python -m engine.reconstruction.open3d_fusion FOLDER` reads `FOLDER/job.safetensors` and writes
`FOLDER/result.safetensors`. It is a process of its own because Open3D is native code that can crash, and so that the
system can hold it to the memory that the job names. Only this file imports Open3D.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from engine.geometry import Lens, Matrix, rigid_inverse
from engine.reconstruction.views import look_at

Arrays = dict[str, NDArray[Any]]
JOB, RESULT = "job.safetensors", "result.safetensors"
_PR_SET_PDEATHSIG = 1
_TOUCHED = 4
"""Open3D looks for blocks at one of so many pixels, and fails where none of a view's has depth."""
_SUPPORT = 4.0
"""Voxels from a vertex of the mesh to the nearest point, at most."""
_BLOCK = 8
"""Voxels along the side of a block."""
_CAPACITY = 4_000
"""Blocks that there is room for at first; the table grows by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What the subprocess is to do; its arrays are `rgb` `[V, H, W, 3]`, `depth` `[V, H, W]` (0 where nothing is to be
    fused), `weight` `[V, H, W]` and `world_from_camera` `[V, 4, 4]`."""

    fx: float
    fy: float
    voxel: float
    truncation: float
    """In voxels."""
    weight_threshold: float
    """Summed weight from which a voxel counts as observed."""
    far: float
    mesh: bool
    poisson_depth: int
    density_trim: float
    """Share of the mesh's vertices, those with the fewest points around, that is cut away."""
    memory_gb: float


def main(folder: Path) -> None:
    """Do the job in `folder`."""
    with safe_open(folder / JOB, framework="numpy") as file:
        job = Job(**json.loads(file.metadata()["job"]))
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sys.platform == "linux":  # whoever wants the result has gone: end with them
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    limit = int(job.memory_gb * 1e9)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    import open3d as o3d

    grid = integrate(o3d, job, arrays)
    cloud = points(grid, job)
    result = _arrays(cloud.point, "points")
    if job.mesh and len(result["points_xyz"]):
        result |= poisson(o3d, cloud, job)
    save_file(result, folder / RESULT)


def write_job(folder: Path, job: Job, arrays: Arrays) -> None:
    """Put a job where `main` looks for it."""
    save_file(arrays, folder / JOB, metadata={"job": json.dumps(asdict(job))})


def integrate(o3d: Any, job: Job, arrays: Arrays) -> Any:
    """The voxel grid of all views: signed distance, weight and colour, averaged by weight."""
    core = o3d.core
    attributes = ("tsdf", "weight", "color"), (core.float32,) * 3, ((1), (1), (3))
    grid = o3d.t.geometry.VoxelBlockGrid(*attributes, job.voxel, _BLOCK, _CAPACITY)
    height, width = arrays["depth"].shape[1:]
    camera = [[job.fx * width, 0, width / 2 - 0.5], [0, job.fy * height, height / 2 - 0.5], [0, 0, 1]]
    intrinsic = core.Tensor(np.array(camera))
    for depth, weight, rgb, pose in zip(*(arrays[name] for name in ("depth", "weight", "rgb", "world_from_camera")),
                                        strict=True):  # fmt: skip
        if not depth[::_TOUCHED, ::_TOUCHED].any():
            continue
        image = o3d.t.geometry.Image(core.Tensor(np.ascontiguousarray(depth[..., None])))
        extrinsic = core.Tensor(rigid_inverse(pose))
        blocks = grid.compute_unique_block_coordinates(image, intrinsic, extrinsic, 1.0, job.far, job.truncation)
        table = grid.hashmap()
        table.activate(blocks)
        xyz, index = grid.voxel_coordinates_and_flattened_indices(table.find(blocks)[0])
        _add(grid, xyz.numpy(), index.numpy(), depth, weight, rgb, pose, job)
    return grid


def _add(grid: Any, xyz: NDArray[np.float32], index: NDArray[np.int64], depth: NDArray[np.float32],
         weight: NDArray[np.float32], rgb: NDArray[np.uint8], pose: Matrix, job: Job) -> None:  # fmt: skip
    """One view into voxels at `xyz` `[M, 3]` whose rows in the grid are `index` `[M]`."""
    seen = look_at(xyz, Lens(fx=job.fx, fy=job.fy), pose, (depth.shape[1], depth.shape[0]))
    there = depth.ravel()[seen.pixel]
    width = job.truncation * job.voxel
    near = seen.inside & (there > 0) & (there - seen.depth > -width)
    rows, pixel = index[near], seen.pixel[near]
    distance = np.minimum((there - seen.depth)[near] / width, 1.0).astype(np.float32)
    tsdf, total, colour = (_rows(grid, name, size) for name, size in (("tsdf", 1), ("weight", 1), ("color", 3)))
    old, new = total[rows, 0], weight.ravel()[pixel]
    both = old + new
    tsdf[rows, 0] = (tsdf[rows, 0] * old + distance * new) / both
    colour[rows] = (colour[rows] * old[:, None] + rgb.reshape(-1, 3)[pixel] * new[:, None]) / both[:, None]
    total[rows, 0] = both


def _rows(grid: Any, name: str, size: int) -> NDArray[np.float32]:
    """An attribute of the grid as `[voxels, size]`; writing to it writes to the grid."""
    return grid.attribute(name).reshape((-1, size)).numpy()


def points(grid: Any, job: Job) -> Any:
    """The zero crossing as points with normals, thinned to one a voxel, without loners."""
    cloud = grid.extract_point_cloud(job.weight_threshold)
    if not cloud.point.positions.shape[0]:
        return cloud
    cloud = cloud.voxel_down_sample(job.voxel)
    return cloud.remove_statistical_outliers(16, 2.5)[0]


def poisson(o3d: Any, cloud: Any, job: Job) -> Arrays:
    """A surface through the points (Kazhdan 2013), cut away where it closes over what no point supports."""
    supported = cloud.to_legacy()
    surface, density = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        supported, depth=job.poisson_depth, n_threads=1
    )
    density = np.asarray(density)
    away = np.asarray(o3d.geometry.PointCloud(surface.vertices).compute_point_cloud_distance(supported))
    thin = density < np.quantile(density, job.density_trim)
    surface.remove_vertices_by_mask(thin | (away > _SUPPORT * job.voxel))
    surface.remove_unreferenced_vertices()
    surface.compute_vertex_normals()
    mesh = o3d.t.geometry.TriangleMesh.from_legacy(surface)
    return _arrays(mesh.vertex, "mesh") | {"triangles": mesh.triangle.indices.numpy().astype(np.int32)}


def _arrays(attributes: Any, prefix: str) -> Arrays:
    """Positions, normals and colours under the names of `PointCloud`."""
    if not attributes.positions.shape[0]:
        return {f"{prefix}_xyz": np.zeros((0, 3), np.float32)}
    rgb = np.rint(255 * np.clip(attributes.colors.numpy(), 0, 1)).astype(np.uint8)
    floats = {f"{prefix}_xyz": attributes.positions, f"{prefix}_normals": attributes.normals}
    return {name: values.numpy().astype(np.float32) for name, values in floats.items()} | {f"{prefix}_rgb": rgb}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
