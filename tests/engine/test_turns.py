"""Turns: a few latents of which a guide shows less and less."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from engine.memory import pocket as pocket_memory
from engine.training.base import BaseTraining
from engine.training.turns import WINDOW, TurnSampler, moving_edges, turn_loss
from engine.transformer import shown_by
from tests.engine.test_stills import EARLY, source
from tests.engine.tiny import tiny_pocket

CONFIG = BaseTraining(batch=2, latents=20, text_drop=0.0)


def test_what_is_known_shrinks_with_every_latent_and_never_comes_back():
    known = moving_edges(50, (12, 20), random.Random(0))
    assert known.shape == (50, WINDOW, 1, 12, 20) and set(known.unique().tolist()) == {0.0, 1.0}
    assert (known.diff(dim=1) <= 0).all()
    left = known.mean((0, 2, 3, 4))
    assert left[0] > 0.75 and left[-1] < 0.6


def test_the_guide_is_the_truth_where_something_is_known_and_zero_elsewhere():
    batch = TurnSampler(source(), CONFIG).draw(random.Random(0))
    assert batch.guides is not None
    known = shown_by(batch.guides)
    assert (known.diff(dim=1) <= 0).all() and 0 < known[:, -1].mean() < known[:, 0].mean()
    assert torch.equal(batch.guides[:, :, : batch.latents.shape[2]], batch.latents * known)
    assert not batch.guides[:, :, -1].any()  # nothing is stale


def test_a_batch_of_turns_has_as_many_latents_as_one_of_clips():
    assert TurnSampler(source(), CONFIG).draw(random.Random(0)).latents.shape[:2] == (10, WINDOW)


def test_turns_show_what_happens_and_say_it():
    """Calm walks are for those who learn what words alone change."""
    batch = TurnSampler(source(EARLY), CONFIG).draw(random.Random(0))
    assert (batch.latents > 0).all() and (batch.lengths == 2).all() and batch.seen is not batch.latents
    assert torch.equal(batch.seen, batch.latents)


def test_the_loss_of_a_turn_counts_what_is_hidden_more():
    model, batch = tiny_pocket(), TurnSampler(source(), CONFIG).draw(random.Random(0))

    def loss(hidden: float) -> float:
        config, generator = replace(CONFIG, soft=0.0, hidden=hidden), torch.Generator().manual_seed(0)
        value, numbers = turn_loss(model, batch, random.Random(1), config, pocket_memory(), generator)
        assert numbers == {"turn": float(value)}
        return float(value)

    assert loss(1.0) > loss(0.0)
