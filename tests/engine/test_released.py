"""Properties of the released models at tiny sizes with random weights (SPEC 14); their numbers are tests/parity's."""
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import memory, rollout
from engine.actions import WORLDPLAY, Motion, actions_from_poses, fly, latent_poses, parse_pose_string
from engine.geometry import WORLDPLAY_LENS, Lens, image_from_camera, rigid_inverse
from engine.released import Clip, rotary
from engine.rollout import Track
from engine.rope import RopeConfig, rope_table
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B
from engine.worldplay_8b_text import Prompt8B

GRID = (4, 6)
POSES = latent_poses(parse_pose_string("w-6,right-10,d-4,left-6,s-6"), WORLDPLAY)
ACTIONS = torch.from_numpy(actions_from_poses(POSES))


@pytest.fixture(scope="module")
def model_5b() -> WorldPlay5B:
    torch.manual_seed(0)
    return WorldPlay5B(Config5B(width=48, heads=2, depth=2, feed_forward=64, latent_channels=4, text_width=8)).eval()


@pytest.fixture(scope="module")
def model_8b() -> WorldPlay8B:
    torch.manual_seed(0)
    rope = RopeConfig(time=4, row=6, column=6, theta=256.0)
    return WorldPlay8B(Config8B(width=32, heads=2, depth=2, rope=rope, latent_channels=2, text_width=8, image_width=8,
                                byt5_width=8, byt5_inner=8)).eval()


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def clip(model, first: int, count: int, *, moved: np.ndarray | None = None, time: int = 0,
         lens: Lens = WORLDPLAY_LENS) -> Clip:
    cameras = rigid_inverse(POSES[first : first + count])
    cameras = cameras if moved is None else cameras @ moved
    lenses = torch.from_numpy(image_from_camera(lens)).expand(count, 4, 4)
    geometry = model.geometry(range(time, time + count), GRID, torch.from_numpy(cameras), lenses)
    channels = 5 if isinstance(model, WorldPlay8B) else 4
    return Clip(noise(1, count, channels, *GRID), ACTIONS[first : first + count], geometry)


def velocity_5b(model: WorldPlay5B, text_rows: int = 3, **how) -> torch.Tensor:
    text = model.read_prompt(torch.cat([noise(1, 3, 8), torch.zeros(1, text_rows - 3, 8)], 1))
    time = how.pop("time", 0)
    context = model.remember(clip(model, 0, 4, time=time, **how), text)
    return model.velocity(clip(model, 4, 4, time=time + 4, **how), 500.0, text, context)


def prompt_8b(image: bool = True, quoted: int = 0) -> Prompt8B:
    return Prompt8B(noise(1, 5, 8), noise(1, quoted, 8), noise(1, 3 if image else 0, 8))


def velocity_8b(model: WorldPlay8B, **how) -> torch.Tensor:
    text, time = model.read_prompt(prompt_8b()), how.pop("time", 0)
    context = model.remember(clip(model, 0, 4, time=time, **how), text)
    return model.velocity(clip(model, 4, 4, time=time + 4, **how), 500.0, text, context)


AWAY = fly(np.eye(4), Motion(forward=3.0, right=-1.0, yaw=0.7, pitch=0.2))


def test_the_5b_depends_on_neither_the_worlds_origin_nor_a_common_shift_of_time(model_5b):
    here = velocity_5b(model_5b)
    torch.testing.assert_close(velocity_5b(model_5b, moved=AWAY), here, atol=2e-5, rtol=0)
    torch.testing.assert_close(velocity_5b(model_5b, time=7), here, atol=2e-5, rtol=0)


def test_the_8b_depends_on_both_because_text_keys_carry_no_position(model_8b):
    here = velocity_8b(model_8b)
    assert (velocity_8b(model_8b, moved=AWAY) - here).abs().max() > 1e-3
    assert (velocity_8b(model_8b, time=7) - here).abs().max() > 1e-3


def test_a_longer_lens_changes_what_both_models_see(model_5b, model_8b):
    tele = Lens(fx=2 * WORLDPLAY_LENS.fx, fy=WORLDPLAY_LENS.fy)
    assert (velocity_5b(model_5b, lens=tele) - velocity_5b(model_5b)).abs().max() > 1e-3
    assert (velocity_8b(model_8b, lens=tele) - velocity_8b(model_8b)).abs().max() > 1e-3


def test_zero_text_rows_take_part_in_the_5b(model_5b):
    assert (velocity_5b(model_5b, text_rows=6) - velocity_5b(model_5b)).abs().max() > 1e-4


def test_actions_reach_the_velocity_of_their_own_latent_and_through_attention_the_others(model_5b):
    text, seen = model_5b.read_prompt(noise(1, 3, 8)), clip(model_5b, 4, 4)
    other = replace(seen, actions=seen.actions.clone().index_fill_(0, torch.tensor([2]), 40))
    change = (model_5b.velocity(seen, 500.0, text, None) - model_5b.velocity(other, 500.0, text, None)).abs()
    assert change[:, 2].max() > 10 * change[:, 0].max() > 0


def test_early_context_latents_see_the_later_ones(model_5b):
    text = model_5b.read_prompt(noise(1, 3, 8))
    short, long = (model_5b.remember(clip(model_5b, 0, count), text) for count in (4, 8))
    tokens = short.keys[0].shape[1]
    latents = clip(model_5b, 0, 8)
    first_half = Clip(latents.latents[:, :4], latents.actions[:4], clip(model_5b, 0, 4).geometry)
    short = model_5b.remember(first_half, text)
    torch.testing.assert_close(short.keys[0], long.keys[0][:, :tokens])
    assert (short.keys[1] - long.keys[1][:, :tokens]).abs().max() > 1e-4


def test_one_time_for_all_latents_is_the_same_as_that_time_for_each(model_8b):
    text, seen = model_8b.read_prompt(prompt_8b()), clip(model_8b, 0, 4)
    torch.testing.assert_close(model_8b.velocity(seen, 600.0, text, None),
                               model_8b.velocity(seen, torch.full((4,), 600.0), text, None))


def test_image_and_quoted_tokens_are_read_only_when_they_are_there(model_8b):
    prompts = [prompt_8b(image=False), prompt_8b(), prompt_8b(quoted=2)]
    assert [model_8b.text_tokens(prompt).shape[2] for prompt in prompts] == [5, 8, 10]


def track(count: int, given: int = 0) -> Track:
    lenses = np.tile(image_from_camera(WORLDPLAY_LENS), (count, 1, 1))
    return Track(noise(1, count, 4, *GRID), ACTIONS[:count], rigid_inverse(POSES[:count]), lenses, given=given)


def roll(model: WorldPlay5B, video: Track, chunks: range) -> Track:
    texts = [model.read_prompt(noise(1, 3, 8))]
    for chunk in chunks:
        *_, last = rollout.next_chunk(model, video, 4 * chunk, rollout.worldplay_5b(), texts)
        video.latents[:, 4 * chunk : 4 * chunk + 4] = last
    return video


def test_resuming_from_latents_continues_as_if_never_stopped(model_5b):
    whole = roll(model_5b, track(32), range(8))
    resumed = track(32)
    resumed.latents[:, :24] = whole.latents[:, :24]
    torch.testing.assert_close(roll(model_5b, resumed, range(6, 8)).latents, whole.latents, atol=0, rtol=0)


def test_a_given_first_latent_is_never_changed(model_5b):
    video = track(4, given=1)
    before = video.latents.clone()
    after = roll(model_5b, video, range(1)).latents
    assert torch.equal(after[:, 0], before[:, 0]) and not torch.equal(after[:, 1], before[:, 1])


def test_guidance_moves_from_the_negative_prompt_through_the_prompt():
    negative, positive = torch.zeros(3), torch.ones(3)
    assert rollout.guided([negative, positive], 6.0).tolist() == [6.0] * 3
    with pytest.raises(ValueError, match="guidance 6 with 1 prompts"):
        rollout.guided([positive], 6.0)


def test_the_released_recipes_have_the_released_times():
    times = [round(1000 * level, 3) for level in rollout.worldplay_8b().levels]
    assert times == [1000, 937.5, 833.333, 625, 0]
    assert math.isclose(rollout.worldplay_5b().levels[1], 0.96)
    assert len(rollout.worldplay_8b_bidirectional().levels) == 51
    assert rollout.worldplay_8b().memory == memory.worldplay_8b()


def test_rotary_tables_are_made_once_for_a_place_in_the_reframed_time():
    rotary.cache_clear()
    rope = Config5B().rope
    first = rotary(range(4, 8), (2, 3), rope, torch.device("cpu"))
    assert rotary(range(4, 8), (2, 3), rope, torch.device("cpu")) is first
    assert rotary.cache_info().misses == 1 and first.shape == (24, 64)
    assert torch.equal(first, rope_table(torch.arange(4, 8), torch.arange(2), torch.arange(3), rope))
