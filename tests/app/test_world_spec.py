"""What a person may write after --world."""

import numpy as np
import pytest
from PIL import Image

from app.errors import AppError
from app.world_spec import parse_world, read_picture, spec_for


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "holiday.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path)
    return path


def test_each_kind_of_world_is_understood(picture, tmp_path):
    session = tmp_path / "walk.wander"
    session.write_bytes(b"x")
    assert parse_world("seed:12", "pocket", 4).seed == 12
    assert parse_world('text:"a lighthouse: at dusk"', "pocket", 4).prompt == "a lighthouse: at dusk"
    assert parse_world(f"image:{picture}", "pocket", 2).image == picture.read_bytes()
    assert parse_world(f"session:{session}", "pocket", 4).session == str(session)


def test_no_world_named_is_a_fresh_seed_each_time():
    assert len({parse_world(None, "pocket", 4).seed for _ in range(5)}) > 1


@pytest.mark.parametrize("words", ["seed:", "seed:-1", "seed:1.5", f"seed:{1 << 53}", "text:", "planet:9", "image:"])
def test_anything_else_is_refused_with_the_valid_forms(words):
    with pytest.raises(AppError, match="seed:N"):
        parse_world(words, "pocket", 4)


def test_a_missing_truncated_or_wrong_picture_is_one_sentence(picture, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    torn = tmp_path / "torn.png"
    torn.write_bytes(picture.read_bytes()[:50])
    missing, folder = tmp_path / "none.png", tmp_path
    reasons = {missing: "no picture", text: "another type", torn: "cannot be read", folder: "cannot be read"}
    for path, words in reasons.items():
        with pytest.raises(AppError, match=words):
            read_picture(path)


def test_a_picture_that_is_too_large_is_refused_with_both_numbers(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(AppError, match=r"17825792 .* 16777216"):
        read_picture(path)


def test_a_missing_session_is_one_sentence(tmp_path):
    with pytest.raises(AppError, match="no session file"):
        parse_world(f"session:{tmp_path}/none.wander", "pocket", 4)


def test_a_description_that_is_too_long_is_refused_with_both_numbers():
    with pytest.raises(AppError, match=r"2001 .* 2000"):
        spec_for("pocket", seed=1, prompt="x" * 2001)


def test_a_session_on_another_machine_goes_by_its_name():
    assert parse_world("session:harbour", "pocket", 4, elsewhere=True).session == "harbour"
    with pytest.raises(AppError, match="no session file"):
        parse_world("session:harbour", "pocket", 4)
