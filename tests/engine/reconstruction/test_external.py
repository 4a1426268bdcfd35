"""A reconstruction model that somebody installed: a real package on the path, taken at its word only where it fits."""

import sys

import numpy as np
import pytest

from engine.errors import WanderError
from engine.reconstruction.depth_source import SOURCES, Pictures
from engine.reconstruction.external import installed
from engine.reconstruction.walks import WALKS
from tests.engine.reconstruction.scene import HEIGHT, LENS, WIDTH, walk

PROGRAM = """
import numpy as np
def estimate(rgb, world_from_camera, K):
    assert rgb.dtype == np.uint8 and world_from_camera.shape == (len(rgb), 4, 4)
    depth = np.full(rgb.shape[:3], K[0, 0])
    depth[:, :8] = np.nan
    rgb[:] = 0
    return depth, np.full(rgb.shape[:3], 7.0)
def torn(rgb, world_from_camera, K):
    return np.ones((1, 2, 2)), np.ones((1, 2, 2))
def dies(rgb, world_from_camera, K):
    raise MemoryError("no room for 9 GB")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a package whose entry point is the named function."""

    def package(function):
        (tmp_path / "model_of_others.py").write_text(PROGRAM)
        facts = tmp_path / "model_of_others-1.0.dist-info"
        facts.mkdir(exist_ok=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: model-of-others\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[wander.depth]\nothers = model_of_others:{function}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield package
    sys.modules.pop("model_of_others", None)


@pytest.fixture
def pictures():
    views = walk()
    return Pictures(
        latents=np.zeros((len(views), 4, 2, 4), np.float16),
        rgb=views.rgb,
        poses=views.world_from_camera,
        lens=LENS,
        ids=views.frame_ids,
    )


def test_its_depth_is_taken_with_sky_where_it_gives_none_and_the_pictures_stay_as_they_are(install, pictures):
    install("estimate")
    before = pictures.rgb.copy()
    views = SOURCES["external"](pictures, lambda fraction: None)
    assert np.isinf(views.depth[:, :8]).all() and not views.static[:, :8].any()
    assert np.allclose(views.depth[:, 8:], LENS.fx * WIDTH) and views.static[:, 8:].all()
    assert views.confidence.max() == 1.0 and views.confidence[:, :8].max() == 0.0
    assert np.array_equal(pictures.rgb, before) and views.depth.shape == (len(before), HEIGHT, WIDTH)


def test_a_released_walk_takes_it_where_it_is_installed_and_stereo_where_not(install):
    assert installed() is None and WALKS["worldplay-8b"].depth == "stereo" and WALKS["pocket"].depth == "network"
    install("estimate")
    assert WALKS["worldplay-8b"].depth == "external" and WALKS["pocket"].depth == "network"


@pytest.mark.parametrize(("function", "words"), [("torn", r"gave depth \(1, 2, 2\)"), ("dies", "MemoryError: no room"),
                                                 ("missing", "AttributeError")])  # fmt: skip
def test_what_it_does_wrong_is_a_sentence_that_names_it_and_the_way_round(install, pictures, function, words):
    install(function)
    with pytest.raises(WanderError, match=rf"'others' gave .*{words}|'others' {words}") as caught:
        SOURCES["external"](pictures, lambda fraction: None)
    assert "--depth stereo" in str(caught.value)


def test_without_one_the_sentence_says_what_to_install(pictures):
    with pytest.raises(WanderError, match=r"0 reconstruction models are installed .* --depth stereo"):
        SOURCES["external"](pictures, lambda fraction: None)
