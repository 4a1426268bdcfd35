"""What things in the air look like is learnt, and nothing else of a picture changes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.gallery import load_gallery
from engine.actions import POCKET, start_pose
from engine.air import AirConfig, AirPainter, maps_of
from engine.depth import signed
from engine.errors import WanderError
from engine.falling import Falling
from engine.fire import Site
from engine.text import encode
from engine.training.air import evaluate_air, load_skies, loss_of
from engine.training.loop import Run, RunConfig
from engine.trajectories import plan
from engine.weights import load_air
from render.events import AIR
from render.views import make_views
from tests.engine.tiny import wake

CONFIG = AirConfig(falling=(Falling(9, (9.0, 9.0, 9.0), (0.0, 5.0, 0.0), 0.0, (0.1, 0.3)),))
LEVEL = start_pose(POCKET)


def test_every_pixel_stays_as_it_is_that_nothing_covers_and_no_light_reaches():
    painter = AirPainter(CONFIG)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        wake(painter)
        pictures, said = 2 * torch.rand(2, 3, 32, 64) - 1, torch.randn(2, 512)
    covers, dark = torch.zeros(2, CONFIG.covers, 32, 64), torch.zeros(2, 2, 32, 64)
    covers[:, 0, 10, 20] = 1.0
    made = painter(pictures, covers, dark, said)
    far = torch.ones(32, 64, dtype=torch.bool)
    far[10, 20] = False
    assert torch.equal(made[:, :, far], pictures[:, :, far]) and not torch.equal(made, pictures)
    assert not torch.equal(painter(pictures, 0 * covers, dark + 1, said), pictures), "lightning lights all"


@pytest.fixture(scope="module")
def skies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("air")
    make_views(folder, families=("rain", "snow", "storm", "fire", "nightfall"), worlds=4, views=3, split="train",
               seed=5, plan=plan, width=160, height=96, show=AIR)  # fmt: skip
    return load_skies(folder)


def test_views_come_without_and_with_what_is_in_the_air_and_differ_in_nothing_else(skies):
    assert [kind.flutter > 0 for kind in skies.config.falling] == [False, True], "drops and flakes"
    for family, rows in skies.of_family.items():
        apart = [int((skies.pictures[row, 0] != skies.pictures[row, 1]).any(-1).sum()) for row in rows]
        assert (max(apart) > 0) == (family in skies.config.families)
        if family in ("rain", "snow"):
            assert min(apart) > 0 and max(apart) < 0.1 * 160 * 96


@pytest.mark.parametrize(("family", "kind"), [("rain", 0), ("snow", 1), ("fire", 2)])
def test_the_renderer_and_the_engine_agree_on_where_drops_flakes_and_flames_are(skies, family, kind):
    agreement = []
    for row in skies.of_family[family]:
        still, moving = skies.pictures[row].int().numpy()
        change, covers = np.abs(moving - still).max(-1).ravel(), skies.maps(row)[0][kind].ravel()
        agreement += [np.corrcoef(change, covers)[0, 1]] if change.max() > 20 and covers.any() else []
    assert np.median(agreement) > (0.4 if family == "fire" else 0.6)


def test_views_in_still_air_teach_nothing_and_are_refused_in_a_sentence(tmp_path):
    make_views(tmp_path, families=("rain",), worlds=1, views=1, split="train", seed=5, plan=plan, width=64, height=32)
    with pytest.raises(WanderError, match="what is in the air is in 0 of them"):
        load_skies(tmp_path)


def test_training_learns_what_they_look_like(skies, tmp_path):
    torch.manual_seed(0)
    model, rng = AirPainter(skies.config), random.Random(0)
    run = Run(model, RunConfig(out=tmp_path, minutes=1, steps=300, lr=5e-3, warmup=1, ema=0.97, log_every=100), print)
    verdict = run.train(lambda _: loss_of(model, skies, rng, 6), lambda: evaluate_air(run, model, skies), 900)[
        "families"
    ]
    assert max(verdict["rain"], verdict["storm"], verdict["fire"]) < 0.9, "of the change"
    assert verdict["nightfall"] < 6, "grey levels, where nothing is in the air"
    assert list(tmp_path.glob("step*.png"))


# -- what ships -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beach() -> Tensor:
    """A ready start: two houses by the beach at noon, `[1, 3, 96, 160]`."""
    start = next(start for start in load_gallery()[0] if start.image.stem == "beach-houses")
    return signed(torch.from_numpy(np.array(Image.open(start.image).convert("RGB").resize((160, 96))))[None])


def painted(picture: Tensor, words: str, site: Site | None = None, flash: float = 0.0) -> tuple[Tensor, Tensor]:
    """The change of a picture under words by the weights that ship `[3, H, W]`, and what covers it `[K, H, W]`."""
    painter, seeds = load_air(), np.random.default_rng(1).random((300, 4))
    covers, glow = (torch.from_numpy(m) for m in maps_of(painter.config, seeds, LEVEL, 3.0, 1.0, (96, 160), site))
    light = torch.stack([torch.full_like(glow, flash), glow])
    with torch.inference_mode():
        made = painter(picture, covers[None], light[None], torch.from_numpy(encode(("", words))))
    return (made - picture)[0], covers


@pytest.mark.parametrize(
    ("words", "kind"), [("it starts to rain", 0), ("开始下雨", 0), ("snow begins to fall", 1), ("下雪了", 1)]
)
def test_drops_fall_in_the_rain_and_flakes_in_the_snow(beach, words, kind):
    change, covers = painted(beach, words)
    by_kind = [float(change.abs().amax(0)[covers[k] > 0.3].mean()) for k in (0, 1)]
    assert by_kind[kind] > 0.08 > 4 * by_kind[1 - kind]


def test_lightning_lights_a_storm_and_nothing_else(beach):
    storm, rain = (
        float(painted(beach, words, flash=1.0)[0].mean()) for words in ("a storm begins", "it starts to rain")
    )
    assert storm > 0.15 and abs(rain) < 0.02


def test_a_fire_is_yellow_and_red_and_its_smoke_is_grey(beach):
    change, covers = painted(beach, "a house catches fire", Site(x=0.5, z=17.0, size=4.0, radius=2.0))
    made = beach[0] + change
    flames, smoke = made[:, covers[2] > 0.7].mean(1), made[:, (covers[4:6].sum(0) > 0.9) & (covers[2] == 0)].mean(1)
    assert flames[0] > 0.5 and flames[0] > flames[2] + 0.5
    assert float(smoke.max() - smoke.min()) < 0.25 and float(smoke.mean()) < 0.3


def test_a_calm_night_has_nothing_in_its_air(beach):
    change, _ = painted(beach, "night falls")
    assert float(change.abs().max()) < 0.1 and float(change.abs().mean()) < 0.002
