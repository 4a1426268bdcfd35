"""Scans open in other people's programs: plyfile, trimesh, pycolmap and Open3D read every file as it was written."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.reconstruction.formats.registry import FORMATS, save
from engine.reconstruction.fusion import FusionConfig, fuse
from tests.engine.reconstruction.scene import content_of, walk

plyfile = pytest.importorskip("plyfile")
trimesh = pytest.importorskip("trimesh")


@pytest.fixture(scope="module")
def content():
    return content_of(fuse(walk(), FusionConfig(open3d=False, voxel=0.3)))


@pytest.fixture(scope="module")
def with_mesh():
    pytest.importorskip("open3d")
    return content_of(fuse(walk(), FusionConfig(mesh=True, poisson_depth=6)))


def points_of_ply(path):
    rows = plyfile.PlyData.read(path)["vertex"]
    return np.stack([rows[axis] for axis in "xyz"], 1)


def points_of_glb(path):
    (shape,) = trimesh.load_scene(path).geometry.values()
    return np.asarray(shape.vertices)


def points_of_nerfstudio(folder):
    return points_of_ply(folder / json.loads((folder / "transforms.json").read_text())["ply_file_path"])


def points_of_colmap(folder):
    pycolmap = pytest.importorskip("pycolmap")
    return np.stack([point.xyz for point in pycolmap.Reconstruction(folder / "sparse" / "0").points3D.values()])


READERS = {"ply": points_of_ply, "gaussian": points_of_ply, "glb": points_of_glb, "nerfstudio": points_of_nerfstudio,
           "colmap": points_of_colmap}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_bounds_and_centroid_are_the_same_in_every_format(content, tmp_path, name):
    path, beside = save(content, tmp_path / f"a{FORMATS[name].suffix}", name)
    about = json.loads(beside.read_text())
    world = READERS[name](path) @ np.array(about["file_from_world"])[:3, :3]
    assert len(world) == len(content.cloud)
    assert np.allclose(world.min(0), about["world_bounds"]["low"], atol=1e-4)
    assert np.allclose(world.max(0), about["world_bounds"]["high"], atol=1e-4)
    assert np.allclose(world.mean(0), about["world_centroid"], atol=1e-3)


def test_colmap_knows_camera_poses_and_pictures(content, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    folder = save(content, tmp_path / "model", "colmap")[0]
    model = pycolmap.Reconstruction(folder / "sparse" / "0")
    assert model.num_reg_images() == len(content.views)
    for image in model.images.values():
        place = content.views.frame_ids.tolist().index(int(image.name.split("_")[1].split(".")[0]))
        assert np.allclose(image.projection_center(), content.views.centres[place], atol=1e-6)
        shown = np.asarray(Image.open(folder / "images" / image.name))
        assert shown.shape[:2] == (image.camera.height, image.camera.width)


@pytest.mark.parametrize("name", [name for name, each in FORMATS.items() if each.mesh])
def test_a_mesh_has_the_same_triangles_in_every_format_that_holds_one(with_mesh, tmp_path, name):
    (shape,) = trimesh.load_scene(save(with_mesh, tmp_path / f"a.{name}", name)[0]).geometry.values()
    assert np.array_equal(shape.faces, with_mesh.mesh.triangles)
    upright = np.diag(FORMATS[name].axes)[:3]
    assert np.allclose(shape.vertices, with_mesh.mesh.xyz * upright, atol=1e-4)


def test_open3d_reads_points_colours_and_normals_of_a_ply(content, tmp_path):
    o3d = pytest.importorskip("open3d")
    read = o3d.io.read_point_cloud(str(save(content, tmp_path / "a.ply", "ply")[0]))
    upright = FORMATS["ply"].axes[:3, :3]
    assert np.allclose(np.asarray(read.points) @ upright, content.cloud.xyz, atol=1e-5)
    assert np.allclose(np.asarray(read.colors) * 255, content.cloud.rgb, atol=0.51)
    assert np.allclose(np.asarray(read.normals) @ upright, content.cloud.normals, atol=1e-5)
