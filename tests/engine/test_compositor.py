"""What the guide covers is drawn from it, what it doesn't is the decoder's, and a chunk keeps what it showed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.compositor import AGREE_ON_CHANGE, Compositor, CompositorConfig, continued
from engine.training.adversary import Critic, Sharpness
from engine.training.compositor import CompositorTraining, Samples, loss_of
from tests.engine.tiny import play, tiny_weights, tiny_world, wake


def frames(seed: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 4, 3, 16, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_without_cover_an_untrained_compositor_shows_the_decoded_frames():
    decoded, drawn = frames(0), frames(1)
    shown = Compositor(CompositorConfig(width=8))(decoded, drawn, torch.zeros(1, 4, 16, 32, dtype=torch.bool))
    assert torch.equal(shown, decoded)


def test_where_covered_an_untrained_compositor_leans_to_the_drawn_frames():
    decoded, drawn = frames(0), frames(1)
    shown = Compositor(CompositorConfig(width=8))(decoded, drawn, torch.ones(1, 4, 16, 32, dtype=torch.bool))
    assert ((shown - drawn).abs() <= 0.5 * (decoded - drawn).abs() + 1e-6).all()


def test_what_decoder_and_drawing_agree_on_is_shown_exactly_as_drawn():
    drawn = frames(1)
    model = Compositor(CompositorConfig(width=8))
    torch.nn.init.normal_(model.head.weight)
    flat = drawn * 0.02
    covered = torch.ones(1, 4, 16, 32, dtype=torch.bool)
    assert torch.equal(model(flat + 0.05, flat, covered), flat)
    soft = blurred(drawn)
    assert ((model(soft, drawn, covered) - drawn).abs() <= (soft - drawn).abs() + 1e-6).all()


def test_while_words_are_new_a_small_change_of_light_is_shown():
    flat, covered = frames(1) * 0.02, torch.ones(1, 4, 16, 32, dtype=torch.bool)
    model = Compositor(CompositorConfig(width=8))
    assert torch.equal(model(flat - 0.06, flat, covered), flat)
    assert (model(flat - 0.06, flat, covered, AGREE_ON_CHANGE) < flat - 0.01).all()


def test_a_new_light_is_continued_over_seams_and_fades_inside_holes():
    dark, light = torch.full((1, 4, 3, 16, 32), -0.5), torch.full((1, 4, 3, 16, 32), 0.5)
    covered = torch.ones(1, 4, 16, 32, dtype=torch.bool)
    covered[:, :, :, 6] = False
    covered[:, :, :, 16:] = False
    shown = Compositor(CompositorConfig(width=8))(light, dark, covered)
    around = shown[:, :, :, :, 2]
    assert torch.allclose(shown[..., 6], around, atol=0.05)
    assert torch.allclose(shown[..., 24:], light[..., 24:])
    assert (shown[..., 17] < 0.4).all() and (shown[..., 17] > around).all()


def test_a_steady_light_is_that_of_the_drawing_even_where_nothing_is_drawn():
    drawn = torch.full((1, 4, 3, 48, 80), 0.5)
    dusk = torch.linspace(-0.6, 0.2, 80).expand(1, 4, 3, 48, 80) + 0.01 * torch.randn(1, 4, 3, 48, 80)
    covered = torch.ones(1, 4, 48, 80, dtype=torch.bool)
    covered[..., 30:36] = False
    model = Compositor(CompositorConfig(width=8))
    assert (model(dusk, drawn, covered)[..., 32:34] - 0.5).abs().min() > 0.15
    assert (model(dusk, drawn, covered, steady=True) - 0.5).abs().mean() < 0.05
    nowhere = torch.zeros_like(covered)
    assert torch.equal(model(dusk, drawn, nowhere, steady=True), dusk)


def blurred(sharp: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(sharp.flatten(0, 1), 5, 1, 2, count_include_pad=False).view_as(sharp)


@pytest.mark.parametrize(("W", "H"), [(32, 16), (160, 96)])
def test_what_is_compiled_is_what_the_tensors_are(W, H):
    """Of two frames that agree in places, light included."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.interpolate(torch.randn(8, 3, H // 4, W // 4, generator=generator), (H, W)).unflatten(
        0, (2, 4)
    )
    decoded = (blurred(truth) + 0.1 * torch.linspace(-1, 1, W)).bfloat16().float()
    drawn = torch.where(torch.arange(W) < W // 2, truth, 0.5 * blurred(blurred(truth)))
    covered = torch.rand(2, 4, H // 4, W // 4, generator=generator) < 0.7
    covered = covered.repeat_interleave(4, 2).repeat_interleave(4, 3)
    model = Compositor(CompositorConfig(width=8)).requires_grad_(False)
    wake(model)
    plain = model(decoded, drawn, covered, 0.2, steady=True)
    with torch.inference_mode():
        compiled = model(decoded, drawn, covered, 0.2, steady=True)
    assert torch.allclose(compiled, plain, atol=1e-4)
    assert not torch.allclose(plain, drawn, atol=0.1) and not torch.allclose(plain, decoded, atol=0.1)


def test_what_is_new_begins_in_the_colours_that_it_joins_and_goes_on_in_its_own():
    """Bands across the edge, too narrow for the light of the whole to follow."""
    bands = torch.tensor([0.06, -0.06]).repeat_interleave(24).repeat(2)[:, None].expand(1, 4, 3, 96, 160)
    decoded, drawn = torch.zeros(1, 4, 3, 96, 160), bands.contiguous()
    covered = torch.zeros(1, 4, 96, 160, dtype=torch.bool)
    covered[..., :80] = True
    with torch.inference_mode():
        shown = Compositor(CompositorConfig(width=8))(decoded, drawn, covered, steady=True)
    assert torch.equal(shown[..., :80], drawn[..., :80])
    middle = torch.cat([torch.arange(24 * k + 8, 24 * k + 16) for k in range(4)])
    step = (shown[..., 81] - drawn[..., 79])[:, :, :, middle].abs().mean()
    assert step < 0.02, "of 0.06"
    assert shown[..., 112:].abs().max() < 0.01


@pytest.mark.parametrize("edge", range(4, 17))
def test_a_change_goes_on_by_a_cell_as_it_is_and_ends_within_four_more(edge):
    shown = torch.zeros(1, 1, 12, 20)
    shown[..., :edge] = 1
    found = continued(0.3 * shown.expand(1, 3, 12, 20), shown)
    assert torch.allclose(found[..., : edge + 1], torch.tensor(0.3), atol=1e-3)
    assert found[..., edge + 5 :].abs().sum() == 0
    assert (found.diff(dim=-1) < 1e-3).all(), "less and less"
    assert continued(torch.zeros(1, 3, 12, 20), 0 * shown).abs().max() == 0


def test_it_learns_which_of_the_two_is_right(tmp_path):
    torch.manual_seed(0)
    config = CompositorTraining(batch=4, crop=(16, 32))
    critic = Critic(Sharpness(warmup=1000), tmp_path)
    truth = (40 * torch.rand(8, 4, 16, 32, 3) + 15).byte()
    wrong = 255 - truth
    model = Compositor(CompositorConfig(width=16))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    samples = Samples(truth, truth, wrong, torch.ones(8, 4, 16, 32, dtype=torch.bool))
    losses = []
    for _ in range(80):
        loss, _ = loss_of(model, critic, samples, random.Random(0), config, torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_a_critic_sees_within_a_few_steps_what_blur_takes_away(tmp_path):
    torch.manual_seed(0)
    critic, told = Critic(Sharpness(critic_lr=4e-4), tmp_path), []
    for _ in range(25):
        sharp = F.interpolate(0.2 * torch.rand(2, 12, 16, 16), scale_factor=4).unflatten(1, (4, 3))
        blurred = F.avg_pool2d(sharp.flatten(1, 2), 5, 1, 2).unflatten(1, (4, 3))
        told.append(critic.learn(sharp, blurred))
    assert sum(told[-5:]) / 5 > 0.9


def test_the_adversary_pushes_as_hard_as_it_is_told_to(tmp_path):
    torch.manual_seed(0)
    critic = Critic(Sharpness(push=0.5, warmup=0), tmp_path)
    truth, made = frames(2, 2), frames(3, 2).requires_grad_()
    critic.learn(truth, made)
    error = (made - truth).abs().mean()
    (pixel,), (push,) = (torch.autograd.grad(x, made, retain_graph=True) for x in (error, critic.push(made, error)))
    assert torch.isclose(push.norm(), 0.5 * pixel.norm(), rtol=0.02)


def test_a_critic_goes_on_where_it_was_saved(tmp_path):
    config = Sharpness()
    critic = Critic(config, tmp_path)
    critic.learn(frames(2, 2), frames(3, 2))
    critic.save()
    again = Critic(config, tmp_path)
    assert again.steps == 1
    assert all(torch.equal(a, b) for a, b in zip(again.network.parameters(), critic.network.parameters(), strict=True))


def test_a_chunk_keeps_the_last_picture_that_it_showed():
    world = tiny_world(tiny_weights(), image=np.full((32, 64, 3), 90, np.uint8))
    shown = [play(world, 1)[-1] for _ in range(3)]
    assert all(np.array_equal(record.picture, last) for record, last in zip(world.records, shown, strict=True))
