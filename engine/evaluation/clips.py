"""Held-out clips as evaluation reads them: true frames, depths and poses from the shards that `launch.py` rendered (see
render/shards.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from engine.errors import WanderError
from engine.evaluation.motion import motions_from_poses

Group = Literal["walking", "rotation_only", "still"]
_AT_REST = 0.05
"""Metres or radians moved in a whole clip that count as none."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrueClip:
    """A held-out clip of F frames."""

    name: str
    frames: NDArray[np.uint8]
    """`[F, H, W, 3]`."""
    poses: NDArray[np.float64]
    """`[F, 4, 4]` world_from_camera."""
    depth: NDArray[np.float16] | None
    """`[F, H, W]` metres along z, inf in the sky."""
    about: dict[str, Any]
    passing: NDArray[np.bool_] | None = None
    """`[F, H, W]`: pixels that show who or what passes through the place."""

    @property
    def caption(self) -> str:
        """The first English wording."""
        return str(self.about["captions"]["en"][0])

    @property
    def group(self) -> Group:
        """Whether the camera translates, only turns, or does nothing."""
        moved = np.abs(motions_from_poses(self.poses)).sum(0)
        if moved[:2].max() > _AT_REST:
            return "walking"
        return "rotation_only" if moved[2:].max() > _AT_REST else "still"


def read_clips(folder: Path) -> Iterator[TrueClip]:
    """Every clip of every shard below `folder`, in order of their names. Raises `WanderError` if there is none or one
    is damaged."""
    shards = sorted(folder.rglob("clips-*.json"))
    if not shards:
        raise WanderError(
            f"there are 0 held-out clips in {folder}; make some with "
            f"'launch.py data make --split heldout --depth --out {folder}'"
        )
    for sidecar in shards:
        path = sidecar.with_suffix(".safetensors")
        try:
            about = json.loads(sidecar.read_text(encoding="utf-8"))["clips"]
            with safe_open(path, framework="np") as file:
                stored = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                for index, facts in enumerate(about):
                    depth = stored["depth"][index] if "depth" in stored else None
                    passing = stored["passing"][index].astype(bool) if "passing" in stored else None
                    yield TrueClip(
                        name=f"{sidecar.parent.name} {path.stem.removeprefix('clips-')}-{index:02d}",
                        frames=stored["frames"][index],
                        poses=stored["poses"][index].astype(np.float64),
                        depth=depth,
                        passing=passing,
                        about=facts,
                    )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise WanderError(
                f"the held-out clips {path} can't be read ({error}); delete the folder {folder} and evaluate again"
            ) from None
