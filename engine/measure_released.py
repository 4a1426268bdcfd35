"""`launch.py plan --measure`: a chunk of the released models at small sizes, timed here beside the cost model's answer.

The weights are random, so pictures mean nothing, but every operation is made: context chosen and encoded, the chunk
denoised in the released number of steps, every latent decoded. `tiny` are the sizes of the public fixtures, where calls
cost more than arithmetic; `middle` has about 100 million parameters. Predicted is what the operations of
`engine.cost.flops` take at this machine's own rate of matrix products, measured between the chunks: a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import rollout
from engine.actions import KEY_RIGHT, KEY_W, WORLDPLAY, Step, actions_from_poses, latent_poses
from engine.cost import Workload, flops, parameters
from engine.errors import WanderError
from engine.geometry import rigid_inverse
from engine.memory import MemoryConfig, select_context
from engine.precision import compute_dtype, default_device
from engine.released_world import Features, ReleasedModel, ReleasedWorld
from engine.rope import RopeConfig
from engine.throughput import gemm_gflops
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.world import ChunkRecord, WorldSpec
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B

TINY_5B = Workload(
    config=Config5B(width=48, heads=2, depth=2, feed_forward=96, latent_channels=4, text_width=16),
    vae=WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1),
    recipe=rollout.worldplay_5b(), grid=(4, 6), text=7, fps=16.0,
)  # fmt: skip
TINY_8B = Workload(
    config=Config8B(width=64, heads=2, depth=2, rope=RopeConfig(time=8, row=12, column=12, theta=256.0),
                    latent_channels=4, text_width=24, image_width=20),
    vae=HunyuanVaeConfig(widths=(8, 8, 16, 16, 16), blocks=1, latent_channels=4),
    recipe=rollout.worldplay_8b(), grid=(3, 5), text=7, fps=24.0,
)  # fmt: skip
MIDDLE_5B = Workload(
    config=Config5B(width=640, heads=5, depth=12, feed_forward=2560),
    vae=WanVaeConfig(encoder_width=16, decoder_width=32),
    recipe=rollout.worldplay_5b(), grid=(12, 20), text=64, fps=16.0,
)  # fmt: skip
MIDDLE_8B = Workload(
    config=Config8B(width=512, heads=4, depth=8),
    vae=HunyuanVaeConfig(widths=(16, 32, 64, 64, 64)),
    recipe=rollout.worldplay_8b(), grid=(6, 10), text=64, fps=24.0,
)  # fmt: skip
WORKS = {
    "tiny": {"worldplay-5b": TINY_5B, "worldplay-8b": TINY_8B},
    "middle": {"worldplay-5b": MIDDLE_5B, "worldplay-8b": MIDDLE_8B},
}
HISTORIES = (64, 512, 4096)
"""Latents of the worlds whose memory selection is timed; 4096 are 17 minutes at 16 frames a second."""
PAST = 8
"""Chunks that lie behind the timed ones: more than the context holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One preset at one size."""

    preset: str
    size: str
    parameters: int
    """Of transformer and autoencoder."""
    picture: tuple[int, int]
    tokens: int
    """Of a latent."""
    context: int
    """Latents in context."""
    device: str
    precision: str
    chunks: int
    """Timed, after one that is not."""
    threads: int
    chunk_seconds: float
    """Median."""
    chunk_cpu_seconds: float
    """Median of all threads' time on the CPU: what other work on the machine can hardly stretch."""
    gflop: float
    """Of a chunk, counted by the cost model."""
    gemm_gflops: float
    """Best rate between the chunks."""
    predicted_seconds: float
    selection_ms: dict[int, float]
    """Memory selection, by latents of history; the fastest of some."""
    selection_cpu_ms: dict[int, float]
    """The same, time on the CPU."""

    @property
    def ratio(self) -> float:
        """Median over predicted."""
        return self.chunk_seconds / self.predicted_seconds

    @property
    def cpu_ratio(self) -> float:
        """Median time on the CPU of a thread over predicted."""
        return self.chunk_cpu_seconds / self.threads / self.predicted_seconds


def build(preset: str, work: Workload, device: torch.device, dtype: torch.dtype) -> ReleasedModel:
    """The preset's networks at the workload's size with random weights, the same at every call."""
    generator = torch.Generator().manual_seed(0)

    def encode(_words: str, _picture: NDArray[np.uint8] | None) -> Features:
        def rows(count: int, width: int) -> Tensor:
            return torch.randn(count, width, generator=generator)

        text = {"text": rows(work.text, work.config.text_width)}
        if isinstance(work.config, Config5B):
            return text
        return text | {"quoted": rows(0, work.config.byt5_width), "image": rows(0, work.config.image_width)}

    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = WorldPlay5B(work.config) if isinstance(work.config, Config5B) else WorldPlay8B(work.config)
        vae = WanVae(work.vae) if isinstance(work.vae, WanVaeConfig) else HunyuanVae(work.vae)
    for network in (transformer, vae):
        network.eval().requires_grad_(False).to(device, dtype)
    return ReleasedModel(transformer=transformer, vae=vae, encode=encode, recipe=work.recipe, width=work.size[0],
                         height=work.size[1], fps=work.fps, checksum=f"random {preset}")  # fmt: skip


def walk(latents: int) -> NDArray[np.float64]:
    """world_from_camera `[T, 4, 4]` of a walk in a wide circle."""
    return latent_poses([Step(keys=KEY_W | KEY_RIGHT * (i % 3 == 0)) for i in range(latents - 1)], WORLDPLAY)


def past(work: Workload, chunks: int) -> list[ChunkRecord]:
    """Records of a walk whose latents are noise."""
    length, generator = work.recipe.chunk, np.random.default_rng(0)
    poses = walk(chunks * length)
    actions = actions_from_poses(poses)
    shape = (length, work.config.latent_channels, *work.grid)
    return [
        ChunkRecord(index=index, steps=(), latents=generator.standard_normal(shape).astype(np.float16),
                    poses=poses[own].astype(np.float32), actions=actions[own].astype(np.int16), prompt="")
        for index, own in enumerate(slice(i * length, (i + 1) * length) for i in range(chunks))
    ]  # fmt: skip


def clocks() -> NDArray[np.float64]:
    """Seconds that have passed, seconds that this process was on the CPU."""
    return np.array([time.perf_counter(), time.process_time()])


def selection_ms(config: MemoryConfig, latents: int, times: int = 9) -> NDArray[np.float64]:
    """Milliseconds, by both clocks, to choose the context of the chunk after `latents` latents; the fastest of some."""
    cameras, taken = rigid_inverse(walk(latents + 4)), []
    for _ in range(times):
        start = clocks()
        select_context(cameras, latents, 4, config)
        taken.append(clocks() - start)
    return 1e3 * np.min(taken, axis=0)


def rate(device: torch.device, dtype: torch.dtype) -> float:
    """Matrix products on the device, 10^9 operations a second."""
    if device.type != "cuda":
        return gemm_gflops(dtype, seconds=0.1)
    left, right = (torch.randn(4096, 4096, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        _ = left @ right
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * 4096**3 / best / 1e9


def measure(preset: str, size: str, chunks: int = 3) -> Measured:
    """Plays `chunks` chunks with a full context, after one that warms up."""
    work, device = WORKS[size][preset], default_device()
    dtype = compute_dtype(device.type)
    model = build(preset, work, device, dtype)
    world = ReleasedWorld(model, WorldSpec(preset=preset, seed=0, prompt=""), past(work, PAST))
    seconds, rates = [], []
    for _ in range(1 + chunks):
        rates.append(rate(device, dtype))
        start = clocks()
        for _frames in world.step([Step(keys=KEY_W)] * world.chunk):
            pass
        seconds.append(clocks() - start)
        world.commit()
    counted, best = flops(work).total, max(rates)
    elapsed, computed = np.median(seconds[1:], axis=0).tolist()
    chosen = {latents: selection_ms(work.recipe.memory, latents).tolist() for latents in HISTORIES}
    return Measured(
        preset=preset, size=size, parameters=parameters(model.transformer) + parameters(model.vae), picture=work.size,
        tokens=work.tokens, context=work.context, device=str(device), precision=str(dtype).removeprefix("torch."),
        chunks=chunks, threads=torch.get_num_threads(), chunk_seconds=elapsed, chunk_cpu_seconds=computed,
        gflop=counted / 1e9, gemm_gflops=best, predicted_seconds=counted / 1e9 / best,
        selection_ms={latents: ms for latents, (ms, _) in chosen.items()},
        selection_cpu_ms={latents: ms for latents, (_, ms) in chosen.items()},
    )  # fmt: skip


def lines(found: Sequence[Measured], load: float) -> str:
    """A few lines on each."""
    cores = os.cpu_count() or 1
    quiet = "quiet" if load < 0.25 * cores else "not quiet: trust the ratios, not the times"
    shown = [f"load {load:.1f} on {cores} cores before the start: {quiet}"]
    for each in found:
        chosen = ", ".join(f"{ms:.1f} ({each.selection_cpu_ms[many]:.1f}) ms of {many}"
                           for many, ms in each.selection_ms.items())  # fmt: skip
        shown += [
            f"{each.preset} {each.size}: {each.parameters / 1e6:.2f} M parameters (random), {each.picture[0]}x"
            f"{each.picture[1]}, {each.context} latents of {each.tokens} tokens in context, {each.precision} on "
            f"{each.device}, threads: {each.threads}",
            f"  a chunk: {each.chunk_seconds:.3f} s, of these {each.chunk_cpu_seconds:.3f} s on the CPU; median of "
            f"{each.chunks}",
            f"  predicted: {each.predicted_seconds:.4f} s = {each.gflop:.3g} GFLOP at {each.gemm_gflops:.0f} GFLOP/s; "
            f"measured is {each.ratio:.2g} times that, {each.cpu_ratio:.2g} times by time on the CPU",
            f"  memory selection, in brackets on the CPU: {chosen} latents",
        ]
    return "\n".join(shown)


def run(arguments: Sequence[str]) -> str:
    """What to print. Raises `WanderError` for an unknown preset or size."""
    options = argparse.ArgumentParser(prog="launch.py plan --measure", description="Chunks of small released models.")
    presets = tuple(WORKS["tiny"])
    options.add_argument("--preset", action="append", metavar="NAME", help=f"{' | '.join(presets)} (default: both)")
    options.add_argument("--size", action="append", metavar="SIZE", help=f"{' | '.join(WORKS)} (default: both)")
    options.add_argument("--chunks", type=int, default=3, metavar="N", help="timed chunks (default: %(default)s)")
    options.add_argument("--json", action="store_true", help="one JSON object instead of the lines")
    chosen = options.parse_args(list(arguments))
    for name, wanted, known in (("preset", chosen.preset, presets), ("size", chosen.size, tuple(WORKS))):
        for each in wanted or ():
            if each not in known:
                raise WanderError(f"there is no {name} {each!r} to measure; the {len(known)} are {', '.join(known)}")
    if chosen.chunks < 1:
        raise WanderError(f"--chunks {chosen.chunks} is less than 1; choose 3")
    load = os.getloadavg()[0]
    pairs = [(preset, size) for size in chosen.size or WORKS for preset in chosen.preset or presets]
    found = [measure(preset, size, chosen.chunks) for preset, size in pairs]
    if chosen.json:
        results = [asdict(each) | {"ratio": each.ratio, "cpu_ratio": each.cpu_ratio} for each in found]
        return json.dumps({"load": load, "cores": os.cpu_count(), "measured": results})
    return lines(found, load)
