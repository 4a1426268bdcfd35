"""Runs every fixture of a folder. What a fixture holds is told by what its header says, never by its name or sizes."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from tests.parity.autoencoders import check_autoencoder
from tests.parity.fixture import Fixture, Outcome, read_folder
from tests.parity.networks import check_rollouts, check_transformer
from tests.parity.tables import check_actions, check_memory, check_names, check_schedules

Check = Callable[[Fixture], Iterator[Outcome]]


def check_of(fixture: Fixture, fixtures: list[Fixture]) -> Check | None:
    """The check that a fixture's header calls for; None for a kind that nobody here knows."""
    header = fixture.header
    if header["format"].startswith("wp-names"):
        return check_names
    if "pose_strings" in header or "c2w_trajectories" in header:
        return check_actions
    if "paths" in header:
        return check_memory
    if "schedules_8b" in header or "schedule_wan" in header:
        return check_schedules
    if "cases" in header and "config" in header:
        return check_transformer
    if "cases" in header:
        known = {other.header.get("fixture", other.name): other for other in fixtures}
        return lambda rollouts: check_rollouts(rollouts, known)
    return check_autoencoder if "config" in header else None


@torch.inference_mode()
def run(folder: Path) -> Iterator[tuple[str, Outcome]]:
    """(fixture, outcome) of every case in the folder, in order. A fixture of an unknown kind is a `ValueError`."""
    fixtures = read_folder(folder)
    for fixture in fixtures:
        check = check_of(fixture, fixtures)
        if check is None:
            keys = ", ".join(fixture.header)
            raise ValueError(f"{fixture.name}.json is a fixture of an unknown kind; its header has {keys}")
        for outcome in check(fixture):
            yield fixture.name, outcome
