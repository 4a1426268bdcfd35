"""A small place with exact depth, without a renderer: flat ground, a wall 8 units ahead, sky above."""

from dataclasses import replace

import numpy as np

from engine.evaluation.visibility import rays
from engine.geometry import Lens, lens_from_field
from engine.reconstruction.formats.content import Content, Origin
from engine.reconstruction.fusion import Fused
from engine.reconstruction.views import DepthViews

WIDTH, HEIGHT = 64, 40
LENS: Lens = lens_from_field(70.0, WIDTH / HEIGHT)
WALL_Z, WALL_HALF, WALL_TOP = 8.0, 3.0, 3.0
ORIGIN = Origin(session="walk.wander", preset="pocket", seed=7, prompt="a wall 墙", checksum="ab", depth_source="true",
                fusion="numpy", units="1 unit = 1 metre")  # fmt: skip


def pose(x=0.0, z=0.0, yaw=0.0):
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, 0, s, x], [0, 1, 0, -1.6], [-s, 0, c, z], [0, 0, 0, 1.0]])


def picture(camera, width=WIDTH, height=HEIGHT):
    """Depth `[H, W]` and colours `[H, W, 3]` of what a camera sees: a checked ground and a striped wall."""
    way = rays(LENS, width, height) @ camera[:3, :3].T
    eye = camera[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = np.where(way[..., 1] > 1e-9, -eye[1] / way[..., 1], np.inf)
        wall = (WALL_Z - eye[2]) / way[..., 2]
        at = eye + wall[..., None] * way
        on_wall = (wall > 0) & (np.abs(at[..., 0]) < WALL_HALF) & (at[..., 1] < 0) & (at[..., 1] > -WALL_TOP)
        depth = np.minimum(ground, np.where(on_wall, wall, np.inf))
        point = np.where(np.isfinite(depth)[..., None], eye + np.nan_to_num(depth, posinf=0)[..., None] * way, 0)
    checks = (np.floor(point[..., 0]) + np.floor(point[..., 2])) % 2
    stripes = np.floor(4 * point[..., 0]) % 2
    red = np.where(depth == wall, 60 + 120 * stripes, 90 + 60 * checks)
    rgb = np.stack([red, np.full_like(red, 130), np.where(np.isfinite(depth), 60, 230)], axis=-1)
    return depth.astype(np.float32), rgb.astype(np.uint8)


def walk(*cameras):
    """Views from these cameras, sure of everything."""
    cameras = cameras or tuple(pose(x, z) for x, z in ((-0.6, 0), (-0.3, 0.2), (0, 0.4), (0.3, 0.6), (0.6, 0.8)))
    depth, rgb = (np.stack(maps) for maps in zip(*map(picture, cameras), strict=True))
    return DepthViews(
        rgb=rgb, depth=depth, confidence=np.ones_like(depth), static=np.ones(depth.shape, bool),
        world_from_camera=np.stack(cameras), lens=LENS, frame_ids=np.arange(len(cameras)) * 4,
    )  # fmt: skip


def content_of(fused: Fused) -> Content:
    """What is written of a scan of `walk()`."""
    return Content(cloud=fused.cloud, mesh=fused.mesh, views=walk(), voxel=fused.voxel, origin=ORIGIN)


def off_surface(xyz):
    """How far points are from the place's surfaces."""
    beside = np.maximum(np.abs(xyz[:, 0]) - WALL_HALF, 0)
    above = np.maximum(-xyz[:, 1] - WALL_TOP, 0)
    return np.minimum(np.abs(xyz[:, 1]), np.linalg.norm([beside, above, xyz[:, 2] - WALL_Z], axis=0))


def without(views, **changes):
    return replace(views, **changes)
