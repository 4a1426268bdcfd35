"""Every file is read back by a reader that shares nothing with its writer, and all of them show the same place."""

import json
import shutil
import struct
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from engine.errors import WanderError
from engine.reconstruction.cloud import Mesh
from engine.reconstruction.formats.glb import linear
from engine.reconstruction.formats.registry import FORMATS, format_of, save
from engine.reconstruction.formats.rotation import quaternions, turning_z_to
from engine.reconstruction.fusion import FusionConfig, fuse
from tests.engine.reconstruction.scene import HEIGHT, LENS, WIDTH, content_of, walk


@pytest.fixture(scope="module")
def content():
    return content_of(fuse(walk(), FusionConfig(open3d=False, voxel=0.3)))


@pytest.fixture(scope="module")
def with_mesh(content):
    cloud = content.cloud
    triangles = np.arange(30, dtype=np.int32).reshape(10, 3)
    mesh = Mesh(xyz=cloud.xyz[:30], rgb=cloud.rgb[:30], normals=cloud.normals[:30], triangles=triangles)
    return replace(content, mesh=mesh)


def ply_rows(path):
    """Vertex rows of a binary PLY, its header read by hand."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    kinds = {"float": "f4", "uchar": "u1", "int": "i4"}
    fields, count = [], 0
    for words in map(str.split, head.decode().splitlines()):
        if words[:2] == ["element", "vertex"]:
            count = int(words[2])
        elif words[0] == "property" and words[1] in kinds:
            fields.append((words[2], "<" + kinds[words[1]]))
    return np.frombuffer(body, np.dtype(fields), count), body


def glb_parts(path):
    data = path.read_bytes()
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", data)
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON")
    binary_size, binary_kind = struct.unpack_from("<I4s", data, 20 + size)
    assert binary_kind == b"BIN\0" and len(data) == 28 + size + binary_size
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def glb_array(path, accessor, kind, width):
    document, binary = glb_parts(path)
    about = document["accessors"][accessor]
    start = document["bufferViews"][about["bufferView"]]["byteOffset"]
    return np.frombuffer(binary, kind, about["count"] * width, start).reshape(-1, width)


def colmap_points(folder):
    data = (folder / "sparse" / "0" / "points3D.bin").read_bytes()
    place, found = 8, []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        found.append(struct.unpack_from("<Q3d3Bd", data, place)[1:4])
        place += 43
        place += 8 + 8 * struct.unpack_from("<Q", data, place)[0]
    assert place == len(data)
    return np.array(found)


def colmap_images(folder):
    data = (folder / "sparse" / "0" / "images.bin").read_bytes()
    place, found = 8, []
    for _ in range(struct.unpack_from("<Q", data)[0]):
        _, *numbers = struct.unpack_from("<i7di", data, place)
        end = data.index(b"\0", place + 64)
        found.append((data[place + 64 : end].decode(), np.array(numbers[:7])))
        place = end + 1 + 8 + 24 * struct.unpack_from("<Q", data, end + 1)[0]
    assert place == len(data)
    return found


def rotation(w, x, y, z):
    """The textbook's matrix of a unit quaternion."""
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])  # fmt: skip


def points_of(path, name):
    """The points of a scan in its own axes."""
    if name == "glb":
        return glb_array(path, 0, "<f4", 3)
    if name == "colmap":
        return colmap_points(path)
    rows, _ = ply_rows(path / "points.ply" if name == "nerfstudio" else path)
    return np.stack([rows["x"], rows["y"], rows["z"]], axis=1)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_the_same_place_once_the_sidecar_is_applied(content, tmp_path, name):
    path, beside = save(content, tmp_path / f"a{FORMATS[name].suffix}", name)
    about = json.loads(beside.read_text())
    axes = np.array(about["file_from_world"])[:3, :3]
    world = points_of(path, name) @ axes
    assert len(world) == about["points"] == len(content.cloud)
    assert np.allclose(world.min(0), content.cloud.xyz.min(0), atol=1e-4)
    assert np.allclose(world.max(0), content.cloud.xyz.max(0), atol=1e-4)
    assert np.allclose(world.mean(0), about["world_centroid"], atol=1e-3)
    assert np.isclose(np.linalg.det(axes), 1)


@pytest.mark.parametrize("name", FORMATS)
def test_the_estimated_size_is_about_the_real_one(content, tmp_path, name):
    path, _ = save(content, tmp_path / f"a{FORMATS[name].suffix}", name)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    real = sum(file.stat().st_size for file in files)
    assert real / 3 < FORMATS[name].size(content) < 3 * real


def test_a_ply_has_colours_normals_and_confidence_and_stands_upright(content, tmp_path):
    rows, _ = ply_rows(save(content, tmp_path / "a.ply", "ply")[0])
    cloud = content.cloud
    assert np.array_equal(np.stack([rows["red"], rows["green"], rows["blue"]], 1), cloud.rgb)
    assert np.array_equal(rows["confidence"], cloud.confidence) and np.array_equal(rows["frame"], cloud.frame)
    assert np.allclose(rows["y"], -cloud.xyz[:, 1]) and np.allclose(rows["nz"], -cloud.normals[:, 2])


def test_meshes_keep_their_triangles(with_mesh, tmp_path):
    path = save(with_mesh, tmp_path / "a.ply", "ply")[0]
    rows, body = ply_rows(path)
    faces = np.frombuffer(body, np.dtype([("count", "u1"), ("corners", "<i4", 3)]), 10, rows.nbytes)
    assert (faces["count"] == 3).all() and np.array_equal(faces["corners"], with_mesh.mesh.triangles)
    glb = save(with_mesh, tmp_path / "a.glb", "glb")[0]
    assert glb_parts(glb)[0]["meshes"][0]["primitives"][0]["mode"] == 4
    assert np.array_equal(glb_array(glb, 3, "<u4", 1).reshape(-1, 3), with_mesh.mesh.triangles)


def test_a_glb_states_its_bounds_and_has_linear_colours(content, tmp_path):
    path = save(content, tmp_path / "a.glb", "glb")[0]
    document, _ = glb_parts(path)
    points = glb_array(path, 0, "<f4", 3)
    assert np.allclose(document["accessors"][0]["min"], points.min(0))
    assert document["meshes"][0]["primitives"][0]["mode"] == 0
    assert linear(np.array([[0, 128, 255]], np.uint8)).tolist() == [[0, 14146, 65535, 65535]]


def test_colmap_cameras_project_points_where_the_pictures_show_them(content, tmp_path):
    folder = save(content, tmp_path / "model", "colmap")[0]
    count, _, model, width, height, fx, fy, cx, cy = struct.unpack(
        "<QiiQQ4d", (folder / "sparse" / "0" / "cameras.bin").read_bytes())  # fmt: skip
    assert (count, model, width, height, cx, cy) == (1, 1, WIDTH, HEIGHT, WIDTH / 2, HEIGHT / 2)
    images = colmap_images(folder)
    for (name, numbers), pose, picture in zip(images, content.views.world_from_camera, content.views.rgb, strict=True):
        assert np.allclose(rotation(*numbers[:4]), pose[:3, :3].T, atol=1e-9)
        assert np.allclose(-rotation(*numbers[:4]).T @ numbers[4:], pose[:3, 3], atol=1e-9)
        assert np.array_equal(np.asarray(Image.open(folder / "images" / name)), picture)
    assert np.isclose(fx, LENS.fx * WIDTH) and np.isclose(fy, LENS.fy * HEIGHT)


def test_nerfstudio_cameras_look_along_minus_z_and_stand_above_the_ground(content, tmp_path):
    folder = save(content, tmp_path / "data", "nerfstudio")[0]
    about = json.loads((folder / "transforms.json").read_text())
    for frame, pose in zip(about["frames"], content.views.world_from_camera, strict=True):
        matrix = np.array(frame["transform_matrix"])
        assert np.isclose(matrix[2, 3], 1.6)  # z up
        ahead = pose[:3, 2]
        assert np.allclose(-matrix[:3, 2], [ahead[0], ahead[2], -ahead[1]], atol=1e-6)
        assert np.allclose(matrix[:3, 1], [0, 0, 1], atol=1e-6)
        assert (folder / frame["file_path"]).is_file()
    assert (folder / about["ply_file_path"]).is_file()


def test_gaussians_are_flat_discs_on_the_surface(content, tmp_path):
    rows, _ = ply_rows(save(content, tmp_path / "a.ply", "gaussian")[0])
    scales = np.exp(np.stack([rows[f"scale_{k}"] for k in range(3)], 1))
    assert (scales[:, 2] < 0.3 * scales[:, 0]).all() and (scales > 0).all()
    turns = np.stack([rows[f"rot_{k}"] for k in range(4)], 1)
    thin = np.array([rotation(*turn)[:, 2] for turn in turns[:50]])
    assert np.allclose(thin, content.cloud.normals[:50], atol=1e-4)
    opacity = 1 / (1 + np.exp(-rows["opacity"]))
    assert np.allclose(opacity, 0.95, atol=1e-5)
    colour = 255 * (0.5 + 0.28209479177387814 * np.stack([rows[f"f_dc_{k}"] for k in range(3)], 1))
    assert np.allclose(colour, content.cloud.rgb, atol=0.01)


def test_quaternions_agree_with_the_textbook():
    turns = np.random.default_rng(0).normal(size=(20, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    matrices = np.array([rotation(*turn) for turn in turns])
    assert np.allclose(np.abs(np.sum(quaternions(matrices) * turns, axis=1)), 1)
    ends = np.array([[0, 0, 1.0], [0, 0, -1], [0.6, 0, 0.8], [0, 1, 0]])
    assert np.allclose([rotation(*turn)[:, 2] for turn in turning_z_to(ends)], ends)


def test_a_full_disk_is_a_sentence_and_leaves_nothing(content, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    for name in FORMATS:
        with pytest.raises(WanderError, match=r"needs \d+ MB in .*, 0 MB are free"):
            save(content, tmp_path / "new" / "scan", name)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_fills_up_while_writing_is_a_sentence_and_leaves_nothing(content, tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WanderError, match="no space left on device"):
        save(content, tmp_path / "scan", name)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_never_written_over(content, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(WanderError, match="not an empty folder"):
        save(content, tmp_path / "mine", "colmap")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


def test_the_sidecar_says_what_nobody_should_guess(content, tmp_path):
    about = json.loads(save(content, tmp_path / "a.ply", "ply")[1].read_text())
    assert about["handedness"] == "right" and about["world_axes"]["y"] == "down" and about["seed"] == 7
    assert about["prompt"] == "a wall 墙" and about["model"] == {"preset": "pocket", "weights_sha256": "ab"}
    for view, pose in zip(about["views"], content.views.world_from_camera, strict=True):
        assert np.allclose(np.array(view["c2w"]) @ view["w2c"], np.eye(4), atol=1e-8)
        assert np.allclose(view["c2w"], pose)
    assert [view["frame"] for view in about["views"]] == content.views.frame_ids.tolist()
    assert np.isclose(about["camera"]["K"][0][0], LENS.fx * WIDTH)


def test_scans_that_differ_in_their_ending_alone_keep_a_sidecar_each(content, tmp_path):
    beside = {name: save(content, tmp_path / f"a.{name}", name)[1] for name in ("ply", "glb")}
    assert all(json.loads(path.read_text())["format"] == name for name, path in beside.items())


@pytest.mark.parametrize(("out", "given", "name"), [("a.glb", None, "glb"), ("a.PLY", None, "ply"), ("a", None, "ply"),
                                                    ("a.ply", "gaussian", "gaussian")])  # fmt: skip
def test_the_ending_says_the_format_unless_it_is_given(tmp_path, out, given, name):
    assert format_of(tmp_path / out, given) == name
