"""Any picture becomes a first frame: its middle, undistorted."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import WanderError
from engine.images import fit_image


def stripes(rows: int, columns: int) -> np.ndarray:
    """Red, green and blue thirds from left to right."""
    picture = np.zeros((rows, columns, 3), np.uint8)
    for third, part in enumerate(np.array_split(np.arange(columns), 3)):
        picture[:, part, third] = 255
    return picture


@pytest.mark.parametrize("shape", [(8, 8), (192, 320), (1000, 30), (33, 2000), (17, 4_000_000 // 17)])
def test_pictures_of_any_shape_fill_the_frame(shape):
    assert fit_image(np.full((*shape, 3), 77, np.uint8), 320, 192).shape == (192, 320, 3)
    assert (fit_image(np.full((*shape, 3), 77, np.uint8), 320, 192) == 77).all()


def test_a_picture_of_the_frames_size_stays_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (192, 320, 3), dtype=np.uint8)
    assert np.array_equal(fit_image(picture, 320, 192), picture)


def test_the_middle_of_a_wide_picture_is_kept():
    assert fit_image(stripes(100, 600), 64, 64)[:, 4:-4].mean((0, 1)) == pytest.approx([0, 255, 0], abs=1)


def test_nothing_is_cropped_where_the_shape_fits():
    small = fit_image(stripes(200, 300), 60, 40)
    assert [small[20, x].argmax() for x in (5, 30, 55)] == [0, 1, 2]


@pytest.mark.parametrize("picture", [np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8),
                                     np.zeros((7, 20, 3), np.uint8), np.zeros((20, 20, 3), np.float32)])  # fmt: skip
def test_other_arrays_are_refused_in_a_sentence(picture):
    with pytest.raises(WanderError, match="choose another picture"):
        fit_image(picture, 320, 192)
