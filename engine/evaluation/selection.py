"""What choosing a chunk's memory costs as history grows, and whether the choice is right: `launch.py bench --memory`.

A chunk of 4 latents chooses from 64 to 4,096 latents of a random walk. Right is the clip that the released rule finds
with 50,000 points in a ball, or one that overlaps the view as much but for a hundredth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine import memory
from engine.actions import KEY_A, KEY_D, KEY_LEFT, KEY_RIGHT, KEY_S, KEY_UP, KEY_W, POCKET, Step, latent_poses
from engine.geometry import Matrix, rigid_inverse
from engine.memory import MemoryConfig, Points

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
CHUNK = 4
ORACLE_POINTS = 50_000
WITHIN = 0.01
"""Overlap that the choice may lack against the oracle's."""
_KEYS = (KEY_W, KEY_W, KEY_W | KEY_RIGHT, KEY_W | KEY_LEFT, KEY_S, KEY_D, KEY_A, KEY_RIGHT, KEY_LEFT, KEY_UP, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """How one chunk's memory is chosen from a history of so many latents."""

    latents: int
    wall_ms: float
    """Median time that passes; other programs count."""
    cpu_ms: float
    """Least processor time, all threads added up: not less than one thread would take."""
    same: float
    """Share of walks in which the oracle takes the same clip."""
    within: float
    """Share in which the chosen clip overlaps as much as the oracle's, or lacks at most `WITHIN`."""


def measure(
    lengths: Sequence[int] = LENGTHS,
    *,
    walks: int = 8,
    repeats: int = 20,
    config: MemoryConfig | None = None,
    done: Callable[[int, int], None] = lambda done, total: None,
) -> list[Selection]:
    """The curve over `lengths`: each with `walks` random walks for agreement, the first of them timed."""
    config, found = config or memory.pocket(), []
    oracle = oracle_points(config)
    for index, latents in enumerate(lengths):
        paths = [wandering(latents + CHUNK, seed) for seed in range(walks)]
        wall, cpu = timed(paths[0], latents, config, repeats)
        lacks = [lacking(path, latents, config, oracle) for path in paths]
        same, within = (float(np.mean([lack <= limit for lack in lacks])) for limit in (0.0, WITHIN))
        found.append(Selection(latents=latents, wall_ms=wall, cpu_ms=cpu, same=same, within=within))
        done(index + 1, len(lengths))
    return found


def wandering(latents: int, seed: int) -> Matrix:
    """camera_from_world `[latents, 4, 4]` of a random walk with changing keys and a mouse that drifts."""
    rng, steps = np.random.default_rng(seed), []
    while len(steps) < latents:
        keys, look = int(rng.choice(_KEYS)), float(rng.normal(0, 0.03))
        steps += [Step(keys, look)] * int(rng.integers(1, 30))
    return rigid_inverse(latent_poses(steps[: latents - 1], POCKET))


def timed(path: Matrix, current: int, config: MemoryConfig, repeats: int) -> tuple[float, float]:
    """Milliseconds of one selection: median of what passes, least of what the processor spends."""
    walls, cpus = [], []
    for _ in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        memory.select_context(path, current, CHUNK, config)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return 1e3 * float(np.median(walls[1:])), 1e3 * min(cpus[1:])


def oracle_points(config: MemoryConfig, seed: int = 1) -> Points:
    """Those of 50,000 random points in a ball that lie in the field, as the released rule draws them."""
    distance, turn, fall = np.random.default_rng(seed).random((3, ORACLE_POINTS))
    level = np.sqrt(1 - (1 - 2 * fall) ** 2)
    directions = np.stack([level * np.cos(2 * np.pi * turn), level * np.sin(2 * np.pi * turn), 1 - 2 * fall], axis=1)
    return memory.points_in_field(config.radius * np.cbrt(distance)[:, None] * directions, config).astype(np.float32)


def lacking(path: Matrix, current: int, config: MemoryConfig, oracle: Points) -> float:
    """Overlap by which the clip chosen for the chunk at `current` falls short of the oracle's best; 0 is the same."""
    clips = np.arange(config.sink_latents, current - config.temporal_latents - config.spatial_latents + 1,
                      config.spatial_latents)  # fmt: skip
    overlaps = memory.clip_overlaps(path, np.arange(current, current + CHUNK), clips, config, oracle)
    chosen = int(memory.select_context(path, current, CHUNK, config)[config.sink_latents])
    return float(overlaps.max() - overlaps[np.searchsorted(clips, chosen)])


def lines(found: Sequence[Selection]) -> str:
    """The curve as lines of text."""
    head = "latents   passes ms   processor ms   oracle's clip   as good within 0.01"
    rows = [
        f"{each.latents:>7}{each.wall_ms:>12.2f}{each.cpu_ms:>15.2f}{each.same:>16.0%}{each.within:>22.0%}"
        for each in found
    ]
    return "\n".join([head, *rows])
