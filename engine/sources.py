"""Which pictures are drawn for the guide of a chunk, and which of them hides which (paper §3.3, for pixels).

Those of the context that memory selected, and others for what they don't show: first for what none shows as the words
in force have it (so when it stops raining the place is as it was), then for what none shows at all; and the one that
was seen from nearest to where the camera goes. Of equal worth, nearer ones hide the others: back from a wall, its
newest pictures show it from a hand's breadth. What was only imagined (engine/stills.py) stands behind all of equal
worth that was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.geometry import rigid_inverse
from engine.guide import lifted
from engine.memory import MemoryConfig, complementary

CHANGING, BEFORE, AS_TOLD = range(3)
"""What a picture is worth: least, while words are new, what they have changed in part (changed again every chunk it
would be changed too far, and blurred a little more each time); more what was made under other words; most, under those
in force."""
REACH = 12.0
"""Metres from where a world begins within which it matters what was imagined there."""

Poses = NDArray[np.float64]
Worth = NDArray[np.int64]


def away(cameras_T44: Poses, camera: Poses) -> Poses:
    """How far cameras `[T, 4, 4]` are from one: metres, and one for every radian that they look elsewhere.

    A picture that is turned is as good as before; one from elsewhere is magnified, or shows other sides of things.
    """
    along = cameras_T44[:, :3, 2] @ camera[:3, 2]
    steps = np.linalg.norm(cameras_T44[:, :3, 3] - camera[:3, 3], axis=-1)
    return np.round(steps + np.arccos(np.clip(along, -1, 1)), 2)


def seen_pictures(
    path: Poses, current: int, context: Sequence[int], worth: Worth, ends: NDArray[np.int64], memory: MemoryConfig
) -> list[int]:
    """Latents whose pictures are drawn for the chunk from `current` to the end of `path` `[T, 4, 4]`, ascending.

    `context` is what memory selected, `worth` `[current]` that of every latent (of the first one where there is none
    yet), `ends` the last latents of the chunks, ascending.
    """
    shown = lifted(context or [0])
    for least in (level for level in (AS_TOLD, BEFORE) if current and level in worth):
        known, among = [i for i in shown if worth[i] >= least], worth >= least
        shown += complementary(rigid_inverse(path), current, len(path) - current, known, memory, among)
    if len(ends) and memory.retrieves:
        best = ends[worth[ends] == worth.max()][::-1]  # of equals the newest
        shown.append(int(best[away(path[best], path[-1]).argmin()]))
    return sorted(set(shown))


def imagined_picture(views: Sequence[Poses], camera: Poses) -> list[int]:
    """Number (-1, -2, ...) of the imagined view, of those with cameras `[4, 4]`, that is nearest to one; a second would
    be drawn in vain in most chunks, and each costs a tenth of one. None if there are none."""
    nearest = sorted(range(len(views)), key=lambda k: float(away(views[k][None], camera)[0]))
    return [~k for k in nearest[:1]]


def in_order(numbers: Sequence[int], cameras_N44: Poses, worth: Sequence[int], camera: Poses) -> tuple[list[int], int]:
    """Pictures with their cameras and worth in the order in which they are drawn, each hiding those before it; and how
    many of them, the first, are stale."""
    keys = sorted(zip(worth, [n >= 0 for n in numbers], -away(cameras_N44, camera), numbers, strict=True))
    return [int(n) for *_, n in keys], sum(int(value < AS_TOLD) for value, *_ in keys)
