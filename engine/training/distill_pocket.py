"""`pocket` as a `Network` of context forcing: what it remembers are the keys and values that play commits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.geometry import Matrix
from engine.kv_cache import CommitMixer, Context, DenoiseMixer
from engine.precision import autocast
from engine.training.base import Batch
from engine.transformer import Pocket, TextCache, pocket_frustums


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """Keys and values `[B, K * n, N, H]` of K latents before any position, one pair a block, and their cameras
    `[B, K, 4, 4]`."""

    keys: list[Tensor]
    values: list[Tensor]
    poses: Matrix


class PocketNetwork:
    """See `engine.training.distill.Network`; `dtype` as in `engine.precision.autocast`."""

    def __init__(self, module: Pocket, dtype: torch.dtype | None = None) -> None:
        self._module, self.dtype = module, dtype

    @property
    def module(self) -> Pocket:
        """The transformer."""
        return self._module

    def remember(self, seen: Batch, commit: int) -> Remembered:
        """Commits K latents, `commit` at a time, as play does: each group attends to itself alone."""
        model, (B, K) = self._module, seen.latents.shape[:2]
        groups = K // commit

        def folded(x: Tensor) -> Tensor:
            return x.unflatten(1, (groups, commit)).flatten(0, 1)

        poses = seen.poses.reshape(B * groups, commit, 4, 4)
        times = torch.arange(commit, dtype=torch.float64)
        geometry = model.geometry(times, _grid(seen), pocket_frustums(poses, poses[:, :1]))
        mixer, latents = CommitMixer(model.positions, geometry), folded(seen.latents)
        levels = torch.zeros(latents.shape[:2], device=latents.device)
        with autocast(latents.device, self.dtype):
            text = _repeated(model.read_prompt(seen.rows, seen.lengths, seen.versions[:, :1]), groups)
            model(latents, levels, folded(seen.actions), text, mixer)
        kept = (mixer.keys, mixer.values)
        keys, values = ([x.unflatten(0, (B, groups)).flatten(1, 2) for x in each] for each in kept)
        return Remembered(keys, values, seen.poses)

    def velocity(self, noisy: Batch, levels_BT: Tensor, memory: Remembered | None) -> Tensor:
        """As in `engine.streamer`: memory stands just before in time, cameras are relative to the first latent."""
        model, grid, T = self._module, _grid(noisy), noisy.latents.shape[1]
        origin, past = noisy.poses[:, :1], 0 if memory is None else memory.poses.shape[1]
        times = torch.arange(past + T, dtype=torch.float64)
        geometry = model.geometry(times[past:], grid, pocket_frustums(noisy.poses, origin))
        with autocast(noisy.latents.device, self.dtype):
            context = Context(None, None)
            if memory is not None:
                there = model.geometry(times[:past], grid, pocket_frustums(memory.poses, origin))
                context = Context(
                    [model.positions.keys(k, there).transpose(1, 2) for k in memory.keys],
                    [model.positions.values(v, there).transpose(1, 2) for v in memory.values],
                )
            mixer = DenoiseMixer(model.positions, geometry, context)
            text = model.read_prompt(noisy.rows, noisy.lengths, noisy.versions)
            guide = noisy.guides if model.config.guided else None
            return model(noisy.latents, levels_BT, noisy.actions, text, mixer, guide)


def _grid(batch: Batch) -> tuple[int, int]:
    Y, X = batch.latents.shape[-2:]
    return Y, X


def _repeated(text: TextCache, times: int) -> TextCache:
    """The text of each sample for each of its groups."""
    keys, values = ([x.repeat_interleave(times, 0) for x in each] for each in (text.keys, text.values))
    return TextCache(keys, values, text.bias.repeat_interleave(times, 0), text.gist.repeat_interleave(times, 0))
