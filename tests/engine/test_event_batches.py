"""Batches in which words alone tell what happens, or that it is over."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.actions import KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses
from engine.memory import pocket as pocket_memory
from engine.training.base import (
    BaseTraining,
    Batch,
    BatchSampler,
    GuidedClips,
    base_loss,
    soft_places,
    softened,
)
from engine.training.guides import Calm
from engine.training.latents import LatentClips
from engine.transformer import Pocket, PocketConfig
from tests.engine.tiny import tiny_pocket

EVENT = {"start_frame": 20, "stop_frame": None, "caption_en": "it rains", "caption_zh": "下雨"}
ABOUT = {"captions": {"en": ["a village"], "zh": ["村庄"]}, "events": [EVENT]}
QUIET = {**ABOUT, "events": []}
HAPPENING, CALM = 2.0, -2.0
"""What all latents of a clip hold, with and without the event."""

NOTHING = {"unheard": 0.0, "ended": 0.0, "untouched": 0.0, "text_drop": 0.0}


def source(*about: dict) -> GuidedClips:
    poses = latent_poses([Step(keys=KEY_W)] * 19, POCKET)
    actions = torch.from_numpy(actions_from_poses(poses, POCKET_LABELS))[None].repeat(len(about), 1)
    latents, guides = (torch.full((len(about), 20, c, 2, 4), HAPPENING).half() for c in (4, 8))
    clips = LatentClips(latents, np.stack([poses] * len(about)), actions, list(about))
    eventful = [i for i, facts in enumerate(about) if facts["events"]]
    row = {clip: m for m, clip in enumerate(eventful)}
    without = (torch.full((len(eventful), 20, c, 2, 4), CALM).half() for c in (4, 8))
    return GuidedClips(clips, guides, Calm(row, *without))


def drawn(*about: dict, **changes: float) -> Batch:
    config = BaseTraining(batch=16, latents=20, **NOTHING | changes)  # type: ignore[arg-type]
    return BatchSampler(source(*about), config).draw(random.Random(0))


def only(x: torch.Tensor) -> float:
    value = x.flatten()[0]
    assert (x == value).all()
    return float(value)


def shown(batch: Batch) -> float:
    """What the guides hold, but for what is stale."""
    assert batch.guides is not None
    return only(batch.guides[:, :, :8])


def stale(batch: Batch) -> list[bool]:
    """Which latents' guides are older than the words."""
    assert batch.guides is not None
    found = batch.guides[:, :, 8].flatten(2).abs().amax(2) > 0
    assert (found == found[0]).all()
    return found[0].tolist()


def test_an_event_that_words_alone_tell_of_shows_in_the_targets_alone():
    batch = drawn(ABOUT, unheard=1.0, alone=1.0)
    assert (only(batch.latents), only(batch.seen), shown(batch)) == (HAPPENING, CALM, CALM)
    assert (batch.lengths[:, 0] == 1).all() and (batch.lengths[:, 1] == 2).all()
    assert (batch.versions == (torch.arange(20) >= 5)).all()
    assert stale(batch) == [False] * 5 + [True] * 15


def test_an_unheard_event_shows_in_context_as_soon_as_it_was_made_and_in_pictures_not_at_all():
    batch = drawn(ABOUT, unheard=1.0, alone=0.0, caught_up=0.0)
    assert (only(batch.latents), only(batch.seen), shown(batch)) == (HAPPENING, HAPPENING, CALM)
    assert (batch.versions == (torch.arange(20) >= 5)).all()
    assert stale(batch) == [False] * 5 + [True] * 15


def test_pictures_catch_up_with_an_event_once_its_words_are_no_news():
    """Said at latent 1, so no news at 13, in the midst of a chunk: pictures are those of the place as it is from 16."""
    early = drawn({**ABOUT, "events": [{**EVENT, "start_frame": 4}]}, unheard=1.0, alone=0.0, caught_up=1.0)
    assert early.guides is not None
    assert only(early.guides[:, :16, :8]) == CALM and only(early.guides[:, 16:, :8]) == HAPPENING
    assert only(early.latents) == only(early.seen) == HAPPENING
    assert stale(early) == [False] + [True] * 15 + [False] * 4


def test_an_ended_event_shows_everywhere_but_in_words_and_targets():
    batch = drawn(ABOUT, ended=1.0)
    assert (only(batch.latents), only(batch.seen), shown(batch)) == (CALM, HAPPENING, HAPPENING)
    assert (batch.lengths == 1).all() and not batch.versions.any()
    assert all(stale(batch))


@pytest.mark.parametrize("changes", [{"untouched": 1.0}, {"unheard": 0.5, "ended": 0.5, "text_drop": 1.0}])
def test_a_walk_that_is_left_untouched_or_has_no_text_is_calm_throughout(changes):
    batch = drawn(ABOUT, **changes)
    assert only(batch.latents) == only(batch.seen) == shown(batch) == CALM
    assert (batch.lengths == (0 if "text_drop" in changes else 1)).all() and not batch.versions.any()
    assert not any(stale(batch))


def test_an_event_that_is_seen_and_said_is_drawn_from_older_pictures_until_it_is_fully_there():
    """Pictures made before latent 5 + NEWS; the newest one seen when latents 20 to 23 are made is latent 19's."""
    batch = drawn(ABOUT)
    assert only(batch.latents) == only(batch.seen) == shown(batch) == HAPPENING
    early = drawn({**ABOUT, "events": [{**EVENT, "start_frame": 4}]})
    assert stale(batch) == [False] * 5 + [True] * 15
    assert stale(early) == [False] + [True] * 15 + [False] * 4


def test_clips_in_which_nothing_happens_are_left_as_they_are():
    batch = drawn(QUIET, QUIET, unheard=0.5, ended=0.5)
    assert only(batch.latents) == only(batch.seen) == HAPPENING


def test_shares_are_those_asked_for():
    config = BaseTraining(batch=2000, latents=20, unheard=0.4, alone=1.0, ended=0.15, untouched=0.25, text_drop=0.0)
    batch = BatchSampler(source(ABOUT, QUIET), config).draw(random.Random(0))
    seen, made = (x[:, 0, 0, 0, 0] == CALM for x in (batch.seen, batch.latents))
    shares = [float(each.float().mean()) for each in (seen & ~made, made & ~seen, seen & made)]
    assert shares == pytest.approx([0.2, 0.075, 0.125], abs=0.03)


def test_a_given_first_picture_is_the_one_that_context_shows():
    """The loss of a network without guide or memory doesn't depend on what its own given latent would have become."""
    config = BaseTraining(batch=16, latents=20, given_first=1.0, alone=1.0, **{**NOTHING, "unheard": 1.0})
    batch = BatchSampler(source(ABOUT), config).draw(random.Random(0))
    torch.manual_seed(0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    other = batch.latents.clone()
    other[:, 0] = 7.0
    losses = [
        float(base_loss(model, each, 4, config, pocket_memory(), torch.Generator().manual_seed(0))[0].detach())
        for each in (batch, replace(batch, latents=other))
    ]
    assert losses[0] == losses[1]


def test_clips_of_which_the_guide_shows_little_are_drawn_more_often():
    calm, shown = source(QUIET, QUIET), torch.ones(2, 20, 8, 2, 4)
    shown[1, :, 4:] = 0
    shown[0, :, 4:] = 1
    calm.clips.latents[1] = 5.0
    config = BaseTraining(batch=2000, latents=20, hidden=1.0, **NOTHING)  # type: ignore[arg-type]
    batch = BatchSampler(replace(calm, guides=shown), config).draw(random.Random(0))
    assert float((batch.latents[:, 0, 0, 0, 0] == 5).float().mean()) == pytest.approx(3 / 4, abs=0.03)


def test_what_the_guide_does_not_show_weighs_more_in_the_loss():
    """An untrained network draws the guide: it is right where that shows the truth and wrong elsewhere."""
    config = BaseTraining(batch=8, latents=20, guide_drop=0.0, guide_noise=0.0, **NOTHING)  # type: ignore[arg-type]
    batch = BatchSampler(source(QUIET), config).draw(random.Random(0))
    assert batch.guides is not None
    guides = batch.guides.clone()
    guides[:, :, 4:8], guides[..., 8, :, :] = 1.0, 0.0
    guides[..., 2:] = 0.0
    torch.manual_seed(0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4))

    def loss(shown: torch.Tensor, hidden: float) -> float:
        generator, how = torch.Generator().manual_seed(0), replace(config, hidden=hidden)
        return float(base_loss(model, replace(batch, guides=shown), 4, how, pocket_memory(), generator)[0].detach())

    assert loss(guides, 3.0) > 1.2 * loss(guides, 0.0)
    assert loss(torch.zeros_like(guides), 3.0) == pytest.approx(loss(torch.zeros_like(guides), 0.0))


def test_softened_latents_move_towards_the_means_around_them_where_asked():
    latents = torch.randn(2, 3, 4, 6, 10, generator=torch.Generator().manual_seed(0))
    places = torch.zeros(2, 1, 1, 6, 10)
    places[0, ..., 5:] = 1.0
    soft = softened(latents, places)
    assert torch.equal(soft[..., :5], latents[..., :5]) and torch.equal(soft[1], latents[1])
    assert soft[0, 1, 2, 3, 7] == pytest.approx(float(latents[0, 1, 2, 2:5, 6:9].mean()), abs=1e-6)
    flat = torch.full_like(latents, 3.0)
    assert torch.allclose(softened(flat, torch.ones_like(places)), flat)


def test_soft_places_are_smooth_patches_in_the_share_asked_for():
    config = BaseTraining(soft=0.4)
    places = soft_places(2000, (12, 20), config, torch.Generator().manual_seed(0))[:, 0, 0]
    assert ((places >= 0) & (places <= 1)).all()
    some = places.flatten(1).amax(1) > 0
    assert float(some.float().mean()) == pytest.approx(0.4, abs=0.04)
    soft = places[some]
    assert soft.diff(dim=-1).abs().mean() < 0.3 * soft.std()
    assert soft.flatten(1).amax(1).mean() > 2 * soft.mean()


def test_context_and_guides_are_soft_and_targets_are_not():
    """An untrained network draws its guide, the truth itself: the loss is what was taken from it."""
    truth = torch.randn(1, 20, 4, 6, 10, generator=torch.Generator().manual_seed(0))
    clips = replace(source(QUIET).clips, latents=truth.half())
    guides = torch.cat([truth, torch.ones(1, 20, 4, 6, 10)], 2).half()
    torch.manual_seed(0)
    model = Pocket(PocketConfig(width=32, heads=2, depth=1, latent_channels=4))

    def loss(soft: float) -> float:
        config = BaseTraining(batch=4, latents=20, guide_drop=0.0, guide_noise=0.0, soft=soft, **NOTHING)  # type: ignore[arg-type]
        batch = BatchSampler(GuidedClips(clips, guides), config).draw(random.Random(0))
        return float(base_loss(model, batch, 4, config, pocket_memory(), torch.Generator().manual_seed(0))[0].detach())

    assert loss(1.0) > 1.1 * loss(0.0)


def test_context_is_soft_where_there_is_no_guide_too():
    truth = torch.randn(1, 20, 4, 6, 10, generator=torch.Generator().manual_seed(0))
    clips, model = replace(source(QUIET).clips, latents=truth.half()), tiny_pocket()

    def loss(soft: float) -> float:
        config = BaseTraining(batch=4, latents=20, soft=soft, given_first=1.0, **NOTHING)  # type: ignore[arg-type]
        batch = BatchSampler(GuidedClips(clips, None), config).draw(random.Random(0))
        return float(base_loss(model, batch, 4, config, pocket_memory(), torch.Generator().manual_seed(0))[0])

    assert loss(1.0) != loss(0.0)
