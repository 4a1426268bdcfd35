"""Where depth comes from: the depth network on latents, a model that somebody else installed, or plane-sweep stereo on
the pictures, which needs no weights.

All are imported when they are used. A source takes a walk's latents, pictures and cameras and gives `DepthViews`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.geometry import Lens, Matrix
from engine.reconstruction.external import external
from engine.reconstruction.sieve import Advance
from engine.reconstruction.views import DepthViews

if TYPE_CHECKING:
    from engine.depth import DepthHead

WEIGHTS = Path(__file__).resolve().parent.parent.parent / "models" / "pocket" / "depth.safetensors"
_AT_ONCE = 32
"""Latents that the network is given together."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pictures:
    """V posed pictures of a walk."""

    latents: NDArray[np.float16]
    """`[V, C, Y, X]`, normalised."""
    rgb: NDArray[np.uint8]
    """`[V, H, W, 3]`."""
    poses: Matrix
    """World_from_camera `[V, 4, 4]`."""
    lens: Lens
    ids: NDArray[np.int64]
    """`[V]`: which latent of the walk each is."""


DepthSource = Callable[[Pictures, Advance], DepthViews]


def network(pictures: Pictures, advance: Advance) -> DepthViews:
    """Depth by the network of `engine.depth`. Raises `WanderError` if its weights are missing."""
    if not WEIGHTS.exists():
        raise WanderError(
            f"the depth network's weights {WEIGHTS} are missing (0 of 1 file); restore them with "
            "'git checkout -- models/pocket', or scan with --depth stereo"
        )
    from engine.weights import load_depth

    return by_network(load_depth(WEIGHTS)[0])(pictures, advance)


def by_network(head: DepthHead) -> DepthSource:
    """Depth by this network, which looks at each view together with the one before."""
    import torch

    from engine.depth import confidence
    from engine.second_view import estimate_views

    def source(pictures: Pictures, advance: Advance) -> DepthViews:
        depth, sure = (np.empty(pictures.rgb.shape[:3], dtype=np.float32) for _ in range(2))
        static = np.empty(pictures.rgb.shape[:3], dtype=bool)
        for start in range(0, len(pictures.latents), _AT_ONCE):
            part = slice(max(start - 1, 0), start + _AT_ONCE)
            latents, shown = pictures.latents[part].astype(np.float32), np.ascontiguousarray(pictures.rgb[part])
            before = [None, *range(len(latents) - 1)]
            found = estimate_views(
                head, torch.from_numpy(latents), pictures.poses[part], torch.from_numpy(shown), before
            )
            seen, kept = found.seen().numpy(), slice(start - part.start, None)
            part = slice(start, start + _AT_ONCE)
            with np.errstate(divide="ignore"):
                depth[part] = np.where(seen > 0, 1 / seen, np.inf)[kept]
            sure[part] = confidence(found).numpy()[kept]
            static[part] = (found.stands().numpy() & (seen > 0))[kept]
            advance(min(1.0, (start + _AT_ONCE) / len(pictures.latents)))
        return DepthViews(rgb=pictures.rgb, depth=depth, confidence=sure, static=static,
                          world_from_camera=pictures.poses, lens=pictures.lens, frame_ids=pictures.ids)  # fmt: skip

    return source


def stereo(pictures: Pictures, advance: Advance) -> DepthViews:
    """Depth by plane-sweep stereo between the pictures themselves."""
    from engine.reconstruction.stereo import StereoConfig, sweep_all

    depth, confidence = sweep_all(pictures.rgb, pictures.poses, pictures.lens, StereoConfig(), advance)
    return DepthViews(rgb=pictures.rgb, depth=depth, confidence=confidence, static=np.ones(depth.shape, dtype=bool),
                      world_from_camera=pictures.poses, lens=pictures.lens, frame_ids=pictures.ids)  # fmt: skip


SOURCES: dict[str, DepthSource] = {"network": network, "stereo": stereo, "external": external}
