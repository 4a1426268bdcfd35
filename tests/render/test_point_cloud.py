"""A scan read back and looked at."""

import json

import moderngl
import numpy as np
import pytest

from render.orbit import OrbitCamera, facing
from render.point_cloud import BACKGROUND, Colouring, PointCloudView, walk_lines
from render.scan_files import ScannedCloud, read_scan

FIELDS = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"),
          ("confidence", "<f4"), ("frame", "<i4")]  # fmt: skip
KINDS = {"<f4": "float", "|u1": "uchar", "<i4": "int"}


def write_scan(path, rows):
    table = np.array(rows, np.dtype(FIELDS))
    properties = "".join(f"property {KINDS[table.dtype[name].str]} {name}\n" for name, _ in FIELDS)
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    path.write_bytes(head.encode() + table.tobytes())
    views = [{"frame": frame, "c2w": np.eye(4).tolist()} for frame in (4, 8)]
    about = {"file_from_world": np.diag([1, -1, -1, 1]).tolist(), "views": views}
    path.with_name(f"{path.name}.scan.json").write_text(json.dumps(about))


def test_a_scan_is_read_in_world_axes_with_its_cameras(tmp_path):
    write_scan(tmp_path / "a.ply", [(1, 2, -3, 255, 0, 0, 0.5, 4), (0, 0, 0, 0, 9, 0, 1.0, 8)])
    cloud = read_scan(tmp_path / "a.ply")
    assert cloud.xyz.tolist() == [[1, -2, 3], [0, 0, 0]] and cloud.rgb[1].tolist() == [0, 9, 0]
    assert cloud.time.tolist() == [0, 1] and cloud.confidence.tolist() == [0.5, 1.0] and len(cloud.cameras) == 2


@pytest.mark.parametrize("damage", ["missing", "torn", "text", "no sidecar"])
def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path, damage):
    path = tmp_path / "a.ply"
    write_scan(path, [(1, 2, -3, 255, 0, 0, 0.5, 4)])
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "text":
        path.write_text("hello")
    else:
        (tmp_path / "a.ply.scan.json").unlink()
    with pytest.raises(ValueError, match=r"a\.ply cannot be shown .* choose a scan made by Wander"):
        read_scan(path)


def test_dragging_turns_the_scene_with_the_hand_and_never_over_the_top():
    camera = OrbitCamera(target=(0, 0, 0), distance=5)
    assert np.allclose(camera.world_from_camera[:3, 3] + 5 * camera.world_from_camera[:3, 2], 0)
    assert camera.orbited(0.2, 0).yaw < camera.yaw
    assert abs(camera.orbited(0, 99).pitch) < np.pi / 2
    assert camera.zoomed(3).distance < 5 < camera.zoomed(-3).distance
    assert camera.flown(1, 0, 0).target == pytest.approx((0, 0, 1)) and camera.flown(0, 0, 1).target[1] == -1
    assert camera.panned(0.1, 0).target[0] < 0


def test_the_first_look_has_most_of_the_points_in_view():
    xyz = np.random.default_rng(0).normal((3, -1, 8), 2, (500, 3))
    camera = facing(xyz, np.eye(4)[None])
    seen = (xyz - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, :3]
    assert (np.abs(seen[:, 0] / seen[:, 2]) < 0.7).mean() > 0.8 and (seen[:, 2] > 0).mean() > 0.9


def test_a_frustum_is_drawn_for_every_camera_and_a_line_between_them():
    cameras = np.stack([np.eye(4)] * 3)
    assert len(walk_lines(cameras)) == 2 * 2 + 3 * 16 and len(walk_lines(cameras[:0])) == 0


def test_points_are_drawn_where_they_are_nearest_in_front_and_coloured_as_asked():
    xyz = np.array([[0, 0, 4], [0, 0, 8], [1.5, 0, 4]], np.float32)
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    cloud = ScannedCloud(xyz=xyz, rgb=rgb, confidence=np.array([0, 1, 1], np.float32),
                         time=np.zeros(3, np.float32), cameras=np.zeros((0, 4, 4)), name="a")  # fmt: skip
    ctx = moderngl.create_context(standalone=True, backend="egl", require=330)
    target = ctx.framebuffer([ctx.renderbuffer((64, 40), 3)], ctx.depth_renderbuffer((64, 40)))
    view = PointCloudView(ctx, cloud)

    def drawn(colouring):
        view.draw(target, np.eye(4), (64, 40), colouring=colouring)
        return np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(40, 64, 3)[::-1]

    picture = drawn(Colouring.PICTURE)
    assert picture[20, 32].tolist() == [255, 0, 0] and picture[20, 49].tolist() == [0, 0, 255]
    assert np.allclose(picture[5, 5], np.array(BACKGROUND) * 255, atol=1)
    sure = drawn(Colouring.CONFIDENCE)
    assert sure[20, 49].sum() > 2 * sure[20, 32].sum()
    view.close()
    ctx.release()
