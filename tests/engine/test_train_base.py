"""Steps of base training take turns between clips, stills and turns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import engine.train as train
from engine.training.base import BaseTraining
from tests.engine.test_stills import EARLY, source


@pytest.mark.parametrize(("stills", "turns"), [(0.0, 0.0), (0.5, 0.3), (1.0, 0.0), (0.0, 1.0)])
def test_stills_and_turns_come_as_often_as_asked_and_from_their_own_folders(monkeypatch, stills, turns):
    drawn = []

    def noted(kind):
        return lambda model, batch, *_: drawn.append((kind, len(batch.latents), float(batch.latents.mean())))

    monkeypatch.setattr(train, "still_loss", noted("still"))
    monkeypatch.setattr(train, "turn_loss", noted("turn"))
    monkeypatch.setattr(train.base, "base_loss", noted("clips"))

    def steps(loss, evaluate, every):
        for _ in range(200):
            loss(torch.Generator())
        return {}

    run = SimpleNamespace(config=SimpleNamespace(seed=0), step=0, train=steps)
    config = BaseTraining(batch=2, latents=20, chunks=(4,), stills=stills, turns=turns)
    pictures = source(guided=False)
    pictures.clips.latents.fill_(7.0)
    train._train_base(run, None, [source(EARLY)], [pictures], config, dict)  # type: ignore[arg-type]
    kinds = [kind for kind, *_ in drawn]
    assert {each for each in drawn if each[0] != "clips"} <= {("still", 40, 7.0), ("turn", 10, 7.0)}
    assert all(count == 2 and mean != 7.0 for kind, count, mean in drawn if kind == "clips")
    assert kinds.count("still") / 200 == pytest.approx(stills, abs=0.1)
    assert kinds.count("turn") / 200 == pytest.approx(turns, abs=0.1)
