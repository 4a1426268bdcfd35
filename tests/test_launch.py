"""The command line: what it answers to, and how it ends."""

import sys
from pathlib import Path

import pytest

import launch
from launch import Verb, main
from worker.errors import WanderError

ROOT = Path(launch.__file__).parent


@pytest.fixture
def verb(monkeypatch):
    """Register a verb `go` that runs the given function, in this process and environment."""
    monkeypatch.setattr(launch, "enter_environment", lambda verb, arguments: None)

    def register(run, name="go"):
        monkeypatch.setitem(launch.VERBS, name, Verb(run, "goes", ("launch.py go fast",)))

    return register


def raising(error):
    """A verb that fails with `error`."""

    def run(arguments):
        raise error

    return run


def test_a_verb_gets_the_arguments_after_it_and_gives_the_exit_status(verb):
    verb(lambda arguments: len(arguments))
    assert main(["go", "--fast", "far"]) == 2


@pytest.mark.parametrize("arguments", [[], ["--world", "seed:7"]])
def test_no_verb_means_play(verb, arguments):
    seen = []
    verb(seen.append, name="play")
    assert main(arguments) == 0
    assert seen == [arguments]


def test_an_unknown_verb_lists_the_valid_ones(capsys):
    assert main(["fly"]) == 2
    sentence = capsys.readouterr().err
    assert all(name in sentence for name in launch.VERBS)


def test_what_a_person_can_mend_is_one_sentence_and_status_2(verb, capsys):
    verb(raising(WanderError("the picture is 3 pixels wide, at least 16 are needed; choose another")))
    assert main(["go"]) == 2
    assert capsys.readouterr().err == "wander: the picture is 3 pixels wide, at least 16 are needed; choose another\n"


def test_a_file_that_cannot_be_used_is_one_sentence_and_status_2(verb, capsys, tmp_path):
    verb(lambda arguments: (tmp_path / "missing" / "file").write_text("x"))
    assert main(["go"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_mistake_of_the_program_keeps_its_traceback(verb):
    verb(raising(KeyError("ours")))
    with pytest.raises(KeyError):
        main(["go"])


def test_interrupting_ends_quietly_with_the_shells_status(verb, capsys):
    verb(raising(KeyboardInterrupt()))
    assert main(["go"]) == 130
    assert capsys.readouterr().err == ""


def test_another_python_is_refused_with_both_versions(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(sys, "version", "3.9.2 (default)")
    assert main([]) == 2
    assert "Python 3.9.2 is not one of 3.11 to 3.13" in capsys.readouterr().err


def test_help_names_every_verb_and_shows_runnable_examples(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in launch.VERBS)
    examples = [line.split() for verb in launch.VERBS.values() for line in verb.examples]
    assert all(words[0] == "launch.py" and (len(words) == 1 or words[1] in launch.VERBS) for words in examples)


def test_examples_stand_below_a_verbs_own_help(verb, capsys):
    verb(raising(SystemExit(0)))
    with pytest.raises(SystemExit):
        main(["go", "--help"])
    assert capsys.readouterr().out.endswith("examples:\n  launch.py go fast\n")


def test_the_progress_bar_says_each_tenth_once_where_there_is_no_terminal(capsys):
    show = launch.bar("clips")
    for done in [*range(1, 41), 40]:
        show(done, 40)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "wander: 40/40 clips"


def test_ci_runs_the_test_command_of_the_readme_and_nothing_else():
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert commands[-1] == "exec python3 launch.py test"
    assert "python3 launch.py test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("arguments", "sections"), [
    (["play"], ("play",)),
    (["play", "--preset", "worldplay-5b"], ("play", "released")),
    (["serve", "--preset=worldplay-8b"], ("play", "released")),
    (["models", "verify", "worldplay-5b"], ("play",)),
])  # fmt: skip
def test_encoders_are_installed_only_where_a_released_preset_is_asked_for(arguments, sections):
    assert launch.with_encoders(launch.VERBS[arguments[0]], arguments[1:]).sections == sections
