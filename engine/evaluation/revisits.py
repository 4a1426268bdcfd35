"""Which frames of a walk see a place again that only memory can know (paper, section 4, long-term).

A *revisit* is a frame whose camera is where an earlier frame's was. It counts if, at the turning point (the frame half
way between the two), the first view had left the recent window, which every model keeps, and the view there showed
less than a tenth of its pixels by true depth: whoever forgets can't repeat it. NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.actions import heading
from engine.evaluation.visibility import visible_in
from engine.geometry import Lens, Matrix

NEAR = 0.02
"""Metres between cameras that are at the same place."""
ALIKE = np.radians(0.3)
"""Radians between cameras that look the same way."""


@dataclass(frozen=True, slots=True, eq=False)
class Revisits:
    """P counted pairs of frames with the same camera."""

    first: NDArray[np.intp]
    """`[P]`: the frame in which the place was seen first."""
    again: NDArray[np.intp]
    """`[P]`: the frame of the return, ascending."""

    def __len__(self) -> int:
        return len(self.again)


def find_revisits(
    poses: Matrix,
    depths: NDArray[np.floating],
    lens: Lens,
    *,
    recent: int,
    overlap_below: float,
    every: int = 1,
) -> Revisits:
    """The counted pairs among every `every`th frame of a walk; frame 0, which is given, is no first visit.

    `poses` `[F, 4, 4]` world_from_camera, `depths` `[F, H, W]` true metres along z. `recent`: frames of the recent
    window. Of several earlier frames with a return's camera the earliest is its first visit.
    """
    picks = np.arange(every, len(poses), every)
    pairs = []
    for again, seen in zip(picks.tolist(), _same_camera(poses[picks]).tolist(), strict=True):
        first = int(picks[seen])
        turning = (first + again) // 2
        if turning - first > recent and overlap(poses, depths, lens, first, turning) < overlap_below:
            pairs.append((first, again))
    firsts, returns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return Revisits(firsts, returns)


def overlap(poses: Matrix, depths: NDArray[np.floating], lens: Lens, first: int, turning: int) -> float:
    """Share of the pixels of frame `first` whose surface the view at frame `turning` shows."""
    return float(visible_in(depths[turning], poses[turning], depths[first], poses[first], lens).mean())


def _same_camera(poses: Matrix) -> NDArray[np.intp]:
    """For each of the cameras `[P, 4, 4]` the earliest that is at the same place, itself if there is none before."""
    yaw, pitch = heading(poses)
    turned = np.abs((yaw[:, None] - yaw + np.pi) % (2 * np.pi) - np.pi) + np.abs(pitch[:, None] - pitch)
    moved = np.linalg.norm(poses[:, None, :3, 3] - poses[:, :3, 3], axis=-1)
    return np.argmax((turned < ALIKE) & (moved < NEAR), axis=1)
