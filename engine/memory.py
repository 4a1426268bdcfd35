"""Reconstituted context memory: which latents the next chunk sees (WorldPlay 3.3; SPEC 7).

The context of a chunk is the most recent latents, one clip retrieved from older history because its cameras saw the
same space, and for the 8B the first clip as a sink. How much two views overlap is measured with points in the new
camera's field of view: the share of them that the old camera sees too. History only enters through camera poses, so the
choice is deterministic and does not depend on the world's origin. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.geometry import POCKET_LENS, Matrix, rigid_inverse

Points = NDArray[np.floating]
Indices = NDArray[np.int64]

_BLOCK = 1 << 14
"""Overlap tests made at once: the working set stays in the cache."""
_WORTH = 0.03
"""Share of the points in view that a picture must add to be drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """What a chunk remembers, counted in latents at every chunk length."""

    temporal_latents: int = 12
    """Most recent latents, always in context."""
    spatial_latents: int = 4
    """Latents of the one retrieved clip; clips begin at multiples of it."""
    sink_latents: int = 0
    """First latents of the world, always in context (8B: 4)."""
    field_of_view: tuple[float, float] = (60.0, 35.0)
    """Degrees across and down of the retrieval field, whatever the camera's lens."""
    radius: float = 8.0
    """Units that a camera sees in this sense."""
    points: int = 1024
    """Points in the field that measure the overlap."""
    shortlist: int = 16
    """Clips that are measured with all points, after a look at every clip from a few of the chunk's latents."""
    coarse_points: int = 64
    """Points of that first look."""
    seed: int = 0
    """Shifts the points."""
    complements: int = 0
    """Most latents beyond the context whose pictures are drawn for the guide, for what the context doesn't show."""
    retrieves: bool = True
    """False: the latents before the recent ones take the retrieved clip's place (the ablation "without memory")."""
    reframes: bool = True
    """False: a latent of the context stands at its own time, however long ago it was (the paper's table 4, "RoPE")."""

    def __post_init__(self) -> None:
        if min(self.temporal_latents, self.sink_latents) < 0 or self.spatial_latents < 1:
            raise ValueError(f"a memory of {self.sink_latents} + {self.spatial_latents} + {self.temporal_latents} "
                             "latents is impossible; counts must be >= 0 and the retrieved clip >= 1")
        if self.sink_latents % self.spatial_latents:
            raise ValueError(f"{self.sink_latents} sink latents are not whole clips of {self.spatial_latents}")
        if not (0 < self.field_of_view[0] < 180 and 0 < self.field_of_view[1] < 180):
            raise ValueError(f"a retrieval field of {self.field_of_view} degrees is not within 0 to 180")

    @property
    def context_latents(self) -> int:
        """Most latents in a context; a shorter history is seen whole."""
        return self.sink_latents + self.spatial_latents + self.temporal_latents


def pocket() -> MemoryConfig:
    """Our own model: no sink, the field of its real camera."""
    return MemoryConfig(field_of_view=POCKET_LENS.field_of_view, radius=12.0, complements=3)


def context_times(chosen: Sequence[int], current: int, count: int, config: MemoryConfig) -> NDArray[np.float64]:
    """Time indices `[len(chosen) + count]` of a context and of the `count` latents from `current` on: consecutive,
    whatever the age of the context (temporal reframing, paper §3.3), unless the memory doesn't reframe."""
    whole = np.arange(len(chosen) + count) if config.reframes else np.concatenate([chosen, current + np.arange(count)])
    return whole.astype(np.float64)


def worldplay_5b() -> MemoryConfig:
    """The released 5B: 4 retrieved + 12 recent latents."""
    return MemoryConfig(points=2048, shortlist=64)


def worldplay_8b() -> MemoryConfig:
    """The released 8B: 4 sink + 4 retrieved + 12 recent latents."""
    return MemoryConfig(sink_latents=4, points=2048, shortlist=64)


@lru_cache(maxsize=8)
def field_points(config: MemoryConfig) -> Points:
    """Points [points, 3] spread evenly over the volume that a camera at the origin sees.

    The released rule draws 50,000 points in a ball and keeps those in the field, some 2,500; these are drawn in the
    field at once, from a shifted golden-ratio lattice whose error is far smaller than that of random points.
    """
    half_across, half_down = (math.radians(angle) / 2 for angle in config.field_of_view)
    plastic = 1.2207440846057596  # root of x^4 = x + 1: the three-dimensional golden ratio
    steps = plastic ** -np.arange(1, 4)
    u = (np.random.default_rng(config.seed).random(3) + np.arange(1, config.points + 1)[:, None] * steps) % 1
    azimuth = (2 * u[:, 0] - 1) * half_across
    sine = (2 * u[:, 1] - 1) * math.sin(half_down)
    level = np.sqrt(1 - sine**2)
    directions = np.stack([np.sin(azimuth) * level, sine, np.cos(azimuth) * level], axis=1)
    return config.radius * np.cbrt(u[:, 2:]) * directions


def points_in_field(ball: NDArray[np.floating], config: MemoryConfig) -> Points:
    """Those of the points [P, 3] around a camera that lie in its field: what the released rule measures with."""
    ball = ball.astype(np.float64)
    x, y, z = ball.T
    angles = np.degrees([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))])
    return ball[np.all(2 * np.abs(angles.T) < config.field_of_view, axis=1)]


def shared_points(query_from_seen: Matrix, points: Points, config: MemoryConfig) -> Indices:
    """How many of the query's field points [P, 3] the seen cameras [..., 4, 4] have in their own field.

    A camera sees p when, measured from its centre, azimuth and elevation of p are within half a field of those of its
    forward axis, all in the query's axes (so roll is ignored), and p is nearer than the radius. The two azimuth limits
    and the squared distance are linear in (p, |p|^2, 1): one matrix product answers for all points.
    """
    transforms = query_from_seen.reshape(-1, 4, 4)
    counts = np.empty(len(transforms), dtype=np.int64)
    block = max(_BLOCK // max(len(points), 1), 1)
    for first in range(0, len(transforms), block):
        part = slice(first, first + block)
        counts[part] = np.count_nonzero(points_seen(transforms[part], points, config), axis=1)
    return counts.reshape(query_from_seen.shape[:-2])


def points_seen(query_from_seen: Matrix, points: Points, config: MemoryConfig) -> NDArray[np.bool_]:
    """Which of the query's field points [P, 3] each of the seen cameras [S, 4, 4] has in its own field, [S, P]."""
    forms, limits = (part.astype(points.dtype) for part in _tests(query_from_seen, config))
    lifted = np.concatenate([points.T, np.sum(points**2, axis=1)[None], np.ones_like(points[:, 0])[None]])
    left, right, drop, distance = forms @ lifted
    tilt = drop * np.abs(drop)
    seen = (np.minimum(left, right) > 0) & (distance < config.radius**2)
    return seen & (tilt > limits[:, :1] * distance) & (tilt < limits[:, 1:] * distance)


def _tests(query_from_seen: Matrix, config: MemoryConfig) -> tuple[Matrix, Matrix]:
    """Linear forms [4, S, 5] over (x, y, z, |p|^2, 1) and signed squared sines [S, 2] of the elevation limits.

    The forms are the two sides of the azimuth wedge (inside is positive), the drop below the centre (y is down) and the
    squared distance from it.
    """
    centre, forward = query_from_seen[:, :3, 3], query_from_seen[:, :3, 2]
    level = np.hypot(forward[:, 0], forward[:, 2])
    sine, cosine = np.where(level > 0, (forward[:, 0], forward[:, 2]), ((0,), (1,))) / np.where(level > 0, level, 1)
    (sine_across, cosine_across), (sine_down, cosine_down) = (
        (math.sin(math.radians(angle / 2)), math.cos(math.radians(angle / 2))) for angle in config.field_of_view)
    left, right, drop, distance = forms = np.zeros((4, len(query_from_seen), 5))
    left[:, 0] = cosine * cosine_across + sine * sine_across
    left[:, 2] = cosine * sine_across - sine * cosine_across
    right[:, 0] = sine * sine_across - cosine * cosine_across
    right[:, 2] = cosine * sine_across + sine * cosine_across
    drop[:, 1] = 1
    forms[:3, :, 4] = -np.sum(forms[:3, :, :3] * centre, axis=-1)
    distance[:, :3], distance[:, 3], distance[:, 4] = -2 * centre, 1, np.sum(centre**2, axis=1)
    low, high = (forward[:, 1] * cosine_down + side * level * sine_down for side in (-1, 1))
    low = np.where(forward[:, 1] < -cosine_down, -1, low)   # the limit passes straight up
    high = np.where(forward[:, 1] > cosine_down, 1, high)   # the limit passes straight down
    sines = np.stack([low, high], axis=1)
    return forms, sines * np.abs(sines)


def clip_overlaps(camera_from_world: Matrix, queries: Indices, clips: Indices, config: MemoryConfig,
                  points: Points) -> NDArray[np.float64]:
    """Mean overlap 0..1 of each clip (given by its first latent) with the query latents; two of its latents count."""
    middle = config.spatial_latents // 2
    seen = rigid_inverse(camera_from_world[np.stack([clips, clips + middle])])
    counts = shared_points(camera_from_world[queries][:, None, None] @ seen, points, config)
    return counts.sum(axis=(0, 1)) / max(2 * len(queries) * len(points), 1)


def retrieve(camera_from_world: Matrix, queries: Indices, clips: Indices, config: MemoryConfig, points: Points) -> int:
    """First latent of the clip that overlaps the queries most; ties go to the oldest."""
    if len(clips) > config.shortlist:
        coarse = points[: config.coarse_points].astype(np.float32)
        rough = clip_overlaps(camera_from_world, queries[:: len(queries) // 4 + 2], clips, config, coarse)
        clips = np.sort(clips[np.argsort(-rough, kind="stable")[: config.shortlist]])
    return int(clips[np.argmax(clip_overlaps(camera_from_world, queries, clips, config, points))])


def select_context(camera_from_world: Matrix, current: int, length: int, config: MemoryConfig,
                   points: Points | None = None) -> Indices:
    """Latents that the chunk `current .. current + length - 1` sees, ascending, at most `config.context_latents`.

    `camera_from_world` [T, 4, 4] must reach to the chunk's end. `points` replaces `field_points(config)` (those of a
    fixture). Raises `ValueError` when poses are missing.
    """
    if current + length > len(camera_from_world) or current < 0 or length < 1:
        raise ValueError(f"latents {current}..{current + length - 1} need {current + length} poses, "
                         f"there are {len(camera_from_world)}")
    if current <= config.context_latents:
        return np.arange(current)
    if not config.retrieves:
        since = current - config.temporal_latents - config.spatial_latents
        return np.concatenate([np.arange(config.sink_latents), np.arange(since, current)])
    recent = np.arange(current - config.temporal_latents, current)
    clips = np.arange(config.sink_latents, recent[0] - config.spatial_latents + 1, config.spatial_latents)
    poses = np.asarray(camera_from_world[: current + length], dtype=np.float64)
    queries = np.arange(current, current + length)
    first = retrieve(poses, queries, clips, config, field_points(config) if points is None else points)
    return np.concatenate([np.arange(config.sink_latents), np.arange(first, first + config.spatial_latents), recent])


def recalled(chosen: Sequence[int] | Indices, current: int, length: int, config: MemoryConfig) -> tuple[int, ...]:
    """Of the context chosen for the chunk `current .. current + length - 1`: the latents older than the recent ones,
    sinks aside, counted back from the chunk's last (0)."""
    oldest = current - config.temporal_latents
    return tuple(current + length - 1 - int(i) for i in chosen if config.sink_latents <= i < oldest)


def complementary(camera_from_world: Matrix, current: int, length: int, shown: Sequence[int], config: MemoryConfig,
                  among: NDArray[np.bool_] | None = None) -> list[int]:
    """Latents older than the recent ones that see most of what the chunk `current .. current + length - 1` looks at and
    neither the latents `shown` nor those chosen before see: at most `config.complements`, the best first.

    Candidates are the last latents of clips, of those `among` `[current]` if given. One that adds less than `_WORTH` of
    the points isn't worth drawing.
    """
    last = config.spatial_latents
    old = np.arange(config.sink_latents + last - 1, current - config.temporal_latents, last)
    old = old if among is None else old[among[old]]
    if not (config.retrieves and config.complements and len(old)):
        return []
    points = field_points(config)[: config.coarse_points * 4]
    queries = camera_from_world[[current, current + length - 1]]

    def seen_by(latents: Sequence[int] | Indices) -> NDArray[np.bool_]:
        world_from_seen = rigid_inverse(camera_from_world[np.asarray(latents, dtype=np.int64)])
        return np.concatenate([points_seen(query @ world_from_seen, points, config) for query in queries], axis=1)

    adds, chosen = seen_by(old), list[int]()
    if shown:
        adds &= ~seen_by(shown).any(axis=0)
    while len(chosen) < config.complements:
        best = int(np.argmax(adds.sum(axis=1)))
        if adds[best].mean() < _WORTH:
            break
        chosen.append(int(old[best]))
        adds &= ~adds[best]
    return chosen


def aligned_context(camera_from_world: Matrix, current: int, length: int, config: MemoryConfig, chunk: int = 4,
                    points: Points | None = None) -> Indices:
    """Everything that an autoregressive student would see while it makes `length` latents in chunks of `chunk`, minus
    those latents: the context of the bidirectional teacher (WorldPlay 3.4; the released bidirectional 8B, SPEC 7)."""
    contexts = [select_context(camera_from_world, first, chunk, config, points)
                for first in range(current, current + length, chunk)]
    union = np.unique(np.concatenate(contexts))
    return union[union < current]
