#!/usr/bin/env python3
"""Wander's command line. Needs only Python: the first start makes .venv, fills it and goes on inside it.

Every verb is a thin function that imports what it runs when it runs. This is the only file of the program that prints.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

PYTHON = ((3, 11), (3, 13))
"""Oldest and newest Python that the pinned packages have wheels for."""
STEADY_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""Keeps glibc from handing freed tensors back to the kernel, which costs training time. Read once, at process start."""

PROBES = {"arithmetic": "engine.machine:arithmetic", "graphics": "render.probe:graphics", "fonts": "render.probe:fonts"}
"""What `doctor` measures beyond worker/: section -> "module:function"."""
ROOT = Path(__file__).resolve().parent


class Verb(NamedTuple):
    """One word of the command line."""

    run: Callable[[list[str]], int | None]
    """Takes the arguments after the verb; returns the exit status, None for 0."""
    summary: str
    examples: tuple[str, ...]
    sections: tuple[str, ...] = ("play",)
    """Sections of requirements.lock that must be installed first."""
    environment: Mapping[str, str] = MappingProxyType({})
    """Environment variables that must be set before the process starts."""


def play(arguments: list[str]) -> int | None:
    """The explorer: window or, with --headless, script and recording."""
    from app.main import run

    return run(arguments)


def test(arguments: list[str]) -> int | None:
    """The tests, with pytest's own arguments."""
    import pytest

    os.chdir(ROOT)
    return int(pytest.main(arguments))


def doctor(arguments: list[str]) -> int | None:
    """What this machine can do, in one screen or as one JSON object."""
    import json

    from worker import doctor

    options = doctor.parser().parse_args(arguments)
    report = doctor.examine(PROBES, ROOT / "models")
    print(json.dumps(report) if options.json else doctor.card(report))
    return 0


VERBS = {
    "play": Verb(
        play,
        "walk through a generated world (the default verb)",
        (
            "launch.py",
            'launch.py play --world text:"a lighthouse at dusk"',
            "launch.py play --world image:holiday.jpg --chunk 1",
        ),
    ),
    "doctor": Verb(doctor, "what this machine can do, in one screen", ("launch.py doctor", "launch.py doctor --json")),
    "test": Verb(
        test,
        "set-up and all tests; pytest's arguments",
        ("launch.py test", "launch.py test tests/engine -k memory", "launch.py test -m slow"),
        sections=("play", "test"),
    ),
}


def overview() -> str:
    """The text of `launch.py --help`."""
    lines = [
        "Wander: walk through worlds that a video model invents in front of you.",
        "",
        "usage: launch.py [VERB] [OPTIONS]",
        "",
    ]
    lines += [f"  {name:<10}{verb.summary}" for name, verb in VERBS.items()]
    lines += ["", "examples:"] + [f"  {example}" for verb in VERBS.values() for example in verb.examples[:2]]
    return "\n".join([*lines, "", "launch.py VERB --help shows a verb's options."])


def examples(verb: Verb) -> str:
    """What stands below a verb's own help."""
    return "\n".join(["", "examples:", *(f"  {example}" for example in verb.examples)])


def say(sentence: str) -> None:
    """Progress and errors go to stderr: stdout is for results."""
    print(f"wander: {sentence}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run one verb; returns the exit status: 2 for what the user can mend, said in one sentence."""
    if not PYTHON[0] <= sys.version_info[:2] <= PYTHON[1]:
        oldest, newest = (".".join(map(str, version)) for version in PYTHON)
        say(f"Python {sys.version.split()[0]} is not one of {oldest} to {newest}; use python{oldest} launch.py")
        return 2
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        print(overview())
        return 0
    implied = not arguments or arguments[0].startswith("-")
    name, rest = ("play", arguments) if implied else (arguments[0], arguments[1:])
    if name not in VERBS:
        say(f"there is no verb '{name}'; the {len(VERBS)} verbs are {', '.join(VERBS)} (see launch.py --help)")
        return 2
    try:
        enter_environment(VERBS[name], arguments)
        return run(VERBS[name], rest)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if "WanderError" not in {kind.__name__ for kind in type(error).__mro__}:
            raise
        say(str(error))
        return 2


def run(verb: Verb, arguments: list[str]) -> int:
    """Run `verb` here, its examples below its help."""
    try:
        return verb.run(arguments) or 0
    finally:
        if {"--help", "-h"} & set(arguments) and verb.run is not test:
            print(examples(verb))


def enter_environment(verb: Verb, arguments: list[str]) -> None:
    """Make the environment where it is missing and start over inside it; returns where this process is there."""
    from worker import environment

    """Make the environment where it is missing and start over inside it; returns where this process is inside."""
    environment.prepare(verb.sections, say)
    if environment.inside() and verb.environment.items() <= os.environ.items():
        return
    python = str(environment.venv_python())
    sys.stdout.flush()
    os.execve(python, [python, str(ROOT / "launch.py"), *arguments], {**os.environ, **verb.environment})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
