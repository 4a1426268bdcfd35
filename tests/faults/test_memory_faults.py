"""Memory runs out: the world goes on with less, as far as the ladder reaches (FAULTS 5)."""

import pytest

from tests.faults.walker import Walker
from worker.protocol import World


@pytest.fixture
def walkers():
    """Walkers to be closed when the test ends."""
    walkers: list[Walker] = []
    yield walkers
    for walker in walkers:
        walker.close()


@pytest.mark.parametrize("call", [1, 2, 5])
def test_one_failed_allocation_is_made_good_in_the_same_process_and_nobody_notices(walkers, tmp_path, call):
    walkers.append(walker := Walker.launch(tmp_path, fake={"starve_at": call}))
    walker.open()
    pid = walker.model_pid()
    walker.until_chunk(5)
    assert walker.sentences() == []
    assert walker.model_pid() == pid


def test_a_world_that_does_not_fit_goes_down_the_ladder_until_it_does(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"memory_for": 1}))
    walker.open(chunk=4)
    pid = walker.model_pid()
    walker.until(lambda: len(walker.seen.get(2, [])) == 1)
    told = [sentence for sentence in walker.sentences() if sentence]
    assert told == [
        "Ran out of memory at 320x192, 4 latents at a time; now in a fresh process.",
        "Ran out of memory at 320x192, 4 latents at a time; now 2 latents at a time.",
        "Ran out of memory at 320x192, 2 latents at a time; now 1 latent at a time.",
    ]
    assert walker.sentences()[-1] == ""
    assert (walker.last(World).chunk, walker.model_pid() == pid) == (1, False)


def test_a_world_that_never_fits_ends_with_a_sentence_and_another_can_be_opened(walkers, tmp_path):
    walkers.append(walker := Walker.launch(tmp_path, fake={"memory_for": 0}))
    walker.open(chunk=1)
    walker.until(lambda: any("choose a smaller preset" in sentence for sentence in walker.sentences()))
    assert walker.open(chunk=1).ok
