"""Plane-sweep stereo on a photographed pair with measured disparity: the motorcycle that scikit-image ships."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.geometry import Lens
from engine.reconstruction.stereo import StereoConfig, grey, local_contrast, sweep

FOCAL, BASELINE = 994.978, 0.193001
"""Pixels, metres (scikit-image's documentation of `stereo_motorcycle`)."""
SHIFT = 31
"""Pixels between the principal points, 31.09: so much is cut off, and is part of the disparity that the cameras see."""
LEAST, MOST = 5, 62
"""Pixels of disparity; the true one lies between 7 and 60."""


@pytest.fixture(scope="module")
def pair():
    """Left and right picture, grey, and the left one's disparity (inf where it was not measured)."""
    package = find_spec("skimage")
    if package is None:
        pytest.skip("scikit-image, whose pictures these are, is not installed")
    folder = Path(next(iter(package.submodule_search_locations or ()))) / "data"
    left, right = (grey(np.asarray(Image.open(folder / f"motorcycle_{side}.png"))) for side in ("left", "right"))
    with np.load(folder / "motorcycle_disp.npz") as file:
        disparity = file[file.files[0]]
    width = left.shape[1] - SHIFT
    return left[:, :width], right[:, SHIFT:], disparity[:, :width]


@pytest.mark.timeout(120)  # 6 s of processor time, which a busy machine may take long to give
def test_of_the_textured_pixels_at_most_a_fifth_are_off_by_more_than_two_and_the_sure_ones_are_better(pair):
    left, right, disparity = pair
    height, width = left.shape
    move = np.eye(4)
    move[0, 3] = -BASELINE
    planes = np.arange(SHIFT + LEAST, SHIFT + MOST) / (FOCAL * BASELINE)
    lens, config = Lens(fx=FOCAL / width, fy=FOCAL / height), StereoConfig()
    inverse, sure = sweep(left, [right], move[None], lens, planes, config)
    bad = np.abs(inverse * FOCAL * BASELINE - SHIFT - disparity) > 2
    measured = np.isfinite(disparity)
    textured = measured & (local_contrast(left) > config.texture)
    assert textured.mean() > 0.8
    assert bad[textured].mean() <= 0.20
    assert bad[measured & (sure > 0.5)].mean() < 0.12
