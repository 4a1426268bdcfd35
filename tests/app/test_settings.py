"""Settings survive a restart, and a damaged file costs nothing."""

import pytest
from msgspec.structs import replace

from app.settings import Settings, load_settings, save_settings


@pytest.fixture
def path(tmp_path):
    return tmp_path / "wander" / "settings.json"


def test_what_was_saved_is_loaded(path):
    settings = replace(Settings(), chunk=1, mouse_sensitivity=2.5, prompt_history=("下雪了",))
    assert save_settings(path, settings) == ""
    assert load_settings(path) == (settings, "")


def test_no_file_means_the_defaults_without_a_word(path):
    assert load_settings(path) == (Settings(), "")


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff", b'{"chunk": 9}', b'{"chunk": "4"}', b'{"unknown": 1}', b"[]", b'{"width": 1e99}']
)
def test_a_damaged_file_is_kept_and_the_defaults_are_used(path, damage):
    path.parent.mkdir()
    path.write_bytes(damage)
    settings, sentence = load_settings(path)
    assert settings == Settings()
    assert "settings.bad" in sentence and "\n" not in sentence
    assert path.with_suffix(".bad").read_bytes() == damage


def test_a_folder_that_cannot_be_written_is_one_sentence_and_leaves_nothing(path):
    path.parent.write_text("a file where the folder should be")
    assert "could not be saved" in save_settings(path, Settings())


def test_a_failed_save_leaves_the_old_file_whole(path, monkeypatch):
    save_settings(path, Settings())
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert "No space left" in save_settings(path, replace(Settings(), chunk=2))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["settings.json"]
