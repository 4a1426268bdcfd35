"""Weight files of a tiny `pocket`, and walks through its worlds by real processes that share it."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from engine.checkpoint import save_weights, sha256_of
from engine.transformer import Pocket, PocketConfig
from engine.weights import load_pocket
from engine.world import open_world
from tests.engine.tiny import one_thread, tiny_weights, wake
from tests.faults.walker import Walker
from worker import replay
from worker.history import History
from worker.journal import read
from worker.protocol import WorldSpec


def picture() -> bytes:
    """A PNG of some colours."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


SPEC = WorldSpec(preset="pocket", seed=7, prompt="a village", chunk=2, image=picture())


def write_tiny(folder: Path) -> Path:
    """A `pocket` with three heads, random weights and pictures of 64x32 pixels, as files like the repository's."""
    tiny = tiny_weights()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Pocket(PocketConfig(width=48, heads=3, depth=2, latent_channels=4, guided=True))
    wake(model, 1.0)
    networks = {
        "vae": tiny.vae, "depth": tiny.depth, "sweep": tiny.sweep, "compositor": tiny.compositor, "transformer": model,
    }  # fmt: skip
    for name, network in networks.items():
        assert network is not None
        about: dict[str, Any] = {"kind": f"pocket-{name}", "config": json.loads(json.dumps(asdict(network.config)))}
        if name != "vae":
            about |= {"vae_sha256": sha256_of(folder / "vae.safetensors"), "sizes": [[tiny.width, tiny.height]]}
        if name == "sweep":
            about |= {"depth_sha256": sha256_of(folder / "depth.safetensors")}
        save_weights(folder / f"{name}.safetensors", network.state_dict(), about)
    return folder


@contextmanager
def surroundings(**variables: str) -> Iterator[None]:
    """These environment variables, for the processes that are started meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def processes(pid: int) -> list[psutil.Process]:
    """A process and all that it has started."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def ranks_among(found: list[psutil.Process]) -> dict[int, psutil.Process]:
    """The ranks of the model by number."""
    commands = {process: " ".join(process.cmdline()) for process in found}
    ours = {process: words for process, words in commands.items() if "worker.rank_process" in words}
    ours |= {process: words for process, words in commands.items() if "worker.model_process" in words}
    return {json.loads(words[words.index("{") :])["place"]["rank"]: process for process, words in ours.items()}


def until_gone(found: list[psutil.Process], walker: Walker) -> None:
    """Walk until none of the processes is left."""
    walker.until(lambda: not psutil.wait_procs(found, 0)[1])


def history(session: str) -> History:
    """What the journal tells."""
    return read(Path(session)).history


def differences(session: str, weights: Path) -> list[tuple[int, float, bool]]:
    """The chunks of a session against the same steps and words on one rank, in this process: chunk, largest difference
    of latents, whether the pictures differ."""
    branch, tiny = history(session).branch, load_pocket(weights)
    worlds = []

    def opening(spec: Any, records: Any) -> Any:
        with _weights(tiny):
            worlds.append(open_world(spec, records))
        return worlds[-1]

    with one_thread():
        played = list(replay.again(branch, opening))
    return [(each.chunk, _apart(worlds[-1].records[each.chunk].latents, entry.latents), not each.equal)
            for each, entry in zip(played, branch.chunks, strict=True)]  # fmt: skip


@contextmanager
def _weights(tiny: Any) -> Iterator[None]:
    from engine import weights

    before, weights.load_pocket = weights.load_pocket, lambda **_: tiny
    try:
        yield
    finally:
        weights.load_pocket = before


def _apart(latents: Any, raw: bytes) -> float:
    other = np.frombuffer(raw, dtype=np.float16).reshape(latents.shape)
    return float(np.abs(latents.astype(np.float32) - other.astype(np.float32)).max())
