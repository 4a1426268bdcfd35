"""The committed protocol (`protocol.json`): which clips, which settings, which bounds. It was written before the model
was trained.

A walking clip translates its camera; rotation-only and still clips are scored apart, because a frame that only turns is
easier to guess.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.errors import WanderError
from engine.evaluation.metrics import Bootstrap

PROTOCOL = Path(__file__).with_name("protocol.json")
FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Following:
    """When a chunk's motion along an axis counts as pressed or not, as shares of what the key does."""

    still_below: float
    """Commanded less than this: the axis is at rest."""
    moved_above: float
    """Commanded at least this: the axis moves. In between, a chunk says nothing about the axis."""
    threshold: float
    """Estimated more than this: the picture moved along the axis."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What the claims are held against."""

    gradient_energy_ratio: tuple[float, float]
    following_share_of_floor: float
    gain: tuple[float, float]
    walking_clips: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortProtocol:
    """One given frame, `frames` frames along the true cameras, compared with the truth."""

    walks: MappingProxyType[str, int]
    """Kind of walk -> clips of it (`engine.trajectories.KINDS`)."""
    frames: int
    event_rate: float
    seed: int
    sampling_steps: int
    dfd_every: int
    """DFD is measured at every so many frames: the backbone costs more than the other scores together."""
    following: Following
    bootstrap: Bootstrap
    bounds: Bounds

    def scaled(self, clips: int) -> dict[str, int]:
        """`clips` clips shared among the kinds of walk as the protocol does (largest remainders)."""
        total = sum(self.walks.values())
        exact = {kind: clips * count / total for kind, count in self.walks.items()}
        shares = {kind: int(value) for kind, value in exact.items()}
        for kind in sorted(exact, key=lambda kind: shares[kind] - exact[kind])[: clips - sum(shares.values())]:
            shares[kind] += 1
        return {kind: count for kind, count in shares.items() if count}


def short_protocol(path: Path = PROTOCOL) -> ShortProtocol:
    """Reads the protocol. Raises `WanderError` if the file is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        short, bounds = found["short"], found["bounds"]
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, this program reads {FORMAT}")
        pairs: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in bounds.items()
        }
        return ShortProtocol(
            **short | {"walks": MappingProxyType(short["walks"])},
            following=Following(**found["following"]),
            bootstrap=Bootstrap(**found["bootstrap"]),
            bounds=Bounds(**pairs),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WanderError(
            f"the protocol {path} can't be read ({error}); "
            f"restore it with 'git checkout -- {path.name}' in {path.parent}"
        ) from None
