"""The released autoencoders stream: one latent at a time, with all they need of the past in an explicit state."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig, channels_to_space, space_to_channels
from engine.vae_wan import WanVae, WanVaeConfig, average_down, fold, repeat_up, unfold


@pytest.fixture(scope="module", params=["hunyuan", "wan"])
def vae(request) -> HunyuanVae | WanVae:
    torch.manual_seed(0)
    if request.param == "hunyuan":
        return HunyuanVae(HunyuanVaeConfig(widths=(8, 8, 16, 16, 16), blocks=1, latent_channels=4)).eval()
    return WanVae(WanVaeConfig(encoder_width=4, decoder_width=4, latent_channels=4, blocks=1)).eval()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def test_the_first_latent_is_one_frame_and_every_other_four(vae):
    state, counts = (), []
    for _ in range(3):
        frames, state = vae.decode(torch.randn(1, 4, 2, 3), state)
        counts.append(tuple(frames.shape))
    assert counts == [(1, 1, 3, 32, 48), (1, 4, 3, 32, 48), (1, 4, 3, 32, 48)]


def test_the_past_reaches_a_latent_through_the_state_alone_and_decoding_leaves_it_untouched(vae):
    first, second = torch.randn(2, 1, 4, 2, 3)
    _, state = vae.decode(first)
    kept = tuple(part.clone() for part in state)
    once, again = (vae.decode(second, state)[0] for _ in range(2))
    assert torch.equal(once, again) and all(map(torch.equal, state, kept))
    assert not torch.equal(once, vae.decode(second, vae.decode(torch.zeros_like(first))[1])[0])


def test_a_clip_has_one_latent_for_frame_0_and_one_for_every_four_after_it(vae):
    clip = torch.rand(1, 9, 3, 32, 48) * 2 - 1
    latents = vae.encode(clip)
    assert latents.shape == (1, 3, 4, 2, 3)
    torch.testing.assert_close(vae.encode(clip[:, :5]), latents[:, :2])
    with pytest.raises(ValueError, match="4 k \\+ 1 frames, got 8"):
        vae.encode(clip[:, :8])


@given(st.sampled_from([1, 2]))
def test_folding_space_into_channels_is_undone_exactly(frames):
    x = torch.randn(1, 8, 4, 6, 4)
    assert torch.equal(channels_to_space(space_to_channels(x, frames), frames), x)
    assert torch.equal(unfold(fold(x[:, :3], 2), 2), x[:, :3])


def test_averaging_undoes_repeating():
    x = torch.randn(1, 4, 2, 3, 3)
    torch.testing.assert_close(average_down(repeat_up(x, 4, 2, 2), 4, 2, 2), x)
