"""Resolve pyproject.toml with pip and write requirements.lock: `python3 .ci/lock.py` (installs nothing)."""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Exact pins, installed by launch.py; written by `python3 .ci/lock.py` from pyproject.toml.
# [play] is always installed, [test] by `launch.py test`, [scan] by `launch.py scan`, [released] for a
# released preset, [gpu] where an NVIDIA GPU is.
"""
PIP = (
    sys.executable,
    "-m",
    "pip",
    "install",
    "-qq",
    "--dry-run",
    "--ignore-installed",
    "--report",
    "-",
    "--constraint",
)


def resolve(requirements: list[str], pins: dict[str, str]) -> dict[str, str]:
    """Name -> public version of all that pip would install for `requirements`, held to `pins` where it needs them."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("".join(f"{name}=={version}\n" for name, version in pins.items()))
        constraints.flush()
        done = subprocess.run([*PIP, constraints.name, *requirements], check=True, stdout=subprocess.PIPE)
    found = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return dict(sorted((re.sub(r"[-_.]+", "-", m["name"]).lower(), m["version"].split("+")[0]) for m in found))


def section(wanted: list[str], found: dict[str, str]) -> str:
    """One section's lines. A requirement for other systems than this one is copied as it stands."""
    markers = {re.split("[<>=; ]", line)[0]: line.partition(";")[2] for line in wanted}
    lines = [
        f"{name}=={version}" + (f";{markers[name]}" if markers.get(name) else "") for name, version in found.items()
    ]
    lines += [line for line in wanted if re.split("[<>=; ]", line)[0] not in found]
    return "\n".join(lines) + "\n"


def lock(project: dict) -> str:
    """Text of requirements.lock: each section holds what it needs beyond [play], resolved to agree with the others."""
    play = resolve(project["dependencies"], {})
    pins, text = dict(play), HEAD + "\n# [play]\n" + section(project["dependencies"], play)
    for name, wanted in project["optional-dependencies"].items():
        found = resolve([*project["dependencies"], *wanted], pins)
        pins |= found
        text += f"\n# [{name}]\n" + section(wanted, {key: found[key] for key in found if key not in play})
    return text


if __name__ == "__main__":
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ROOT / "requirements.lock").write_text(lock(settings))
