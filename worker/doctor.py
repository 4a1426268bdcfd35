"""What this machine can do, for `launch.py doctor`: facts gathered one by one, each fit to be printed as JSON.

Probes that a driver can crash or hang (OpenGL, torch) run in a process of their own and are named as "module:function",
so that this module imports neither.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import platform
import re
import shutil
from collections.abc import Mapping
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from worker import environment

CPU_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16")
PROBE_SECONDS = 60.0

Facts = dict[str, Any]
"""One section of the report: plain values only."""


def parser() -> argparse.ArgumentParser:
    """Command line of `launch.py doctor`."""
    made = argparse.ArgumentParser(prog="launch.py doctor", description="What this machine can do, in one screen.")
    made.add_argument("--json", action="store_true", help="one JSON object instead of the screen")
    return made


def examine(probes: Mapping[str, str], models: Path) -> dict[str, Facts]:
    """The whole report: section name -> facts. `probes` maps further sections to their "module:function"."""
    report = {"system": system(), "processor": processor(), "memory": memory()}
    report |= {section: isolated(target) for section, target in probes.items()}
    return report | {"models": model_files(models), "packages": packages()}


def system() -> Facts:
    """Operating system and Python."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.platform(terse=True)
    return {"os": name, "kernel": platform.release(), "python": platform.python_version()}


def processor() -> Facts:
    """Model name, cores this process may use, and the instruction sets that matter to matrix products."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    held = set(flags.group(1).split()) if flags else set()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": name.group(1) if name else platform.machine(),
        "cores": cores,
        "features": {feature: feature in held for feature in CPU_FEATURES},
        "nvidia_gpu": environment.has_nvidia_gpu(),
    }


def memory() -> Facts:
    """Gigabytes (10^9 bytes) of memory and of disk beside the program."""
    ram, disk = psutil.virtual_memory(), shutil.disk_usage(environment.ROOT)
    sizes = {"total": ram.total, "free": ram.available, "disk_free": disk.free}
    return {f"{name}_gb": round(size / 1e9, 1) for name, size in sizes.items()}


def isolated(target: str, seconds: float = PROBE_SECONDS) -> Facts:
    """Facts from "module:function" in a process of its own; {"error": sentence} where it raises, crashes or hangs."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_report, args=(target, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        return json.loads(ours.recv_bytes()) if ours.poll(seconds) else {"error": f"no answer within {seconds:.0f} s"}
    except EOFError:
        child.join()
        return {"error": f"the probe {target} ended with exit status {child.exitcode}"}
    finally:
        child.kill()
        child.join()


def _report(target: str, pipe: Connection) -> None:
    module, function = target.split(":")
    try:
        facts = getattr(importlib.import_module(module), function)()
    except Exception as error:  # the sentence is the finding
        facts = {"error": f"{type(error).__name__}: {error}"}
    pipe.send_bytes(json.dumps(facts).encode())


def model_files(folder: Path) -> Facts:
    """Path of every weight file in `folder` -> its size, and whether its sha256 is that of the NAME.json beside it."""
    return {str(path.relative_to(folder)): _model_file(path) for path in sorted(folder.rglob("*.safetensors"))}


def _model_file(path: Path) -> Facts:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        expected = json.loads(path.with_suffix(".json").read_text())["sha256"]
        state = "whole" if found == expected else "damaged"
    except FileNotFoundError:
        state = "without its manifest"
    except (ValueError, KeyError, TypeError):
        state = "with a damaged manifest"
    return {"state": state, "megabytes": round(path.stat().st_size / 1e6, 1), "sha256": found}


def packages() -> Facts:
    """Sections of requirements.lock installed here, and of theirs the pins and Debian packages missing after all."""
    lock = environment.read_lock(environment.LOCK.read_text())
    sections = [name for name in lock if not environment.unmet([name])]
    return {
        "installed": sections,
        "missing": [pin for name in sections for pin in lock[name] if not _installed(pin)],
        "missing_debian": environment.missing_debian([item for name in sections for item in environment.debian(name)]),
    }


def _installed(pin: str) -> bool:
    name, _, version = pin.partition(";")[0].partition("==")
    try:
        return metadata.version(name).split("+")[0] == version.strip()
    except metadata.PackageNotFoundError:
        return False


def card(report: Mapping[str, Facts]) -> str:
    """The report as one screen of text."""
    lines = {name: _LINES[name](facts) if "error" not in facts else [facts["error"]] for name, facts in report.items()}
    rows = [f"  {name if first else '':<12}{line}" for name, found in lines.items() for first, line in _firsts(found)]
    return "\n".join(["Wander on this machine", "", *rows])


def _firsts(lines: list[str]) -> list[tuple[bool, str]]:
    return [(index == 0, line) for index, line in enumerate(lines)]


def _processor_lines(facts: Facts) -> list[str]:
    held = [name for name, present in facts["features"].items() if present]
    gpu = "; NVIDIA GPU" if facts["nvidia_gpu"] else ""
    return [f"{facts['name']}, {facts['cores']} cores; {' '.join(held) or 'no known extensions'}{gpu}"]


def _arithmetic_lines(facts: Facts) -> list[str]:
    rates = f"fp32 {facts['fp32_gflops']:.1f}, bf16 {facts['bf16_gflops']:.1f} GFLOP/s on {facts['threads']} threads"
    gpus = [f"GPU {gpu['name']}, {gpu['memory_gb']} GB" for gpu in facts["gpus"]]
    return [f"torch {facts['torch']}: {rates}; models compute in {facts['precision']} on {facts['device']}", *gpus]


def _graphics_lines(facts: Facts) -> list[str]:
    kind = "software" if facts["software"] else "hardware"
    return [f"{facts['renderer']}: OpenGL {facts['version']} in {kind}, through EGL"]


def _models_lines(facts: Facts) -> list[str]:
    remedy = "; restore it with 'git checkout -- models'"
    lines = [
        f"{name}, {file['megabytes']} MB: {file['state']}{'' if file['state'] == 'whole' else remedy}"
        for name, file in facts.items()
    ]
    return lines or ["none found in models/"]


def _packages_lines(facts: Facts) -> list[str]:
    lines = [f"installed: {', '.join(facts['installed'])}"]
    if facts["missing"]:
        lines += [f"not as pinned: {', '.join(facts['missing'])}; delete {environment.venv_folder()} and start again"]
    if facts["missing_debian"]:
        lines += [f"missing: {environment.apt_line(facts['missing_debian'])}"]
    return lines


_LINES = {
    "system": lambda facts: [f"{facts['os']}, kernel {facts['kernel']}, Python {facts['python']}"],
    "processor": _processor_lines,
    "memory": lambda facts: [
        f"{facts['free_gb']} of {facts['total_gb']} GB free, disk {facts['disk_free_gb']} GB free"
    ],
    "arithmetic": _arithmetic_lines,
    "graphics": _graphics_lines,
    "models": _models_lines,
    "fonts": lambda facts: [f"Chinese: {facts['chinese'] or 'none found'}"],
    "packages": _packages_lines,
}
