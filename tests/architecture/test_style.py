"""Linting and type checking, as pyproject.toml sets them, are part of the suite."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT

BIN = Path(sys.executable).parent


def findings(*command: str) -> str:
    """Output of a checker run at the top of the checkout; empty where it found nothing. Leaves no process behind."""
    line = [str(BIN / command[0]), *command[1:]]
    process = subprocess.Popen(
        line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return "" if process.returncode == 0 else output


def test_ruff_finds_nothing_to_say():
    found = findings("ruff", "check", "--no-cache", "--quiet", "--output-format", "concise", ".")
    assert not found, found


@pytest.mark.timeout(1200)  # 35 s of processor time, which a busy machine may take long to give
def test_the_type_checker_finds_no_error():
    found = findings("basedpyright", "--level", "error", "--pythonpath", sys.executable)
    assert not found, found


def test_a_finding_reaches_the_report(tmp_path):
    (tmp_path / "bad.py").write_text("import os\n")
    assert "F401" in findings("ruff", "check", "--no-cache", "--output-format", "concise", str(tmp_path))
