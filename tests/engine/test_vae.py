"""The autoencoder streams: what a latent shows depends on itself and the two before it, never on what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.vae import DecoderState, Vae, VaeConfig, decode_clip, group_frames, to_uint8
from tests.engine.tiny import tiny_weights


@pytest.fixture(scope="module")
def vae() -> Vae:
    return tiny_weights().vae


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(1, 6, 4, 2, 4, generator=torch.Generator().manual_seed(0))


def states(vae: Vae, latents: torch.Tensor) -> tuple[torch.Tensor, DecoderState]:
    state, frames = None, []
    for latent in latents.unbind(1):
        shown, state = vae.decode(latent, state)
        frames.append(shown)
    assert state is not None
    return torch.cat(frames, 1), state


def test_latent_0_is_one_frame_and_every_later_latent_four(vae, latents):
    assert decode_clip(vae, latents).shape == (1, 1 + 4 * 5, 32, 64, 3)
    assert group_frames(torch.zeros(1, 9, 32, 64, 3, dtype=torch.uint8)).shape == (1, 3, 12, 32, 64)


def test_frame_0_fills_its_whole_group():
    clip = torch.randint(0, 256, (1, 5, 16, 16, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    first = group_frames(clip)[0, 0].unflatten(0, (4, 3))
    assert all(torch.equal(to_uint8(frame), clip[0, 0]) for frame in first)


def test_grouping_loses_no_pixel():
    clip = torch.randint(0, 256, (2, 9, 16, 32, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.equal(to_uint8(group_frames(clip).unflatten(2, (4, 3)))[:, 1:].flatten(1, 2), clip[:, 1:])


def test_a_clip_that_is_not_whole_groups_is_refused():
    with pytest.raises(ValueError, match="4 k \\+ 1 frames, got 6"):
        group_frames(torch.zeros(1, 6, 16, 16, 3, dtype=torch.uint8))


def test_equal_pictures_have_equal_latents_wherever_they_stand_in_time(vae):
    groups = torch.randn(1, 3, 12, 32, 64, generator=torch.Generator().manual_seed(0))
    groups[:, 2] = groups[:, 0]
    encoded = vae.encode(groups)
    assert torch.equal(encoded[:, 0], encoded[:, 2]) and not torch.allclose(encoded[:, 0], encoded[:, 1])


def test_any_picture_whose_sides_are_multiples_of_16_has_latents(vae):
    assert vae.encode(torch.zeros(1, 1, 12, 48, 112)).shape == (1, 1, 4, 3, 7)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_decoding_in_two_goes_is_decoding_in_one(vae, latents, cut):
    whole, _ = states(vae, latents)
    _, state = states(vae, latents[:, :cut])
    rest = []
    for latent in latents[:, cut:].unbind(1):
        frames, state = vae.decode(latent, state)
        rest.append(frames)
    assert torch.equal(torch.cat(rest, 1), whole[:, 4 * cut :])


def test_the_decoders_state_depends_on_the_last_two_latents_only(vae, latents):
    _, whole = states(vae, latents)
    _, rebuilt = states(vae, latents[:, -2:])
    _, too_short = states(vae, latents[:, -1:])
    assert torch.equal(whole.coarse, rebuilt.coarse) and torch.equal(whole.middle, rebuilt.middle)
    assert not torch.allclose(whole.middle, too_short.middle)


def test_no_frame_depends_on_a_later_latent(vae, latents):
    changed = latents.clone()
    changed[:, 3] += 1
    before, after = states(vae, latents)[0], states(vae, changed)[0]
    assert torch.equal(before[:, :12], after[:, :12]) and not torch.allclose(before[:, 12:16], after[:, 12:16])


def test_statistics_normalise_and_are_undone(latents):
    vae = tiny_weights().vae
    groups = torch.randn(1, 1, 12, 32, 64, generator=torch.Generator().manual_seed(0))
    plain = vae.encode(groups)
    shown = vae.decode(plain[:, 0], None)[0]
    vae.mean.fill_(0.5)
    vae.std.fill_(2.0)
    assert torch.allclose(vae.encode(groups), (plain - 0.5) / 2, atol=1e-6)
    assert torch.allclose(vae.decode(vae.encode(groups)[:, 0], None)[0], shown, atol=1e-5)


def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match="got 2"):
        VaeConfig(latent_channels=2)


@pytest.mark.parametrize("part", ["coarse", "middle"])
def test_both_feature_maps_of_the_state_reach_the_next_frames(vae, latents, part):
    _, state = vae.decode(latents[:, 0], None)
    changed = replace(state, **{part: getattr(state, part) + 1})
    assert not torch.allclose(vae.decode(latents[:, 1], state)[0], vae.decode(latents[:, 1], changed)[0], atol=1e-4)
