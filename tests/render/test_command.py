"""The options of `launch.py data`."""

import pytest

from render.command import parser


@pytest.mark.parametrize(("given", "hint"), [("92", "give 89"), ("1", "give 13"), ("-4", "at least 1")])
def test_a_clip_length_that_is_not_whole_latents_is_refused_with_the_nearest_one(capsys, given, hint):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["make", "--out", "unused", "--frames", given])
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--clips", "0"], ["--biome", "moon"], ["--split", "test"], ["--events", "2"]])
def test_what_cannot_be_made_is_refused_before_anything_is_drawn(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["make", "--out", "unused", *wrong])
    assert wrong[0] in capsys.readouterr().err


def test_both_actions_draw_the_same_world_by_default():
    make, preview = parser().parse_args(["make", "--out", "x"]), parser().parse_args(["preview"])
    assert (make.seed, make.split, make.size) == (preview.seed, preview.split, preview.size)


def test_halving_a_folder_without_shards_is_refused_with_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["halve", "--data", str(tmp_path), "--out", str(tmp_path / "small")])
    assert stopped.value.code == 2
    assert f"there are 0 complete shards in {tmp_path}; make some with 'launch.py data make'" in capsys.readouterr().err
