"""Everything together: a window on an X server, three processes with the fake engine, hands by xdotool."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOLS = ("Xvfb", "xdotool")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason=f"needs {' and '.join(TOOLS)}; install them with apt-get"
)


def wait_for(what, seconds=40.0):
    """The first true value of `what()`; fails after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing after {seconds} s: {what}")


@pytest.fixture(scope="module")
def display():
    """A free X display."""
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1000x700x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as ready:
        yield f":{ready.readline().strip()}"
    server.terminate()
    server.wait()


class Seat:
    """One person in front of the real program, started from the home folder."""

    def __init__(self, display, home, root):
        self.home = home
        self.environment = {
            **os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "LIBGL_ALWAYS_SOFTWARE": "1",
            "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"),
        }  # fmt: skip
        settings = home / "config" / "wander" / "settings.json"
        settings.parent.mkdir(parents=True)
        settings.write_text('{"width": 640, "height": 400}')
        code = f"import sys; sys.path.insert(0, {str(root)!r}); from app.main import run; run(sys.argv[1:], print)"
        options = ["--preset", "fake", "--world", "seed:3", "--sessions", str(home / "sessions")]
        self.program = subprocess.Popen([sys.executable, "-P", "-c", code, *options], cwd=home, env=self.environment)
        self.window = wait_for(lambda: self.do("search", "--class", "wander")).split()[0]

    def do(self, *words):
        done = subprocess.run(["xdotool", *words], env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def look(self):
        """What is on the screen, uint8 [H, W, 3], by the program's own screenshot key."""
        before = set(self.pictures())
        self.do("key", "F12")
        [path] = wait_for(lambda: set(self.pictures()) - before)
        return np.asarray(Image.open(wait_for(lambda: path if complete(path) else None))).astype(int)

    def says(self, english, chinese):
        """Type an event; whether the session's journal then has it."""
        self.do("key", "Return")
        wait_for(lambda: self.look()[390, 600].max() < 60)  # the panel is there
        time.sleep(0.5)
        self.do("type", "--delay", "60", english)
        for character in chinese:
            self.do("type", "--delay", "500", character)
        self.do("key", "Return")
        time.sleep(1.0)
        words = (english + chinese).encode()
        return any(words in path.read_bytes() for path in (self.home / "sessions").rglob("*.wander"))

    def pictures(self):
        return list((self.home / "Pictures" / "Wander").glob("*.png"))

    def settings(self):
        return json.loads((self.home / "config" / "wander" / "settings.json").read_text())


def complete(path: Path) -> bool:
    """Whether a PNG has been written to its end."""
    return path.read_bytes()[-8:-4] == b"IEND"


@pytest.fixture
def seat(display, tmp_path, root):
    seat = Seat(display, tmp_path, root)
    yield seat
    seat.program.terminate()
    seat.program.wait(10)


def test_a_person_walks_types_english_and_chinese_resizes_and_leaves(seat):
    wait_for(lambda: seat.look()[60, 320].mean() > 55)
    still = seat.look()
    seat.do("keydown", "w")
    wait_for(lambda: (np.abs(seat.look()[100:300] - still[100:300]).max(-1) > 20).mean() > 0.02)  # walking moves it
    seat.do("keyup", "w")

    # xdotool lends each Chinese character a key for a moment, which a window on a busy machine may miss
    assert any(seat.says("snow ", "下雪") for _ in range(8)), "the words did not arrive"

    seat.do("windowsize", "--sync", seat.window, "500", "500")
    time.sleep(0.5)
    assert seat.look().shape == (500, 500, 3)

    seat.do("key", "Escape")
    time.sleep(0.5)
    seat.do("key", "F11")
    time.sleep(0.5)
    assert seat.look().shape == (700, 1000, 3)
    seat.do("key", "F11")
    time.sleep(1.0)
    seat.do("windowfocus", seat.window)  # no window manager does it here
    assert seat.look().shape == (500, 500, 3)

    seat.program.terminate()
    assert seat.program.wait(20) == 0
    assert "snow 下雪" in seat.settings()["prompt_history"]


@pytest.fixture
def red_picture(tmp_path):
    path = tmp_path / "a red picture.png"
    Image.fromarray(np.full((60, 100, 3), (230, 20, 30), dtype=np.uint8)).save(path)
    return path


def is_red(seat):
    """Whether the sky is: the fake world takes its colour from the given picture."""
    red, green, blue = seat.look()[60, 320]
    return red > 120 and max(green, blue) < 90


@pytest.mark.parametrize("gesture", ["copy", "drop"])
def test_a_picture_that_another_program_copied_or_drags_here_becomes_a_world(seat, root, red_picture, gesture):
    wait_for(lambda: seat.look()[60, 320].mean() > 55)
    assert not is_red(seat)
    what = "image/png" if gesture == "copy" else seat.window
    command = [sys.executable, "tests/app/other_program.py", gesture, what, str(red_picture)]
    with subprocess.Popen(command, cwd=root, env=seat.environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"ready\n"
        if gesture == "copy":
            seat.do("windowfocus", seat.window)
            time.sleep(1.0)
            seat.do("key", "ctrl+v")
        try:
            wait_for(lambda: is_red(seat))
        finally:
            other.kill()


def test_where_the_system_has_no_file_dialog_tks_own_names_the_file_that_is_chosen(display, red_picture, root):
    environment = {**os.environ, "DISPLAY": display}
    command = [sys.executable, "-P", str(root / "app" / "dialog.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as dialog:

        def do(*words):
            return subprocess.run(["xdotool", *words], env=environment, capture_output=True, text=True).stdout.split()

        window = wait_for(lambda: do("search", "--name", "Choose a picture"))[-1]
        time.sleep(0.5)
        do("windowfocus", window, "type", str(red_picture))
        do("key", "Return")
        try:
            assert dialog.communicate(timeout=30)[0] == str(red_picture)
        finally:
            dialog.kill()
