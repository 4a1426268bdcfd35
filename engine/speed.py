"""What makes a released model faster or smaller, each by choice: `WANDER_SPEED="attention=sage,weights=int8,compile"`.

- `attention=auto|reference|sdpa|sage` (engine/attention.py), checked against the reference when the model is loaded;
- `weights=full|int8-weights|int8|fp8-weights|fp8` (engine/quantise.py);
- `offload`: blocks stream through the GPU from the machine's memory (engine/offload.py);
- `compile`: the blocks' projections, modulation and feed-forward through torch.compile, warmed up at the start;
- `graphs`: denoising steps recorded as CUDA graphs and replayed (engine/graphs.py); not with `offload`, nor with ranks;
- `decoder=released|tiny` (engine/tiny_decoder.py).

The default changes nothing.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from importlib.util import find_spec

import torch
from torch import nn

from engine.attention import KERNELS, checked, using
from engine.errors import WanderError
from engine.geometry import WORLDPLAY_LENS, image_from_camera
from engine.graphs import Room, install, recorder
from engine.offload import offload
from engine.precision import autocast
from engine.quantise import PRECISIONS, blocks_of, quantise
from engine.released import Clip
from engine.rollout import Autoregressive
from engine.worldplay_5b import WorldPlay5B
from engine.worldplay_8b_text import Prompt8B

VARIABLE = "WANDER_SPEED"
DECODERS = ("released", "tiny")
PASSES = 3
"""Of `practice`."""
COMPILERS = ("g++", "clang++", "c++")
Tell = Callable[[float, str], object]
Practice = Callable[[Autoregressive], Iterator[None]]
"""Passes like those of a chunk, one for each step of the iterator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """The choices; the default is the network as it was released."""

    attention: str = "auto"
    weights: str = "full"
    compile: bool = False
    offload: bool = False
    graphs: bool = False
    decoder: str = "released"

    @property
    def mark(self) -> str:
        """What of it changes numbers: part of a world's checksum. Empty for the default."""
        chosen = {"attention": self.attention, "weights": self.weights, "compile": self.compile,
                  "decoder": self.decoder}  # fmt: skip
        default = Speed()
        return ",".join(f"{name}={value}" for name, value in chosen.items() if value != getattr(default, name))


def parse(text: str) -> Speed:
    """`attention=sage,weights=int8,compile,offload` in any order. Raises `WanderError`."""
    found: dict[str, str | bool] = {}
    known = {"attention": tuple(KERNELS), "weights": PRECISIONS, "compile": (), "offload": (), "graphs": (),
             "decoder": DECODERS}  # fmt: skip
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if name not in known or name in found or (bool(equals) != bool(known[name])):
            names = ", ".join(f"{each.name}=..." if known[each.name] else each.name for each in fields(Speed))
            raise WanderError(f"{VARIABLE} has {part!r}, which is unknown or said twice; its {len(known)} choices are "
                              f"{names}")  # fmt: skip
        if equals and value not in known[name]:
            raise WanderError(f"{VARIABLE} has {part!r}; the {len(known[name])} choices are {', '.join(known[name])}")
        found[name] = value or True
    return Speed(**found)  # pyright: ignore[reportArgumentType]


def wanted() -> Speed:
    """What the environment asks for. Raises `WanderError`."""
    return parse(os.environ.get(VARIABLE, ""))


def hasten(network: Autoregressive, speed: Speed, device: torch.device, passes: Practice, tell: Tell,
           room: Room) -> Autoregressive:  # fmt: skip
    """The same network with the choices carried out; to be offloaded it must be on the CPU, else on `device`. `room` is
    what the slots of graphs must hold.

    Raises `WanderError` for what this machine can't do, before anything was changed, and for a wrong attention kernel.
    """
    dtype = next(network.parameters()).dtype
    if speed.attention != "auto":
        checked(speed.attention, network.config.head_width, device, dtype)
    if speed.compile:
        can_compile(device)
    if speed.graphs and speed.offload:
        raise WanderError("graphs read weights where they were recorded and offload moves them, so 1 of the 2 choices "
                          "must go; leave graphs out")  # fmt: skip
    record = recorder(device) if speed.graphs else None
    if speed.weights != "full":
        tell(0.0, f"Rounding weights to {speed.weights}")
        quantise(network, speed.weights, device)
    if speed.offload:
        tell(0.0, "Moving the blocks to page-locked memory")
        offload(network, device)
    if speed.compile:
        compile_parts(network)
        with torch.inference_mode(), autocast(device, dtype), using(speed.attention):
            warm_up(partial(passes, network), tell)
    if record is not None:
        install(network, room, record)
    return network


# -- torch.compile ----------------------------------------------------------------------------------------------------


def can_compile(device: torch.device) -> None:
    """Raises `WanderError` where torch.compile would find no compiler."""
    named = os.environ.get("CXX")
    if not any(map(shutil.which, (named,) if named else COMPILERS)):
        tried = named or ", ".join(COMPILERS)
        raise WanderError(f"compile needs a C++ compiler, 0 of {tried} are installed; "
                          "install one (Debian: apt install g++), or leave compile out")  # fmt: skip
    if device.type == "cuda" and find_spec("triton") is None:
        raise WanderError("compile on a GPU needs the package triton, which comes with torch's CUDA build and is not "
                          "installed; leave compile out")  # fmt: skip


def compile_parts(network: Autoregressive, backend: str = "inductor") -> None:
    """Compiles what the blocks do but for self-attention and its encodings; blocks of one shape share the code."""
    for block in blocks_of(network).children():
        if isinstance(network, WorldPlay5B):
            _compile(block, ("own", "finish"), backend)
        else:
            _compile(block.get_submodule("img"), ("qkv", "finish", "project"), backend)
            _compile(block.get_submodule("img.mod"), ("forward",), backend)


def _compile(module: nn.Module, methods: tuple[str, ...], backend: str) -> None:
    for name in methods:
        setattr(module, name, torch.compile(getattr(module, name), backend=backend))


def warm_up(passes: Callable[[], Iterator[None]], tell: Tell) -> None:
    """Goes through all passes, so that no chunk waits for the compiler, and says how far it is."""
    start, steps = time.monotonic(), 0
    tell(0.0, "Compiling; the first pass takes a minute or more")
    for steps, _ in enumerate(passes(), 1):
        tell(min(0.95, steps / PASSES), f"Compiling: pass {steps} is through after {time.monotonic() - start:.0f} s")
    tell(1.0, f"Compiled in {time.monotonic() - start:.0f} s, {steps} passes")


def practice(network: Autoregressive, grid: tuple[int, int], chunk: int = 4) -> Iterator[None]:
    """A chunk's passes on zeros, with contexts of one and of two chunks: what depends on length compiles for any."""
    config, weight = network.config, next(network.parameters())

    def clip(first: int, count: int) -> Clip:
        channels = config.latent_channels * (1 if isinstance(network, WorldPlay5B) else 2)
        channels += not isinstance(network, WorldPlay5B)
        cameras = torch.eye(4, device=weight.device, dtype=torch.float64).expand(count, 4, 4)
        lenses = torch.from_numpy(image_from_camera(WORLDPLAY_LENS)).to(weight.device).expand(count, 4, 4)
        actions = torch.zeros(count, dtype=torch.int64, device=weight.device)
        latents = torch.zeros(1, count, channels, *grid, device=weight.device)  # float32, as in a world
        return Clip(latents, actions, network.geometry(range(first, first + count), grid, cameras, lenses))

    def rows(count: int, width: int) -> torch.Tensor:
        return weight.new_zeros(1, count, width)

    if isinstance(network, WorldPlay5B):
        text = network.read_prompt(rows(512, network.config.text_width))
    else:
        sizes = network.config
        prompt = Prompt8B(rows(32, sizes.text_width), rows(0, sizes.byt5_width), rows(0, sizes.image_width))
        text = network.read_prompt(prompt)
    times = torch.full((chunk,), 500.0, device=weight.device)
    network.velocity(clip(0, chunk), times, text, None)
    yield
    for context in (chunk, 2 * chunk):
        cache = network.remember(clip(0, context), text)
        network.velocity(clip(context, chunk), times, text, cache)
        yield
