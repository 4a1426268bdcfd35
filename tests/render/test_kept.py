"""Where what an evaluation asks to be drawn is kept."""

import pytest

from render.kept import WALKS, folder_for


@pytest.fixture
def root(tmp_path):
    for path in ("render/sky.py", *WALKS):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("1")
    return tmp_path


def test_the_same_request_finds_what_was_drawn_for_it_and_another_does_not(root):
    assert folder_for(("rain", 3), root) == folder_for(("rain", 3), root) != folder_for(("rain", 4), root)
    assert folder_for((), root).parent == root / "data" / "evaluation"


@pytest.mark.parametrize("path", ["render/sky.py", *WALKS])
def test_a_change_of_what_draws_or_walks_draws_anew(root, path):
    before = folder_for((), root)
    (root / path).write_text("2")
    assert folder_for((), root) != before
