"""What a chunk of a released model costs, counted from its configuration: operations, weights, keys and values.

Every formula is the sum over the matrix products that `worldplay_5b.py` and `worldplay_8b.py` make (2 operations for a
multiplication and an addition); tests/engine/test_cost.py compares them with counted ones. Element-wise work and the
encoders of prompts, which run once, are left out.

Shape letters: T latents of a call, n tokens of a latent, L = T n, K keys, S text tokens, D width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine import rollout
from engine.rollout import Recipe
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B

SINUSOID = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One chunk of a preset at the size that it is usually run in."""

    config: Config5B | Config8B
    vae: WanVaeConfig | HunyuanVaeConfig
    recipe: Recipe
    grid: tuple[int, int]
    """Latent rows and columns."""
    text: int
    """Text tokens that the network reads."""
    fps: float

    @property
    def tokens(self) -> int:
        """Tokens of a latent."""
        rows, columns = self.grid
        return rows * columns // (4 if isinstance(self.config, Config5B) else 1)

    @property
    def context(self) -> int:
        """Latents of a full context."""
        return self.recipe.memory.context_latents

    @property
    def frames(self) -> int:
        """Frames of a chunk."""
        return 4 * self.recipe.chunk

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return 16 * self.grid[1], 16 * self.grid[0]


def worldplay_5b() -> Workload:
    """1280x704, 512 text rows, 16 frames a second as released."""
    return Workload(config=Config5B(), vae=WanVaeConfig(), recipe=rollout.worldplay_5b(), grid=(44, 80), text=512,
                    fps=16.0)  # fmt: skip


def worldplay_8b() -> Workload:
    """832x480, an image and a prompt of 100 tokens, 24 frames a second."""
    return Workload(config=Config8B(), vae=HunyuanVaeConfig(), recipe=rollout.worldplay_8b(), grid=(30, 52),
                    text=729 + 100, fps=24.0)  # fmt: skip


WORKLOADS = {"worldplay-5b": worldplay_5b, "worldplay-8b": worldplay_8b}


@dataclass(frozen=True, kw_only=True, slots=True)
class Flops:
    """Operations of a chunk by where they are made."""

    remember: int
    """The context pass."""
    denoise: int
    """All steps."""
    decode: int
    attention: int
    """Of the first two, the part that is attention."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.remember + self.denoise + self.decode


def attention(width: int, queries: int, keys: int) -> int:
    """Both branches of self-attention: scores and values."""
    return 8 * queries * keys * width


def encodings(width: int, own: int, context: int) -> int:
    """PRoPE's 4x4 products: queries, keys, values and outputs of own tokens, keys and values of context tokens."""
    return 8 * width * (4 * own + 2 * context)


def call(work: Workload, latents: int, context: int, *, head: bool = True) -> int:
    """One pass over `latents` latents that see `context` cached ones; without `head` it is the context pass.

    The context pass ends with the keys and values of the last block.
    """
    config, D = work.config, work.config.width
    L, seen = latents * work.tokens, context * work.tokens
    whole = config.depth if head else config.depth - 1
    if isinstance(config, Config5B):
        keys = L + seen
        embed = 2 * L * 4 * config.latent_channels * D + latents * 2 * (2 * (SINUSOID * D + D * D) + 6 * D * D)
        own, modulation = 6 * L * D * D, 0
        cross = 4 * L * D * D + 4 * L * work.text * D
        rest = 4 * L * D * D + cross + 4 * L * D * config.feed_forward
        out = 2 * L * D * 4 * config.latent_channels
    else:
        keys = L + seen + work.text
        embed = 2 * L * (2 * config.latent_channels + 1) * D + latents * 2 * 2 * (SINUSOID * D + D * D)
        own, modulation = 6 * L * D * D, 12 * latents * D * D
        rest = 4 * L * D * D + 4 * L * D * config.mlp_ratio * D
        out = 4 * latents * D * D + 2 * L * D * config.latent_channels
    block = rest + encodings(D, L, seen) + attention(D, L, keys)
    return embed + config.depth * (own + modulation) + whole * block + (out if head else 0)


def flops(work: Workload) -> Flops:
    """Operations of a chunk with a full context."""
    steps, chunk, D, depth = len(work.recipe.levels) - 1, work.recipe.chunk, work.config.width, work.config.depth
    text = 0 if isinstance(work.config, Config5B) else work.text
    n, N = work.tokens, work.context
    attended = (depth - 1) * attention(D, N * n, N * n + text)
    attended += steps * depth * attention(D, chunk * n, (N + chunk) * n + text)
    return Flops(
        remember=call(work, N, 0, head=False),
        denoise=steps * call(work, chunk, N),
        decode=chunk * decode_flops(work),
        attention=attended,
    )


def decode_flops(work: Workload) -> int:
    """Operations of decoding one latent after others, counted by running the decoder on tensors without memory."""
    with torch.device("meta"):
        vae = WanVae(work.vae) if isinstance(work.vae, WanVaeConfig) else HunyuanVae(work.vae)
        latent = torch.empty(1, work.vae.latent_channels, *work.grid)
        with torch.inference_mode():
            _, state = vae.decode(latent)
            _, state = vae.decode(latent, state)
            with FlopCounterMode(display=False) as counter:
                vae.decode(latent, state)
    return counter.get_total_flops()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bytes:
    """Memory that one GPU needs, in bytes."""

    transformer: int
    vae: int
    context: int
    """Keys and values of the context, before any position."""
    text: int
    """Keys and values of the prompt."""
    activations: int
    """The largest set of tensors that live at once beside those above."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.transformer + self.vae + self.context + self.text + self.activations


def parameters(network: nn.Module) -> int:
    """Numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def memory(work: Workload, ranks: int = 1, number: int = 2) -> Bytes:
    """Memory of each of `ranks` GPUs that share the heads, with numbers of `number` bytes; weights are on all of them.

    Heads that the ranks don't divide are dealt out unevenly: the rank with the most decides.
    """
    config = work.config
    with torch.device("meta"):
        net = WorldPlay5B(config) if isinstance(config, Config5B) else WorldPlay8B(config)
        vae = WanVae(work.vae) if isinstance(work.vae, WanVaeConfig) else HunyuanVae(work.vae)
    share = -(-config.heads // ranks) / config.heads
    token = 2 * config.width * number
    """A key and a value."""
    return Bytes(
        transformer=parameters(net) * number,
        vae=parameters(vae) * number,
        context=round(config.depth * work.context * work.tokens * token * share),
        text=config.depth * work.text * token,
        activations=round(activations(work, number) * (share if ranks > 1 else 1.0)),
    )


def activations(work: Workload, number: int = 2) -> int:
    """Peak of one block of a denoising step: the keys and values of both branches, once as parts and once joined, and
    a float32 copy of the part that is being encoded."""
    text = 0 if isinstance(work.config, Config5B) else work.text
    own, context = work.recipe.chunk * work.tokens, work.context * work.tokens
    parts = 2 * 2 * (own + context + text)
    return work.config.width * number * (2 * parts + 8 * own)
