"""Context forcing (paper §3.4): the student rolls out as play does, and is pulled to where the teacher is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.actions import KEY_LEFT, KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses
from engine.errors import WanderError
from engine.geometry import rigid_inverse
from engine.memory import MemoryConfig, aligned_context, select_context
from engine.optim import Optimiser
from engine.streamer import PocketWorld, Sampling
from engine.training.base import Batch
from engine.training.distill import Chance, Distillation, Rollout, roll_out, rolled_batch, teacher_context
from engine.training.distill_pocket import PocketNetwork
from engine.training.matching import matching_gradient, matching_loss, scene_of, score_loss, true_scene
from engine.transformer import Pocket, PocketConfig
from engine.weights import PocketWeights
from engine.world import WorldSpec
from tests.engine.tiny import tiny_weights, wake

MEMORY = MemoryConfig(temporal_latents=4, spatial_latents=4, points=64)
"""Retrieval begins at latent 9, so that short clips show it."""


def walk(latents: int, samples: int = 1) -> np.ndarray:
    """There and round, another way for each sample."""
    clips = []
    for b in range(samples):
        steps = [Step(keys=KEY_W)] * (4 + 2 * b) + [Step(keys=KEY_W | KEY_LEFT)] * latents
        clips.append(latent_poses(steps[: latents - 1], POCKET).astype(np.float32).astype(np.float64))
    return np.stack(clips)


def clips(samples: int = 2, latents: int = 24, *, guided: bool = False) -> Batch:
    """Random latents of 2x4 along different walks, with a text that changes."""
    generator, poses = torch.Generator().manual_seed(4), walk(latents, samples)
    return Batch(
        torch.randn(samples, latents, 4, 2, 4, generator=generator).half().float(),
        torch.from_numpy(np.stack([actions_from_poses(clip, POCKET_LABELS) for clip in poses])),
        poses,
        torch.randn(samples, 2, 3, 512, generator=generator),
        torch.full((samples, 2), 3),
        (torch.arange(latents) >= 10).long().expand(samples, latents),
        torch.rand(samples, latents, 9, 2, 4, generator=generator) if guided else None,
    )


def pocket(*, guided: bool = False) -> PocketNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Pocket(PocketConfig(width=32, heads=2, depth=2, latent_channels=4, guided=guided))
    wake(model, 1.0)
    return PocketNetwork(model, torch.float32)


@dataclass
class Gaussian:
    """The exact velocity of latents that are normal around a learned mean, with variance 1; notes what it is shown."""

    module: nn.Module

    def __init__(self, mean: float) -> None:
        self.module = nn.Linear(1, 1)
        nn.init.zeros_(self.module.weight)
        nn.init.constant_(self.module.bias, mean)
        self.saw: list[tuple[Batch, Batch | None]] = []
        self.levels: list[Tensor] = []

    def remember(self, seen: Batch, commit: int) -> Batch:
        return seen

    def velocity(self, noisy: Batch, levels_BT: Tensor, memory: Batch | None) -> Tensor:
        self.saw.append((noisy, memory))
        self.levels.append(levels_BT)
        t, mean = levels_BT[..., None, None, None], self.module(torch.zeros(1))
        return ((t - (1 - t)) * noisy.latents - t * mean) / ((1 - t) ** 2 + t**2)


def ages(memory: Batch | None, batch: Batch) -> list[list[int]]:
    """Which latents of the clips were remembered, told by their cameras."""
    if memory is None:
        return [[] for _ in batch.latents]
    return [
        [int(np.abs(batch.poses[b] - pose).sum((1, 2)).argmin()) for pose in poses]
        for b, poses in enumerate(memory.poses)
    ]


# -- the student ------------------------------------------------------------------------------------------------------


def test_the_student_remembers_what_play_would_select():
    batch, student = clips(1), Gaussian(0.0)
    roll_out(student, batch, 8, Distillation(), MEMORY, Chance(0, 0, range(1)), learns=False, exits=[1] * 4)
    seen = [ages(memory, batch)[0] for _, memory in student.saw]
    cameras = rigid_inverse(batch.poses[0])
    assert seen == [select_context(cameras, first, 4, MEMORY).tolist() for first in (8, 12, 16, 20)]


def test_a_rollout_with_all_its_steps_is_what_the_streamer_makes(monkeypatch):
    monkeypatch.setattr("engine.precision.compute_dtype", lambda device_type: torch.float32)
    network, batch = pocket(), clips(1, 16)
    batch = replace(batch, versions=torch.zeros(1, 16, dtype=torch.long), lengths=torch.zeros(1, 2, dtype=torch.long))
    tiny = tiny_weights()
    weights = PocketWeights(tiny.vae, None, None, network.module.eval().requires_grad_(False), 64, 32, "tiny")
    world = PocketWorld(weights, WorldSpec(prompt=""), sampling=Sampling(steps=3), memory=MEMORY)
    batch = replace(batch, latents=batch.latents.half().float())
    world.start_from(batch.latents[0, 0])
    noises = []
    for first in range(0, 16, 4):
        noises.extend(world._noise(4, 0))
        list(world.follow(batch.poses[0, first : first + 4]))
        world.commit()
    batch = replace(batch, actions=torch.from_numpy(np.concatenate([r.actions for r in world.records])).long()[None])

    class Dice(Chance):
        def noise(self, like: Tensor) -> Tensor:
            return noises.pop(0)[None]

    how = Distillation(steps=3, given_first=1.0)
    made = roll_out(network, batch, 0, how, MEMORY, Dice(0, 0, range(1)), learns=False, exits=[3] * 4).made
    played = torch.from_numpy(np.concatenate([record.latents for record in world.records])).float()
    torch.testing.assert_close(made[0], played, atol=2e-3, rtol=1e-3)


def test_gradients_reach_a_chunk_through_its_last_step_alone_and_never_its_history():
    batch, student = clips(1), Gaussian(0.5)
    how = Distillation(chunks=2, lead=0.0)
    rollout = roll_out(student, batch, 4, how, MEMORY, Chance(0, 0, range(1)), learns=True, exits=[3, 2])
    assert not rollout.history.requires_grad and all(not noisy.latents.requires_grad for noisy, _ in student.saw)
    rollout.made.sum().backward()
    levels = [float(student.levels[i][0, 0]) for i in (2, 4)]  # of the last step of each chunk
    expected = sum(t**2 / ((1 - t) ** 2 + t**2) for t in levels) * 4 * 32
    assert float(student.module.bias.grad) == pytest.approx(expected, rel=1e-4)


def test_a_given_first_latent_stays_as_it_is_and_its_guide_is_shown_only_then():
    batch, student = clips(4, guided=True), Gaussian(0.0)
    how = Distillation(given_first=0.5)
    rollout = roll_out(student, batch, 0, how, MEMORY, Chance(3, 0, range(4)), learns=False, exits=[2] * 4)
    given = rollout.known[:, 0]
    assert 0 < given.sum() < 4 and not rollout.known[:, 1:].any()
    assert torch.equal(rollout.made[given, 0], batch.latents[given, 0])
    shown, later = student.saw[0][0].guides, student.saw[-1][0].guides
    assert (shown[given] == batch.guides[given, :4]).all() and (shown[~given] == 0).all()
    assert (later == batch.guides[:, 12:16]).all()


# -- teacher and fake score -------------------------------------------------------------------------------------------


def test_the_teacher_remembers_all_that_the_student_saw_but_nothing_that_it_made():
    poses = walk(40)[0]
    how = Distillation()
    for first in (0, 4, 20, 24):
        union = {
            int(i)
            for current in range(first, first + 16, 4)
            for i in select_context(rigid_inverse(poses), current, 4, MEMORY)
        }
        seen = teacher_context(poses, first, how, MEMORY).tolist()
        assert seen == sorted(i for i in union if i < first)


@pytest.mark.parametrize("guided", [False, True])
def test_the_teacher_is_shown_guides_only_where_that_is_asked_for_and_what_they_are_drawn_from_was_given(guided):
    batch, how, teacher = clips(4, guided=True), Distillation(given_first=0.5, teacher_guided=guided), Gaussian(0.0)
    chance = Chance(3, 0, range(4))
    rollout = roll_out(Gaussian(0.0), batch, 0, how, MEMORY, chance, learns=False)
    score_loss(teacher, scene_of(batch, rollout, how, MEMORY), how, chance)
    shown, given = teacher.saw[0][0].guides, rollout.known[:, 0]
    if not guided:
        assert shown is None
        return
    assert (shown[~given, :4] == 0).all() and 0 < given.sum() < 4
    assert (shown[given] == batch.guides[given, :16]).all() and (shown[:, 4:] == batch.guides[:, 4:16]).all()


def test_each_sample_is_looked_at_in_its_own_memory_of_true_latents():
    batch, how, real, fake = clips(3, 40), Distillation(), Gaussian(0.0), Gaussian(0.0)
    chance = Chance(0, 0, range(3))
    rollout = roll_out(Gaussian(0.0), batch, 24, how, MEMORY, chance, learns=False)
    matching_loss(real, fake, scene_of(batch, rollout, how, MEMORY), how, chance)
    found = {}
    for noisy, memory in real.saw:
        for k, chosen in enumerate(ages(memory, batch)):
            b = int(np.abs(batch.poses[:, 24:] - noisy.poses[k]).sum((1, 2, 3)).argmin())
            found[b] = chosen
            assert torch.equal(memory.latents[k], batch.latents[b, chosen]) and memory.guides is None
    expected = {b: aligned_context(rigid_inverse(batch.poses[b]), 24, 16, MEMORY).tolist() for b in range(3)}
    assert found == expected
    assert [len(noisy.latents) for noisy, _ in real.saw] == [len(noisy.latents) for noisy, _ in fake.saw]


def test_figure_8_switches_change_the_teachers_memory_and_the_history():
    batch, student = clips(1, 40), Gaussian(2.0)
    aligned, alone = (
        teacher_context(batch.poses[0], 24, Distillation(teacher_memory=which), MEMORY)
        for which in ("aligned", "latents")
    )
    assert len(alone) == MEMORY.spatial_latents < len(aligned)
    rolled = rolled_batch(student, batch, 24, Distillation(history="rolled"), MEMORY, Chance(0, 0, range(1)))
    assert not torch.equal(rolled.latents[:, :24], batch.latents[:, :24])
    assert torch.equal(rolled.latents[:, 24:], batch.latents[:, 24:])
    assert float(rolled.latents[:, 4:24].mean()) == pytest.approx(2.0, abs=0.2)


def test_the_gradient_is_the_difference_of_the_scores():
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(1, 4, 4, 2, 4, generator=generator)
    t, means, cleans, scores = 0.7, (0.3, -0.8), [], []
    for mean in means:
        net = Gaussian(mean)
        batch = replace(clips(1, 4), latents=noisy)
        cleans.append(noisy - t * net.velocity(batch, torch.full((1, 4), t), None).detach())
        scores.append(-(noisy - (1 - t) * mean) / ((1 - t) ** 2 + t**2))  # of N((1 - t) mean, (1 - t)^2 + t^2)
    made = torch.randn(noisy.shape, generator=generator)
    real, fake = cleans
    known = torch.zeros(1, 4, dtype=torch.bool)
    gradient = matching_gradient(made, real, fake, known)
    expected = (scores[1] - scores[0]) * t**2 / (1 - t) / (made - real).abs().mean()
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)
    known[0, 0] = True
    assert (matching_gradient(made, real, fake, known)[:, 0] == 0).all()


def test_the_loss_hands_that_gradient_to_the_student():
    batch, how, real, fake = clips(2), Distillation(given_first=1.0), Gaussian(1.0), Gaussian(0.0)
    rollout = roll_out(Gaussian(0.0), batch, 0, how, MEMORY, Chance(0, 0, range(2)), learns=False)
    made = rollout.made.clone().requires_grad_()
    scene = scene_of(batch, Rollout(0, rollout.history, made, rollout.known), how, MEMORY)
    loss, numbers = matching_loss(real, fake, scene, how, Chance(1, 0, range(2)))
    loss.backward()
    assert (made.grad[:, 0] == 0).all() and (made.grad[:, 1:] < 0).all()  # towards the larger mean
    per_number = made.grad * 2 * 15 * 32
    assert float(per_number.abs().mean()) == pytest.approx(numbers["gradient"], rel=1e-4)


def test_the_fake_scores_update_is_flow_matching_on_the_students_latents():
    batch, how, fake = clips(2), Distillation(), Gaussian(0.4)
    rollout = roll_out(Gaussian(1.0), batch, 4, how, MEMORY, Chance(0, 0, range(2)), learns=True)
    loss = score_loss(fake, scene_of(batch, rollout, how, MEMORY), how, Chance(5, 0, range(2)))
    again = Chance(5, 0, range(2))
    noise, levels = again.noise(rollout.made), again.levels(how)[:, None].expand(2, 16)
    t = levels[..., None, None, None]
    clean = rollout.made.detach()
    noisy = (1 - t) * clean + t * noise
    assert torch.allclose(fake.saw[0][0].latents, noisy) and torch.equal(fake.levels[0], levels)
    velocity = fake.velocity(replace(batch, latents=noisy), levels, None)
    assert float(loss.detach()) == pytest.approx(float((velocity - (noise - clean)).square().mean().detach()), rel=1e-5)
    student = rollout.made.grad_fn
    loss.backward()
    assert student is not None and fake.module.bias.grad is not None


def test_a_fake_score_that_learns_from_the_student_finds_where_it_is():
    batch, how, fake, student = clips(4), Distillation(), Gaussian(0.0), Gaussian(1.5)
    optimiser = Optimiser(fake.module, lr=0.1, weight_decay=0.0, muon=False)
    for step in range(60):
        chance = Chance(0, step, range(4))
        rollout = roll_out(student, batch, 4, how, MEMORY, chance, learns=False)
        score_loss(fake, scene_of(batch, rollout, how, MEMORY), how, chance).backward()
        optimiser.step(1.0)
    assert float(fake.module.bias.detach()) == pytest.approx(1.5, abs=0.2)


def test_a_student_moves_to_where_its_teacher_is():
    batch, how = clips(4), Distillation()
    student, real, fake = Gaussian(0.0), Gaussian(1.0), Gaussian(0.0)
    ours, theirs = (Optimiser(n.module, lr=0.05, weight_decay=0.0, muon=False) for n in (student, fake))
    for step in range(150):
        chance = Chance(1, step, range(4))
        rollout = roll_out(student, batch, 4, how, MEMORY, chance, learns=True)
        scene = scene_of(batch, rollout, how, MEMORY)
        matching_loss(real, fake, scene, how, chance)[0].backward()
        ours.step(1.0)
        score_loss(fake, scene, how, chance).backward()
        theirs.step(1.0)
    assert float(student.module.bias.detach()) == pytest.approx(1.0, abs=0.25)
    assert real.module.bias.grad is None


def test_a_teacher_is_tuned_on_the_clips_own_continuation():
    batch, how, teacher = clips(2), Distillation(), Gaussian(0.0)
    chance = Chance(0, 0, range(2))
    score_loss(teacher, true_scene(batch, 8, how, MEMORY, chance), how, chance)
    noisy, memory = teacher.saw[0]
    assert noisy.latents.shape[1] == 16 and ages(memory, batch)[0] == list(range(8))


@pytest.mark.parametrize("guided", [False, True])
def test_pocket_is_such_a_network_and_all_that_it_uses_learns(guided):
    batch, student, fake = clips(2, 20, guided=True), pocket(guided=guided), pocket(guided=guided)
    how, chance = Distillation(steps=2), Chance(0, 0, range(2))
    rollout = roll_out(student, batch, 4, how, MEMORY, chance, learns=True, exits=[2] * 4)
    scene = scene_of(batch, rollout, how, MEMORY)
    matching_loss(pocket(guided=guided), fake, scene, how, chance)
    fake.module.blocks[0].out.weight.data.mul_(1.1)
    matching_loss(pocket(guided=guided), fake, scene, how, chance)[0].backward()
    score_loss(fake, scene, how, chance).backward()
    for network, unused in ((student, ()), (fake, ("guide_in.",))):
        for name, p in network.module.named_parameters():
            assert name.startswith(unused) or (p.grad is not None and torch.isfinite(p.grad).all()), name


# -- how a run is arranged --------------------------------------------------------------------------------------------


def test_history_grows_as_training_goes_on_up_to_what_the_clips_hold():
    how = Distillation(growth=10)
    assert [how.longest_history(step, 64) for step in (0, 9, 10, 45, 10_000)] == [0, 0, 1, 4, 12]
    with pytest.raises(WanderError, match="takes 16 latents, the clips have 12"):
        how.longest_history(0, 12)


def test_a_samples_randomness_is_its_own_wherever_it_is_computed():
    whole, part = Chance(2, 7, range(4)), Chance(2, 7, range(2, 4))
    like = torch.zeros(4, 3, 2)
    assert torch.equal(whole.noise(like)[2:], part.noise(like[2:]))
    assert whole.shared.random() == part.shared.random()
    assert not torch.equal(Chance(2, 8, range(4)).noise(like), Chance(2, 7, range(4)).noise(like))
