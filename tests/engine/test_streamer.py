"""A world goes on exactly, whatever happens to it: only its records and its text are state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from engine.actions import KEY_A, KEY_LEFT, KEY_RIGHT, KEY_W, Step
from engine.compositor import AGREE, AGREE_STANDING
from engine.errors import WanderError
from engine.images import fit_image
from engine.kv_cache import CommitMixer
from engine.stills import StillSampling
from engine.streamer import Sampling
from engine.telling import NEWS
from engine.walls import RULE
from engine.weights import PocketWeights
from engine.world import WorldSpec, open_world
from tests.engine.tiny import play, tiny_weights, tiny_world

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights() -> PocketWeights:
    return tiny_weights()


@pytest.fixture
def passes(weights) -> Iterator[list[tuple[bool, int]]]:
    """For every pass through the network: whether it commits, and the context tokens that it sees."""
    seen: list[tuple[bool, int]] = []

    def note(_: object, arguments: tuple) -> None:
        mixer = arguments[4]
        keys = None if isinstance(mixer, CommitMixer) else mixer.context.keys
        seen.append((isinstance(mixer, CommitMixer), keys[0].shape[2] if keys else 0))

    handle = weights.model.register_forward_pre_hook(note)
    yield seen
    handle.remove()


def committed(passes: list[tuple[bool, int]]) -> int:
    """Chunks committed since the last time."""
    count = sum(commits for commits, _ in passes)
    passes.clear()
    return count


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_the_first_latent_is_one_frame_and_every_later_one_four(weights, chunk):
    assert [len(frames) for frames in tiny_world(weights, chunk=chunk).step([Step()] * chunk)] == [1] + [4] * (
        chunk - 1
    )
    assert play(tiny_world(weights, chunk=chunk), 2).shape == (8 * chunk - 3, 32, 64, 3)


def test_the_same_seed_text_and_steps_make_the_same_frames(weights):
    first, second, other = (play(tiny_world(weights, seed=seed), 3) for seed in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_a_world_rebuilt_from_its_records_goes_on_exactly(weights, chunk):
    world = tiny_world(weights, chunk=chunk)
    play(world, 5)
    rebuilt = tiny_world(weights, world.records, chunk=chunk)
    assert np.array_equal(rebuilt.pose, world.pose)
    assert np.array_equal(play(rebuilt, 2, KEY_LEFT), play(world, 2, KEY_LEFT))


def test_a_world_killed_within_a_chunk_makes_that_chunk_again(weights):
    world = tiny_world(weights)
    play(world, 3)
    next(world.step([Step(keys=KEY_A)] * 2))
    rebuilt = tiny_world(weights, world.records)
    assert np.array_equal(play(rebuilt, 2), play(world, 2))


def test_a_chunk_whose_frames_were_not_all_taken_is_not_committed(weights):
    world = tiny_world(weights)
    next(world.step([Step()] * 2))
    with pytest.raises(ValueError, match="take all frames"):
        world.commit()


def test_another_chunk_length_goes_on_from_the_same_records(weights):
    world = tiny_world(weights, chunk=4)
    play(world, 3)
    shorter = [tiny_world(weights, world.records, chunk=1) for _ in range(2)]
    assert np.array_equal(play(shorter[0], 3), play(shorter[1], 3)) and shorter[0].chunks == 6


def test_after_a_rewind_the_same_steps_make_the_same_frames(weights):
    world = tiny_world(weights)
    play(world, 3)
    first = play(world, 3, KEY_LEFT)
    world.rewind(3)
    assert world.chunks == 3 and np.array_equal(play(world, 3, KEY_LEFT), first)


def test_a_rewind_takes_back_the_text_as_well(weights):
    world = tiny_world(weights)
    play(world, 1)
    world.prompt("it starts to rain")
    play(world, 1)
    world.rewind(1)
    assert world.lines == ("a village at dusk",)


def test_a_rewind_beyond_the_history_is_refused_in_a_sentence(weights):
    world = tiny_world(weights)
    with pytest.raises(WanderError, match="0 chunks, it can't go back to chunk 2"):
        world.rewind(2)


def test_a_reset_world_is_a_new_one(weights):
    world = tiny_world(weights)
    world.prompt("fog")
    first = play(world, 2)
    world.reset(seed=3)
    assert world.chunks == 0 and world.lines == ("a village at dusk",)
    assert np.array_equal(play(world, 2), play(tiny_world(weights, seed=3), 2)) and len(first)


def test_the_first_frame_is_the_given_picture_itself(weights):
    frames = play(tiny_world(weights, image=PICTURE), 1)
    assert np.array_equal(frames[0], fit_image(PICTURE, 64, 32))


def test_the_picture_shapes_what_follows_it(weights):
    assert not np.array_equal(play(tiny_world(weights, image=PICTURE), 1)[1:], play(tiny_world(weights), 1)[1:])


def test_words_invent_the_first_latent_alone_and_it_is_then_as_if_given(weights):
    """It is a still: how long its chunk is doesn't matter, and the rest of the chunk goes on from it."""
    long, short = (tiny_world(weights, chunk=chunk) for chunk in (4, 1))
    for world in (long, short):
        play(world, 1, KEY_W)
    first = long.records[0].latents[0]
    assert np.array_equal(first, short.records[0].latents[0])
    given = tiny_world(weights, chunk=4)
    given.start_from(torch.from_numpy(first))
    play(given, 1, KEY_W)
    assert np.array_equal(given.records[0].latents, long.records[0].latents)


def test_the_first_latent_follows_the_words_in_force_and_more_of_them_with_guidance(weights):
    firsts = {}
    for words, guidance in (("a village", 0.0), ("a village", 3.0), ("a desert", 0.0)):
        sampling = Sampling(steps=2, first=StillSampling(guidance=guidance))
        world = tiny_world(weights, sampling=sampling, prompt="a street")
        play(world, 1)
        world.rewind(0)
        world.prompt(f"{words}\n")
        play(world, 1)
        fresh = tiny_world(weights, sampling=sampling, prompt=words)
        play(fresh, 1)
        assert world.records[0].latents.tobytes() == fresh.records[0].latents.tobytes()
        firsts[words, guidance] = world.records[0].latents[0].tobytes()
    assert len({*firsts.values()}) == 3


def test_a_given_picture_is_not_invented(weights, passes):
    play(tiny_world(weights, image=PICTURE), 1)
    assert len(passes) == 2 + 1


@pytest.mark.parametrize("image", [None, PICTURE])
def test_a_rebuilt_world_draws_from_the_same_surfaces(weights, image):
    world = tiny_world(weights, image=image)
    play(world, 3)
    rebuilt = tiny_world(weights, world.records, image=image)
    for latent in range(6):
        kept, anew = (each._surfaces.get(latent, each._poses) for each in (world, rebuilt))
        assert torch.equal(kept.picture, anew.picture) and torch.equal(kept.disparity, anew.disparity)


def test_a_prompt_changes_the_next_chunk(weights):
    world, plain = tiny_world(weights), tiny_world(weights)
    assert np.array_equal(play(world, 2), play(plain, 2))
    assert world.prompt("it starts to rain") == 2
    assert not np.array_equal(play(world, 1), play(plain, 1))


@pytest.mark.parametrize(("chunk", "lasts"), [(4, 3), (2, 6)])
def test_words_are_news_for_two_seconds_of_film_and_again_after_a_rebuild(weights, monkeypatch, chunk, lasts):
    seen: list[bool] = []

    def composed(decoded: torch.Tensor, drawn: object, covered: object, agree: float, steady: bool) -> torch.Tensor:
        seen.append(agree < AGREE)
        assert steady == (agree == AGREE)
        return decoded

    world = tiny_world(weights, image=PICTURE, chunk=chunk)
    monkeypatch.setattr(weights.compositor, "forward", composed)
    play(world, 1)
    world.prompt("it starts to rain")
    play(world, 2)
    rebuilt = tiny_world(weights, world.records, image=PICTURE, chunk=chunk)
    play(rebuilt, lasts)
    assert seen == [False] * chunk + [True] * chunk * lasts + [False] * chunk * 2


def test_new_words_are_as_loud_as_asked(weights):
    def latents(emphasis: float) -> np.ndarray:
        world = tiny_world(weights, sampling=Sampling(steps=1, lead=0.0, emphasis=emphasis))
        play(world, 1)
        world.prompt("it starts to rain")
        play(world, 1)
        return np.asarray(world.records[-1].latents, np.float64)

    said, louder, loudest = (latents(emphasis) for emphasis in (0.0, 1.0, 2.0))
    assert np.abs(louder - said).max() > 1e-3
    assert np.allclose(loudest - louder, louder - said, atol=4e-3)


def test_words_are_read_beside_the_old_ones_while_they_are_news_and_no_longer(weights, passes):
    world, counts = tiny_world(weights, sampling=Sampling(steps=2)), []
    play(world, 1)
    world.prompt("it starts to rain")
    for _ in range(NEWS // world.chunk + 1):
        passes.clear()
        play(world, 1)
        counts.append(sum(not commits for commits, _ in passes))
    assert counts == [2 * 2] * (NEWS // world.chunk) + [2]


def test_while_the_camera_stands_the_picture_is_kept_more_firmly(weights, monkeypatch):
    seen: list[float] = []

    def composed(decoded: torch.Tensor, drawn: object, covered: object, agree: float, steady: bool) -> torch.Tensor:
        seen.append(agree)
        return decoded

    world = tiny_world(weights, image=PICTURE)
    monkeypatch.setattr(weights.compositor, "forward", composed)
    for keys in (KEY_W, 0, KEY_RIGHT):
        for _ in world.step([Step(keys=keys)] * world.chunk):
            pass
        world.commit()
    assert seen == [each for each in (AGREE, AGREE_STANDING, AGREE) for _ in range(world.chunk)]


def test_without_recache_context_keeps_the_text_it_was_made_under(weights, passes):
    world, stale = tiny_world(weights), tiny_world(weights, recache=False)
    assert np.array_equal(play(world, 3), play(stale, 3))
    for each in (world, stale):
        each.prompt("it starts to rain")
    committed(passes)
    shown = play(stale, 1)
    assert committed(passes) == 1  # its own
    assert not np.array_equal(shown, play(world, 1))
    rebuilt = tiny_world(weights, stale.records, recache=False)
    assert np.array_equal(play(stale, 2), play(rebuilt, 2))


def test_an_event_that_stops_gives_back_the_text_before_it(weights):
    world = tiny_world(weights)
    world.prompt("it starts to rain")
    world.prompt("开始下雪")
    world.prompt("停了")
    assert world.lines == ("a village at dusk", "it starts to rain")
    world.prompt("it stops")
    assert np.array_equal(play(world, 1), play(tiny_world(weights), 1))


def test_a_chunk_records_the_text_that_it_was_made_under(weights):
    world = tiny_world(weights)
    list(world.step([Step()] * 2))
    assert world.prompt("it starts to rain") == 1
    assert world.commit().prompt == "a village at dusk"
    list(world.step([Step()] * 2))
    assert world.commit().prompt == "a village at dusk\nit starts to rain"


def test_a_caption_of_several_lines_is_a_caption_and_events(weights):
    world = tiny_world(weights, prompt="a village\nit rains")
    play(world, 1)
    rebuilt = tiny_world(weights, world.records, prompt="a village\nit rains")
    assert world.lines == rebuilt.lines == ("a village", "it rains")


@pytest.mark.parametrize("prompts", [["rain"], ["rain", "snow", "it stops"], ["a desert\nfog"], [" "]])
def test_a_world_rebuilt_with_a_prompt_pending_goes_on_exactly(weights, prompts):
    world = tiny_world(weights)
    world.prompt("a fire")
    play(world, 3)
    rebuilt = tiny_world(weights, world.records)
    for text in prompts:
        assert world.prompt(text) == rebuilt.prompt(text) == 3
    assert rebuilt.lines == world.lines and np.array_equal(play(rebuilt, 2), play(world, 2))


def test_dropping_keys_and_values_changes_nothing(weights, passes):
    roomy, tight = tiny_world(weights), tiny_world(weights, cache_latents=1)
    expected = play(roomy, 6)
    few = committed(passes)
    assert np.array_equal(play(tight, 6), expected) and committed(passes) > few
    assert len(tight._cache) == 1


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_as_many_latents_are_kept_at_every_chunk_length(weights, chunk):
    world = tiny_world(weights, chunk=chunk, cache_latents=8)
    play(world, 12)
    assert chunk * len(world._cache) == 8


def test_a_chunk_costs_the_same_however_long_the_history(weights, passes):
    world = tiny_world(weights, cache_latents=16)
    costs = []
    for _ in range(40):
        play(world, 1, KEY_W)
        costs.append((len(passes), max(tokens for _, tokens in passes)))
        passes.clear()
    assert {tokens for _, tokens in costs[3:]} == {6 * 2}  # latents in context, two tokens each
    assert max(count for count, _ in costs[1:]) <= 2 + 1 + 1  # two steps, the commit, and one chunk retrieved anew
    assert len(world._cache) <= 8


@pytest.mark.parametrize("bad_passes, survives", [(1, True), (10**6, False)])
def test_what_is_not_finite_is_tried_again_and_then_refused(weights, bad_passes, survives):
    world = tiny_world(weights)
    play(world, 2)
    left = [bad_passes]

    def poison(_: object, __: object, out: torch.Tensor) -> torch.Tensor:
        left[0] -= 1
        return out * float("nan") if left[0] >= 0 else out

    handle = weights.model.register_forward_hook(poison)
    try:
        if survives:
            play(world, 1)
        else:
            with pytest.raises(WanderError, match="chunk 2 is not finite"):
                play(world, 1)
    finally:
        handle.remove()
    assert world.chunks == 2 + survives and all(np.isfinite(record.latents).all() for record in world.records)
    rebuilt = tiny_world(weights, world.records)
    assert np.array_equal(play(world, 1), play(rebuilt, 1))


def test_another_number_of_steps_is_refused(weights):
    with pytest.raises(ValueError, match="takes 2 steps, got 3"):
        tiny_world(weights).step([Step()] * 3)


@pytest.mark.parametrize(
    "spec, sentence", [(WorldSpec(preset="lost"), "no preset 'lost'"), (WorldSpec(chunk=3), "not 3")]
)
def test_a_world_that_can_not_be_opened_is_refused_in_a_sentence(spec, sentence):
    with pytest.raises(WanderError, match=sentence):
        open_world(spec)


def test_a_walk_stopped_by_a_wall_is_in_the_poses_and_comes_back_exactly(weights, monkeypatch):
    monkeypatch.setattr("engine.walls.obstacles", lambda *_: np.array([[0.0, 2.0]]))
    free, stopped = tiny_world(weights, image=PICTURE), tiny_world(weights, image=PICTURE)
    play(free, 4, KEY_W)
    for _ in range(4):
        list(stopped.step([Step(keys=KEY_W, walls=True)] * 2))
        assert stopped.commit().steps[1].keys == KEY_W  # the key is not lost
    assert free.pose[2, 3] > 3 and stopped.pose[2, 3] == pytest.approx(2.0 - RULE.clearance, abs=0.1)
    assert stopped.records[-1].actions.tolist() == [0, 0]
    rebuilt = tiny_world(weights, stopped.records, image=PICTURE)
    assert np.array_equal(rebuilt.pose, stopped.pose)
    assert np.array_equal(play(rebuilt, 2), play(stopped, 2))


def test_a_record_tells_which_older_latents_were_recalled_and_that_changes_nothing_else(weights):
    world = tiny_world(weights, chunk=2)
    told = []
    for _ in range(4):
        list(world.step([Step(keys=KEY_W)] * 2))
        told.append(world.commit().recalled)
    assert told[:3] == [(), (), ()]  # four recent latents are no recall
    assert all(len(each) == 2 and min(each) > 5 for each in told[3:])
