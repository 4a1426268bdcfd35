"""Pictures of any size as first frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import WanderError

SMALLEST = 8
"""Pixels that a side of a picture has at least."""


def fit_image(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The middle of an RGB picture `[H, W, 3]` in the shape of the frame, scaled (Lanczos) to `[height, width, 3]`.

    No more than the frame is ever held in memory, whatever the picture's shape. Raises `WanderError` for other arrays.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < SMALLEST:
        raise WanderError(
            f"a start picture is uint8 [height, width, 3] with at least {SMALLEST} pixels a side, "
            f"got {image.dtype} {list(image.shape)}; choose another picture"
        )
    rows, columns = image.shape[:2]
    scale = max(width / columns, height / rows)
    x, y = (columns - width / scale) / 2, (rows - height / scale) / 2
    box = (max(x, 0.0), max(y, 0.0), min(columns - x, columns), min(rows - y, rows))
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.array(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
