"""The program's environment: a virtual environment, the pinned packages, Debian's libraries. Standard library only.

It runs under the system's Python before anything else exists. A section of requirements.lock counts as installed once
its stamp, written last, holds the section's hash: an interrupted installation is taken up again by the next start, and
a later start reads a few small files and nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.errors import WanderError

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DISK_GB = {"play": 1.6, "test": 0.8, "evaluate": 0.1, "scan": 0.8, "released": 0.3, "cluster": 0.4, "gpu": 0.1}
"""Disk that a section needs, measured on Linux with the CPU build of torch, with room for the downloads."""
DEBIAN = {
    "play": ("libegl1", "libgl1", "libgl1-mesa-dri", "fonts-wqy-microhei"),
    "test": ("xvfb", "xdotool"),
    "scan": ("libusb-1.0-0",),
}
"""Debian packages behind each section: OpenGL, its software renderer, a Chinese font; a display for tests; Open3D."""

Say = Callable[[str], None]


class SetupError(WanderError):
    """The environment could not be made or filled."""


def venv_folder() -> Path:
    """Where the virtual environment lies: `.venv` beside launch.py, or the folder that WANDER_VENV names."""
    return Path(os.environ.get("WANDER_VENV") or ROOT / ".venv").absolute()


def venv_python() -> Path:
    """The interpreter of the virtual environment."""
    return venv_folder() / "bin" / "python"


def inside() -> bool:
    """Whether this interpreter is the virtual environment's own."""
    return Path(sys.prefix).resolve() == venv_folder().resolve()


def read_lock(text: str) -> dict[str, tuple[str, ...]]:
    """Section name -> its requirement lines, in order."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("# [") and line.endswith("]"):
            lines = sections.setdefault(line[3:-1], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return {name: tuple(lines) for name, lines in sections.items()}


def has_nvidia_gpu() -> bool:
    """Whether this process can reach an NVIDIA GPU: its device file is there, or WSL's with NVIDIA's tools."""
    return Path("/dev/nvidiactl").exists() or (Path("/dev/dxg").exists() and shutil.which("nvidia-smi") is not None)


def unmet(sections: Sequence[str]) -> list[str]:
    """Those of `sections` (and [gpu] where there is one) that are not installed as the lock has them now."""
    wanted = [*sections, *(["gpu"] if has_nvidia_gpu() else [])]
    lock = read_lock(LOCK.read_text())
    return [name for name in wanted if not _same(_stamp(name), _hash(lock[name]))]


def prepare(sections: Sequence[str], say: Say) -> None:
    """Make the virtual environment and install what is missing of `sections`; does nothing where all is there.

    Raises `SetupError` with one sentence where that fails; what was installed stays, the next call goes on from there.
    """
    if not unmet(sections):
        return
    with _only_one(say):
        missing = unmet(sections)  # another start may have installed them while this one waited
        if not missing:
            return
        _need_disk(missing)
        prepare_debian([*(package for name in missing for package in debian(name)), *_venv_package()], say)
        _make_venv(say)
        lock = read_lock(LOCK.read_text())
        for name in missing:
            say(f"installing {len(lock[name])} packages [{name}] into {venv_folder()}")
            _pip_install(lock[name], _torch_index(say) if name == "play" else [])
            _stamp(name).write_text(_hash(lock[name]))


def missing_debian(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that dpkg does not report as installed; none on a system without dpkg."""
    if not packages or shutil.which("dpkg-query") is None:
        return []
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages]
    shown = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    present = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name not in present]


def apt_line(packages: Sequence[str]) -> str:
    """The command that installs `packages` on Debian and its relatives."""
    return f"sudo apt-get install -y {' '.join(packages)}"


def debian(section: str) -> tuple[str, ...]:
    """The Debian packages behind a section."""
    return DEBIAN.get(section, ())


def prepare_debian(packages: Sequence[str], say: Say) -> None:
    """Install those of `packages` that are missing where this process may, say which they are where it may not."""
    missing = missing_debian(packages)
    if shutil.which("apt-get") is None:
        if sys.platform == "linux":
            say("not a Debian system: if no window opens, install Mesa's OpenGL with EGL and a Chinese font")
    elif missing and os.geteuid() != 0:
        say(f"missing Debian packages; install them with: {apt_line(missing)}")
    elif missing:
        say(f"installing Debian packages as root: {' '.join(missing)}")
        if not _apt_install(missing):
            say(f"apt-get could not install them; try again later with: {apt_line(missing)}")


def _apt_install(packages: Sequence[str]) -> bool:
    """Install with the package lists at hand, then with fresh ones."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]

    def succeeds(command: Sequence[str]) -> bool:
        return (
            subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode == 0
        )

    return succeeds(install) or (succeeds(["apt-get", "update", "-qq"]) and succeeds(install))


def _hash(pins: Sequence[str]) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256("\n".join([version, *pins]).encode()).hexdigest()


def _stamp(section: str) -> Path:
    return venv_folder() / f"wander-{section}.stamp"


def _same(stamp: Path, expected: str) -> bool:
    return venv_python().exists() and stamp.exists() and stamp.read_text() == expected


@contextmanager
def _only_one(say: Say) -> Iterator[None]:
    """Two starts at once set up one after the other: the lock file of the packages is the lock."""
    with LOCK.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is setting up; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _need_disk(sections: Sequence[str]) -> None:
    place = next(folder for folder in venv_folder().parents if folder.exists())
    need, free = sum(DISK_GB[name] for name in sections), shutil.disk_usage(place).free / 1e9
    if free < need:
        raise SetupError(
            f"the environment in {venv_folder()} needs {need:.1f} GB, {free:.1f} GB are free; make room and start again"
        )


def _venv_package() -> list[str]:
    """Debian's package that `python -m venv` needs, where this Python came without it."""
    complete = any((Path(folder) / "ensurepip").is_dir() for folder in sys.path)
    return [] if complete else [f"python3.{sys.version_info.minor}-venv"]


def _make_venv(say: Say) -> None:
    """Make the virtual environment unless a working one of this Python version is there."""
    probe = "import pip, sys; print(sys.version_info[:2])"
    if venv_python().exists():
        found = subprocess.run([venv_python(), "-c", probe], capture_output=True, text=True, check=False)
        if found.stdout.strip() == str(sys.version_info[:2]):
            return
        say(f"making {venv_folder()} anew: the one there does not work with Python {sys.version.split()[0]}")
    elif venv_folder().is_dir() and any(venv_folder().iterdir()) and not (venv_folder() / "pyvenv.cfg").exists():
        raise SetupError(
            f"{venv_folder()} holds something else than a virtual environment; set WANDER_VENV to another folder"
        )
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", venv_folder()], stdout=sys.stderr, check=False)
    if made.returncode != 0:
        raise SetupError(
            f"python -m venv failed with exit status {made.returncode} in {venv_folder()}; on Debian install it with "
            f"'{apt_line([f'python3.{sys.version_info.minor}-venv'])}', then start again"
        )


def _pip_install(pins: Sequence[str], index: Sequence[str]) -> None:
    bar = "on" if sys.stderr.isatty() else "off"
    command = [
        venv_python(),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--progress-bar",
        bar,
        *index,
        *pins,
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise SetupError(
            f"pip ended with exit status {done.returncode} while installing {len(pins)} packages (see above); "
            "check the network, then start again: it goes on where it stopped"
        )


def _torch_index(say: Say) -> list[str]:
    """pip's arguments for PyTorch's index of CPU builds, where one is wanted and the index answers within 4 seconds."""
    if sys.platform != "linux" or has_nvidia_gpu():
        return []
    if _answers(f"{CPU_INDEX}/torch/", seconds=4.0):
        return ["--extra-index-url", CPU_INDEX]
    say(f"{CPU_INDEX} does not answer: torch comes from where pip is set to look, on PyPI a CUDA build of several GB")
    return []


def _answers(url: str, seconds: float) -> bool:
    """Whether `url` can be read in time. A thread, because resolving a name has no time limit of its own."""
    from urllib.request import urlopen  # here, because it costs every start more than all the rest

    answered = threading.Event()

    def ask() -> None:
        try:
            with urlopen(url, timeout=seconds) as reply:
                if reply.status == 200:
                    answered.set()
        except OSError:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()
