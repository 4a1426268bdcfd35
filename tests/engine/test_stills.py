"""Stills: single latents with their words, and guides that show a part of them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.actions import KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses
from engine.errors import WanderError
from engine.training.base import BaseTraining, GuidedClips, guided_clips, plain_clips
from engine.training.guides import Calm
from engine.training.latents import LatentClips
from engine.training.stills import StillSampler, half_planes, settled, still_loss
from engine.transformer import Pocket, PocketConfig
from tests.engine.tiny import tiny_pocket

EVENT = {"start_frame": 20, "stop_frame": None, "caption_en": "it rains", "caption_zh": "下雨"}
EARLY = {"start_frame": 0, "stop_frame": None, "caption_en": "it rains", "caption_zh": "下雨"}
HAPPENING, CALM = 2.0, -2.0
"""What all latents of a clip hold, with and without the event."""


def about(*events: dict) -> dict:
    return {"captions": {"en": ["a village"], "zh": ["村庄"]}, "events": list(events)}


def source(*events: dict, guided: bool = True) -> GuidedClips:
    poses = latent_poses([Step(keys=KEY_W)] * 19, POCKET)
    actions = torch.from_numpy(actions_from_poses(poses, POCKET_LABELS))[None]
    full, calm = ([torch.full((1, 20, c, 4, 6), value).half() for c in (4, 8)] for value in (HAPPENING, CALM))
    clips = LatentClips(full[0], poses[None], actions, [about(*events)])
    return GuidedClips(clips, full[1] if guided else None, Calm({0: 0}, *calm) if events else None)


def stills(found: GuidedClips, **changes: float):
    config = BaseTraining(batch=20, latents=20, **{"text_drop": 0.0} | changes)  # type: ignore[arg-type]
    return StillSampler(found, config).draw(random.Random(0))


def test_what_unfolds_or_goes_away_is_no_still():
    """Twelve latents from where something starts or stops; what was there from the start is settled."""
    assert settled(about(), 24) == [*range(24)]
    assert settled(about(EVENT), 24) == [*range(5), *range(17, 24)]
    assert settled(about({**EARLY, "stop_frame": 40}), 24) == [*range(10), 22, 23]


def test_words_say_what_a_still_shows():
    batch = stills(source(EARLY))
    happens = batch.lengths == 2
    assert (batch.latents[happens] == HAPPENING).all() and (batch.latents[~happens] == CALM).all()
    assert 0.3 < float(happens.float().mean()) < 0.7


def test_without_a_calm_walk_every_still_is_of_what_happens():
    found = source(EARLY)
    batch = stills(GuidedClips(found.clips, found.guides, None))
    assert (batch.latents == HAPPENING).all() and (batch.lengths == 2).all()


def test_text_is_dropped_as_often_as_asked():
    assert not stills(source(), text_drop=1.0).lengths.any()


def test_cameras_and_actions_are_those_of_the_latents():
    found = source()
    batch = StillSampler(found, BaseTraining()).of([(0, 3), (0, 17)], random.Random(0))
    assert np.array_equal(batch.poses[:, 0], found.clips.poses[0, [3, 17]])
    assert torch.equal(batch.actions[:, 0], found.clips.actions[0, [3, 17]])


def test_a_guide_is_whole_or_hides_all_beyond_a_line_or_is_none():
    shown = stills(source(), unguided=0.4).guides[:, 0, 0] != 0
    share = shown.float().mean((1, 2))
    assert 0.3 < float((share == 0).float().mean()) < 0.55
    assert float((share == 1).float().mean()) > 0.2 and float(((share > 0) & (share < 1)).float().mean()) > 0.15


@pytest.mark.parametrize("found", [source(guided=False), source()])
def test_a_still_has_no_guide_where_there_is_none_or_none_is_wanted(found):
    assert not stills(found, unguided=1.0).guides.any()


def test_a_mask_is_one_on_one_side_of_a_line():
    """Along rows and columns it changes once at most, everywhere in the same direction."""
    masks = half_planes(200, (12, 20), random.Random(1))[:, 0, 0]
    for axis in (1, 2):
        change = masks.diff(dim=axis)
        assert (change.abs().sum(axis) <= 1).all()
        assert not ((change > 0).flatten(1).any(1) & (change < 0).flatten(1).any(1)).any()
    upright = masks.diff(dim=2).abs().sum((1, 2)) > masks.diff(dim=1).abs().sum((1, 2))
    assert 0.6 < float(upright.float().mean()) < 0.95


def test_cells_of_which_a_guide_says_nothing_stay_empty(monkeypatch):
    """Guides are worn by noise; where there is none, none is seen in play either."""
    seen, model = [], tiny_pocket()
    forward = Pocket.forward
    monkeypatch.setattr(Pocket, "forward", lambda self, *args: seen.append(args[-1]) or forward(self, *args))
    batch = stills(source(), unguided=0.5)
    still_loss(model, batch, BaseTraining(guide_noise=0.5), torch.Generator().manual_seed(0))
    empty = batch.guides.abs().amax(2) == 0
    assert empty.any() and not empty.all()
    assert torch.equal(seen[0].abs().amax(2) == 0, empty)


def test_a_network_learns_what_words_mean_from_stills():
    torch.manual_seed(0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=2, latent_channels=4))
    config = BaseTraining(batch=2, latents=20, text_drop=0.0, unguided=1.0)
    sampler, rng, generator = StillSampler(source(EARLY), config), random.Random(0), torch.Generator().manual_seed(0)
    optimiser, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(60):
        loss, numbers = still_loss(model, sampler.draw(rng), config, generator)
        assert numbers == {"still": pytest.approx(float(loss.detach()))}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_stills_may_come_from_a_folder_that_has_no_guides(tmp_path):
    found = source(EARLY).clips
    tensors = {
        "latents": found.latents,
        "poses": torch.from_numpy(found.poses).contiguous(),
        "actions": found.actions.short(),
    }
    metadata = {"vae": "v", "about": json.dumps(found.about)}
    save_file(tensors, tmp_path / "latents-00000.safetensors", metadata)
    assert plain_clips(tmp_path, "v").guides is None
    with pytest.raises(WanderError, match="no guides"):
        guided_clips(tmp_path, "v")
    save_file({"guides": found.latents}, tmp_path / "guides-00000.safetensors")
    assert plain_clips(tmp_path, "v").guides is not None
