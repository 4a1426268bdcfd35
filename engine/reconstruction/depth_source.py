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
    from engine.sweep import Sweep
    from engine.vae import Vae

FOLDER = Path(__file__).resolve().parent.parent.parent / "models" / "pocket"
WEIGHTS = "depth.safetensors", "sweep.safetensors"
_AT_ONCE = 16
"""Latents that the networks are given together."""


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
    there = [name for name in WEIGHTS if (FOLDER / name).exists()]
    if len(there) < len(WEIGHTS):
        raise WanderError(
            f"of the depth networks' {len(WEIGHTS)} files in {FOLDER} there are {len(there)}; restore them with "
            "'git checkout -- models/pocket', or scan with --depth stereo"
        )
    from engine.weights import load_depth_of_views, load_vae

    head, sweep, _ = load_depth_of_views(FOLDER)
    return by_network(load_vae(FOLDER / "vae.safetensors"), head, sweep)(pictures, advance)


def by_network(vae: Vae, head: DepthHead, sweep: Sweep | None) -> DepthSource:
    """Depth by the network that looks at each view alone, corrected, where there is a `sweep`, by other views."""
    import torch

    from engine.depth import confidence
    from engine.sweep import estimate_views, others_of

    def source(pictures: Pictures, advance: Advance) -> DepthViews:
        depth, sure = (np.empty(pictures.rgb.shape[:3], dtype=np.float32) for _ in range(2))
        static, others = np.empty(pictures.rgb.shape[:3], dtype=bool), others_of(pictures.poses)
        shown = torch.from_numpy(np.ascontiguousarray(pictures.rgb))
        for start in range(0, len(depth), _AT_ONCE):
            part = slice(start, min(start + _AT_ONCE, len(depth)))
            latents, views = torch.from_numpy(pictures.latents[part].astype(np.float32)), range(part.start, part.stop)
            found = estimate_views(vae, head, sweep, latents, shown, pictures.poses, views, others[part])
            seen = found.seen().numpy()
            with np.errstate(divide="ignore"):
                depth[part] = np.where(seen > 0, 1 / seen, np.inf)
            sure[part] = confidence(found).numpy()
            static[part] = found.stands().numpy() & (seen > 0)
            advance(part.stop / len(depth))
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
