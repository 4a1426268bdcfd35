"""Pictures on their way: bounded, in order, left out where the network is slow, whole where it is not."""

import pytest

from worker.codec import pack, unpack
from worker.outbox import PATIENCE, UNDER_WAY, Outbox
from worker.protocol import Control, Frames

LATENTS = 2
"""In a chunk."""


def latent(number: int, count: int = 4, generation: int = 1) -> list[bytes]:
    """The `number`th latent of a world: pictures of one pixel that hold their own number."""
    header = Frames(
        generation=generation, chunk=number // LATENTS, latent=number % LATENTS, index=number * 4, seq=1, width=1,
        height=1, count=count, produced_ns=0, gen_ms=0.0,
    )  # fmt: skip
    return [pack(header), b"".join(bytes([(number * 4 + place) % 256] * 3) for place in range(count))]


def indices(message: list[bytes]) -> list[int]:
    """The pictures in a message."""
    return list(message[1][::3])


def network(box: Outbox, seconds: float, latents: range, begin: float = 0.0, pace: float = 0.2) -> list[list[bytes]]:
    """A latent comes from the model every `pace` seconds and takes `seconds` to arrive, one after the other."""
    left: list[list[bytes]] = []
    free, arrivals = begin, list[tuple[float, int]]()
    for place, number in enumerate(latents):
        now = begin + place * pace
        box.put(latent(number), now)
        for at, end in [each for each in arrivals if each[0] <= now]:
            box.arrived(Control(seq=1, generation=1, arrived=end), at)
            arrivals.remove((at, end))
        while (message := box.next()) is not None:
            left.append(message)
            box.sent(now)
            header = unpack(message[0], Frames)
            free = max(free, now) + seconds * header.count / 4
            arrivals.append((free, header.index + header.count))
    return left


def test_what_the_network_carries_in_time_leaves_whole():
    left = network(Outbox(thins=True), 0.1, range(20))
    assert [index for message in left for index in indices(message)] == list(range(80))


def test_on_one_machine_everything_leaves_at_once_whatever_was_seen():
    box = Outbox()
    for number in range(10):
        box.put(latent(number), 0.0)
    for number in range(10):
        assert box.next() == latent(number)
        box.sent(0.0)


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_slow_network_gets_fewer_pictures_of_every_latent_the_newest_always_among_them(seconds):
    box = Outbox(thins=True)
    network(box, 0.1, range(4))
    left = network(box, seconds, range(4, 40), begin=0.8)
    assert box.dropped > 0
    assert [len(indices(message)) for message in left[-4:]] == [1] * 4
    for message in left:
        header = unpack(message[0], Frames)
        assert header.count == len(indices(message))
        assert (header.index + header.count) % 4 == 0, "it ends where the latent ends"
        assert indices(message)[-1] == header.index + header.count - 1
        assert indices(message) == sorted(indices(message))


def test_little_is_under_way_at_once():
    box = Outbox(thins=True)
    for number in range(10):
        box.put([latent(number)[0], b"x" * UNDER_WAY[1]], 0.0)
    while box.next() is not None:
        box.sent(0.0)
    assert len(box) == 10 - UNDER_WAY[0]
    box.arrived(Control(seq=1, generation=1, arrived=4), 0.1)
    assert box.next() is not None


def test_a_far_network_is_not_a_slow_one():
    box = Outbox(thins=True)
    for number in range(40):
        now = number * 0.2
        box.put(latent(number), now)
        box.sent(now)
        if number >= 3:
            box.arrived(Control(seq=1, generation=1, arrived=4 * (number - 2)), now)  # 0.6 s, every one of them
    assert box.dropped == 0


class Line:
    """Latents one after the other, each of which has arrived before the next one comes."""

    def __init__(self) -> None:
        self.box, self.number, self.now = Outbox(thins=True), 0, 0.0

    def carry(self, seconds: float) -> int:
        """The next latent, over a network on which a whole one takes `seconds`; how many pictures of it left."""
        self.box.put(latent(self.number), self.now)
        message = self.box.next()
        assert message is not None
        self.box.sent(self.now)
        self.number, count = self.number + 1, len(indices(message))
        self.now += seconds * count / 4
        self.box.arrived(Control(seq=1, generation=1, arrived=4 * self.number), self.now)
        return count

    def until(self, count: int, seconds: float) -> int:
        """Latents until `count` pictures of one leave."""
        begun = self.number
        while self.carry(seconds) != count:
            assert self.number - begun < 3 * LATENTS * PATIENCE[1]
        return self.number - begun


def test_after_some_chunks_in_time_all_pictures_leave_again():
    line = Line()
    assert line.carry(0.1) == 4
    line.until(1, seconds=4.0)
    assert line.until(4, seconds=0.1) <= (2 * PATIENCE[0] + 1) * LATENTS


def test_each_trial_that_fails_makes_the_next_one_come_later():
    line, waits = Line(), list[int]()
    line.carry(0.1)
    line.until(1, seconds=4.0)
    for _ in range(4):
        waits.append(line.until(2, seconds=0.1))
        line.until(1, seconds=4.0)
    assert waits == sorted(set(waits))
    assert waits[-1] <= PATIENCE[1] * LATENTS


def test_pictures_of_a_life_of_the_world_that_is_over_are_not_sent_any_more():
    box = Outbox(thins=True)
    box.put(latent(0), 0.0)
    box.put(latent(0, generation=2), 0.0)
    assert len(box) == 1
    assert box.next() == latent(0, generation=2)
