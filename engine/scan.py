"""A walk taken home (WorldPlay 4.3): from a session's latents and poses to a point cloud, a mesh and their files.

    report = scan(recording, Path("village.ply"), ScanConfig(seconds=10))

Takes plain values, so that it knows nothing of session files. Torch is imported when pictures are decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.geometry import Matrix
from engine.reconstruction.depth_source import SOURCES, DepthSource, Pictures
from engine.reconstruction.formats.content import Content, Origin
from engine.reconstruction.formats.registry import FORMATS, format_of, save
from engine.reconstruction.fusion import FusionConfig, fuse
from engine.reconstruction.views import DepthViews
from engine.reconstruction.walks import WALKS, WalkKind

FORMAT_NAMES = tuple(FORMATS)
_NEW_PLACE, _NEW_DIRECTION = 0.1, 3.0
"""Units and degrees that set a view apart from those already taken."""
_STAGES = {"Decoding pictures": 0.35, "Estimating depth": 0.3, "Fusing surfaces": 0.3, "Writing files": 0.05}
"""What a scan does and its share of the time."""

Progress = Callable[[float, str], None]
"""Told the fraction 0..1 and what is being done; may raise to cancel."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Recording:
    """What a session tells of its walk: T latents."""

    latents: NDArray[np.float16]
    """`[T, C, Y, X]`, normalised."""
    poses: Matrix
    """World_from_camera `[T, 4, 4]`."""
    session: str
    preset: str
    seed: int
    prompt: str
    checksum: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanConfig:
    """What to scan and how."""

    seconds: float | None = None
    """Only the last seconds of the walk; None for all of it."""
    format: str | None = None
    """One of `FORMAT_NAMES`; None: as the name of the file says."""
    depth: str | None = None
    """One of `SOURCES`; None for what suits the preset."""
    most_views: int = 300
    """Views that are fused at most, spread over the walk."""
    fusion: FusionConfig = field(default_factory=FusionConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a scan has made."""

    files: tuple[Path, ...]
    """The scan and its sidecar."""
    points: int
    triangles: int
    views: int
    size: int
    """Bytes."""
    notice: str
    """A sentence where something was not as asked; else empty."""


def scan(
    recording: Recording,
    out: Path,
    config: ScanConfig,
    progress: Progress = lambda fraction, stage: None,
    source: DepthSource | None = None,
) -> Report:
    """Scan a walk into `out`, whole or not at all. `source` overrides where depth comes from.

    Raises `WanderError` if there is nothing to scan, no surface is found, or the files cannot be written.
    """
    name = format_of(out, config.format)
    if name not in FORMATS:
        raise WanderError(f"there is no format '{name}'; choose one of {', '.join(FORMATS)}")
    if config.fusion.mesh and not FORMATS[name].mesh:
        raise WanderError(f"the format {name} holds points only; for a mesh choose ply or glb")
    kind, first = _kind(recording), _first(recording, config)
    depth = config.depth or kind.depth
    if depth == "network" and not kind.own_depth:
        raise WanderError(
            f"the depth network knows the latents of 'pocket' alone, the session is of preset '{recording.preset}'; "
            "leave out --depth, or choose stereo"
        )
    views = look(recording, first, config.most_views, source or SOURCES[depth], progress)
    fused = fuse(views, config.fusion, _share(progress, "Fusing surfaces"))
    origin = Origin(
        session=recording.session, preset=recording.preset, seed=recording.seed, prompt=recording.prompt,
        checksum=recording.checksum, depth_source=depth, fusion=fused.method, units=kind.units,
    )  # fmt: skip
    content = Content(cloud=fused.cloud, mesh=fused.mesh, views=views, voxel=fused.voxel, origin=origin)
    progress(1.0 - _STAGES["Writing files"], f"Writing files, about {FORMATS[name].size(content) / 1e6:.1f} MB")
    files = save(content, out, name)
    _share(progress, "Writing files")(1.0)
    return Report(
        files=tuple(files), points=len(fused.cloud), triangles=len(fused.mesh.triangles) if fused.mesh else 0,
        views=len(views), size=sum(_bytes(path) for path in files[:1]), notice=fused.notice,
    )  # fmt: skip


def look(recording: Recording, first: int, most: int, source: DepthSource, progress: Progress) -> DepthViews:
    """Latents of a walk from `first` on as at most `most` views with depth, in units of a scan."""
    kind = _kind(recording)
    poses = kind.stretched(recording.poses)
    chosen = choose(poses, since=first, most=most)
    rgb = _decode(recording, chosen, progress)
    pictures = Pictures(latents=recording.latents[chosen], rgb=rgb, poses=poses[chosen], lens=kind.lens, ids=chosen)
    return source(pictures, _share(progress, "Estimating depth"))


def choose(poses: Matrix, *, since: int, most: int) -> NDArray[np.int64]:
    """Which of the cameras `[T, 4, 4]` from `since` on to use: each from a new place or in a new direction, at most
    `most`, spread evenly."""
    taken: list[int] = []
    for index in range(since, len(poses)):
        place, ahead = poses[index, :3, 3], poses[index, :3, 2]
        far = np.linalg.norm(poses[taken, :3, 3] - place, axis=1) > _NEW_PLACE
        turned = poses[taken, :3, 2] @ ahead < np.cos(np.radians(_NEW_DIRECTION))
        if np.all(far | turned):
            taken.append(index)
    spread = np.linspace(0, len(taken) - 1, min(most, len(taken))).round().astype(np.intp)
    return np.asarray(taken, dtype=np.int64)[spread]


def _kind(recording: Recording) -> WalkKind:
    """What is known of the walk's preset."""
    if recording.preset not in WALKS:
        known = ", ".join(f"'{preset}'" for preset in WALKS)
        raise WanderError(f"a session of preset '{recording.preset}' cannot be scanned; only those of {known} can")
    return WALKS[recording.preset]


def _first(recording: Recording, config: ScanConfig) -> int:
    """The first latent to scan."""
    count = len(recording.latents)
    if count == 0:
        raise WanderError("the session has 0 chunks, a scan needs at least 1; walk first")
    if config.seconds is None:
        return 0
    return max(0, count - max(1, round(config.seconds * _kind(recording).latents_per_second)))


def _decode(recording: Recording, chosen: NDArray[np.int64], progress: Progress) -> NDArray[np.uint8]:
    progress(0.0, "Decoding pictures")
    return _kind(recording).decode(recording.latents, chosen, _share(progress, "Decoding pictures"))


def _share(progress: Progress, stage: str) -> Callable[[float], None]:
    """Progress within one stage, as progress of the whole."""
    names = list(_STAGES)
    before = sum(_STAGES[name] for name in names[: names.index(stage)])
    return lambda fraction: progress(min(1.0, before + _STAGES[stage] * fraction), stage)


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
