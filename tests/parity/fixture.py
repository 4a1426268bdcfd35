"""Reading numeric fixtures: a JSON header beside safetensors files, in the format that SPEC.md describes (16)."""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

FORMATS = ("wp-fixture/1", "wp-names/1")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case came to: its largest absolute error (or number of differences) and what is allowed."""

    case: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """False also for an error that is not a number."""
        return self.error <= self.tolerance


@dataclass(frozen=True, slots=True)
class Fixture:
    """One JSON header and the folder it stands in."""

    folder: Path
    name: str
    header: dict[str, Any]

    def tensors(self, file: str) -> dict[str, Tensor]:
        """Tensors of one of its files."""
        return load_file(self.folder / file)

    def weights(self) -> dict[str, Tensor]:
        """The complete state dict; low-rank entries are multiplied out exactly."""
        entry = self.header["weights"]
        state = self.tensors(entry["file"])
        for part in entry.get("low_rank", []):
            product = state.pop(part["left"]).int() @ state.pop(part["right"]).int()
            state[part["name"]] = product.float() * 2.0 ** part["exponent"]
        return state

    def tolerance(self, key: str = "max_abs") -> float:
        """What the header allows; exact if it states no number."""
        value = self.header.get("tolerance", {}).get(key, 0.0)
        return float(value) if isinstance(value, (int, float)) else 0.0


def read_folder(folder: Path) -> list[Fixture]:
    """Every fixture in a folder, by name; other JSON files are passed over."""
    found = []
    for path in sorted(folder.glob("*.json")):
        header = json.loads(path.read_text())
        if isinstance(header, dict) and header.get("format") in FORMATS:
            found.append(Fixture(folder, path.stem, header))
    return found


def largest_error(pairs: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Largest absolute difference over pairs of tensors; infinite where shapes differ."""
    worst = 0.0
    for made, expected in pairs:
        if made.shape != expected.shape:
            return float("inf")
        difference = (made.double() - expected.double()).abs().max().item() if made.numel() else 0.0
        worst = max(worst, difference) if difference == difference else float("nan")
    return worst


def intrinsics(normalised: Tensor) -> Tensor:
    """Kh = diag(fx, fy, 1, 1), `[T, 4, 4]` float64, from normalised intrinsics `[T, 3, 3]`."""
    focal = normalised.double().diagonal(dim1=-2, dim2=-1)[..., :2]
    return torch.diag_embed(torch.cat([focal, torch.ones_like(focal)], -1))
