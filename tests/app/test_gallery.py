"""Ready starts come from a folder; a bad one is left out with a sentence."""

import json

import numpy as np
import pytest
from PIL import Image

from app.gallery import load_gallery, thumbnail


def put(folder, name, card, size=(640, 384)):
    (folder / f"{name}.json").write_text(json.dumps(card))
    Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(folder / f"{name}.png")


def test_starts_come_in_their_order_with_thumbnails(tmp_path):
    put(tmp_path, "a", {"title": "Second", "order": 2, "prompt": "a village", "seed": 9})
    put(tmp_path, "b", {"title": "First", "order": 1})
    starts, problems = load_gallery(tmp_path)
    assert [start.card.title for start in starts] == ["First", "Second"]
    assert starts[1].card.seed == 9
    assert starts[0].thumbnail.shape == (192, 320, 3)
    assert problems == []


def test_no_folder_is_an_empty_gallery(tmp_path):
    assert load_gallery(tmp_path / "none") == ([], [])


def test_a_damaged_start_is_left_out_with_one_sentence(tmp_path):
    put(tmp_path, "good", {"title": "Good"})
    put(tmp_path, "no_title", {})
    put(tmp_path, "torn", {"title": "Torn"})
    picture = tmp_path / "torn.png"
    picture.write_bytes(picture.read_bytes()[:40])
    (tmp_path / "alone.json").write_text('{"title": "Alone"}')
    starts, problems = load_gallery(tmp_path)
    assert [start.card.title for start in starts] == ["Good"]
    assert len(problems) == 3
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize("size", [(320, 192), (1000, 200), (200, 1000)])
def test_a_thumbnail_is_cut_from_the_middle_and_never_distorted(tmp_path, size):
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    side = min(size) // 4
    pixels[(height - side) // 2 : (height + side) // 2, (width - side) // 2 : (width + side) // 2] = 255
    Image.fromarray(pixels).save(tmp_path / "p.png")
    bright = thumbnail(tmp_path / "p.png")[..., 0] > 127
    wide, high = bright.any(0).sum(), bright.any(1).sum()
    assert wide == pytest.approx(high, abs=2)
    assert bright.any(0).argmax() == pytest.approx(160 - wide / 2, abs=2)
