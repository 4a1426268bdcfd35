"""The last picture of every chunk, kept small, so that going back shows at once where it leads."""

from __future__ import annotations

import io
from collections import OrderedDict

import numpy as np
from PIL import Image

KEPT = 2048
"""Chunks: about half an hour of walking, 30 MB."""
_QUALITY = 92


class ChunkEnds:
    """Pictures by the chunk's name in its session: the generation in which it was made, and its index."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._files: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def keep(self, made: int, chunk: int, pixels: np.ndarray) -> None:
        """Remember the last picture, uint8 RGB [H, W, 3], of a chunk; the oldest one is forgotten when too many are."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
        self._files[made, chunk] = file.getvalue()
        if len(self._files) > self._kept:
            self._files.popitem(last=False)

    def get(self, made: int, chunk: int) -> np.ndarray | None:
        """The last picture of a chunk, uint8 RGB [H, W, 3], or None if it is not known."""
        file = self._files.get((made, chunk))
        return None if file is None else np.asarray(Image.open(io.BytesIO(file)))

    def clear(self) -> None:
        """Forget all: another session begins."""
        self._files.clear()
