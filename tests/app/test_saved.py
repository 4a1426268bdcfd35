"""Walks that can be gone on with: the newest first, each with the picture of where it ended."""

import os

import numpy as np

from app.saved import SHOWN, keep_picture, load_saved, title

NOON = 1_700_000_000.0


def session(folder, name, at):
    path = folder / f"{name}.wander"
    path.write_bytes(b"x")
    keep_picture(str(path), np.full((96, 160, 3), 90, np.uint8))
    os.utime(path.with_suffix(".jpg"), (at, at))
    return path


def test_the_walks_that_were_left_last_come_first_and_not_too_many(tmp_path):
    paths = [session(tmp_path, f"walk{number}", NOON + number) for number in range(SHOWN + 2)]
    assert [start.session for start in load_saved(tmp_path)] == [str(path) for path in paths[::-1][:SHOWN]]


def test_a_session_of_another_machine_leaves_no_picture_and_a_picture_without_session_is_no_walk(tmp_path):
    keep_picture(str(tmp_path / "elsewhere.wander"), np.zeros((8, 8, 3), np.uint8))
    session(tmp_path, "gone", NOON).unlink()
    (tmp_path / "torn.wander").write_bytes(b"x")
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    assert load_saved(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone.jpg", "torn.jpg", "torn.wander"]


def test_a_walk_is_called_by_its_name_or_by_the_time_when_it_was_left():
    assert title("harbour", NOON, NOON) == "harbour"
    assert title("world-20231114-a", NOON, NOON).startswith("Today, ")
    assert title("world-20231114-a", NOON - 86_400, NOON).startswith("Yesterday, ")
    assert title("world-20231114-a", NOON - 10 * 86_400, NOON)[:2].isdecimal()
