"""The released models against numbers computed from their release: every case of every fixture at hand.

A small copy is committed; the full set is used as well where it lies beside the repository.
"""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.parity.__main__ import main
from tests.parity.fixture import Outcome, read_folder
from tests.parity.runner import check_of, run

COMMITTED = Path(__file__).parent / "fixtures"
FULL = Path(__file__).resolve().parents[3] / "shared" / "spec" / "fixtures"
FOLDERS = [folder for folder in (COMMITTED, FULL) if folder.is_dir()]
EVERY_FIXTURE = [pytest.param(fixture, id=f"{'committed' if folder == COMMITTED else 'full'}-{fixture.name}")
                 for folder in FOLDERS for fixture in read_folder(folder)]


@pytest.mark.parametrize("fixture", EVERY_FIXTURE)
def test_every_case_stays_within_the_tolerance_that_its_fixture_states(fixture):
    check = check_of(fixture, read_folder(fixture.folder))
    assert check is not None
    with torch.inference_mode():
        failures = [outcome for outcome in check(fixture) if not outcome.holds]
    assert not failures


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with the 5B's fixture alone, under other names."""
    header = json.loads((COMMITTED / "wp5b_ar_a.json").read_text())
    renamed = {header["weights"]["file"]: "numbers.safetensors"}
    renamed |= {case["file"]: f"case-{index}.safetensors" for index, case in enumerate(header["cases"])}
    for old, new in renamed.items():
        shutil.copyfile(COMMITTED / old, tmp_path / new)
    header["weights"]["file"] = renamed[header["weights"]["file"]]
    for case in header["cases"]:
        case["file"] = renamed[case["file"]]
    (tmp_path / "anything.json").write_text(json.dumps(header | {"fixture": "of another name"}))
    return tmp_path


def test_a_fixture_is_known_by_what_it_holds_not_by_its_name(small, capsys):
    assert main([str(small)]) == 0
    assert "0 above their tolerance" in capsys.readouterr().out


def test_one_wrong_number_fails_the_run_and_names_its_case(small, capsys):
    path = small / "case-0.safetensors"
    tensors = load_file(path)
    tensors["out.velocity"].flatten()[3] += 1e-3
    save_file(tensors, path)
    assert main([str(small)]) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 1 and "velocity" in failed[0] and "anything" in failed[0]


def test_a_weight_that_is_missing_or_unknown_is_no_state_dict(small):
    path = small / "numbers.safetensors"
    tensors = load_file(path)
    tensors["blocks.0.attn1.to_q.surprise"] = tensors.pop("blocks.0.attn1.to_q.bias")
    save_file(tensors, path)
    with pytest.raises(RuntimeError, match="surprise"):
        list(run(small))


def test_a_result_that_is_not_a_number_does_not_hold():
    assert not Outcome("case", float("nan"), 1.0).holds


def test_an_unknown_kind_of_fixture_is_an_error_not_a_pass(tmp_path):
    (tmp_path / "new.json").write_text(json.dumps({"format": "wp-fixture/1", "fixture": "new"}))
    with pytest.raises(ValueError, match="unknown kind"):
        list(run(tmp_path))


def test_an_empty_folder_proves_nothing(tmp_path):
    assert main([str(tmp_path)]) == 1
    assert main([str(tmp_path / "nowhere")]) == 2
