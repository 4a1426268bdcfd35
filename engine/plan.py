"""The verb `plan`: what fits on which GPUs and how fast it should run, from a roofline whose assumptions are printed.

Time is the larger of arithmetic and memory traffic for each part, plus what the ranks exchange. It is a bound with an
assumed share of the peak, not a measurement: no released model was run on this project's machines.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache

from engine.cost import WORKLOADS, Bytes, Flops, Workload, flops, memory
from engine.errors import WanderError

MAX_GPUS = 64
RESERVE = 1.0e9
"""Bytes of a GPU that its driver and libraries take."""

BUS = 25e9
"""Bytes a second from a machine's page-locked memory to a card (PCIe 4, 16 lanes; assumed)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A card as its maker describes it."""

    name: str
    memory_gb: float
    tflops: float
    """Dense bfloat16 products with float32 sums, 10^12 operations a second."""
    bandwidth: float
    """Memory, 10^9 bytes a second."""
    link: float
    """To another card, 10^9 bytes a second each way."""


CARDS = (
    Gpu(name="RTX 4080", memory_gb=16, tflops=97, bandwidth=717, link=25),
    Gpu(name="RTX 4090", memory_gb=24, tflops=165, bandwidth=1008, link=25),
    Gpu(name="RTX 5090", memory_gb=32, tflops=209, bandwidth=1792, link=50),
    Gpu(name="L40S", memory_gb=48, tflops=362, bandwidth=864, link=25),
    Gpu(name="H100 SXM", memory_gb=80, tflops=989, bandwidth=3350, link=450),
    Gpu(name="H200", memory_gb=141, tflops=989, bandwidth=4800, link=450),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The answer."""

    preset: str
    gpus: int
    card: Gpu
    share: float
    """Part of the peak that is assumed to be reached."""
    flops: Flops
    bytes: Bytes
    """Of each GPU."""
    seconds: float
    """Of a chunk, all parts."""
    exchange: float
    """Seconds of it in which the GPUs exchange keys, values and outputs."""
    frames_per_second: float
    wanted: float
    """Frames a second of playback."""

    @property
    def spare(self) -> float:
        """Bytes that stay free on each GPU; negative if it does not fit."""
        return self.card.memory_gb * 1e9 - RESERVE - self.bytes.total

    @property
    def fits(self) -> bool:
        """Whether every GPU has room for its part."""
        return self.spare >= 0


def parse_gpus(text: str) -> tuple[int, float]:
    """`2x24GB` -> (2, 24.0). Raises `WanderError`."""
    found = re.fullmatch(r"(?:(\d{1,2})x)?(\d+(?:\.\d+)?)(?:gb)?", text.strip().lower())
    count, size = (int(found[1] or 1), float(found[2])) if found else (0, 0.0)
    if not (1 <= count <= MAX_GPUS and 1 <= size <= 1_000):
        raise WanderError(f"--gpus {text} is not 1 to {MAX_GPUS} GPUs of 1 to 1000 GB; write 2x24GB")
    return count, size


def card_of(memory_gb: float) -> Gpu:
    """The largest known card that has no more memory than this; the smallest card for less."""
    smaller = [card for card in CARDS if card.memory_gb <= memory_gb]
    return max(smaller or CARDS[:1], key=lambda card: card.memory_gb)


def exchanged(work: Workload, ranks: int, number: int = 2) -> int:
    """Bytes that a rank receives for a chunk: the other ranks' heads of every block's attention output, each pass.

    Weights and tokens are on all ranks, so queries, keys and values need no exchange (engine/parallel.py).
    """
    steps, n = len(work.recipe.levels) - 1, work.tokens
    tokens = (work.config.depth - 1) * work.context * n + steps * work.config.depth * work.recipe.chunk * n
    return round(2 * tokens * work.config.width * number * (ranks - 1) / ranks)


def make_plan(preset: str, gpus: int, card: Gpu, share: float) -> Plan:
    """The plan for `gpus` cards of one kind. Raises `WanderError` for an unknown preset."""
    if preset not in WORKLOADS:
        raise WanderError(f"there is no plan for {preset!r}; the {len(WORKLOADS)} presets are {', '.join(WORKLOADS)}")
    work = WORKLOADS[preset]()
    ops, held = flops(work), memory(work, gpus)
    steps, rate, width = len(work.recipe.levels) - 1, card.tflops * 1e12 * share, card.bandwidth * 1e9
    attention = max(ops.attention / gpus / rate, steps * held.context / width)
    other = max((ops.remember + ops.denoise - ops.attention) / rate, (steps + 1) * held.transformer / width)
    exchange = exchanged(work, gpus) / (card.link * 1e9)
    seconds = attention + other + ops.decode / rate + exchange
    return Plan(preset=preset, gpus=gpus, card=card, share=share, flops=ops, bytes=held, seconds=seconds,
                exchange=exchange, frames_per_second=work.frames / seconds, wanted=work.fps)  # fmt: skip


POCKET = {"cores": 2.0, "memory": 1.5e9, "gpus": 0, "gpu_memory": 0.0}
"""Two cores make `pocket` in real time (LOG.md); its processes held 0.6 GB at the start of a walk, a long one more."""
HOST = {"cores": 4.0, "memory": 4.0e9}
"""Beside the weights, which pass through a machine's memory on their way to the GPU; assumed, not measured."""


@cache
def needs(preset: str) -> Mapping[str, float]:
    """What one session takes of a machine: `cores`, `memory` in bytes, `gpus`, and `gpu_memory`, bytes on each.

    Raises `WanderError` for a preset that there is no plan for.
    """
    if preset == "pocket":
        return POCKET
    if preset not in WORKLOADS:
        known = ", ".join(("pocket", *WORKLOADS))
        raise WanderError(f"there is no plan for {preset!r}; the {len(WORKLOADS) + 1} presets are {known}")
    held = memory(WORKLOADS[preset]())
    return {
        "cores": HOST["cores"], "memory": HOST["memory"] + held.transformer + held.vae, "gpus": 1,
        "gpu_memory": held.total + RESERVE,
    }  # fmt: skip


def streaming(plan: Plan) -> float:
    """Seconds in which a chunk's passes copy the transformer to the card,."""
    passes = len(WORKLOADS[plan.preset]().recipe.levels)
    return passes * plan.bytes.transformer / BUS


def advice(plan: Plan) -> list[str]:
    """What to do about it, most useful first."""
    lines = []
    if not plan.fits:
        lines.append(f"{-plan.spare / 1e9:.1f} GB too little on each GPU: the weights are on all of them.")
        better = next((c for c in CARDS if c.memory_gb * 1e9 - RESERVE >= plan.bytes.total), None)
        lines += [f"Use cards of {better.memory_gb:.0f} GB or more."] if better else []
        room, rest = plan.card.memory_gb * 1e9 - RESERVE, plan.bytes.total - plan.bytes.transformer
        if rest + plan.bytes.transformer / 2 <= room:
            lines.append("8-bit weights fit: WANDER_SPEED=weights=int8-weights (on GPUs from 8.9 also fp8-weights).")
        if rest + plan.bytes.transformer * 2 / WORKLOADS[plan.preset]().config.depth <= room:
            lines.append("Blocks streamed from the machine's memory fit: WANDER_SPEED=offload; a chunk then takes "
                         f"at least {streaming(plan):.1f} s.")  # fmt: skip
    if plan.frames_per_second < plan.wanted:
        waits = plan.wanted / plan.frames_per_second
        lines.append(f"{waits:.1f} times slower than playback: the world waits for you, pictures are paced evenly.")
        if plan.gpus < 8:
            lines.append("More GPUs share the attention, and decoding with --share-decoding; each computes the rest.")
    return lines or ["Nothing: it fits and keeps up with playback."]


def lines(plan: Plan) -> str:
    """The plan on one screen."""
    work, held, ops = WORKLOADS[plan.preset](), plan.bytes, plan.flops
    parts = [("transformer", held.transformer), ("autoencoder", held.vae), ("context keys, values", held.context),
             ("prompt keys, values", held.text), ("activations", held.activations)]  # fmt: skip
    return "\n".join([
        f"{plan.preset} at {work.size[0]}x{work.size[1]}: {work.frames} frames a chunk, {work.context} latents of "
        f"{work.tokens} tokens in context, {len(work.recipe.levels) - 1} steps",
        f"on {plan.gpus} x {plan.card.memory_gb:g} GB:",
        *(f"  {name:<24}{size / 1e9:8.2f} GB" for name, size in parts),
        f"  {'together':<24}{held.total / 1e9:8.2f} GB of {plan.card.memory_gb - RESERVE / 1e9:g} GB: "
        + ("fits" if plan.fits else "does not fit"),
        f"a chunk: {ops.total / 1e12:.0f} TFLOP (context {ops.remember / 1e12:.0f}, steps {ops.denoise / 1e12:.0f}, "
        f"decoding {ops.decode / 1e12:.0f}; attention is {ops.attention / 1e12:.0f} of these)",
        f"expected: {plan.seconds:.2f} s a chunk ({plan.exchange:.2f} s of it exchange), {plan.frames_per_second:.1f} "
        f"frames/s; playback is {plan.wanted:g}",
        f"assumed: {plan.card.name}, {plan.card.tflops:g} TFLOP/s bfloat16 of which {plan.share:.0%} are reached, "
        f"{plan.card.bandwidth:g} GB/s memory, {plan.card.link:g} GB/s between cards; what decoding holds "
        "beside its weights is not counted; not measured",
        "to do:",
        *(f"  {line}" for line in advice(plan)),
    ])  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The options of `plan`."""
    options = argparse.ArgumentParser(prog="launch.py plan", description="What fits on which GPUs, and how fast.")
    add = options.add_argument
    add("--preset", required=True, metavar="NAME", help=" | ".join(WORKLOADS))
    add("--gpus", required=True, metavar="NxGB", help="such as 24GB or 2x24GB")
    add("--tflops", type=float, metavar="T", help="bfloat16 peak of one GPU (default: a known card of that memory)")
    add("--bandwidth", type=float, metavar="GB/S", help="memory bandwidth of one GPU")
    add("--link", type=float, metavar="GB/S", help="between two GPUs")
    add("--share", type=float, default=0.45, help="part of the peak that is reached (default: %(default)s)")
    add("--json", action="store_true", help="one JSON object instead of the screen")
    add("--measure", action="store_true", help="instead: time chunks at small sizes here (--measure --help)")
    return options


def run(arguments: Sequence[str]) -> str:
    """What to print. Raises `WanderError` for what the person can mend."""
    if "--measure" in arguments:
        from engine.measure_released import run as measured

        return measured([each for each in arguments if each != "--measure"])
    options = parser().parse_args(list(arguments))
    count, size = parse_gpus(options.gpus)
    known = card_of(size)
    given = {name: getattr(options, name) or getattr(known, name) for name in ("tflops", "bandwidth", "link")}
    if not (0 < options.share <= 1 and min(given.values()) > 0):
        raise WanderError(f"--share {options.share:g} and the card's rates must be above 0, a share at most 1")
    name = known.name if given == {field: getattr(known, field) for field in given} else "your figures"
    plan = make_plan(options.preset, count, Gpu(name=name, memory_gb=size, **given), options.share)
    if options.json:
        return json.dumps(asdict(plan) | {"fits": plan.fits, "spare": plan.spare, "advice": advice(plan)})
    return lines(plan)
