"""Worlds of the released presets: the rollout's latents, and nothing but records as state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine import memory, recorded, rollout
from engine.actions import KEY_D, KEY_LEFT, KEY_RIGHT, KEY_W, WORLDPLAY, Step, actions_from_poses, latent_poses
from engine.errors import WanderError
from engine.geometry import WORLDPLAY_LENS, image_from_camera, rigid_inverse
from engine.images import fit_image
from engine.released_world import ReleasedModel, ReleasedWorld, spoken
from engine.rollout import Track
from engine.worldplay_8b import WorldPlay8B
from tests.engine.tiny_released import HEIGHT, PRESETS, WIDTH, tiny_released, tiny_world
from tests.parity import networks
from tests.parity.fixture import Fixture, read_folder

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
FIXTURES = {fixture.name: fixture for fixture in read_folder(Path(__file__).parents[1] / "parity" / "fixtures")}


@pytest.fixture(scope="module", params=PRESETS)
def model(request) -> ReleasedModel:
    return tiny_released(request.param)


def play(world: ReleasedWorld, chunks: int, keys: int = KEY_W | KEY_RIGHT) -> NDArray[np.uint8]:
    frames = []
    for _ in range(chunks):
        frames += list(world.step([Step(keys=keys)] * world.chunk))
        world.commit()
    return np.concatenate(frames)


def test_the_first_latent_is_one_frame_and_every_later_one_four(model):
    world = tiny_world(model)
    assert [frames.shape for frames in world.step([Step()] * 4)] == [(n, HEIGHT, WIDTH, 3) for n in (1, 4, 4, 4)]
    world.commit()
    assert [len(frames) for frames in world.step([Step()] * 4)] == [4] * 4


def rolled_out(model: ReleasedModel, steps: Sequence[Step], *, seed: int, image: bool) -> torch.Tensor:
    """Latents `[T, C, Y, X]` by the rollout of the fixtures, a chunk's rounded when it has become history."""
    poses = latent_poses(steps[1:], WORLDPLAY).astype(np.float32).astype(np.float64)
    count, grid = len(steps), (HEIGHT // 16, WIDTH // 16)
    noise = torch.cat([recorded.chunk_noise(seed, chunk, (4, 4, *grid)) for chunk in range(count // 4)])
    conditions, given = None, 0
    picture = torch.from_numpy(fit_image(PICTURE, WIDTH, HEIGHT)).movedim(-1, 0) / 127.5 - 1
    latent = model.vae.encode(picture[None, None])[0, 0].half().float()
    if isinstance(model.transformer, WorldPlay8B):
        conditions = torch.zeros(1, count, 5, *grid)
        conditions[0, 0] = torch.cat([latent, torch.ones(1, *grid)]) if image else 0
    elif image:
        noise[0], given = latent, 1
    lenses = np.tile(image_from_camera(WORLDPLAY_LENS), (count, 1, 1))
    actions = torch.from_numpy(actions_from_poses(latent_poses(steps[1:], WORLDPLAY)))
    track = Track(noise[None], actions, rigid_inverse(poses), lenses, conditions, given)
    features = {k: v[None] for k, v in model.encode("a village at dusk.", PICTURE if image else None).items()}
    text = networks.Prompt8B(**features) if conditions is not None else features["text"]
    for current in range(0, count, 4):
        *_, made = rollout.next_chunk(model.transformer, track, current, model.recipe,
                                      [model.transformer.read_prompt(text)])  # fmt: skip
        track.latents[:, current : current + 4] = made.half().float()
    return track.latents[0]


@pytest.mark.parametrize("image", [False, True])
@torch.inference_mode()
def test_a_world_makes_the_latents_of_the_released_rollout(model, image):
    # 28 latents: beyond the 16 and 20 that are all seen, so that a clip is retrieved
    steps = [Step(keys=keys) for keys in (KEY_W, KEY_LEFT, KEY_W | KEY_D, KEY_RIGHT) for _ in range(7)]
    world, made = tiny_world(model, image=PICTURE if image else None), []
    for first in range(0, len(steps), 4):
        list(world.step(steps[first : first + 4]))
        made.append(torch.from_numpy(world.commit().latents).float())
    expected = rolled_out(model, steps, seed=7, image=image)
    torch.testing.assert_close(torch.cat(made), expected, atol=2e-3, rtol=0)


def through_a_world(fixture: Fixture, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.Tensor, torch.Tensor]:
    """A rollout fixture's own noise, cameras, actions, text and picture through a world: made and expected latents."""
    case = fixture.header["cases"][0]
    tensors, network = fixture.tensors(case["file"]), networks.build(FIXTURES[case["weights_of"]])
    small = "in.image_latent" in tensors
    noise = tensors["in.noise"][0].transpose(0, 1)
    monkeypatch.setattr("engine.released_world.chunk_noise", lambda _seed, chunk, *_: noise[4 * chunk : 4 * chunk + 4])
    if isinstance(network, WorldPlay8B):
        prompt = networks.prompts_8b(tensors)[0]
        features = {"text": prompt.text[0], "quoted": prompt.quoted[0], "image": prompt.image[0]}
        picture = tensors["in.cond"][0, :-1, 0] if tensors["in.cond"].any() else None
    else:
        features, picture = {"text": tensors["in.text_states"][0]}, tensors["in.image_latent"][0, :, 0]
    rows, columns = case["grid_hw"]
    points = memory.points_in_field(tensors["in.points"].numpy(), memory.worldplay_8b())
    monkeypatch.setattr("engine.memory.field_points", lambda _config: points)
    tiny = tiny_released("worldplay-5b" if small else "worldplay-8b")
    model = replace(tiny, transformer=network, encode=lambda *_: features, width=16 * columns, height=16 * rows)
    world = tiny_world(model)
    focal = tensors["in.K"][0].diagonal()
    world.model = replace(model, lens=replace(WORLDPLAY_LENS, fx=float(focal[0]), fy=float(focal[1])))
    world._given = picture
    world_from_camera = rigid_inverse(tensors["in.w2c"].numpy()).astype(np.float32)
    for chunk in range(case["chunks"]):
        own = slice(4 * chunk, 4 * chunk + 4)
        list(world._frames((Step(),) * 4, world_from_camera[own], tensors["in.actions"][own].numpy()))
        world.commit()
    return torch.cat([torch.from_numpy(record.latents) for record in world.records]).float(), tensors["out.latents"][0]


@pytest.mark.parametrize("name", ["rollout_8b", "rollout_wan"])
def test_a_world_makes_the_latents_of_the_released_code(name, monkeypatch):
    made, expected = through_a_world(FIXTURES[name], monkeypatch)
    # the journal's float16 is all that stands between them
    torch.testing.assert_close(made, expected.transpose(0, 1), atol=5e-3, rtol=0)


def test_a_world_rebuilt_from_its_records_goes_on_exactly(model):
    world = tiny_world(model, image=PICTURE)
    play(world, 6)
    rebuilt = tiny_world(model, world.records, image=PICTURE)
    assert np.array_equal(rebuilt.pose, world.pose)
    assert np.array_equal(play(rebuilt, 2, KEY_LEFT), play(world, 2, KEY_LEFT))
    assert all(np.array_equal(one.latents, other.latents)
               for one, other in zip(rebuilt.records, world.records, strict=True))  # fmt: skip


def test_a_world_killed_within_a_chunk_makes_that_chunk_again(model):
    world = tiny_world(model)
    play(world, 2)
    next(world.step([Step(keys=KEY_D)] * 4))
    assert np.array_equal(play(tiny_world(model, world.records), 1), play(world, 1))


def test_a_decoder_forgets_what_lies_beyond_its_reach(model):
    generator, reach = torch.Generator().manual_seed(1), model.vae.reach
    latents = torch.randn(reach + 3, 1, 4, 1, 1, generator=generator)
    states = []
    with torch.inference_mode():
        for first in (0, 3):
            state = ()
            for latent in latents[first:]:
                _, state = model.vae.decode(latent, state)
            states.append(state)
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


@pytest.mark.parametrize("chunk", [1, 2])
def test_fewer_latents_at_once_go_on_from_the_same_records(model, chunk):
    world = tiny_world(model)
    play(world, 1)
    shorter = [tiny_world(model, world.records, chunk=chunk) for _ in range(2)]
    assert np.array_equal(play(shorter[0], 2), play(shorter[1], 2)) and shorter[0].chunks == 3


def test_a_rewind_takes_back_chunks_and_words(model):
    world = tiny_world(model)
    play(world, 1)
    world.prompt("it starts to rain")
    wet = play(world, 1)
    world.rewind(1)
    dry = play(world, 1)
    assert world.lines == ("a village at dusk",) and not np.array_equal(dry, wet)
    world.rewind(1)
    world.prompt("it starts to rain")
    assert np.array_equal(play(world, 1), wet)


def test_a_reset_world_with_another_seed_is_another_one(model):
    world = tiny_world(model)
    first = play(world, 1)
    world.reset(seed=8)
    assert world.chunks == 0 and not np.array_equal(play(world, 1), first)
    world.reset(seed=7)
    assert np.array_equal(play(world, 1), first)


def test_the_picture_shapes_what_follows_it(model):
    assert not np.array_equal(play(tiny_world(model, image=PICTURE), 1), play(tiny_world(model), 1))


def test_numbers_that_get_out_of_hand_are_told_and_nothing_is_kept(model, monkeypatch):
    monkeypatch.setattr("engine.released_world.chunk_noise", lambda _s, _c, shape, _a: torch.full(shape, np.nan))
    world = tiny_world(model)
    with pytest.raises(WanderError, match="not finite after 2 attempts"):
        next(world.step([Step()] * 4))
    with pytest.raises(ValueError, match="take all frames"):
        world.commit()


def test_bfloat16_weights_run_as_they_are(model):
    networks_ = {name: getattr(tiny_released_like(model), name).bfloat16() for name in ("transformer", "vae")}
    frames = play(tiny_world(replace(model, **networks_)), 2)
    assert frames.shape == (29, HEIGHT, WIDTH, 3)


def tiny_released_like(model: ReleasedModel) -> ReleasedModel:
    return tiny_released("worldplay-8b" if isinstance(model.transformer, WorldPlay8B) else "worldplay-5b")


def test_caption_and_events_are_spoken_as_sentences():
    assert spoken(["a village at dusk", "it starts to rain!", " fog "]) == "a village at dusk. it starts to rain! fog."
    assert spoken([""]) == ""
