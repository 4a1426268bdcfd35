"""The committed protocol (`protocol.json`): which clips, which settings, which bounds. Each part was written before the
model that it judges was trained.

A walking clip translates its camera; rotation-only and still clips are scored apart, because a frame that only turns is
easier to guess.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from engine.errors import WanderError
from engine.evaluation.metrics import Bootstrap

PROTOCOL = Path(__file__).with_name("protocol.json")
FORMAT = 1
P = TypeVar("P", bound="Protocol")


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
    """What the claims of the short protocol are held against."""

    gradient_energy_ratio: tuple[float, float]
    following_share_of_floor: float
    gain: tuple[float, float]
    walking_clips: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LongBounds:
    """What the claims of the long protocol are held against."""

    revisit_clips: int
    gradient_energy_ratio: tuple[float, float]
    following_share_of_floor: float
    motion_over_floor: float
    """R_dist and T_dist may be this many times what the estimator finds in true frames."""
    share_of_autoencoder: float
    """PSNR of what was seen before, as a share of what the autoencoder alone allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftBounds:
    """What the claims of the drift protocol are held against."""

    late_over_early: tuple[float, float]
    gradient_energy_ratio: tuple[float, float]
    following_share_of_floor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanBounds:
    """What the claims of the scan protocol are held against."""

    walks: int
    halves_apart_of_depth: float
    """Median distance between the halves of a way back, as a share of depth."""
    disagreement: float
    """Median relative difference of the depths that different views give a surface."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderBounds:
    """What the claims of the autoencoder's protocol are held against."""

    clips: int
    psnr: float
    """dB, over all frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WallsBounds:
    """What the claims of the walls protocol are held against."""

    walls: int
    """Walks that have something solid in their way."""
    stopped: float
    """Share of them that touch nothing of it."""
    lost: float
    """Share of a true way, in metres, that is taken from it without need."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One given frame, `frames` frames along the true cameras of held-out worlds."""

    walks: MappingProxyType[str, int]
    """Kind of walk -> clips of it (`engine.trajectories.KINDS`, `engine.evaluation.routes.ROUTES`)."""
    frames: int
    event_rate: float
    seed: int
    sampling_steps: int
    bootstrap: Bootstrap
    near: float = 0.0
    """Share of the clips that begin close to something solid."""

    def scaled(self, clips: int) -> dict[str, int]:
        """`clips` clips shared among the kinds of walk as the protocol does (largest remainders)."""
        total = sum(self.walks.values())
        exact = {kind: clips * count / total for kind, count in self.walks.items()}
        shares = {kind: int(value) for kind, value in exact.items()}
        for kind in sorted(exact, key=lambda kind: shares[kind] - exact[kind])[: clips - sum(shares.values())]:
            shares[kind] += 1
        return {kind: count for kind, count in shares.items() if count}


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutProtocol(Protocol):
    """Pictures are compared, and cameras are found in them."""

    dfd_every: int
    """DFD is measured at every so many frames: the backbone costs more than the other scores together."""
    following: Following


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortProtocol(RolloutProtocol):
    """Compared with the truth (paper, table 2, short-term)."""

    bounds: Bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class LongProtocol(RolloutProtocol):
    """Walks that come back: the return is compared with the first pass (paper, table 2, long-term)."""

    overlap_below: float
    """A first view counts if the view at the turning point shows less than this share of its pixels."""
    bounds: LongBounds


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftProtocol(RolloutProtocol):
    """One long rollout: what its late frames have lost against its early ones."""

    full: int
    """Frames that a claim about drift needs. A shorter rollout scales the windows and says so."""
    early: tuple[int, int]
    """First frame and end of the early window."""
    late: tuple[int, int]
    bounds: DriftBounds

    def window(self, which: tuple[int, int], frames: int) -> slice:
        """A window in a rollout of `frames` frames: as it stands from `full` frames on, else scaled down."""
        scale = min(1.0, frames / self.full)
        return slice(*(round(scale * edge) for edge in which))

    def every(self, frames: int) -> int:
        """How far apart the measured frames of a rollout of `frames` frames are: a shorter one is measured finer."""
        return min(self.dfd_every, max(4, self.dfd_every * frames // self.full))


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanProtocol(Protocol):
    """What a scan of a walk is worth: of true frames against the true surface, of generated ones against themselves."""

    thresholds: tuple[float, ...]
    """Shares of depth within which a point is right."""
    far: float
    """Units: surfaces beyond are not judged, as they are not fused."""
    voxel: float
    """Units between the points of a cloud, the same for all methods."""
    fineness: float
    """Share of their depth that the points of the true surface are apart."""
    bounds: ScanBounds


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderProtocol(Protocol):
    """What the autoencoder alone makes of true frames, biome by biome and event by event."""

    bounds: AutoencoderBounds


@dataclass(frozen=True, kw_only=True, slots=True)
class WallsProtocol(Protocol):
    """Whether walking stops before what is solid, and before nothing else."""

    chunks: int
    """How long the key for forward is held."""
    bounds: WallsBounds


def short_protocol(path: Path = PROTOCOL) -> ShortProtocol:
    """Reads the short protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "short", ShortProtocol, Bounds)


def long_protocol(path: Path = PROTOCOL) -> LongProtocol:
    """Reads the long protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "long", LongProtocol, LongBounds)


def drift_protocol(path: Path = PROTOCOL) -> DriftProtocol:
    """Reads the drift protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "drift", DriftProtocol, DriftBounds)


def scan_protocol(path: Path = PROTOCOL) -> ScanProtocol:
    """Reads the scan protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "scan", ScanProtocol, ScanBounds)


def autoencoder_protocol(path: Path = PROTOCOL) -> AutoencoderProtocol:
    """Reads the autoencoder's protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "autoencoder", AutoencoderProtocol, AutoencoderBounds)


def walls_protocol(path: Path = PROTOCOL) -> WallsProtocol:
    """Reads the walls protocol. Raises `WanderError` if the file is damaged."""
    return _read(path, "walls", WallsProtocol, WallsBounds)


def _read(path: Path, name: str, protocol: type[P], bounds: type) -> P:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, this program reads {FORMAT}")
        part: dict[str, Any] = {"bounds": found["bounds"], **found[name]}
        read = _tuples(part) | {
            "walks": MappingProxyType(part["walks"]),
            "bounds": bounds(**_tuples(part["bounds"])),
            "bootstrap": Bootstrap(**found["bootstrap"]),
        }
        if issubclass(protocol, RolloutProtocol):
            read["following"] = Following(**found["following"])
        return protocol(**read)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WanderError(
            f"the protocol {path} can't be read ({error}); "
            f"restore it with 'git checkout -- {path.name}' in {path.parent}"
        ) from None


def _tuples(found: dict[str, Any]) -> dict[str, Any]:
    """The same with lists as tuples: a protocol can't be changed once it is read."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
