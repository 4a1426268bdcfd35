"""What the program's code never does, and how long its parts may be."""

import ast
import subprocess
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, dotted, imports, name, parse, program, sources

BANNED_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "jsonpickle"}
BANNED_CALLS = {"eval", "exec", "compile", "torch.load", "os.system", "os.popen", "yaml.load", "__import__"}
BANNED_METHODS = {"recv_pyobj", "send_pyobj"}
BANNED_ARGUMENTS = {("allow_pickle", True), ("shell", True), ("weights_only", False)}
ALLOWED: dict[str, set[str]] = {"engine/convert.py": {"torch.load"}}
"""File -> banned names it may use after all. The one case: the converter of the released, pickled 5B."""


def calls(path: Path) -> list[ast.Call]:
    """Every call in a file."""
    return [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]


def offences(path: Path) -> set[str]:
    """Names of banned modules, calls and arguments that a file uses."""
    found = {item.split(".")[0] for item in imports(parse(path))} & BANNED_MODULES
    for call in calls(path):
        called = dotted(call.func)
        found |= {called} & BANNED_CALLS | {called.rpartition(".")[2]} & BANNED_METHODS
        for argument in call.keywords:
            if isinstance(argument.value, ast.Constant) and (argument.arg, argument.value.value) in BANNED_ARGUMENTS:
                found.add(f"{argument.arg}={argument.value.value}")
    return found - ALLOWED.get(name(path), set())


@pytest.mark.parametrize("path", [*program(), *sources("tests")], ids=name)
def test_nothing_that_runs_data_as_code_is_used(path):
    assert not offences(path)


def test_the_ban_recognises_what_it_bans(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.architecture.test_code.name", str)
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import pickle\nfrom yaml import load\ntorch.load(f)\neval(x)\n"
        "nets[0].eval()\nnp.load(f, allow_pickle=True)\nq.recv_pyobj()\n"
    )
    assert offences(bad) == {"pickle", "yaml", "torch.load", "eval", "allow_pickle=True", "recv_pyobj"}


def test_only_launch_prints():
    printing = {
        name(path)
        for path in program()
        for call in calls(path)
        if dotted(call.func) in {"print", "pprint.pprint", "sys.stdout.write"}
    }
    assert printing <= {"launch.py"}


@pytest.mark.parametrize("path", [*program(), *sources("tests")], ids=name)
def test_a_file_holds_one_concept_and_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", program(), ids=name)
def test_a_function_is_at_most_80_lines_long(path):
    long = {
        node.name: length
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > 80
    }
    assert not long


def test_the_top_level_holds_only_the_agreed_folders():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders - {"__pycache__", "runs", "data"} <= {
        "app",
        "engine",
        "render",
        "worker",
        "tests",
        "assets",
        "models",
        "docs",
    }


def test_nothing_in_the_repository_is_a_link_to_elsewhere():
    listed = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    assert not [line for line in listed.stdout.splitlines() if line.startswith("120000")]


def test_no_code_is_left_for_later():
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")
    left = [
        f"{name(path)}:{number}"
        for path in program()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(mark in line for mark in marks)
    ]
    assert not left


def test_the_one_file_that_may_load_a_pickle_asks_for_tensors_alone():
    loads = [call for call in calls(ROOT / "engine" / "convert.py") if dotted(call.func) == "torch.load"]
    assert len(loads) == 1
    given = {argument.arg: argument.value for argument in loads[0].keywords}
    assert isinstance(given["weights_only"], ast.Constant) and given["weights_only"].value is True
