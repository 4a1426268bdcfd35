"""Attention of a training pass: a clip's clean and noisy latents in one call, masked by construction.

Clean latents stand first and attend within their own chunk (what `commit` does in play). Noisy chunks attend to the
clean latents that the streamer's own memory selection names, at the indices that temporal reframing gives them, and to
themselves (what denoising does in play). tests/engine/test_training_mixer.py proves the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.attention import attend
from engine.prope import Frustums
from engine.transformer import QKV, Geometry, Pocket

Past = tuple[list[Tensor], list[Tensor]]
"""Positioned keys and values `[B, heads', tokens, H]` that are attended to beside a chunk's own."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which latents of a clip are generated from which.

    `targets` are (first latent, latents) of the noisy chunks, contiguous and ending with the clip; `commit` is the
    number of latents that are committed together; `retrieved` `[chunks][B, R]` are latents older than the recent
    window, ascending, or None while the whole history is in view; `recent` is the length of that window.
    """

    latents: int
    commit: int
    targets: Sequence[tuple[int, int]]
    retrieved: Sequence[Tensor | None]
    recent: int
    reframes: bool = True
    """False: retrieved latents stand at their own time."""


class TrainingMixer:
    """See the module; tokens of a call are those of latents `[0 .. T) clean, [targets[0][0] .. T) noisy`."""

    def __init__(self, model: Pocket, layout: Layout, frustums: Frustums, grid: tuple[int, int]) -> None:
        self.positions, self.layout, self.frustums = model.positions, layout, frustums
        T, first = layout.latents, layout.targets[0][0]
        self.tokens = (grid[0] // model.config.patch) * (grid[1] // model.config.patch)
        order = torch.cat([torch.arange(T), torch.arange(first, T)])
        self.geometry = model.geometry(
            order.double(), grid, Frustums(frustums.image_from_world[:, order], frustums.world_from_image[:, order])
        )
        self.reframed = [
            self._reframe(model, grid, start, chosen)
            for (start, _), chosen in zip(layout.targets, layout.retrieved, strict=True)
        ]

    def _reframe(self, model: Pocket, grid: tuple[int, int], start: int, chosen: Tensor | None) -> Geometry | None:
        """Geometry of retrieved latents: they stand directly before the recent window, whatever their age."""
        if chosen is None:
            return None
        count = chosen.shape[1]
        rows = torch.arange(len(chosen))[:, None]
        picked = Frustums(self.frustums.image_from_world[rows, chosen], self.frustums.world_from_image[rows, chosen])
        if not self.layout.reframes:
            each = [model.geometry(own.double(), grid, picked) for own in chosen]
            return Geometry(torch.stack([geometry.table for geometry in each]), each[0].frustums)
        return model.geometry(torch.arange(count).double() + (start - self.layout.recent - count), grid, picked)

    def __call__(self, index: int, qkv: QKV) -> Tensor:
        """Attention output of block `index`, before its projection."""
        layout, n, T = self.layout, self.tokens, self.layout.latents
        q, k, v = (
            f(x, self.geometry).transpose(1, 2)
            for f, x in ((self.positions.queries, qkv.q), (self.positions.keys, qkv.k), (self.positions.values, qkv.v))
        )
        sizes = [n] * T + [n * length for _, length in layout.targets]
        qs, ks, vs = (list(x.split(sizes, 2)) for x in (q, k, v))
        past = [self._past(i, ks, vs, qkv) for i in range(len(layout.targets))]
        out = [self._clean(q, k, v, past)]
        for i, (keys, values) in enumerate(past):
            out.append(attend(qs[T + i], torch.cat([*keys, ks[T + i]], 2), torch.cat([*values, vs[T + i]], 2)))
        return self.positions.outputs(torch.cat(out, 2).transpose(1, 2), self.geometry)

    def _past(self, i: int, ks: list[Tensor], vs: list[Tensor], qkv: QKV) -> Past:
        """What noisy chunk i sees of the clean latents."""
        start, chosen, reframed = self.layout.targets[i][0], self.layout.retrieved[i], self.reframed[i]
        recent = range(0 if chosen is None else start - self.layout.recent, start)
        keys, values = [ks[t] for t in recent], [vs[t] for t in recent]
        if reframed is not None:
            far_k, far_v = (self._gather(x, chosen) for x in (qkv.k, qkv.v))
            keys.insert(0, self.positions.keys(far_k, reframed).transpose(1, 2))
            values.insert(0, self.positions.values(far_v, reframed).transpose(1, 2))
        return keys, values

    def _clean(self, q: Tensor, k: Tensor, v: Tensor, past: Sequence[Past]) -> Tensor:
        """Every committed chunk attends to itself: all chunks of the batch at once."""
        B, heads, _, H = q.shape
        rows = self.tokens * self.layout.commit
        count = self.layout.latents // self.layout.commit
        folded = [x[:, :, : count * rows].reshape(B, heads * count, rows, H) for x in (q, k, v)]
        return attend(*folded).reshape(B, heads, count * rows, H)

    def _gather(self, x_BLNH: Tensor, chosen: Tensor | None) -> Tensor:
        assert chosen is not None
        latents = x_BLNH[:, : self.layout.latents * self.tokens].unflatten(1, (self.layout.latents, self.tokens))
        return latents[torch.arange(len(chosen))[:, None], chosen].flatten(1, 2)
