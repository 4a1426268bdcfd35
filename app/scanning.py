"""What the window knows of a scan and of the walk's exact path. Plain state, fed by the worker's messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker import protocol as wire


@dataclass(kw_only=True, slots=True)
class ScanState:
    """The scan that is under way, and the last one that was finished."""

    running: bool = False
    fraction: float = 0.0
    stage: str = ""
    file: Path | None = None
    """What the last scan wrote."""
    summary: str = ""

    def begin(self) -> None:
        """A scan was asked for."""
        self.running, self.fraction, self.stage = True, 0.0, "Starting"

    def heard(self, progress: wire.Progress) -> None:
        """The worker has told how far it is."""
        self.fraction, self.stage = progress.fraction, progress.sentence

    def ended(self, reply: wire.Reply) -> str:
        """The worker has answered; returns a sentence for the person."""
        self.running = False
        if reply.error:
            return reply.error
        self.file = Path(str(reply.data.get("file") or ""))
        kind, count = ("triangles", reply.data.get("triangles")) if reply.data.get("triangles") else (
            "points", reply.data.get("points"))  # fmt: skip
        views = reply.data.get("views")
        self.summary = f"{int(count or 0):,} {kind} from {views} view{'' if views == 1 else 's'}"
        return str(reply.data.get("notice") or f"Scanned: {self.summary}")


@dataclass(kw_only=True, slots=True)
class Path2D:
    """Where the camera stood at the end of every latent: `places` float32 `[N, 4]`, x, z, heading, chunk."""

    places: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    recalled: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """Those of the places that memory recalled for the newest chunk."""

    def take(self, trail: wire.Trail) -> None:
        """Take in what the worker tells."""
        told = np.frombuffer(trail.places[: len(trail.places) // 16 * 16], np.float32).reshape(-1, 4)
        self.places = told if trail.whole else np.vstack([self.places, told])
        known = [len(self.places) - 1 - back for back in trail.recalled if back < len(self.places)]
        self.recalled = self.places[known]

    def until(self, chunk: int) -> NDArray[np.float32]:
        """The places up to the end of a chunk."""
        return self.places[: int(np.searchsorted(self.places[:, 3], chunk, side="right"))]
