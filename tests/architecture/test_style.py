"""Linting and type checking, as pyproject.toml sets them, are part of the suite."""

import subprocess
import sys
from pathlib import Path

from tests.architecture.tree import ROOT

BIN = Path(sys.executable).parent


def findings(*command: str) -> str:
    """Output of a checker run at the top of the checkout; empty where it found nothing."""
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=240)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing_to_say():
    assert not findings("ruff", "check", "--no-cache", "--quiet", "--output-format", "concise", ".")


def test_the_type_checker_finds_no_error():
    assert not findings("basedpyright", "--level", "error", "--pythonpath", sys.executable)
