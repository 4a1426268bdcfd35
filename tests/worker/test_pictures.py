"""A user's own picture of any kind comes out upright, opaque and in eight bits; what is none is one sentence."""

import io

import numpy as np
import pytest
from PIL import Image

from worker.errors import WanderError
from worker.pictures import decode_clip, decode_image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def marked() -> Image.Image:
    """White, 20 wide and 10 high, its top left corner black."""
    pixels = np.full((10, 20, 3), 255, np.uint8)
    pixels[:4, :4] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("orientation", "shape", "corner"),
    [(1, (10, 20), (0, 0)), (3, (10, 20), (-1, -1)), (6, (20, 10), (0, -1)), (8, (20, 10), (-1, 0))],
)
def test_a_photograph_is_turned_as_its_camera_was_held(orientation, shape, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode_image(saved(marked(), "JPEG", exif=exif, quality=100))
    assert picture.shape[:2] == shape
    assert picture[corner].max() < 60
    assert sum(picture[y, x].max() < 60 for y in (0, -1) for x in (0, -1)) == 1


def test_what_is_transparent_is_white():
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:4] = (10, 20, 30, 255)
    shown = decode_image(saved(Image.fromarray(picture)))
    assert shown[0, 0].tolist() == [10, 20, 30]
    assert shown[7, 0].tolist() == [255, 255, 255]
    palette = Image.fromarray(picture).convert("P")
    assert decode_image(saved(palette, transparency=palette.getpixel((0, 7))))[7, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_picture_of_any_mode_is_read(mode):
    grey = Image.fromarray(np.full((8, 12), 180, np.uint8))
    image = Image.fromarray(np.full((8, 12), 180 * 257, np.uint16)) if mode == "I;16" else grey.convert(mode)
    shown = decode_image(saved(image, "TIFF"))
    assert (shown.shape, shown.dtype) == ((8, 12, 3), np.uint8)
    assert mode == "1" or abs(int(shown[4, 6, 1]) - 180) < 4


def test_of_an_animation_the_first_picture_is_taken():
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((200, 0, 0), (0, 0, 200)))
    assert decode_image(saved(first, "GIF", save_all=True, append_images=[second]))[0, 0, 0] > 150


def test_over_32_megapixels_are_refused_before_they_are_read():
    with pytest.raises(WanderError, match="has 36 megapixels, at most 32"):
        decode_image(saved(Image.new("1", (6000, 6000))))


@pytest.mark.parametrize("data", [b"", b"no picture", saved(marked())[:60], saved(marked(), "JPEG")[:100]])
def test_what_is_damaged_or_no_picture_is_one_sentence(data):
    with pytest.raises(WanderError, match="choose a PNG or JPEG"):
        decode_image(data)


@pytest.mark.parametrize("data", [b"", b"no clip", saved(marked())[:40]])
def test_what_is_no_clip_is_one_sentence(data):
    with pytest.raises(WanderError, match="choose another video"):
        decode_clip(data)
