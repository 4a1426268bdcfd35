"""The transformer: what its velocity depends on, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.actions import KEY_RIGHT, KEY_W, POCKET, Step, latent_poses
from engine.kv_cache import CommitMixer, Committed, DenoiseMixer, read_context
from engine.transformer import (
    QKV,
    Pocket,
    PocketConfig,
    TextCache,
    known_by,
    patchify,
    pocket_frustums,
    shown_by,
    unpatchify,
)
from tests.engine.tiny import tiny_pocket

GRID = (2, 4)
POSES = latent_poses([Step(keys=KEY_W | KEY_RIGHT)] * 3, POCKET)
LATENTS = torch.randn(1, 4, 4, *GRID, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(1, 3, 512, generator=torch.Generator().manual_seed(1))
ACTIONS = torch.tensor([[0, 1, 9, 40]])
CAMERAS = pytest.mark.parametrize("camera", ["split", "branch"])


def moved(x: float, yaw: float) -> np.ndarray:
    """A rigid change of the world."""
    pose = latent_poses([Step(yaw=yaw)], POCKET)[-1]
    pose[0, 3] += x
    return pose


def read(model: Pocket, rows: Tensor = ROWS, length: int = 3) -> TextCache:
    return model.read_prompt(rows, torch.tensor([length]))


def velocity(
    model: Pocket, *, origin: np.ndarray = POSES[0], shift: float = 0.0, text: TextCache | None = None,
    actions: Tensor = ACTIONS, latents: Tensor = LATENTS, level: float = 0.5,
) -> Tensor:  # fmt: skip
    """Velocity of the last two latents, the first two being their context; times start at `shift`."""
    text = text or read(model)
    times = shift + torch.arange(4.0, dtype=torch.float64)
    geometry = [model.geometry(times[s], GRID, pocket_frustums(POSES[s], origin)) for s in (slice(2), slice(2, 4))]
    commit = CommitMixer(model.positions, geometry[0])
    model(latents[:, :2], torch.zeros(1, 2), actions[:, :2], text, commit)
    chunk = Committed(commit.keys, commit.values, 2, 0)
    context = read_context(model.positions, [(chunk, 0), (chunk, 1)], geometry[0])
    mixer = DenoiseMixer(model.positions, geometry[1], context)
    return model(latents[:, 2:], torch.full((1, 2), level), actions[:, 2:], text, mixer)


@CAMERAS
@pytest.mark.parametrize("x, yaw", [(3.0, 0.0), (0.0, 1.5), (-2.0, 3.0)])
def test_moving_the_worlds_origin_changes_no_velocity(camera, x, yaw):
    model = tiny_pocket(camera)
    assert torch.allclose(velocity(model, origin=moved(x, yaw)), velocity(model), atol=1e-3)


@CAMERAS
@pytest.mark.parametrize("shift", [5.0, 10_000.0])
def test_a_common_shift_of_time_changes_no_velocity(camera, shift):
    model = tiny_pocket(camera)
    assert torch.allclose(velocity(model, shift=shift), velocity(model), atol=1e-4)


@CAMERAS
def test_actions_text_context_and_noise_level_all_matter(camera):
    model = tiny_pocket(camera)
    other = LATENTS.clone()
    other[:, 0] += 1
    plain = velocity(model)
    for changed in (
        velocity(model, actions=ACTIONS.flip(1)),
        velocity(model, text=read(model, ROWS.flip(2))),
        velocity(model, latents=other),
        velocity(model, level=0.9),
    ):
        assert not torch.allclose(changed, plain, atol=1e-4)


def test_rows_beyond_a_texts_length_are_not_read():
    model, longer = tiny_pocket(), torch.cat([ROWS, torch.full((1, 2, 512), 9.0)], 1)
    assert torch.allclose(velocity(model, text=read(model, longer)), velocity(model), atol=1e-5)


def test_no_text_is_read_whatever_the_rows():
    model = tiny_pocket()
    assert torch.allclose(
        velocity(model, text=read(model, ROWS, 0)), velocity(model, text=read(model, ROWS[:, :0], 0)), atol=1e-5
    )


def test_the_gist_of_the_text_that_applies_to_a_latent_reaches_it_without_attention():
    torch.manual_seed(0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4)).eval()
    for layer in (model.patch_out, model.out_modulation, model.text_condition, model.text_gist):
        torch.nn.init.normal_(layer.weight)
    texts = torch.stack([ROWS, ROWS.flip(2)], 1)

    def apart(_: int, qkv: QKV) -> Tensor:
        return qkv.v

    assert not any(block.text_out.weight.any() for block in model.blocks)  # cross-attention adds nothing yet
    mixed, first, second = (
        model(LATENTS, torch.zeros(1, 4), ACTIONS, text, apart)
        for text in (
            model.read_prompt(texts, torch.tensor([[3, 3]]), torch.tensor([[0, 0, 1, 1]])),
            read(model),
            read(model, ROWS.flip(2)),
        )
    )
    assert torch.allclose(mixed[:, :2], first[:, :2], atol=1e-5)
    assert torch.allclose(mixed[:, 2:], second[:, 2:], atol=1e-5)
    assert not torch.allclose(first, second, atol=1e-2)


def test_each_latent_reads_the_version_of_the_text_that_applies_to_it():
    model = tiny_pocket()
    texts = torch.stack([ROWS, ROWS.flip(2)], 1)
    both = model.read_prompt(texts, torch.tensor([[3, 3]]), torch.tensor([[0, 0, 1, 1]]))

    def apart(_: int, qkv: QKV) -> Tensor:
        """Every token attends to itself alone."""
        return qkv.v

    mixed, first, second = (
        model(LATENTS, torch.zeros(1, 4), ACTIONS, text, apart)
        for text in (both, read(model), read(model, ROWS.flip(2)))
    )
    assert torch.allclose(mixed[:, :2], first[:, :2], atol=1e-5) and torch.allclose(
        mixed[:, 2:], second[:, 2:], atol=1e-5
    )
    assert not torch.allclose(first, second, atol=1e-4)


def test_an_untrained_network_predicts_no_velocity():
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4))
    assert not velocity(model).any()


def test_patches_are_put_back_where_they_were():
    tokens = patchify(LATENTS, 2)
    assert tokens.shape == (1, 4, 2, 16) and torch.equal(unpatchify(tokens, 2, GRID), LATENTS)


def test_heads_that_four_by_four_matrices_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="width 36 needs 2 heads"):
        PocketConfig(width=36, heads=2)


def test_what_is_stale_is_shown_and_not_known():
    guides = torch.zeros(1, 2, 4 + 5, 2, 3)
    guides[:, 0, 4:8], guides[:, 1, 4:6] = 1.0, 1.0
    guides[:, 0, 8, 0], guides[:, 1, 8, 1] = 0.75, 0.25
    assert torch.equal(shown_by(guides)[0, :, 0, :, 0], torch.tensor([[1.0, 1.0], [0.5, 0.5]]))
    assert torch.equal(known_by(guides)[0, :, 0, :, 0], torch.tensor([[0.25, 1.0], [0.5, 0.25]]))
