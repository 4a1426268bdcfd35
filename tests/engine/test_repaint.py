"""Known pictures come to show what was said, where they are and by degrees; nothing else of a world changes."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from app.gallery import load_gallery
from engine.depth import signed
from engine.errors import WanderError
from engine.repaint import Painted, Repainter, RepainterConfig
from engine.telling import ONSET
from engine.text import TEXT_WIDTH, encode
from engine.training.loop import Run, RunConfig
from engine.training.repaint import evaluate_repainter, load_scenes, loss_of
from engine.trajectories import plan
from engine.weights import PocketWeights, load_repainter, pocket_phrases
from render.views import make_views
from tests.engine.tiny import play, tiny_weights, tiny_world

CONFIG = RepainterConfig(widths=(16, 16, 16), families=("nightfall", "fog"))
GREY = np.full((32, 64, 3), 128, np.uint8)
SAID = torch.from_numpy(encode(("", "night falls")))


class Darkness(Repainter):
    """Paints everything black, whatever is said, and grey again where it is over."""

    def forward(self, pictures: Tensor, sentences: Tensor) -> Tensor:
        said = float((sentences @ SAID.T).sum()) > 0
        return torch.full_like(pictures, -1.0 if said else 0.0)


@pytest.fixture(scope="module")
def weights() -> PocketWeights:
    return replace(tiny_weights(), repainter=Darkness(CONFIG).eval(), phrases=pocket_phrases())


def guides_of(world, chunks: int, monkeypatch) -> list[float]:
    """Mean brightness of what the guide of each of the next chunks draws, 0 (black) to 1."""
    found, make = [], world._surfaces.guide

    def guide(*arguments):
        made = make(*arguments)
        shown = made.frames.movedim(2, -1)[made.covered]
        found.append(float(shown.mean() + 1) / 2)
        return made

    monkeypatch.setattr(world._surfaces, "guide", guide)
    play(world, chunks, keys=0)
    monkeypatch.undo()
    return found


def test_an_untrained_repainter_leaves_every_picture_as_it_is():
    picture = torch.rand(2, 3, 32, 48) * 2 - 1
    assert torch.equal(Repainter(CONFIG)(picture, torch.rand(2, TEXT_WIDTH)), picture)


def test_what_is_painted_depends_on_the_sentence_once_it_has_learnt():
    model = Repainter(CONFIG)
    for name, values in model.named_parameters():
        if name.endswith(("head.weight", "conv2.weight")):
            torch.nn.init.normal_(values, std=0.1)
    picture, said = torch.rand(1, 3, 32, 48), torch.rand(2, 1, TEXT_WIDTH)
    assert not torch.allclose(model(picture, said[0]), model(picture, said[1]), atol=1e-3)


def test_what_is_there_by_degrees_is_mixed_and_a_painted_picture_is_kept_until_its_latent_is_gone():
    painted = Painted(Darkness(CONFIG).eval())
    picture = torch.ones(3, 32, 64)
    assert painted.get(4, picture, ()) is picture
    assert torch.allclose(painted.get(4, picture, (("night falls", 0.25),)), torch.full_like(picture, 0.5))
    assert torch.allclose(painted.get(4, picture, (("fog", 0.5), ("night falls", 0.5))), torch.full_like(picture, -0.5))
    assert torch.allclose(painted.get(4, picture, (("night falls", -1.0),)), 0 * picture), "without it: grey"
    painted.model.forward = None  # type: ignore[method-assign]
    assert torch.allclose(painted.get(4, picture, (("night falls", 1.0),)), -picture), "kept"
    painted.forget_from(4)
    with pytest.raises(TypeError):
        painted.get(4, picture, (("night falls", 1.0),))


def test_the_guide_shows_an_event_by_degrees_and_lets_it_go_as_it_came(weights, monkeypatch):
    world = tiny_world(weights, image=GREY)
    play(world, 2, keys=0)
    (calm,) = guides_of(world, 1, monkeypatch)
    world.prompt("darkness comes")
    falling = guides_of(world, ONSET // world.chunk + 1, monkeypatch)
    assert falling == sorted(falling, reverse=True) and calm > falling[0] > 0.8 * calm and falling[-1] < 0.02
    world.prompt("it stops")
    rising = guides_of(world, ONSET // world.chunk + 1, monkeypatch)
    assert rising == sorted(rising) and rising[0] < 0.3 * calm and rising[-1] == pytest.approx(calm, abs=0.05)


def test_what_was_first_seen_under_an_event_is_painted_without_it_when_it_is_over(weights, monkeypatch):
    world = tiny_world(weights, image=0 * GREY, prompt="a village\nnight falls")
    (dark,) = guides_of(world, 1, monkeypatch)
    world.prompt("it stops")
    (*_, light) = guides_of(world, ONSET // world.chunk + 1, monkeypatch)
    assert dark < 0.05 and light == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("words", ["night falls", "a castle appears"])
def test_a_given_picture_that_alone_shows_the_place_without_words_is_gone_back_to_when_they_end(weights, words):
    world = tiny_world(weights, image=GREY)
    world.prompt(words)
    play(world, 1, keys=0)
    world.prompt("it stops")
    play(world, 2, keys=0)
    assert world.chunks == 3


def test_words_before_the_first_chunk_are_painted_over_the_picture_that_was_given(weights, monkeypatch):
    world = tiny_world(weights, image=GREY, chunk=4)
    world.prompt("night falls")
    (first,) = guides_of(world, 1, monkeypatch)
    assert first == pytest.approx(0.5 * (1 - 0.5 * 3 / ONSET), abs=0.03), "on the way to three eighths of the night"


def test_an_event_comes_frame_by_frame_not_chunk_by_chunk(weights, monkeypatch):
    world, drawn = tiny_world(weights, image=GREY), []
    play(world, 2, keys=0)
    world.prompt("night falls")
    make = world._surfaces.guide
    monkeypatch.setattr(world._surfaces, "guide", lambda *a: drawn.append(make(*a)) or drawn[-1])
    play(world, ONSET // world.chunk, keys=0)
    light = torch.cat([guide.frames.flatten(0, 1) for guide in drawn]).mean((1, 2, 3))
    steps = light.diff()
    assert (steps < 0).all() and float(steps.abs().max()) < 2.5 * float(steps.abs().mean())


def test_a_painted_guide_is_not_stale_and_the_network_needs_no_louder_words(weights, monkeypatch):
    def louder(words: str) -> set[float]:
        world, seen = tiny_world(weights, image=GREY), set()
        play(world, 1, keys=0)
        world.prompt(words)
        monkeypatch.setattr(world, "_denoise", lambda *a: seen.add(float(a[4][0, :, -1].mean())) or a[0][0])
        list(world.step([world.records[0].steps[0]] * world.chunk))
        return seen

    assert louder("night falls") == {0.0} and min(louder("a castle appears")) > 0.5


def test_the_network_is_asked_what_old_words_would_make_only_where_no_guide_shows_the_new_ones(weights, monkeypatch):
    def passes(words: str) -> int:
        world, asked = tiny_world(weights, image=GREY), []
        play(world, 1, keys=0)
        world.prompt(words)
        denoise, forward = world._denoise, type(weights.model).forward
        monkeypatch.setattr(type(weights.model), "forward", lambda *a: asked.append(1) or forward(*a))
        monkeypatch.setattr(world, "_denoise", lambda *a: asked.clear() or (denoise(*a), counts.append(len(asked)))[0])
        counts: list[int] = []
        play(world, 1, keys=0)
        monkeypatch.undo()
        return counts[0]

    assert passes("a castle appears") == 2 * passes("night falls")


def test_a_painted_world_goes_on_exactly_from_its_records(weights):
    world = tiny_world(weights, image=GREY)
    play(world, 2)
    world.prompt("fog")
    play(world, 1)
    rebuilt = tiny_world(weights, world.records, image=GREY)
    assert np.array_equal(play(world, 2), play(rebuilt, 2))


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    make_views(folder, families=("nightfall", "fire"), worlds=3, views=2, split="train", seed=5, plan=plan,
               width=64, height=32)  # fmt: skip
    return folder


def test_each_picture_with_an_event_has_its_own_view_without_it(views):
    scenes = load_scenes(views, ("nightfall", "fire"))
    assert len(scenes.calm) == 6 and len(scenes.happening) == sum(map(len, scenes.of_family.values()))
    calm, night, said = scenes.of(scenes.of_family["nightfall"], random.Random(0))
    assert said.shape == (len(night), TEXT_WIDTH) and float(night.mean()) < float(calm.mean()) - 0.1
    brightest = (night - calm).abs().amax((1, 2, 3))
    assert float(brightest.min()) > 0.1, "something happens in every pair"


def test_pairs_in_which_nothing_shows_teach_nothing(views, monkeypatch):
    monkeypatch.setattr("engine.training.repaint.SHOWS", 20.0)
    kept = load_scenes(views, ("nightfall", "fire")).of_family
    assert kept.get("nightfall") and not kept.get("fire"), "a fire changes less than a night"


def test_a_folder_without_events_is_refused_in_a_sentence(views):
    with pytest.raises(WanderError, match="0 pictures with an event"):
        load_scenes(views, ("flood",))


def test_training_learns_what_night_looks_like(views, tmp_path):
    torch.manual_seed(0)
    scenes, model, rng = load_scenes(views, ("nightfall",)), Repainter(CONFIG), random.Random(0)
    run = Run(model, RunConfig(out=tmp_path, minutes=1, steps=40, lr=3e-3, warmup=1, ema=0.5, log_every=100), print)
    verdict = run.train(lambda _: loss_of(model, scenes, rng, 4), lambda: evaluate_repainter(run, model, scenes), 900)
    assert verdict["families"]["nightfall"] < 0.8 and verdict["away"]["nightfall"] < 0.9, "after forty steps"
    assert list(tmp_path.glob("step*.png"))


@pytest.fixture(scope="module")
def beach() -> Tensor:
    """A ready start: two houses by the beach at noon, `[3, 192, 320]`."""
    start = next(start for start in load_gallery()[0] if start.image.stem == "beach-houses")
    return signed(torch.from_numpy(np.array(Image.open(start.image).convert("RGB").resize((320, 192))))[None])[0]


def painted(picture: Tensor, words: str) -> Tensor:
    """The picture as the weights that ship paint it under an event."""
    return Painted(load_repainter()).get(0, picture, ((words, 1.0),))


@pytest.mark.parametrize(
    ("words", "true_of"),
    [
        ("night falls", lambda it, calm: it.mean() < calm.mean() - 0.5 and it[2].mean() > it[0].mean() + 0.1),
        ("a storm begins", lambda it, calm: it.mean() < calm.mean() - 0.3),
        ("it starts to rain", lambda it, calm: it.mean() < calm.mean() - 0.1 and it.std() < 0.8 * calm.std()),
        ("a thick fog comes up", lambda it, calm: it.std() < 0.7 * calm.std() and it.mean() > -0.2),
        ("it starts to snow", lambda it, calm: it[2, 140:].mean() > calm[2, 140:].mean() + 0.2),
        ("the water rises", lambda it, calm: it[0, 140:].mean() < it[2, 140:].mean() - 0.1),
        ("the sun sets", lambda it, calm: (it[0] - it[2])[:60].mean() > (calm[0] - calm[2])[:60].mean() + 0.4),
    ],
)
def test_the_weights_that_ship_paint_what_is_said_and_edges_stay_where_they_are(beach, words, true_of):
    made = painted(beach, words)
    assert bool(true_of(made, beach))
    steps = [x[:, 40:130].mean(0).diff(dim=1).abs().flatten() for x in (made, beach)]
    assert float(torch.corrcoef(torch.stack(steps))[0, 1]) > 0.6, "the houses"


@pytest.mark.parametrize("words", ["night falls", "a storm begins", "it starts to rain", "the sun sets"])
def test_the_weights_that_ship_paint_away_what_is_over_unless_it_hid_the_ground(beach, words):
    under = painted(beach, words)
    again = Painted(load_repainter()).get(0, under, ((words, -1.0),))
    assert float((again - beach).abs().mean()) < 0.5 * float((under - beach).abs().mean())


def test_the_morning_comes_after_the_night(beach):
    night = painted(beach, "night falls")
    assert float(painted(night, "the sun rises").mean()) > float(night.mean()) + 0.4
