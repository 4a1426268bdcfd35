"""Which pictures are drawn for the guide of a chunk, and which of them hides which (paper §3.3, for pixels).

The one that the world was begun with, wherever one goes, with what is imagined around it (engine/imagining.py): a
drawing of a drawing, lifted anew every chunk, is shreds after some steps, and a place that is drawn from what it was
first known by is the same whenever one comes back. Pictures that were made later are drawn where it can't be: when
words changed the place that it can't be painted under, and without memory.

Then it is those of the context that memory selected, and others for what they don't show: first for what none shows as
the words in force have it (so when it stops raining the place is as it was), then for what none shows at all; and the
one that was seen from nearest to where the camera goes. Of equal worth, nearer ones hide the others: back from a wall,
its newest pictures show it from a hand's breadth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.geometry import rigid_inverse
from engine.guide import lifted
from engine.memory import MemoryConfig, complementary

CHANGING, BEFORE, MENDED, CLEARED, AS_TOLD = range(5)
"""What a picture is worth: least, while words are new, what they have changed in part (changed again every chunk it
would be changed too far, and blurred a little more each time); more what was made under other words; most, under those
in force. Where words can be painted (engine/repaint.py), what they have changed in part is `MENDED`, and what was made
before them as good as any other."""
Poses = NDArray[np.float64]
Worth = NDArray[np.int64]


def away(cameras_T44: Poses, camera: Poses) -> Poses:
    """How far cameras `[T, 4, 4]` are from one: metres, and one for every radian that they look elsewhere.

    A picture that is turned is as good as before; one from elsewhere is magnified, or shows other sides of things.
    """
    along = cameras_T44[:, :3, 2] @ camera[:3, 2]
    steps = np.linalg.norm(cameras_T44[:, :3, 3] - camera[:3, 3], axis=-1)
    return np.round(steps + np.arccos(np.clip(along, -1, 1)), 2)


def pictures(
    path: Poses,
    current: int,
    context: Sequence[int],
    worth: Worth,
    ends: NDArray[np.int64],
    memory: MemoryConfig,
    first: int = 0,
) -> tuple[list[int], int]:
    """Latents whose pictures are drawn for the chunk from `current` to the end of `path` `[T, 4, 4]`, each hiding those
    before it; and how many of them, the first, are stale.

    `context` is what memory selected, `worth` `[current]` that of every latent, `ends` the last latents of the chunks,
    ascending; the world was begun with the picture of latent `first`, and before the first chunk it is all there is.
    """
    shown = lifted(context or [0])
    if not current:
        return shown, 0
    if memory.retrieves and worth[first] >= MENDED:
        return [first], 0
    for least in (level for level in (AS_TOLD, BEFORE) if level in worth):
        known, among = [i for i in shown if worth[i] >= least], worth >= least
        shown += complementary(rigid_inverse(path), current, len(path) - current, known, memory, among)
    if memory.retrieves:
        best = ends[worth[ends] == worth[ends].max()][::-1]  # of equals the newest
        shown = sorted({*shown, int(best[away(path[best], path[-1]).argmin()])})
    order = sorted(zip(worth[shown], -away(path[shown], path[-1]), shown, strict=True))
    return [i for _, _, i in order], sum(int(worth[i] < MENDED) for i in shown)
