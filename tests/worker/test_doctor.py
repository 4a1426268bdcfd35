"""`launch.py doctor`: every fact survives a broken machine, and the screen says what to do."""

import hashlib
import json
import os
import signal

from worker import doctor


def facts() -> dict[str, int]:
    """A probe that works."""
    return {"answer": 42}


def crash() -> None:
    """A probe that dies as a bad driver does."""
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """A probe that never answers."""
    signal.pause()


def refuse() -> None:
    """A probe that raises."""
    raise OSError("libEGL.so.1 not loaded")


def test_a_probe_answers_from_a_process_of_its_own():
    assert doctor.isolated(f"{__name__}:facts") == {"answer": 42}


def test_a_probe_that_crashes_hangs_or_raises_is_a_finding_and_not_the_end():
    assert doctor.isolated(f"{__name__}:crash")["error"].endswith("exit status -11")
    assert doctor.isolated(f"{__name__}:hang", seconds=1.0) == {"error": "no answer within 1 s"}
    assert doctor.isolated(f"{__name__}:refuse") == {"error": "OSError: libEGL.so.1 not loaded"}


def test_a_flipped_byte_in_a_weight_file_is_found_and_the_remedy_named(tmp_path):
    weights = tmp_path / "pocket" / "vae.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    weights.with_suffix(".json").write_text(json.dumps({"sha256": hashlib.sha256(b"weights").hexdigest()}))
    assert doctor.model_files(tmp_path)["pocket/vae.safetensors"]["state"] == "whole"
    weights.write_bytes(b"weightS")
    report = {"models": doctor.model_files(tmp_path)}
    assert report["models"]["pocket/vae.safetensors"]["state"] == "damaged"
    assert "git checkout -- models" in doctor.card(report)


def test_a_weight_file_without_a_readable_manifest_is_not_called_whole(tmp_path):
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "b.safetensors").touch()
    (tmp_path / "b.json").write_text("{")
    states = [file["state"] for file in doctor.model_files(tmp_path).values()]
    assert states == ["without its manifest", "with a damaged manifest"]


def test_the_report_is_plain_json_and_fits_one_screen(tmp_path):
    report = doctor.examine({"graphics": f"{__name__}:refuse"}, tmp_path)
    assert json.loads(json.dumps(report)) == report
    screen = doctor.card(report).splitlines()
    assert len(screen) <= 24
    assert any("libEGL.so.1 not loaded" in line for line in screen)
