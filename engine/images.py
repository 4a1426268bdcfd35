"""Pictures of any size as first frames."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import WanderError


def fit_image(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scaled to cover `width` x `height` (Lanczos) and centre-cropped: RGB `[height, width, 3]`. Raises `WanderError` for other shapes."""
    if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 8:
        raise WanderError(f"a start picture has shape [height, width, 3] and at least 8 pixels a side, got {list(image.shape)}; choose another picture")
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    scaled = np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, Image.Resampling.LANCZOS))
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.array(scaled[top : top + height, left : left + width])
