"""Depth maps as points, by NumPy alone."""

import numpy as np

from engine.reconstruction.back_projection import average, back_project
from engine.reconstruction.cloud import merge_voxels
from engine.reconstruction.sieve import SieveConfig, sift
from tests.engine.reconstruction.scene import WALL_Z, off_surface, pose, walk, without

CONFIG = SieveConfig()
VOXEL = 0.15


def test_the_points_lie_on_the_surfaces_one_in_each_voxel():
    views, keep = sift(walk(), CONFIG)
    cloud = average(views, keep, VOXEL)
    assert np.median(off_surface(cloud.xyz)) < 0.01 and np.quantile(off_surface(cloud.xyz), 0.99) < VOXEL
    assert len(merge_voxels(cloud.xyz, VOXEL)[0]) > 0.97 * len(cloud)


def test_normals_point_out_of_the_surface_towards_the_cameras():
    cloud = average(*sift(walk(), CONFIG), VOXEL)
    ground = (np.abs(cloud.xyz[:, 1]) < 0.01) & (cloud.xyz[:, 2] < 6)
    wall = (np.abs(cloud.xyz[:, 2] - WALL_Z) < 0.01) & (cloud.xyz[:, 1] < -0.4)
    assert np.median(cloud.normals[ground] @ [0, -1, 0]) > 0.99
    assert np.median(cloud.normals[wall] @ [0, 0, -1]) > 0.99
    assert np.allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-4)


def test_many_views_give_the_same_cloud_as_one_and_the_first_of_them_is_remembered():
    camera = pose()
    one, many = walk(camera), walk(*[camera] * 40)
    single, repeated = (average(v, v.depth <= CONFIG.far, VOXEL) for v in (one, many))
    assert np.allclose(single.xyz, repeated.xyz, atol=1e-4)
    assert (repeated.frame == 0).all()


def test_a_sure_view_counts_more_than_an_unsure_one():
    views = walk(pose(), pose())
    wrong = without(views, depth=views.depth * np.array([1, 1.01], np.float32)[:, None, None],
                    confidence=views.confidence * np.array([1, 0.01], np.float32)[:, None, None])  # fmt: skip
    cloud = average(wrong, views.depth <= 12, 1.0)
    equal = average(without(wrong, confidence=views.confidence), views.depth <= 12, 1.0)
    assert off_surface(cloud.xyz).mean() < 0.5 * off_surface(equal.xyz).mean()


def test_naive_back_projection_keeps_what_fusion_removes():
    views = walk()
    ghost = views.depth.copy()
    ghost[2, 10:20, 25:40] = 2.0
    views = without(views, depth=ghost)
    naive, fused = back_project(views, views.depth <= 30, VOXEL), average(*sift(views, CONFIG), VOXEL)
    assert (off_surface(naive.xyz) > 0.5).sum() > 15 > 3 > (off_surface(fused.xyz) > 0.5).sum()


def test_nothing_to_fuse_gives_no_points():
    views = walk()
    nothing = np.zeros(views.depth.shape, bool)
    assert len(average(views, nothing, VOXEL)) == len(back_project(views, nothing, VOXEL)) == 0
