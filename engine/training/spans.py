"""Parts of a batch: some of its samples, consecutive latents of its clips, or those that memory chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.training.base import Batch


def samples_of(batch: Batch, chosen: slice | Sequence[int]) -> Batch:
    """Some samples of a batch."""
    rows: Any = chosen if isinstance(chosen, slice) else list(chosen)
    return Batch(
        batch.latents[rows],
        batch.actions[rows],
        batch.poses[rows],
        batch.rows[rows],
        batch.lengths[rows],
        batch.versions[rows],
        None if batch.guides is None else batch.guides[rows],
    )


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch where the networks are; cameras stay NumPy's."""
    return replace(
        batch,
        latents=batch.latents.to(device),
        actions=batch.actions.to(device),
        rows=batch.rows.to(device),
        lengths=batch.lengths.to(device),
        versions=batch.versions.to(device),
        guides=None if batch.guides is None else batch.guides.to(device),
    )


def span_of(batch: Batch, first: int, latents: Tensor) -> Batch:
    """The same clips from latent `first` on, with these latents `[B, T, ...]`."""
    span = slice(first, first + latents.shape[1])
    return replace(
        batch,
        latents=latents,
        actions=batch.actions[:, span],
        poses=batch.poses[:, span],
        versions=batch.versions[:, span],
        guides=None if batch.guides is None else batch.guides[:, span],
    )


def started_from(start: Batch, given_B: Tensor, chunk: int) -> Batch:
    """A span from latent 0 on: its first chunk has a guide only where that latent, which it is drawn from, is given."""
    if start.guides is None:
        return start
    shown = start.guides.clone()
    shown[:, :chunk] *= given_B[:, None, None, None, None]
    return replace(start, guides=shown)


def seen_of(batch: Batch, history: Tensor, chosen_BK: NDArray[np.int64], current: int) -> Batch:
    """What is remembered of `history` `[B, T, ...]` for what begins at latent `current`, under the text in force there
    (KV recache)."""
    rows, chosen = torch.arange(len(chosen_BK))[:, None], torch.from_numpy(chosen_BK)
    return replace(
        batch,
        latents=history[rows, chosen],
        actions=batch.actions[rows, chosen],
        poses=np.take_along_axis(batch.poses, chosen_BK[:, :, None, None], 1),
        versions=batch.versions[:, current : current + 1].expand(chosen.shape),
        guides=None,
    )
