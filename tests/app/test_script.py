"""Scripts are strict, and hold what they say until the next line."""

import pytest

from app.errors import AppError
from app.script import ScriptReader, parse_script, read_script


def refuse(text, words):
    with pytest.raises(AppError, match=words):
        parse_script(text)


def test_a_line_holds_its_keys_and_mouse_until_the_next():
    reader = ScriptReader(parse_script('{"t": 0, "keys": ["w"]}\n{"t": 2, "mouse": [5, -3]}'))
    reader.until(1.9)
    assert (reader.keys, reader.mouse) == (1, (0, 0))
    reader.until(2.0)
    assert (reader.keys, reader.mouse) == (0, (5, -3))


def test_prompt_and_command_come_once():
    reader = ScriptReader(parse_script('{"t": 1, "prompt": "snow", "command": "undo 2"}'))
    assert reader.until(0.5) == []
    [cue] = reader.until(1.5)
    assert (cue.prompt, cue.command) == ("snow", ("undo", (2,)))
    assert reader.until(9.0) == []


def test_a_late_look_finds_all_lines_that_passed():
    cues = parse_script("\n".join(f'{{"t": {t}}}' for t in range(5)))
    assert len(ScriptReader(cues).until(3.0)) == 4


def test_an_unknown_key_names_the_line_and_the_valid_keys():
    refuse('{"t": 0}\n{"t": 1, "keys": ["jump"]}', r"Line 2 .*'jump'.*w, s, d, a")


def test_an_unknown_field_is_refused():
    refuse('{"t": 0, "kyes": []}', "Line 1 .*kyes")


@pytest.mark.parametrize("command", ["undo", "undo x", "undo -1", "fly 3", "pause 1", ""])
def test_a_malformed_command_is_refused(command):
    refuse(f'{{"t": 0, "command": "{command}"}}', "Line 1")


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"keys": []}', '{"t": -1}', '{"t": "a"}', '{"t": 0, "mouse": [1]}', '{"t": NaN}']
)
def test_a_damaged_line_is_one_sentence_with_its_number(line):
    refuse(f'{{"t": 0}}\n\n{line}', "^Line 3 of script is wrong: [^\n]*$")


def test_lines_out_of_order_are_refused_with_both_times():
    refuse('{"t": 3}\n{"t": 2}', r"2\.0 after 3\.0")


def test_a_script_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(AppError, match="No such file"):
        read_script(tmp_path / "none.jsonl")


def test_a_script_that_is_no_text_is_one_sentence(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AppError, match="not UTF-8"):
        read_script(path)
