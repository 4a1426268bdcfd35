"""The explorer in a window that nobody sees, its worker played by the test."""

import os

import numpy as np
import pygame
import pytest
from PIL import Image

from app.explorer import PRESETS
from app.gallery import Start, StartCard
from app.settings import QUICK_EVENTS
from app.view import ChoosePreset, ChooseWorker, StartWorld
from app.world_spec import spec_for
from tests.app.conftest import HandLink
from worker import protocol as wire
from worker.errors import WanderError

SIZE = (800, 480)


@pytest.fixture
def hands(look_at):
    return look_at()


@pytest.fixture
def walker(hands):
    """The same, after Enter on the start screen."""
    hands.press(pygame.K_RETURN)
    return hands


def test_the_start_screen_pauses_the_world_and_enter_walks_in_it(hands, link):
    assert hands.ui.menu
    assert len(link.asked(wire.Pause)) == 1
    hands.press(pygame.K_RETURN)
    assert not hands.ui.menu
    assert len(link.asked(wire.Resume)) == 1


def test_the_model_chosen_on_the_start_screen_makes_the_next_world(look_at, link):
    chooser = look_at(presets=("fake", "worldplay-5b"))
    chooser.wait()
    chooser.explorer._carry_out(ChoosePreset("worldplay-5b"))
    chooser.explorer._carry_out(StartWorld(seed=3))
    assert link.asked(wire.Open)[-1].spec.preset == "worldplay-5b"


AFAR = "10.0.0.5:5600"


def test_another_machine_is_chosen_with_a_click_and_makes_the_worlds_from_then_on(look_at, link):
    afar, reached = HandLink(), []
    chooser = look_at(workers=(AFAR,), reach=lambda *how: reached.append(how) or afar)
    chooser.click(310, 180)
    assert reached == [(AFAR, False)] and link.closed
    [asked] = afar.asked(wire.Open)
    assert asked.spec == link.asked(wire.Open)[0].spec and chooser.ui.menu  # the same place behind the start screen
    assert chooser.explorer._view(0.0).presets == PRESETS
    afar.world(generation=1, session="afar.wander")
    afar.pictures(4, grey=100)
    chooser.wait()
    assert chooser.explorer.walk.state.world.session == "afar.wander"
    chooser.ui.menu = False
    chooser.press(pygame.K_r)
    assert len(afar.asked(wire.Reset)) == 1 and not link.asked(wire.Reset)


def test_a_machine_that_cannot_be_reached_is_a_sentence_and_the_world_stays_open(look_at, link):
    def reach(*_how):
        raise WanderError("The key of 10.0.0.5:5600 is not known here; ask for it there.")

    chooser = look_at(workers=(AFAR,), reach=reach)
    chooser.click(310, 180)
    assert [toast.sentence for toast in chooser.ui.toasts] == [
        "The key of 10.0.0.5:5600 is not known here; ask for it there."
    ]
    assert not link.closed and chooser.explorer.walk.state.world.seed == 7


def test_walks_that_were_saved_here_are_offered_only_for_worlds_of_this_machine(look_at, tmp_path):
    path = tmp_path / "walk.png"
    Image.new("RGB", (320, 192)).save(path)
    saved = Start(card=StartCard(title="A walk", prompt="", seed=1), image=path, session="walk.wander",
                  thumbnail=np.full((192, 320, 3), 250, np.uint8))  # fmt: skip
    chooser = look_at([saved], workers=(AFAR,), reach=lambda *_how: HandLink())
    shown = (chooser.pixels() > 240).mean()
    chooser.explorer._carry_out(ChooseWorker(AFAR))
    chooser.ui.menu = True
    chooser.wait()
    assert shown > 0.02 > 2 * (chooser.pixels() > 240).mean()


def test_that_the_model_is_slower_than_its_world_is_said_over_the_picture(walker, link):
    before = walker.pixels()
    for chunk in range(3):
        link.pictures(16, chunk=chunk, last=True, grey=200, chunk_ms=4000.0)
        walker.wait(40)
    after = walker.pixels()
    line = np.abs(after - before)[54:76, 20:330].max(-1)
    assert walker.explorer.walk.pacer.fps < 6
    assert (line > 60).mean() > 0.03


def test_the_picture_fills_the_window_behind_the_display(walker):
    centre = walker.pixels()[240, 400]
    assert centre == pytest.approx([200, 200, 200], abs=2)


def test_walking_sends_keys_and_typing_does_not(walker, link):
    walker.press(pygame.K_w)
    assert any(control.taps & 1 for control in link.controls)
    walker.press(pygame.K_RETURN)
    before = len(link.controls)
    walker.press(pygame.K_w)
    assert not any(control.taps for control in link.controls[before:])


def test_an_event_in_english_and_chinese_is_typed_and_sent(walker, link):
    walker.press(pygame.K_RETURN)
    walker.type("snow 雪地森林")
    assert walker.ui.event == "snow 雪地森林"
    walker.press(pygame.K_RETURN)
    assert [request.text for request in link.asked(wire.SetPrompt)] == ["snow 雪地森林"]
    assert walker.ui.event == ""
    assert walker.explorer.state.settings.prompt_history == ("snow 雪地森林",)


def test_fast_typing_does_not_fall_behind(walker):
    walker.press(pygame.K_RETURN)
    for letter in "thunder rolls":
        walker.post(pygame.KEYDOWN, key=ord(letter), mod=0, unicode=letter)
        walker.post(pygame.TEXTINPUT, text=letter)
        walker.post(pygame.KEYUP, key=ord(letter), mod=0)
    walker.wait(3)
    assert walker.ui.event == "thunder rolls"


def test_text_is_copied_and_pasted(walker):
    walker.press(pygame.K_RETURN)
    walker.type("雨 rain")
    for key in (pygame.K_a, pygame.K_c, pygame.K_END, pygame.K_v):
        walker.press(key, 0 if key == pygame.K_END else pygame.KMOD_LCTRL)
    assert walker.ui.event == "雨 rain雨 rain"


def test_what_an_input_method_composes_is_drawn_and_not_yet_sent(walker):
    walker.press(pygame.K_RETURN)
    walker.wait(10)
    before = walker.pixels()[:, SIZE[0] - 372 :]
    walker.post(pygame.TEXTEDITING, text="xia yu", start=0, length=6)
    walker.wait()
    assert walker.ui.event == ""
    after = walker.pixels()[:, SIZE[0] - 372 :]
    assert (np.abs(after - before).max(-1) > 60).sum() > 100


def test_text_events_flow_only_while_a_box_has_the_focus(walker, monkeypatch):
    calls = []
    monkeypatch.setattr(pygame.key, "start_text_input", lambda: calls.append("start"))
    monkeypatch.setattr(pygame.key, "stop_text_input", lambda: calls.append("stop"))
    walker.press(pygame.K_RETURN)
    walker.press(pygame.K_ESCAPE)
    assert calls == ["start", "stop"]


def test_escape_in_a_text_box_leaves_the_box_and_opens_no_menu(walker):
    walker.press(pygame.K_RETURN)
    walker.press(pygame.K_ESCAPE)
    assert not walker.ui.menu
    walker.press(pygame.K_ESCAPE)
    assert walker.ui.menu


def test_a_click_on_the_world_takes_the_pointer_and_opening_the_panel_gives_it_back(walker):
    walker.click(300, 240)
    assert walker.explorer.input.captured
    walker.press(pygame.K_TAB)
    assert walker.ui.panel
    assert not walker.explorer.input.captured
    walker.click(SIZE[0] - 100, SIZE[1] - 20)
    assert not walker.explorer.input.captured


def test_a_press_that_comes_with_the_motion_onto_the_panel_is_the_panels(walker):
    """A tap, or a quick hand at few pictures a second: nothing has been drawn under the pointer yet."""
    walker.press(pygame.K_TAB)
    place = (SIZE[0] - 100, SIZE[1] - 20)
    walker.post(pygame.MOUSEMOTION, pos=place, rel=(0, 0), buttons=(0, 0, 0))
    walker.post(pygame.MOUSEBUTTONDOWN, pos=place, button=1)
    walker.post(pygame.MOUSEBUTTONUP, pos=place, button=1)
    walker.wait(4)
    assert walker.ui.panel and not walker.explorer.input.captured


def test_the_panel_moves_the_picture_aside_and_hides_none_of_its_middle(walker):
    walker.press(pygame.K_TAB)
    free = SIZE[0] - 372
    assert walker.pixels()[240, free // 2] == pytest.approx([200, 200, 200], abs=2)
    assert walker.pixels()[240, free + 5].max() < 60


@pytest.mark.parametrize(
    ("key", "mod", "kind"),
    [
        (pygame.K_r, 0, wire.Reset),
        (pygame.K_n, 0, wire.Open),
        (pygame.K_p, 0, wire.Pause),
        (pygame.K_z, pygame.KMOD_LCTRL, wire.Rewind),
        (pygame.K_1, 0, wire.SetPrompt),
    ],
)
def test_each_command_key_asks_the_worker_for_its_thing(walker, link, key, mod, kind):
    before = len(link.asked(kind))
    walker.press(key, mod)
    assert len(link.asked(kind)) == before + 1


def test_a_quick_event_says_its_words(walker, link):
    walker.press(pygame.K_3)
    assert link.asked(wire.SetPrompt)[-1].text == QUICK_EVENTS[2].words


def test_help_lists_the_keys_over_the_picture_and_goes_again(walker):
    before = walker.pixels()
    walker.press(pygame.K_h)
    assert (np.abs(walker.pixels() - before).max(-1) > 60).mean() > 0.15
    walker.press(pygame.K_h)
    walker.wait(5)
    assert (np.abs(walker.pixels() - before).max(-1) > 60).mean() < 0.05


def test_the_first_walk_shows_the_hint_and_the_next_start_does_not(walker):
    assert walker.ui.hint_until is not None
    assert walker.explorer.settings_to_keep().hints_seen


def test_a_sentence_of_the_worker_veils_the_picture(walker, link):
    bright = walker.pixels()[60, 400].mean()
    link.events.append(wire.WorkerState(sentence="The model stopped. Restarting (1 of 3).", restarts=1))
    walker.wait()
    assert walker.pixels()[60, 400].mean() < 0.8 * bright


def test_a_picture_dropped_on_the_window_starts_a_world(walker, link, tmp_path):
    path = tmp_path / "own.png"
    Image.new("RGB", (64, 40), (9, 99, 199)).save(path)
    walker.post(pygame.DROPFILE, file=str(path))
    walker.wait(2)
    assert link.asked(wire.Open)[-1].spec.image == path.read_bytes()


def test_a_file_that_is_no_picture_is_one_sentence_and_the_world_goes_on(walker, link, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no picture")
    opened = len(link.asked(wire.Open))
    walker.post(pygame.DROPFILE, file=str(path))
    walker.wait(2)
    assert len(link.asked(wire.Open)) == opened
    assert "notes.txt" in walker.ui.toasts[-1].sentence


def test_a_card_of_the_gallery_starts_its_world(look_at, link, tmp_path):
    path = tmp_path / "village.png"
    Image.new("RGB", (320, 192)).save(path)
    card = StartCard(title="Village", prompt="a village", seed=5)
    hands = look_at([Start(card=card, image=path, thumbnail=np.full((192, 320, 3), 128, np.uint8))])
    hands.click(80, 330)
    spec = link.asked(wire.Open)[-1].spec
    assert (spec.seed, spec.prompt, spec.image) == (5, "a village", path.read_bytes())


def test_a_world_that_cannot_be_opened_returns_to_the_start_screen_with_the_reason(link, hands):
    hands.explorer.walk.state.world = None
    hands.explorer.open(spec_for("fake", seed=1), menu=False)
    link.reply("There is no model 'fake' here.")
    hands.wait()
    assert hands.ui.menu
    assert [toast.sentence for toast in hands.ui.toasts] == ["There is no model 'fake' here."]


def test_a_screenshot_is_the_window_as_it_is_seen(walker, tmp_path):
    walker.press(pygame.K_F12)
    [path] = (tmp_path / "Pictures" / "Wander").glob("*.png")
    with Image.open(path) as picture:
        assert picture.size == SIZE
        assert picture.getpixel((400, 240)) == pytest.approx((200, 200, 200), abs=2)


def test_closing_the_window_ends_the_program(walker):
    walker.post(pygame.QUIT)
    walker.wait(1)
    assert walker.explorer.state.leaving


def test_resizing_keeps_the_aspect_of_the_picture(walker):
    pygame.display.set_mode((600, 480), pygame.OPENGL | pygame.DOUBLEBUF | pygame.RESIZABLE)
    walker.wait()
    column = walker.pixels()[:, 598, 0]
    pygame.display.set_mode(SIZE, pygame.OPENGL | pygame.DOUBLEBUF | pygame.RESIZABLE)
    assert (column > 190).sum() == pytest.approx(375, abs=2)


def test_no_display_is_one_sentence_that_says_what_to_do():
    import subprocess
    import sys

    code = "from app.main import run; run(['--preset', 'fake'], print)"
    environment = {**os.environ, "SDL_VIDEODRIVER": "x11", "DISPLAY": ":987"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert "AppError: No window could be opened" in done.stderr
    assert "--headless" in done.stderr
