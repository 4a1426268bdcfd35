"""Steps of base training take turns between clips and stills."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import engine.train as train
from engine.training.base import BaseTraining
from tests.engine.test_stills import EARLY, source


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_stills_come_as_often_as_asked_and_from_their_own_folders(monkeypatch, share):
    drawn = []
    monkeypatch.setattr(train, "still_loss", lambda model, batch, *_: drawn.append(("still", len(batch.latents))))
    monkeypatch.setattr(train.base, "base_loss", lambda model, batch, *_: drawn.append(("clips", len(batch.latents))))

    def steps(loss, evaluate, every):
        for _ in range(100):
            loss(torch.Generator())
        return {}

    run = SimpleNamespace(config=SimpleNamespace(seed=0), step=0, train=steps)
    config = BaseTraining(batch=2, latents=20, chunks=(4,), stills=share)
    train._train_base(run, None, [source(EARLY)], [source(EARLY, guided=False)], config, dict)  # type: ignore[arg-type]
    assert set(drawn) <= {("still", 40), ("clips", 2)}
    assert sum(kind == "still" for kind, _ in drawn) / 100 == pytest.approx(share, abs=0.12)
