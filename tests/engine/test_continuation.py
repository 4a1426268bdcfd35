"""A world that goes on from a clip: the clip is shown as it is, remembered, and never lost to undo or reset."""

from __future__ import annotations

import numpy as np
import pytest

from engine.actions import KEY_W, Step
from engine.continuation import ContinuedWorld, trimmed
from engine.streamer import PocketWorld
from engine.surfaces import Surfaces
from engine.world import WorldSpec
from tests.engine.tiny import tiny_weights

WEIGHTS = tiny_weights()


def clip(frames: int = 29) -> np.ndarray:
    """Frames that differ, of the size of a tiny world."""
    return np.random.default_rng(3).integers(0, 256, (frames, 32, 64, 3), dtype=np.uint8)


def world(frames: int = 29, chunk: int = 4, records=()) -> ContinuedWorld:
    return ContinuedWorld(WEIGHTS, WorldSpec(seed=5, prompt="a village", video=clip(frames), chunk=chunk), records)


def walk(world: ContinuedWorld, chunks: int) -> tuple[np.ndarray, list]:
    frames, records = [], []
    for _ in range(chunks):
        frames += list(world.step([Step(keys=KEY_W)] * world.chunk))
        records.append(world.commit())
    return np.concatenate(frames), records


@pytest.mark.parametrize(("frames", "kept"), [(1, 13), (12, 13), (13, 13), (28, 13), (29, 29), (61, 61), (300, 61)])
def test_a_clip_is_cut_to_its_end_in_whole_chunks_and_a_short_one_begins_with_stillness(frames, kept):
    given = clip(frames)
    cut = trimmed(given, 64, 32)
    assert len(cut) == kept
    known = min(frames, kept)
    assert (cut[-known:] == given[-known:]).all()
    assert (cut[: kept - known] == given[0]).all()


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_the_clip_is_shown_frame_for_frame_and_then_the_model_goes_on(chunk):
    shown, records = walk(world(chunk=chunk), 8 // chunk + 1)
    assert (shown[:29] == clip()).all()
    assert len(shown) == 29 + 4 * chunk
    assert (shown[29:] != shown[28]).any()
    assert [record.index for record in records] == list(range(len(records)))


def test_the_camera_stands_still_while_the_clip_lasts_and_walks_from_there():
    continued = world()
    start = continued.pose
    walk(continued, 2)
    assert np.allclose(continued.pose, start, atol=1e-6)
    walk(continued, 1)
    assert np.hypot(*(continued.pose - start)[[0, 2], 3]) == pytest.approx(16 * 0.12, abs=1e-4)


def test_the_place_is_drawn_as_the_last_picture_of_the_clip_shows_it(monkeypatch):
    asked: list[list[int]] = []
    whole = PocketWorld._pictures

    def pictures(self: PocketWorld, *rest) -> tuple[list[int], int]:
        found = whole(self, *rest)
        asked.append(found[0])
        return found

    monkeypatch.setattr(PocketWorld, "_pictures", pictures)
    walk(world(frames=29), 4)
    assert asked == [[7], [7]], "eight latents were given"


def test_what_is_imagined_goes_with_the_words_under_which_the_last_picture_of_the_clip_was_shown(monkeypatch):
    imagined: list[bool] = []
    whole = Surfaces.guide

    def guide(self: Surfaces, *rest):
        imagined.append(rest[-1])
        return whole(self, *rest)

    monkeypatch.setattr(Surfaces, "guide", guide)
    continued = world(frames=29)
    walk(continued, 1)
    continued.prompt("a castle appears")
    walk(continued, 2)
    assert imagined == [True], "words that can't be painted are older than the picture the place is drawn from"


def test_what_the_model_makes_depends_on_the_clip():
    other = ContinuedWorld(WEIGHTS, WorldSpec(seed=5, prompt="a village", video=255 - clip(), chunk=4))
    assert (walk(world(), 3)[0][29:] != walk(other, 3)[0][29:]).any()


def test_a_continued_world_rebuilt_from_its_records_goes_on_with_the_same_frames():
    for made in (1, 2, 3):
        first = world()
        _, records = walk(first, made)
        assert (walk(world(records=records), 2)[0] == walk(first, 2)[0]).all()


def test_undo_goes_back_into_the_clip_and_reset_to_its_beginning():
    continued = world()
    shown, _ = walk(continued, 3)
    continued.rewind(1)
    assert (walk(continued, 2)[0] == shown[13:]).all()
    continued.reset(seed=6)
    again, _ = walk(continued, 3)
    assert (again[:29] == clip()).all() and (again[29:] != shown[29:]).any()
    assert continued.spec.seed == 6


def test_a_prompt_during_the_clip_is_read_from_the_next_chunk():
    continued = world()
    list(continued.step([Step()] * 4))
    assert continued.prompt("it starts to rain") == 1
    assert continued.commit().prompt == "a village"
    assert walk(continued, 1)[1][0].prompt == "a village\nit starts to rain"
