"""The fake engine: a cheap NumPy picture that really moves with the pose, behind the verbs of `engine/world.py`.

Preset `fake` lets the window and the fault tests run the real processes without torch. A picture is a chequered
ground, a sky and coloured pillars seen through the true pin-hole camera, with the chunk's number in large digits.
Everything follows from (seed, prompt, steps), each chunk also from the one before it, so a world that was rebuilt
from its journal goes on exactly as if nothing had happened, and one that was rebuilt wrongly shows it.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.actions import POCKET, Step, action_from_keys, frame_poses, start_pose
from engine.text import lines_of, revise
from engine.world import ChunkRecord, WorldSpec
from worker.errors import WanderError

Picture = NDArray[np.uint8]
Pose = NDArray[np.float64]

WIDTH, HEIGHT, FPS = 320, 192, 24.0
FOCAL = WIDTH / 2 / math.tan(math.radians(35))
LATENT_SHAPE = (4, 3, 5)
FAULT_VARIABLE = "WANDER_FAKE"
GLYPHS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71244", "75757", "75717")
"""Ten digits of 3x5 pixels, one octal digit a row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FakeConfig:
    """How the fake engine behaves; read from the environment variable `WANDER_FAKE` as JSON, for tests of faults."""

    latent_seconds: float = 0.0
    """Time that one latent takes."""
    open_seconds: float = 0.0
    """Time that opening takes."""
    spin_at: int | None = None
    """Chunk in which the model loops for ever while holding the GIL, once the world has been opened freshly."""
    lost_at: int | None = None
    """Chunk in which the device is lost, once the world has been opened freshly."""
    unstable_at: int | None = None
    """Chunk that is not finite when it is made for the first time."""
    remark: str = ""
    """Sentence that the person is told about any words."""
    refuse: str | None = None
    """Sentence with which opening fails."""
    crash: bool = False
    """Die while opening."""
    memory_for: int = 64
    """Latents that fit into memory at once; opening takes none."""
    starve_at: int | None = None
    """The call of `step`, counted from 1 in each process, that runs out of memory once."""


def config_from_environment() -> FakeConfig:
    """The configuration in `WANDER_FAKE`, or the default. Raises `ValueError` if it is malformed."""
    return msgspec.json.decode(os.environ.get(FAULT_VARIABLE, "{}"), type=FakeConfig)


def open_world(spec: WorldSpec, records: Sequence[ChunkRecord] = (), config: FakeConfig | None = None) -> "FakeWorld":
    """A world of the fake engine, rebuilt from `records` if there are any.

    Raises `WanderError` where `config` says so.
    """
    return FakeWorld(spec, records, config or config_from_environment())


class FakeWorld:
    """A deterministic toy world with the attributes and verbs that ARCHITECTURE.md gives a world."""

    width, height, fps = WIDTH, HEIGHT, FPS
    checksum = ""

    def __init__(self, spec: WorldSpec, records: Sequence[ChunkRecord], config: FakeConfig) -> None:
        self.spec = spec
        self.config, self.remark = config, config.remark
        self._records = list(records)
        self._prompt = records[-1].prompt if records else spec.prompt
        self._pending: ChunkRecord | None = None
        self._fresh = not records
        self._calls = 0
        self._unstable_at = config.unstable_at
        time.sleep(config.open_seconds)
        if config.crash:
            os.abort()
        if config.refuse:
            raise WanderError(config.refuse)

    @property
    def chunk(self) -> int:
        """Latents per chunk."""
        return self.spec.chunk

    @property
    def chunks(self) -> int:
        """Chunks made so far."""
        return len(self._records)

    @property
    def pose(self) -> Pose:
        """Current `world_from_camera` [4, 4]."""
        return self._records[-1].poses[-1].astype(np.float64) if self._records else start_pose(POCKET)

    @property
    def lines(self) -> tuple[str, ...]:
        """The text that the next chunk reads: caption, then active events."""
        return lines_of(self._prompt)

    def step(self, steps: Sequence[Step]) -> Iterator[Picture]:
        """Yield the pictures of each latent, uint8 [1 | 4, H, W, 3]; the first latent of a world is one picture."""
        if len(steps) != self.chunk:
            raise ValueError(f"a chunk takes {self.chunk} steps, got {len(steps)}")
        self._calls += 1
        if self.chunk > self.config.memory_for or self._calls == self.config.starve_at:
            raise MemoryError(f"{self.chunk} latents do not fit")
        if self._fresh and self.config.spin_at == self.chunks:
            _spin()
        if self._fresh and self.config.lost_at == self.chunks:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if self._unstable_at == self.chunks:
            self._unstable_at = None
            raise WanderError(f"the world became unstable: chunk {self.chunks} is not finite; undo 2 chunks")
        first = not self._records
        start = start_pose(POCKET) if first else self.pose
        poses = frame_poses(steps[1:] if first else steps, POCKET, start)
        groups = [poses[1 + 4 * latent : 5 + 4 * latent] for latent in range(len(poses) // 4)]
        groups = [poses[:1], *groups] if first else groups
        for group in groups:
            time.sleep(self.config.latent_seconds)
            yield np.stack([draw(pose, self.chunks, self._colours()) for pose in group])
        self._pending = self._record(steps, np.stack([group[-1] for group in groups]))

    def commit(self) -> ChunkRecord:
        """Finish the chunk whose pictures were taken."""
        if self._pending is None:
            raise ValueError("there is no chunk to commit; take all pictures of a step first")
        self._records.append(self._pending)
        self._pending = None
        return self._records[-1]

    def prompt(self, text: str) -> int:
        """See `engine.world.World.prompt`."""
        self._prompt = "\n".join(revise(self.lines, text))
        return self.chunks

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks. Raises `ValueError` for more than there are."""
        if not 0 <= chunks <= self.chunks:
            raise ValueError(f"cannot rewind to chunk {chunks} of {self.chunks}")
        del self._records[chunks:]
        self._prompt = self._records[-1].prompt if self._records else self.spec.prompt

    def reset(self, seed: int | None = None) -> None:
        """The same world from its beginning, with a new seed if one is given."""
        self.spec = self.spec if seed is None else replace(self.spec, seed=seed)
        self._records.clear()
        self._prompt = self.spec.prompt

    def _colours(self) -> NDArray[np.float32]:
        """Colours [3, 3] of sky, ground and pillars, by the world, its prompt and (slightly) the last chunk."""
        mood = np.random.default_rng(_number(f"{self.spec.seed} {self._prompt}")).uniform(60, 220, (3, 3))
        if self.spec.image is not None:
            mood[0] = self.spec.image.reshape(-1, 3).mean(axis=0)
        history = self._records[-1].latents.flat[0] if self._records else 0.0
        return (mood + 4 * np.tanh(float(history))).astype(np.float32)

    def _record(self, steps: Sequence[Step], poses: Pose) -> ChunkRecord:
        before = self._records[-1].latents.tobytes().hex() if self._records else ""
        noise = np.random.default_rng(_number(f"{self.spec.seed} {self.chunks} {self._prompt} {list(steps)} {before}"))
        latents = noise.standard_normal((len(steps), *LATENT_SHAPE)).astype(np.float16)
        actions = np.array([action_from_keys(step.keys) for step in steps], dtype=np.int16)
        return ChunkRecord(
            index=self.chunks,
            steps=tuple(steps),
            latents=latents,
            poses=poses.astype(np.float32),
            actions=actions,
            prompt=self._prompt,
        )


def draw(world_from_camera: Pose, number: int, colours: NDArray[np.float32]) -> Picture:
    """The toy world from a pose [4, 4], uint8 [H, W, 3], with `number` in a corner, in these `colours` [3, 3]."""
    picture = _ground_and_sky(world_from_camera, colours)
    _draw_pillars(picture, world_from_camera, colours[2])
    _draw_number(picture, number)
    return picture


def _ground_and_sky(world_from_camera: Pose, colours: NDArray[np.float32]) -> Picture:
    """At half resolution, each pixel twice: the picture has to be cheap."""
    y, x = 2 * np.mgrid[: HEIGHT // 2, : WIDTH // 2].astype(np.float32) + 1
    rays = np.stack([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, np.ones_like(x)], axis=-1)
    rays = rays @ world_from_camera[:3, :3].T.astype(np.float32)
    eye = world_from_camera[:3, 3].astype(np.float32)
    down = rays[..., 1]
    distance = np.where(down > 1e-3, -eye[1] / np.maximum(down, 1e-3), 1e3)
    east, north = (eye[axis] + rays[..., axis] * distance for axis in (0, 2))
    dark = (np.floor(east) + np.floor(north)).astype(np.int32) & 1
    fog = np.clip(distance / 40, 0, 1)[..., None]
    sky = colours[0] * (1 - 0.35 * np.clip(-down, 0, 1))[..., None]
    ground = colours[1] * (1 - 0.3 * dark)[..., None]
    return (ground * (1 - fog) + sky * fog).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)


def _draw_pillars(picture: Picture, world_from_camera: Pose, colour: NDArray[np.float32]) -> None:
    """Upright boxes at fixed places, drawn as screen rectangles from far to near."""
    angles = np.arange(12) * (2 * math.pi / 12)
    radii = np.where(np.arange(12) % 2, 7.0, 12.0)
    feet = np.stack([radii * np.sin(angles), np.zeros(12), radii * np.cos(angles) + 4, np.ones(12)])
    camera_from_world = np.linalg.inv(world_from_camera)
    heads = feet - np.array([0, 3.0, 0, 0])[:, None]
    low, high = camera_from_world @ feet, camera_from_world @ heads
    for index in np.argsort(-low[2]):
        depth = low[2, index]
        if depth < 0.3 or high[2, index] < 0.3:
            continue
        column = WIDTH / 2 + FOCAL * low[0, index] / depth
        top, bottom = (HEIGHT / 2 + FOCAL * point[1, index] / point[2, index] for point in (high, low))
        half = FOCAL * 0.35 / depth
        left, right = (int(np.clip(column + side, 0, WIDTH)) for side in (-half, half))
        shade = (np.roll(colour, index) * (1 - 0.5 * min(depth / 40, 1))).astype(np.uint8)
        picture[int(np.clip(top, 0, HEIGHT)) : int(np.clip(bottom, 0, HEIGHT)), left:right] = shade


def _draw_number(picture: Picture, number: int, scale: int = 4) -> None:
    for place, digit in enumerate(str(number)):
        rows = [[(int(row) >> bit) & 1 for bit in (2, 1, 0)] for row in GLYPHS[int(digit)]]
        glyph = np.kron(np.array(rows), np.ones((scale, scale), dtype=np.int64)).astype(bool)
        left = 8 + place * 4 * scale
        picture[8 : 8 + 5 * scale, left : left + 3 * scale][glyph] = 250


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _spin() -> None:
    """Hold the GIL for ever: a native loop that never lets another thread run."""
    sum(iter(int, 1))
