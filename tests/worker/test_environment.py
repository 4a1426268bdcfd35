"""Set-up: what counts as installed, what is taken up again, what is said where it cannot be done."""

import subprocess
import sys
import threading

import pytest

from worker import environment
from worker.environment import SetupError, prepare, read_lock, unmet

LOCK = "# words\n\n# [play]\na==1\nb==2; sys_platform == 'linux'\n\n# [test]\nc==3\n\n# [gpu]\nd==4\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty checkout whose installer only notes what it was asked for."""
    asked: list[tuple[str, ...]] = []
    (tmp_path / "requirements.lock").write_text(LOCK)
    monkeypatch.setenv("WANDER_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(environment, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(environment, "prepare_debian", lambda packages, say: None)
    monkeypatch.setattr(environment, "_torch_index", lambda say: [])
    monkeypatch.setattr(environment, "_make_venv", lambda say: _pretend_python(tmp_path))
    monkeypatch.setattr(environment, "_pip_install", lambda pins, index: asked.append(pins))
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**11})())
    return tmp_path, asked


def _pretend_python(folder):
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.touch()


def silent(sentence: str) -> None:
    """Takes progress and shows nothing."""


def test_the_lock_is_read_by_section_with_its_markers():
    sections = read_lock(LOCK)
    assert sections == {"play": ("a==1", "b==2; sys_platform == 'linux'"), "test": ("c==3",), "gpu": ("d==4",)}


def test_a_second_start_installs_nothing(place):
    _, asked = place
    prepare(["play", "test"], silent)
    prepare(["play", "test"], silent)
    assert asked == [("a==1", "b==2; sys_platform == 'linux'"), ("c==3",)]


def test_a_section_is_installed_when_a_verb_first_needs_it(place):
    _, asked = place
    prepare(["play"], silent)
    prepare(["play", "test"], silent)
    assert asked[1:] == [("c==3",)]


def test_an_interrupted_installation_is_taken_up_again(place, monkeypatch):
    def interrupted(pins, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(environment, "_pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(["play"], silent)
    assert unmet(["play"]) == ["play"]
    prepare(["play"], silent)
    assert unmet(["play"]) == []


def test_a_changed_pin_is_installed_at_the_next_start(place):
    folder, asked = place
    prepare(["play", "test"], silent)
    (folder / "requirements.lock").write_text(LOCK.replace("c==3", "c==4"))
    prepare(["play", "test"], silent)
    assert asked[2:] == [("c==4",)]


def test_gpu_packages_are_wanted_only_where_there_is_a_gpu(place, monkeypatch):
    assert unmet(["play"]) == ["play"]
    monkeypatch.setattr(environment, "has_nvidia_gpu", lambda: True)
    assert unmet(["play"]) == ["play", "gpu"]


def test_too_little_disk_is_one_sentence_with_both_numbers(place, monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10**8})())
    with pytest.raises(SetupError, match=r"needs 1\.\d GB, 0\.1 GB are free"):
        prepare(["play"], silent)


def test_a_folder_that_is_no_environment_is_never_cleared(tmp_path, monkeypatch):
    (tmp_path / "holiday.jpg").touch()
    monkeypatch.setenv("WANDER_VENV", str(tmp_path))
    with pytest.raises(SetupError, match="holds something else"):
        environment._make_venv(silent)
    assert (tmp_path / "holiday.jpg").exists()


def test_an_index_that_never_answers_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: threading.Event().wait())
    assert not environment._answers("https://nowhere.invalid", seconds=0.05)


def test_a_failed_installation_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "venv_python", lambda: sys.executable)
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(SetupError, match=r"exit status 1 while installing 2 packages .* start again"):
        environment._pip_install(["a==1", "b==2"], [])


def test_debian_packages_that_do_not_exist_are_missing_and_dpkg_is_not():
    if environment.shutil.which("dpkg-query") is None:
        pytest.skip("not a Debian system")
    assert environment.missing_debian(["dpkg", "no-such-package-of-ours"]) == ["no-such-package-of-ours"]


@pytest.mark.parametrize(("user", "commands"), [(0, ["apt-get install"]), (1000, [])])
def test_missing_debian_packages_are_installed_by_root_and_otherwise_named_in_one_line(monkeypatch, user, commands):
    said, ran = [], []
    monkeypatch.setattr(environment, "missing_debian", lambda packages: ["libegl1"])
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(environment.os, "geteuid", lambda: user)
    monkeypatch.setattr(
        environment.subprocess,
        "run",
        lambda command, **_: ran.append(" ".join(command[:2])) or subprocess.CompletedProcess(command, 0),
    )
    environment.prepare_debian(["libegl1", "libgl1"], said.append)
    assert ran == commands
    assert len(said) == 1
    assert said[0].endswith("libegl1" if user else ": libegl1")


def test_stale_package_lists_are_fetched_anew_before_giving_up(monkeypatch):
    ran = []
    answers = iter([100, 0, 0])
    monkeypatch.setattr(
        environment.subprocess,
        "run",
        lambda command, **_: ran.append(command[1]) or subprocess.CompletedProcess(command, next(answers)),
    )
    assert environment._apt_install(["libegl1"])
    assert ran == ["install", "update", "install"]
