"""Fusion always ends in a cloud: Open3D where it works, NumPy where it does not."""

import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import engine.reconstruction.fusion as fusion
from engine.errors import WanderError
from engine.reconstruction.fusion import FusionConfig, Open3DFailed, fuse, run_limited, scene_voxel
from tests.engine.reconstruction.scene import off_surface, walk, without

NUMPY = FusionConfig(open3d=False)


def test_the_voxel_follows_the_scene_and_can_be_given():
    views = walk()
    near, far = (scene_voxel(views, (views.depth > low) & (views.depth < high)) for low, high in ((0, 4), (6, 20)))
    assert near < far
    assert fuse(views, FusionConfig(open3d=False, voxel=0.25)).voxel == 0.25


def test_no_surface_is_a_sentence_that_says_why():
    views = walk()
    with pytest.raises(WanderError, match=r"5 views: 0 % .* walk a little further"):
        fuse(without(views, depth=np.full_like(views.depth, np.inf)), NUMPY)


def test_where_open3d_dies_the_points_are_fused_without_it_and_the_person_is_told(monkeypatch):
    def dies(*_):
        raise Open3DFailed("status -11: Segmentation fault")

    monkeypatch.setattr(fusion, "find_spec", lambda name: object())
    monkeypatch.setattr(fusion, "run_limited", dies)
    fused = fuse(walk(), FusionConfig(mesh=True))
    assert fused.method == "numpy" and len(fused.cloud) > 100 and fused.mesh is None
    assert "status -11" in fused.notice


def test_a_mesh_without_open3d_is_refused_in_words_and_points_come_instead(monkeypatch):
    monkeypatch.setattr(fusion, "find_spec", lambda name: None)
    fused = fuse(walk(), FusionConfig(mesh=True))
    assert "needs Open3D" in fused.notice and len(fused.cloud) > 100


def test_a_subprocess_that_takes_too_long_is_killed():
    started = time.monotonic()
    with pytest.raises(Open3DFailed, match="longer than 0 seconds"):
        run_limited([sys.executable, "-c", "import time; time.sleep(60)"], 0.3, lambda: None)
    assert time.monotonic() - started < 20


def test_cancelling_kills_the_subprocess():
    class Cancelled(Exception):
        pass

    def cancel():
        raise Cancelled

    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_limited([sys.executable, "-c", "import time; time.sleep(60)"], 60, cancel)
    assert time.monotonic() - started < 20


def test_a_failing_subprocess_is_reported_with_its_last_words_without_their_colours():
    words = "import sys; print('\\x1b[31mout of paint\\x1b[0;m'); sys.exit(3)"
    with pytest.raises(Open3DFailed, match=r"^status 3: out of paint$"):
        run_limited([sys.executable, "-c", words], 60, lambda: None)


def test_open3d_gives_points_on_the_surfaces_with_normals_towards_the_cameras_and_a_mesh():
    pytest.importorskip("open3d")
    views = walk()
    fused = fuse(views, FusionConfig(mesh=True, poisson_depth=6))
    assert fused.method == "open3d", fused.notice
    assert np.median(off_surface(fused.cloud.xyz)) < 0.03
    to_camera = views.centres.mean(0) - fused.cloud.xyz
    assert (np.einsum("nd,nd->n", to_camera, fused.cloud.normals) > 0).mean() > 0.95
    assert fused.mesh is not None and len(fused.mesh.triangles) > 100
    assert set(np.unique(fused.cloud.frame)) <= set(views.frame_ids)


def test_a_view_with_a_single_point_of_surface_costs_no_more_than_itself():
    """Open3D fails for a view in which it touches no block, and it looks at every fourth pixel."""
    pytest.importorskip("open3d")
    views = walk()
    static = views.static.copy()
    static[0] = False
    static[0, 33, 41] = True
    fused = fuse(replace(views, static=static), FusionConfig())
    assert fused.method == "open3d", fused.notice


def test_open3d_that_gets_too_little_memory_costs_nothing_but_itself():
    pytest.importorskip("open3d")
    fused = fuse(walk(), FusionConfig(memory_gb=0.2))
    assert fused.method == "numpy" and "Open3D gave no result" in fused.notice
