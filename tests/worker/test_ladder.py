"""What is tried when memory runs out, in which order."""

import pytest
import torch

from worker.ladder import FIRST_RESTART, LADDER, next_rung, ran_out, short_of_memory


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), True),
        (RuntimeError("CUDA error: device-side assert"), False),
        (ValueError("out of memory"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_says_that_memory_ran_out_counts(error, short):
    assert short_of_memory(error) is short


def test_every_rung_after_the_first_takes_a_fresh_process_and_never_more_latents_than_the_one_before():
    assert [rung.restart for rung in LADDER] == [False] + [True] * (len(LADDER) - 1)
    sizes = [rung.chunk or 99 for rung in LADDER]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("chunk", "rungs"), [(4, [1, 2, 3]), (2, [1, 3]), (1, [1])])
def test_a_rung_that_saves_nothing_is_left_out(chunk, rungs):
    taken, rung = [], 0
    while (rung := next_rung(rung, chunk)) is not None:
        taken.append(rung)
        chunk = min(chunk, LADDER[rung].chunk or chunk)
    assert taken == rungs
    assert FIRST_RESTART == 1


def test_the_sentence_names_what_was_too_much_and_what_comes_now():
    assert ran_out(320, 192, 4, 3) == "Ran out of memory at 320x192, 4 latents at a time; now 1 latent at a time."
    assert "choose a smaller preset" in ran_out(320, 192, 1, None)
