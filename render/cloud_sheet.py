"""A sheet of clouds as in the paper's figure 17: for each world a few of its frames and views of its point cloud."""

from collections.abc import Sequence
from typing import Protocol

import moderngl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from render.orbit import OrbitCamera, facing
from render.point_cloud import BACKGROUND, PointCloudView
from render.scan_files import ScannedCloud

CELL = 400, 240
"""Width and height of a view of a cloud, pixels."""
GAP, LINE = 4, 18
"""Pixels between cells, and for the name above a row."""
VIEWS = ((0.0, -0.15, 1.0), (0.7, -0.5, 1.5), (0.0, -1.3, 2.0))
"""Of each cloud: radians around it and up, and the distance as a share of the first look's."""


class Points(Protocol):
    """A cloud; `engine.reconstruction.cloud.PointCloud` is one."""

    @property
    def xyz(self) -> NDArray[np.float32]:
        """`[N, 3]`, world axes (OpenCV)."""
        ...

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """`[N, 3]`."""
        ...

    @property
    def confidence(self) -> NDArray[np.float32]:
        """`[N]`."""
        ...


class Exhibit(Protocol):
    """What a row shows; `engine.evaluation.scans.Exhibit` is one."""

    @property
    def name(self) -> str:
        """Of the walk."""
        ...

    @property
    def cloud(self) -> Points:
        """Its cloud."""
        ...

    @property
    def cameras(self) -> NDArray[np.float64]:
        """World_from_camera `[V, 4, 4]`."""
        ...

    @property
    def frames(self) -> NDArray[np.uint8]:
        """`[K, H, W, 3]`."""
        ...


def draw_sheet(exhibits: Sequence[Exhibit]) -> NDArray[np.uint8]:
    """The sheet `[H, W, 3]`, a row for each world: its frames one above the other, then its cloud from `VIEWS`.

    Raises:
        ValueError: there are no exhibits.
    """
    if not exhibits:
        raise ValueError("a sheet of 0 clouds was asked for; ask for at least 1")
    ctx = moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    try:
        rows = [_row(ctx, exhibit) for exhibit in exhibits]
    finally:
        ctx.release()
    return np.concatenate(rows)


def cameras_of(exhibit: Exhibit) -> list[OrbitCamera]:
    """From where a cloud is drawn."""
    first = facing(exhibit.cloud.xyz, exhibit.cameras)
    return [
        OrbitCamera(target=first.target, distance=share * first.distance, yaw=first.yaw + yaw, pitch=pitch)
        for yaw, pitch, share in VIEWS
    ]


def _row(ctx: moderngl.Context, exhibit: Exhibit) -> NDArray[np.uint8]:
    """Name, frames and views of one world."""
    cells = [_frames(exhibit.frames), *_views(ctx, exhibit)]
    width = sum(cell.shape[1] for cell in cells) + GAP * (len(cells) - 1)
    row = Image.new("RGB", (width, LINE + CELL[1] + GAP), _background())
    left = 0
    for cell in cells:
        row.paste(Image.fromarray(cell), (left, LINE))
        left += cell.shape[1] + GAP
    ImageDraw.Draw(row).text((4, 3), f"{exhibit.name}: {len(exhibit.cloud.xyz):,} points", fill=(210, 214, 220))
    return np.asarray(row)


def _frames(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames `[K, H, W, 3]` one above the other, as high as a cell."""
    height = (CELL[1] - GAP * (len(frames) - 1)) // len(frames)
    width = round(height * frames.shape[2] / frames.shape[1])
    column = Image.new("RGB", (width, CELL[1]), _background())
    for place, frame in enumerate(frames):
        shown = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
        column.paste(shown, (0, place * (height + GAP)))
    return np.asarray(column)


def _views(ctx: moderngl.Context, exhibit: Exhibit) -> list[NDArray[np.uint8]]:
    """Pictures of the cloud; empty ones of a cloud without points."""
    cloud = exhibit.cloud
    if not len(cloud.xyz):
        return [np.full((CELL[1], CELL[0], 3), _background(), np.uint8)] * len(VIEWS)
    drawn = PointCloudView(ctx, ScannedCloud(
        xyz=cloud.xyz, rgb=cloud.rgb, confidence=cloud.confidence, time=np.zeros(len(cloud.xyz), np.float32),
        cameras=exhibit.cameras, name=exhibit.name,
    ))  # fmt: skip
    target = ctx.framebuffer([ctx.renderbuffer(CELL, 3)], ctx.depth_renderbuffer(CELL))
    pictures = []
    for place, camera in enumerate(cameras_of(exhibit)):
        drawn.draw(target, camera.world_from_camera, CELL, walk=place > 0)
        shown = np.frombuffer(target.read(components=3, alignment=1), np.uint8)
        pictures.append(shown.reshape(CELL[1], CELL[0], 3)[::-1])
    drawn.close()
    return pictures


def _background() -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in BACKGROUND)
    return red, green, blue
