"""The tiny decoder streams as the released ones do, and takes their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from engine.actions import Step
from engine.errors import WanderError
from engine.parallel import Ranks
from engine.spatial import Strip
from engine.tiny_decoder import FILES, TinyConfig, TinyDecoder, plug
from tests.engine.tiny_released import PRESETS, tiny_released, tiny_world

SIZES = TinyConfig(latent_channels=4, widths=(12, 8, 6, 6))


@pytest.fixture
def tiny() -> TinyDecoder:
    torch.manual_seed(0)
    return TinyDecoder(SIZES).eval().requires_grad_(False)


def at_once(tiny: TinyDecoder, latents: Tensor) -> Tensor:
    """Frames `[1, F, 3, H, W]` of all latents `[T, C, Y, X]`, layer after layer over all of time: the definition."""
    x = latents
    for number, layer in enumerate(tiny.decoder):
        state = layer.state_dict()
        if "conv.4.weight" in state:
            read = torch.cat([x, torch.cat([torch.zeros_like(x[:1]), x[:-1]])], 1)
            y = F.relu(F.conv2d(read, state["conv.0.weight"], state["conv.0.bias"], padding=1))
            y = F.relu(F.conv2d(y, state["conv.2.weight"], state["conv.2.bias"], padding=1))
            x = F.relu(F.conv2d(y, state["conv.4.weight"], state["conv.4.bias"], padding=1) + x)
        elif "conv.weight" in state:
            y = F.conv2d(x, state["conv.weight"])
            x = y.reshape(-1, x.shape[1], *x.shape[2:])
        else:
            x = layer(x) if number else 3 * torch.tanh(x / 3)
    return (2 * F.pixel_shuffle(x, 2)[3:].clamp(0, 1) - 1)[None]


def test_latent_by_latent_it_draws_what_it_draws_of_all_at_once(tiny):
    latents, state, frames = torch.randn(5, 4, 2, 3), (), []
    for latent in latents:
        shown, state = tiny.decode(latent[None], state)
        frames.append(shown)
    assert [each.shape for each in frames[:2]] == [(1, 1, 3, 32, 48), (1, 4, 3, 32, 48)]
    torch.testing.assert_close(torch.cat(frames, 1), at_once(tiny, latents), atol=1e-6, rtol=0)


def state_after(tiny: TinyDecoder, latents: Tensor) -> tuple[Tensor, ...]:
    state: tuple[Tensor, ...] = ()
    for latent in latents:
        _, state = tiny.decode(latent[None], state)
    return state


def test_its_state_depends_on_no_latent_beyond_its_reach_and_on_the_last_within_it(tiny):
    latents, other = torch.randn(2, tiny.reach + 3, 4, 2, 3)
    for many, same in ((tiny.reach, True), (tiny.reach - 1, False)):
        changed = torch.cat([other[:-many], latents[-many:]])
        equal = all(map(torch.equal, state_after(tiny, changed), state_after(tiny, latents)))
        assert equal is same
    assert all(map(torch.equal, state_after(tiny, latents[-tiny.reach :]), state_after(tiny, latents)))


@pytest.mark.parametrize("channels", [48, 32])
def test_layers_are_numbered_and_shaped_as_the_public_program_does(channels):
    with torch.device("meta"):
        state = TinyDecoder(TinyConfig(latent_channels=channels)).state_dict()
    shapes = {name: tuple(each.shape) for name, each in state.items()}
    assert shapes["decoder.1.weight"] == (256, channels, 3, 3) and shapes["decoder.3.conv.0.weight"] == (256, 512, 3, 3)
    assert shapes["decoder.7.conv.weight"] == (256, 256, 1, 1) and shapes["decoder.13.conv.weight"] == (256, 128, 1, 1)
    assert shapes["decoder.20.weight"] == (64, 64, 3, 3) and shapes["decoder.22.weight"] == (12, 64, 3, 3)
    assert not {"decoder.7.conv.bias", "decoder.8.bias", "decoder.14.bias", "decoder.20.bias"} & shapes.keys()


def fill(home: Path, tiny: TinyDecoder) -> None:
    (home / "tiny").mkdir()
    state = dict(tiny.state_dict()) | {"encoder.0.weight": torch.zeros(3)}
    save_file(state, home / "tiny" / FILES["worldplay-5b"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_world_is_shown_by_it_and_goes_on_from_its_records_to_the_bit(preset, tiny, tmp_path):
    fill(tmp_path, tiny)
    model = tiny_released(preset)
    model = replace(model, vae=plug(model.vae, preset, tmp_path, SIZES))
    picture = np.full((32, 64, 3), 90, np.uint8)
    world, shown, records = tiny_world(model, image=picture), [], []
    for _ in range(4):
        shown.append(np.concatenate(list(world.step([Step()] * 4))))
        records.append(world.commit())
    latents = torch.from_numpy(np.concatenate([record.latents for record in records])).float()
    expected = (at_once(tiny, latents)[0].movedim(1, -1) + 1) * 127.5
    assert np.abs(np.concatenate(shown) - expected.numpy()).max() <= 1
    again = tiny_world(model, records[:3], image=picture)
    assert np.array_equal(np.concatenate(list(again.step([Step()] * 4))), shown[3])


def test_without_its_file_the_sentence_says_which_and_where(tmp_path):
    with pytest.raises(WanderError, match=r"taehv1_5\.safetensors, in .*tiny; download it from github"):
        plug(tiny_released("worldplay-8b").vae, "worldplay-8b", tmp_path)


def test_a_file_of_another_size_is_refused_by_name(tiny, tmp_path):
    fill(tmp_path, tiny)
    with pytest.raises(WanderError, match=r"decoder\.1\.bias is \[12\], not \[256\]"):
        plug(tiny_released("worldplay-5b").vae, "worldplay-5b", tmp_path)


def test_parts_of_pictures_are_refused(tiny, tmp_path):
    fill(tmp_path, tiny)
    vae = plug(tiny_released("worldplay-5b").vae, "worldplay-5b", tmp_path, SIZES)
    with pytest.raises(WanderError, match="2 ranks share the decoding; leave out --share-decoding"):
        vae.decode(torch.zeros(1, 4, 2, 4), (), Strip(Ranks(0, 2, strips=True), 2))
