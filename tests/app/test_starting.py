"""From a wish to a world: every way to start one asks the worker for just that."""

import os
import time
from importlib.util import find_spec

import numpy as np
import pygame
import pytest
from PIL import Image

from app.dialog import FileDialog
from app.gallery import STARTS, Start, StartCard, load_gallery
from app.starting import Starting, surprise
from app.view import StartWorld
from tests.app.test_clip import greys, video
from worker import protocol as wire

SIZE = (1000, 800)


class Door:
    """A `Starting`, and the worlds and sentences that come of it."""

    def __init__(self):
        self.worlds, self.sentences = [], []
        self.starting = Starting("fake", self.worlds.append, self.sentences.append)

    def until(self, ready, seconds=30.0):
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, self.sentences
            self.starting.poll(StartWorld(seed=5, prompt="at dusk", chunk=2))
            time.sleep(0.01)


@pytest.fixture
def door():
    door = Door()
    yield door
    door.starting.close()


@pytest.fixture
def dialog(tmp_path, monkeypatch):
    """A function (shell words) that makes them the system's file dialog."""

    def make(words):
        program = tmp_path / "bin" / "zenity"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{words}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return make


def test_the_picture_that_the_file_dialog_names_starts_a_world_with_what_was_typed_beside_it(dialog, tmp_path):
    path = tmp_path / "own picture.png"
    Image.new("RGB", (64, 40)).save(path)
    dialog(f"echo '{path}'")
    door = Door()
    assert door.starting.can_browse
    door.starting.browse()
    door.until(lambda: door.worlds)
    [spec] = door.worlds
    assert (spec.image, spec.seed, spec.prompt, spec.chunk) == (path.read_bytes(), 5, "at dusk", 2)


def test_a_dialog_that_is_cancelled_starts_nothing_and_can_be_opened_again(dialog):
    dialog("exit 1")
    door = Door()
    for _ in range(2):
        door.starting.browse()
        door.until(lambda: door.starting._dialog._process is None)
    assert not door.worlds and not door.sentences


def test_a_system_without_a_dialog_of_its_own_has_tks_and_one_without_tk_none(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert FileDialog().available == bool(find_spec("_tkinter"))
    monkeypatch.setattr("app.dialog.find_spec", lambda _: None)
    assert not FileDialog().available


def test_a_video_is_read_beside_the_walk_and_its_end_starts_a_world(door, tmp_path):
    door.starting.start(StartWorld(seed=7, prompt="a road", image=video(tmp_path / "ride.mp4", 70), chunk=4))
    assert not door.worlds and "ride.mp4" in door.sentences[0]
    door.until(lambda: door.worlds)
    [spec] = door.worlds
    assert (spec.seed, spec.prompt, spec.image, len(greys(spec.video))) == (7, "a road", b"", 61)


def test_a_file_that_only_calls_itself_a_video_is_one_sentence(door, tmp_path):
    (tmp_path / "no.mp4").write_text("words")
    door.starting.start(StartWorld(image=tmp_path / "no.mp4"))
    door.until(lambda: len(door.sentences) > 1)
    assert "no.mp4 cannot be read" in door.sentences[-1] and not door.worlds


def test_a_seed_is_kept_and_a_world_without_wishes_is_a_surprise_in_the_words_of_its_seed(door):
    door.starting.start(StartWorld(seed=11))
    door.starting.start(StartWorld())
    door.starting.start(StartWorld())
    given, one, other = door.worlds
    assert (given.seed, given.prompt) == (11, "")
    assert one.seed != other.seed and one.prompt == surprise(one.seed) and other.prompt == surprise(other.seed)


def test_the_gallery_has_sixteen_starts_or_more_and_people_and_animals_to_walk_behind():
    starts, problems = load_gallery()
    assert len(starts) >= 16 and not problems
    assert len({start.card.title for start in starts}) == len(starts)
    walkers = [start for start in starts if "walks ahead" in start.card.prompt]
    assert len(walkers) >= 3 and any("fox" in start.card.prompt for start in walkers)
    for start in starts:
        with Image.open(start.image) as picture:
            assert picture.size == (320, 192)
        assert start.image.parent == STARTS and start.card.prompt and start.thumbnail.std() > 10


@pytest.fixture
def start_screen(eyes, look_at, tmp_path):
    """Hands before the start screen with one walk to go on with, and eyes for it."""
    left = tmp_path / "harbour.jpg"
    Image.new("RGB", (160, 96)).save(left)
    thumbnail = np.full((192, 320, 3), 128, np.uint8)
    card = Start(card=StartCard(title="Harbour"), image=left, thumbnail=thumbnail, session="/tmp/harbour.wander")
    return look_at([card]), eyes


def test_words_on_the_start_screen_start_a_world_without_a_picture(start_screen, link):
    hands, eyes = start_screen
    hands.click(*eyes.centre("##place"))
    hands.type("a lighthouse 灯塔")
    hands.press(pygame.K_RETURN)
    spec = link.asked(wire.Open)[-1].spec
    assert (spec.prompt, spec.image, spec.video, spec.session) == ("a lighthouse 灯塔", b"", b"", "")


def test_a_number_on_the_start_screen_is_the_seed(start_screen, link):
    hands, eyes = start_screen
    hands.click(*eyes.centre("##seed"))
    hands.type("42")
    hands.click(*eyes.centre("New world"))
    assert link.asked(wire.Open)[-1].spec.seed == 42


def test_a_path_on_the_start_screen_starts_from_that_picture(start_screen, link, tmp_path):
    hands, eyes = start_screen
    hands.click(*eyes.centre("##image"))
    hands.type(str(tmp_path / "harbour.jpg"))
    hands.press(pygame.K_RETURN)
    assert link.asked(wire.Open)[-1].spec.image == (tmp_path / "harbour.jpg").read_bytes()


def test_the_card_of_a_walk_goes_on_with_it(start_screen, link):
    hands, eyes = start_screen
    hands.click(*eyes.centre("##card"))
    assert link.asked(wire.Open)[-1].spec.session == "/tmp/harbour.wander"


def test_pasting_with_nothing_copied_is_one_sentence(start_screen, link):
    hands, _ = start_screen
    opened = len(link.asked(wire.Open))
    hands.press(pygame.K_v, pygame.KMOD_LCTRL)
    end = time.monotonic() + 20
    while not any("no picture to paste" in toast.sentence for toast in hands.ui.toasts):
        assert time.monotonic() < end
        hands.wait(1)
        time.sleep(0.02)
    assert len(link.asked(wire.Open)) == opened
