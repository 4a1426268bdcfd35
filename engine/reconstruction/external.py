"""Depth by a reconstruction model that somebody else made and installed (WorldMirror, Depth-Anything-3 and the like).

A package offers it under the entry point group `wander.depth`; nothing is downloaded, and nothing of it is imported
before a scan asks for it. What it points at is a function

    estimate(rgb, world_from_camera, K) -> (depth, confidence)

of pictures uint8 `[V, H, W, 3]`, cameras float64 `[V, 4, 4]` (OpenCV axes) and the pixel matrix `[3, 3]` (the centre of
the first pixel at 0.5, 0.5), that gives depth along z `[V, H, W]` in the units of the cameras, not finite in the sky,
and confidence `[V, H, W]`, 0..1, 0 on what moves.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.reconstruction.sieve import Advance
from engine.reconstruction.views import DepthViews

if TYPE_CHECKING:
    from engine.reconstruction.depth_source import Pictures

GROUP = "wander.depth"
Estimate = Callable[[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]], tuple[Any, Any]]


def installed() -> EntryPoint | None:
    """The model that is installed, the first by name if there are several."""
    return min(entry_points(group=GROUP), key=lambda each: each.name, default=None)


def external(pictures: Pictures, advance: Advance) -> DepthViews:
    """Depth by the installed model. Raises `WanderError` if there is none, or what it gives is no depth of these
    pictures."""
    found = installed()
    if found is None:
        raise WanderError(
            f"0 reconstruction models are installed (a package with an entry point in '{GROUP}'); install one, or scan "
            "with --depth stereo"
        )
    advance(0.0)
    height, width = pictures.rgb.shape[1:3]
    lens = pictures.lens
    K = np.array([[lens.fx * width, 0, width / 2], [0, lens.fy * height, height / 2], [0, 0, 1.0]])
    try:
        estimate: Estimate = found.load()
        given = estimate(pictures.rgb.copy(), pictures.poses.copy(), K)
        depth, confidence = (np.asarray(each, dtype=np.float32) for each in given)
    except Exception as error:
        raise WanderError(
            f"the reconstruction model '{found.name}' gave no depth of {len(pictures.rgb)} views "
            f"({type(error).__name__}: {error}); mend it, or scan with --depth stereo"
        ) from error
    expected = pictures.rgb.shape[:3]
    if depth.shape != expected or confidence.shape != expected:
        raise WanderError(
            f"the reconstruction model '{found.name}' gave depth {depth.shape} and confidence {confidence.shape} for "
            f"pictures {expected}; mend it, or scan with --depth stereo"
        )
    surface = np.isfinite(depth) & (depth > 0)
    advance(1.0)
    return DepthViews(
        rgb=pictures.rgb, depth=np.where(surface, depth, np.inf).astype(np.float32),
        confidence=np.clip(np.nan_to_num(confidence), 0.0, 1.0) * surface, static=surface,
        world_from_camera=pictures.poses, lens=pictures.lens, frame_ids=pictures.ids,
    )  # fmt: skip
