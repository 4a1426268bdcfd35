"""`launch.py bench`: what a chunk costs, what this machine can do, and how fast worlds are really made, with the
quality of that same run.

The model runs here alone, unthrottled, along a held-out walk, commit on and memory full. How it feels through the three
processes (frames shown, intervals, action to photon) is measured by the caller with `play --headless` and merged by
`combine`.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from engine.errors import WanderError
from engine.evaluation.clips import TrueClip
from engine.evaluation.command import ClipRequest, add_size, sized
from engine.evaluation.events_protocol import events_protocol
from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import nanmean, plain
from engine.memory import pocket as pocket_memory
from engine.precision import autocast, compute_dtype
from engine.streamer import FPS, PocketWorld
from engine.throughput import gemm_gflops
from engine.vae import FRAMES_PER_LATENT
from engine.weights import POCKET_FOLDER, PocketWeights, load_pocket
from engine.world import CHUNKS, WorldSpec

Json = dict[str, Any]
SAMPLE_EVERY = 24
"""DFD is measured at every so many frames."""
FIRST_WORDS, WORDS_EVERY = 4.0, 4.0
"""Seconds before the first prompt of a walk with events, and from one to the next: twice what counts as soon after."""
_SUBJECTS = {"en": {"thing": "house", "one": "a deer"}, "zh": {"thing": "房子", "one": "一只鹿"}}
LONGEST = 2.0
"""The walk lasts this many times the seconds asked for: a faster machine ends before them."""


def parser() -> argparse.ArgumentParser:
    """Arguments of the verb."""
    description = "What a chunk costs on this machine, and how fast worlds are made."
    top = argparse.ArgumentParser(prog="launch.py bench", description=description)
    top.add_argument("--seconds", type=float, default=60.0, help="how long each run lasts (60)")
    top.add_argument("--chunk", type=int, choices=CHUNKS, default=4, help="latents per chunk (4)")
    top.add_argument(
        "--weights", type=Path, default=POCKET_FOLDER, metavar="DIR", help="weight files (the repository's)"
    )
    add_size(top)
    top.add_argument("--engine-only", action="store_true", help="leave out the runs through window and worker")
    top.add_argument("--memory", action="store_true", help="only what choosing memory costs as history grows")
    top.add_argument("--json", action="store_true", help="the last line is one JSON object of figures")
    top.add_argument(
        "--events", type=int, default=0, metavar="N", help="also play the walk with N prompts and without"
    )
    return top


def prepare(options: argparse.Namespace) -> tuple[PocketWeights, ClipRequest]:
    """Checked weights and the held-out walk to follow. Raises `WanderError` for what the user can mend."""
    if not 1 <= options.seconds <= 3600:
        raise WanderError(f"--seconds {options.seconds:g} is not between 1 and 3600; choose another length")
    if not 0 <= options.events <= 1000:
        raise WanderError(f"--events {options.events} is not between 0 and 1000; choose another number")
    weights = load_pocket(options.weights, size=sized(options))
    frames = 1 + 4 * math.ceil(FPS * options.seconds * LONGEST / 4) + 4 * 32
    request = ClipRequest(
        sets=(("compound", 1, 7),),
        frames=frames,
        width=weights.width,
        height=weights.height,
        event_rate=0.0,
        depth=False,
    )
    return weights, request


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Operations of one chunk with full memory, counted in GFLOP (a multiply-add is two)."""

    guide: float
    denoise: float
    commit: float
    decode: float
    frames: int
    parameters: int

    @property
    def total(self) -> float:
        """GFLOP a chunk."""
        return self.guide + self.denoise + self.commit + self.decode


def full_world(weights: PocketWeights, clip: TrueClip, chunk: int) -> tuple[PocketWorld, int]:
    """A world from the clip's first frame with as much history as memory holds and one clip more to choose from, and
    its latents."""
    world = PocketWorld(weights, WorldSpec(prompt=clip.caption, image=clip.frames[0], chunk=chunk))
    memory, latents = pocket_memory(), 0
    while latents < memory.context_latents + memory.spatial_latents:
        advance(world, clip, latents)
        world.commit()
        latents += chunk
    return world, latents


def advance(
    world: PocketWorld, clip: TrueClip, latent: int, seen: Callable[[NDArray[np.uint8]], None] | None = None
) -> None:
    """Generates the chunk at `latent` along the clip's cameras, not yet committed; each latent's frames go to
    `seen`."""
    poses = clip.poses[::FRAMES_PER_LATENT][latent : latent + world.chunk]
    for frames in world.follow(poses):
        if seen:
            seen(frames)


def cost_of_chunk(weights: PocketWeights, clip: TrueClip, chunk: int) -> Cost:
    """Counts matrix products, convolutions and attention of one chunk as it runs."""
    world, latent = full_world(weights, clip, chunk)
    step, commit = (_gflop(run) for run in (lambda: advance(world, clip, latent), lambda: world.commit()))
    picture = torch.zeros(1, weights.vae.config.latent_channels, *weights.grid)
    frames = torch.zeros(1, FRAMES_PER_LATENT, 3, weights.height, weights.width)
    with torch.inference_mode(), autocast(picture.device):
        _, state = weights.vae.decode(picture, None)
        decode, guide = chunk * _gflop(lambda: weights.vae.decode(picture, state)), 0.0
        if weights.depth is not None:
            guide = chunk * _gflop(lambda: weights.vae.encode(frames.flatten(1, 2)[None]))
        if weights.compositor is not None:
            compositor = weights.compositor
            decode += chunk * _gflop(lambda: compositor(frames, frames, frames[:, :, 0] > 0))
    networks = (weights.model, weights.vae, weights.depth, weights.compositor)
    count = sum(p.numel() for network in networks if network is not None for p in network.parameters())
    return Cost(
        guide=guide,
        denoise=step - decode - guide,
        commit=commit,
        decode=decode,
        frames=chunk * FRAMES_PER_LATENT,
        parameters=count,
    )


def _gflop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def peak_gflops() -> float:
    """The best matrix product rate of this machine in the precision in use, over three sizes."""
    dtype = compute_dtype("cpu")
    return max(gemm_gflops(dtype, size=size, seconds=0.3) for size in (512, 1024, 2048))


def card(cost: Cost, peak: float, weights: PocketWeights, chunk: int) -> str:
    """The roofline card: what a chunk must cost at least."""
    shown_ms, least_ms = 1e3 * cost.frames / FPS, 1e3 * cost.total / peak
    precision = str(compute_dtype("cpu")).removeprefix("torch.")
    size = f"{weights.width}x{weights.height}, {cost.parameters / 1e6:.1f} M parameters"
    return "\n".join(
        (
            f"pocket at {size}, chunks of {chunk} latents ({cost.frames} frames)",
            f"  guide    {cost.guide:9.2f} GFLOP a chunk (encoding of what is drawn)",
            f"  denoise  {cost.denoise:9.2f} GFLOP (all steps, memory full)",
            f"  commit   {cost.commit:9.2f} GFLOP",
            f"  decode   {cost.decode:9.2f} GFLOP",
            f"  machine  {peak:9.0f} GFLOP/s of matrix products ({precision}, {torch.get_num_threads()} threads)",
            f"  a chunk takes at least {least_ms:.0f} ms, is shown for {shown_ms:.0f} ms ({least_ms / shown_ms:.2f})",
        )
    )


def measure(weights: PocketWeights, clip: TrueClip, cost: Cost, *, seconds: float, chunk: int) -> Json:
    """Generates for `seconds` (or to the end of the walk) with full memory and scores every `SAMPLE_EVERY`th frame of
    that run."""
    peak = peak_gflops()
    opened = time.perf_counter()
    fresh = PocketWorld(weights, WorldSpec(prompt=clip.caption, image=clip.frames[0], chunk=chunk))
    next(fresh.follow(clip.poses[::FRAMES_PER_LATENT][:chunk]))
    first_frame = time.perf_counter() - opened
    world, latent = full_world(weights, clip, chunk)
    run = _Run(clip, 1 + FRAMES_PER_LATENT * (latent - 1))
    last, begun = (len(clip.frames) - 1) // FRAMES_PER_LATENT + 1, time.perf_counter()
    chunk_seconds: list[float] = []
    while latent + chunk <= last and time.perf_counter() - begun < seconds:
        started = time.perf_counter()
        advance(world, clip, latent, run.see)
        world.commit()
        chunk_seconds.append(time.perf_counter() - started)
        latent += chunk
    lasted = time.perf_counter() - begun
    peak = max(peak, peak_gflops())
    p50, p95 = (float(np.percentile(chunk_seconds, q)) for q in (50, 95))
    lasts = cost.frames / FPS
    return {
        "fps_generated": run.distinct / lasted,
        "rtf_p50": p50 / lasts,
        "rtf_p95": p95 / lasts,
        "chunk_p50_ms": 1e3 * p50,
        "chunk_p95_ms": 1e3 * p95,
        "gemm_share": cost.total / p50 / peak,
        "gemm_gflops": peak,
        "frames": run.distinct,
        "seconds": lasted,
        "first_frame_s": first_frame,
        "chunk": chunk,
        "size": [weights.width, weights.height],
        "cost_gflop": asdict(cost),
        **run.quality(),
    }


class _Run:
    """Frames of the measured run: how many differ from their predecessor, and samples of them beside the truth."""

    def __init__(self, clip: TrueClip, start: int) -> None:
        self.distinct = 0
        self._clip, self._next = clip, start
        self._previous: NDArray[np.uint8] | None = None
        self._made: list[NDArray[np.uint8]] = []
        self._truth: list[NDArray[np.uint8]] = []

    def see(self, frames: NDArray[np.uint8]) -> None:
        """Frames `[4, H, W, 3]` in the order in which they were made."""
        for frame in frames:
            self.distinct += self._previous is None or not np.array_equal(frame, self._previous)
            if self._next % SAMPLE_EVERY == 0:
                self._made.append(frame.copy())
                self._truth.append(self._clip.frames[self._next])
            self._previous, self._next = frame, self._next + 1

    def quality(self) -> Json:
        """DFD of the samples against the truth at the same camera, and of repeating the given frame."""
        if not self._made:
            return {"dfd": None, "dfd_repeat": None}
        truth = features(np.stack(self._truth))
        repeat = features(self._clip.frames[:1])
        return {
            "dfd": nanmean(feature_distance(features(np.stack(self._made)), truth)),
            "dfd_repeat": nanmean(feature_distance(repeat, truth)),
        }


def script(seconds: float, seed: int = 0) -> list[Json]:
    """A random compound walk as lines of a `play --headless` script: keys that change every one to two seconds."""
    rng, lines, t = np.random.default_rng(seed), [], 0.0
    while t < seconds:
        moves = [str(rng.choice(["w", "w", "w", "a", "d", "s"]))] if rng.random() < 0.8 else []
        turns = [str(rng.choice(["left", "right", "up", "down"], p=[0.4, 0.4, 0.1, 0.1]))] if rng.random() < 0.6 else []
        lines.append({"t": round(t, 3), "keys": moves + turns})
        t += float(rng.uniform(1.0, 2.0))
    return lines


def prompts(count: int, every: float) -> list[Json]:
    """Lines that say `count` events, one in `every` seconds, families, wordings and languages in turn; every fourth
    takes the newest back."""
    protocol, found = events_protocol(), []
    for i in range(count):
        family = protocol.families[i % len(protocol.families)]
        _, words = protocol.words(family, i // len(protocol.families), _SUBJECTS)
        found.append({"t": round(FIRST_WORDS + i * every, 3), "prompt": "it stops" if i % 4 == 3 else words})
    return found


def play_events(root: Path, chunk: int, count: int, size: tuple[int, int]) -> Json:
    """Frame intervals of the same walk with `count` prompts, those soon after one apart, and without any."""
    seconds = FIRST_WORDS + count * WORDS_EVERY
    figures = ("interval_p50_ms", "interval_p99_ms", "prompted_p50_ms", "prompted_p99_ms")
    names = (*figures, "prompts", "repeats", "fps_shown", "notices", "problem")
    plays = {
        "with": play(root, chunk, seconds, size, prompts(count, WORDS_EVERY)),
        "without": play(root, chunk, seconds, size),
    }
    return {of: {name: report[name] for name in names if name in report} for of, report in plays.items()}


def play(root: Path, chunk: int, seconds: float, size: tuple[int, int], said: Sequence[Json] = ()) -> Json:
    """The figures of `play --headless` on the script, through all three processes; what went wrong, if it did. `size`
    is that of the pictures, `said` are lines with prompts, put between those of the walk."""
    folder = root / "data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "script.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in interleaved(script(seconds), said)))
    command = [sys.executable, str(root / "launch.py"), "play", "--headless", "--json", "--world", "seed:7"]
    command += ["--chunk", str(chunk), "--script", str(path), "--seconds", str(seconds), "--sessions", str(folder)]
    command += ["--size", *map(str, size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"problem": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def interleaved(walk: Sequence[Json], said: Sequence[Json]) -> list[Json]:
    """Lines of both in order of time; the keys that are held go on while words are said."""
    lines, held = [], []
    for line in sorted([*walk, *said], key=lambda line: line["t"]):
        held = line.get("keys", held)
        lines.append(line | {"keys": held})
    return lines


def combine(engine: Json, plays: Mapping[int, Json], chunk: int) -> Json:
    """The one object that `bench --json` ends with: figures of generation from `engine`, of showing from the play at
    `chunk`."""
    shown = plays.get(chunk, {})
    names = ("fps_shown", "interval_p50_ms", "interval_p99_ms", "latency_p50_ms", "latency_p95_ms", "rss_mb", "session")
    play = {str(latents): report for latents, report in plays.items()}
    return plain(engine | {name: shown.get(name) for name in names} | {"play": play})


def lines(figures: Json) -> str:
    """The figures as lines of text, a name and a value each."""
    plays = figures.get("events", {})
    events = {f"{name} {of} events": value for of, each in plays.items() for name, value in each.items()}
    flat = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    return "\n".join(f"{name:<18} {value}" for name, value in (flat | events).items())
