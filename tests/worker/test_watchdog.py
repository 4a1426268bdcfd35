"""The watchdog: slow is not dead, silent is."""

from worker.model_protocol import Generate, Load
from worker.protocol import Step, WorldSpec
from worker.supervisor import Deadlines, Watchdog

CHUNK = Generate(generation=1, chunk=0, index=0, seq=0, steps=(Step(),))
DEADLINES = Deadlines(ready=100, progress=5, factor=4)


def warm(seconds: float) -> Watchdog:
    """A watchdog that has seen 100 chunks of `seconds`."""
    dog = Watchdog(deadlines=DEADLINES)
    for _ in range(100):
        dog.begin(CHUNK, 0.0)
        dog.end(CHUNK, seconds)
    return dog


def test_an_idle_model_may_be_silent_for_ever():
    assert warm(0.5).silence(1e9)[0] == 0


def test_the_limit_is_five_seconds_for_a_quick_model_and_four_chunks_for_a_slow_one():
    for seconds, limit in ((0.5, 5), (3, 12)):
        dog = warm(seconds)
        dog.begin(CHUNK, 10.0)
        assert dog.silence(14.0) == (4.0, limit)


def test_every_sign_of_life_begins_the_wait_anew():
    dog = warm(0.5)
    dog.begin(CHUNK, 10.0)
    dog.sign_of_life(14.0)
    assert dog.silence(16.0)[0] == 2.0


def test_opening_and_the_first_chunk_after_it_have_the_long_limit():
    dog = warm(0.5)
    dog.begin(Load(spec=WorldSpec()), 0.0)
    assert dog.silence(1.0)[1] == 100
    dog.end(Load(spec=WorldSpec()))
    dog.begin(CHUNK, 2.0)
    assert dog.silence(3.0)[1] == 100
    dog.end(CHUNK, 1.0)
    dog.begin(CHUNK, 4.0)
    assert dog.silence(5.0)[1] == 5
