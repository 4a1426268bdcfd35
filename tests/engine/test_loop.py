"""A training run: killed at any second it goes on, and what it ships is the average."""

from __future__ import annotations

import json
import random
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.actions import KEY_RIGHT, KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses
from engine.errors import WanderError
from engine.memory import pocket as pocket_memory
from engine.training.base import BaseTraining, BatchSampler, GuidedClips, base_loss, lines_at
from engine.training.latents import LatentClips
from engine.training.loop import LATEST, TRUNK, Meter, Run, RunConfig
from engine.transformer import Pocket, PocketConfig

EVENT = {"start_frame": 20, "stop_frame": 40, "caption_en": "it rains", "caption_zh": "下雨"}
ABOUT = {"captions": {"en": ["a village", "houses"], "zh": ["村庄"]}, "events": [EVENT]}


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> None:
    """A clock on which every look takes a tenth of a second."""
    ticks = count()
    monkeypatch.setattr("engine.training.loop.time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))


def started(out: Path, **changes: float) -> Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32))
    settings = {"minutes": 0.2, "lr": 3e-3, "warmup": 1, "save_seconds": 0.0, "log_every": 5} | changes
    return Run(model, RunConfig(out=out, **settings), lambda text: None)  # type: ignore[arg-type]


def train(run: Run, *, kill_after: int | None = None) -> list[float]:
    """Losses of the run; with `kill_after`, interrupted in the loss of a later step."""
    losses: list[float] = []

    def loss_of(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        if kill_after == len(losses):
            raise KeyboardInterrupt
        x = torch.randn(32, 8, generator=generator)
        loss = (run.model(x)[:, :8] - x).square().mean()
        losses.append(float(loss.detach()))
        return loss, {}

    run.train(loss_of, dict, 1e9)
    return losses


def test_a_run_learns_logs_and_keeps_its_trunk(tmp_path):
    run = started(tmp_path, minutes=1.0, lr=1e-2, save_seconds=1e9)
    losses = train(run)
    assert losses[-1] < 0.8 * losses[0] and run.step == len(losses)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["step"] == 5 and "evaluation" in lines[-1] and (tmp_path / TRUNK).is_file()


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    run = started(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(run, kill_after=8)
    resumed = started(tmp_path)
    assert resumed.resume() and resumed.step == run.step == 8
    assert resumed.trained_seconds == run.trained_seconds > 0
    for name, tensor in run.tensors().items():
        assert torch.equal(resumed.tensors()[name], tensor), name
    losses = train(resumed)
    assert losses[0] < 1.2 * float(np.mean(train(started(tmp_path / "new"))[:8])) and resumed.step > 8


def test_what_a_run_starts_from_is_its_average_before_the_first_step(tmp_path):
    known = nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32))
    run = started(tmp_path)
    run.start_from(known)
    copy = run.averaged(nn.Sequential(nn.Linear(8, 32), nn.SiLU(), nn.Linear(32, 32)))
    assert all(torch.equal(copy.state_dict()[name], tensor) for name, tensor in known.state_dict().items())


def test_a_run_of_so_many_steps_ends_there_however_long_they_take_and_however_often_it_is_killed(tmp_path):
    whole = started(tmp_path / "whole", minutes=0.0, steps=12, cooldown=0.5)
    train(whole)
    run = started(tmp_path / "killed", minutes=0.0, steps=12, cooldown=0.5)
    with pytest.raises(KeyboardInterrupt):
        train(run, kill_after=4)
    resumed = started(tmp_path / "killed", minutes=0.0, steps=12, cooldown=0.5)
    assert resumed.resume() and resumed.step == 4
    losses = train(resumed)
    assert whole.step == resumed.step == 12 and len(losses) == 8
    assert resumed.rate(resumed.progress(0.0)) == 0.0 and resumed.rate(0.75) == 0.5


def test_a_later_run_goes_on_from_the_trunk_before_the_cool_down(tmp_path):
    run = started(tmp_path)
    train(run)
    resumed = started(tmp_path)
    assert resumed.resume() and 0 < resumed.step < run.step


def test_a_run_without_a_cool_down_ends_with_its_newest_state(tmp_path):
    run = started(tmp_path, cooldown=0.0, save_seconds=1e9)
    train(run)
    resumed = started(tmp_path, cooldown=0.0)
    assert resumed.resume() and resumed.step == run.step and not (tmp_path / TRUNK).exists()


def test_a_new_folder_has_nothing_to_resume(tmp_path):
    assert not started(tmp_path).resume()


def test_the_rate_warms_up_stays_and_falls_to_zero(tmp_path):
    run = started(tmp_path, warmup=10)
    assert run.rate(0.0) == pytest.approx(0.1)
    run.step = 100
    assert [run.rate(p) for p in (0.1, 0.79, 0.9, 1.0)] == pytest.approx([1, 1, 0.5, 0])


def test_a_state_of_another_model_is_refused_in_a_sentence(tmp_path):
    started(tmp_path).save(LATEST)
    other = Run(nn.Linear(3, 3), RunConfig(out=tmp_path, minutes=1, lr=1e-3), lambda text: None)
    with pytest.raises(WanderError, match="of other sizes"):
        other.resume()


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_state(tmp_path):
    run = started(tmp_path)
    with pytest.raises(WanderError, match="loss is nan at step 0"):
        run.train(lambda generator: (run.model(torch.full((1, 8), float("nan"))).sum(), {}), dict, 1e9)
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_the_text_of_a_latent_is_the_caption_and_what_happens_at_its_last_frame():
    assert lines_at(ABOUT, 4, "en", 0) == ("a village",)
    assert lines_at(ABOUT, 5, "en", 1) == ("houses", "it rains")
    assert lines_at(ABOUT, 9, "zh", 1) == ("村庄", "下雨")
    assert lines_at(ABOUT, 10, "en", 0) == ("a village",)


@pytest.mark.parametrize("chunk", [1, 2, 4, 16])
def test_an_unguided_models_loss_is_that_of_predicting_nothing_before_training(chunk):
    poses = latent_poses([Step(keys=KEY_W | KEY_RIGHT)] * 19, POCKET)
    actions = torch.from_numpy(actions_from_poses(poses, POCKET_LABELS))[None].repeat(2, 1)
    latents = torch.randn(2, 20, 4, 2, 4, generator=torch.Generator().manual_seed(0)).half()
    clips = LatentClips(latents, np.stack([poses] * 2), actions, [ABOUT] * 2)
    config = BaseTraining(batch=2, latents=20)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4, guided=False))
    batch = BatchSampler(GuidedClips(clips, None), config).draw(random.Random(1))
    loss, _ = base_loss(model, batch, chunk, config, pocket_memory(), torch.Generator().manual_seed(0))
    assert float(loss.detach()) == pytest.approx(2, abs=0.3)  # noise minus clean, both of unit variance
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_an_untrained_guided_model_does_better_the_better_its_guide(chunk):
    poses = latent_poses([Step(keys=KEY_W | KEY_RIGHT)] * 19, POCKET)
    actions = torch.from_numpy(actions_from_poses(poses, POCKET_LABELS))[None].repeat(4, 1)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(4, 20, 4, 2, 4, generator=generator).half()
    clips = LatentClips(latents, np.stack([poses] * 4), actions, [ABOUT] * 4)
    config = BaseTraining(batch=4, latents=20, guide_drop=0.0, guide_noise=0.0, given_first=1.0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4))
    losses = []
    for error in (0.0, 0.5, None):
        guides = torch.ones(4, 20, 8, 2, 4)
        if error is None:
            guides.zero_()
        else:
            guides[:, :, :4] = latents + error * torch.randn(latents.shape, generator=generator)
        batch = BatchSampler(GuidedClips(clips, guides), config).draw(random.Random(1))
        loss, _ = base_loss(model, batch, chunk, config, pocket_memory(), torch.Generator().manual_seed(0))
        losses.append(float(loss.detach()))
    assert losses[0] < losses[1] < losses[2] < 2


def test_the_log_gives_each_number_over_the_steps_that_had_it():
    meter = Meter()
    for numbers in ({"loss": 1.0, "still": 4.0}, {"loss": 2.0}, {"loss": 6.0}):
        meter.add(numbers)
    assert meter.flush() == {"loss": 3.0, "still": 4.0} and meter.flush() == {}
