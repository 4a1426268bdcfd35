"""Pictures on their way over a network: little is under way at once, and some are left out where the network is slow.

The session starts a chunk only when something of the one before it has been seen, so what waits is bounded anyway; but
a slow network would slow the world down with it, and what lies in sockets and routers only grows old. So a latent
leaves when little is under way (`Control.arrived` tells what has come). Where latents take much longer than the
quickest did, half as many pictures of each leave from the next chunk on, and one of each that waits. After some chunks
in time twice as many are tried again; each trial that fails makes the next one come later. The world itself loses
nothing: chunks, journal and the last `index` of every latent stay as they are.

Pure: times are seconds of one monotonic clock.
"""

import math
from collections import deque
from dataclasses import dataclass, field

import msgspec

from worker.codec import pack, unpack
from worker.protocol import Control, Frames

MOST = 64
"""Pictures of a latent that leave while the network keeps up: all of them."""
USUAL = 4
"""Pictures that a latent has."""
UNDER_WAY = (2, 512 * 1024)
"""A latent leaves when less than so many latents, or at most so many bytes, are under way."""
LATE = 0.3
"""Seconds that a latent may take beyond the quickest one."""
PATIENCE = (4, 64)
"""Chunks in time before more pictures are tried again: at first, and at most."""

Latent = list[bytes]
"""A message of the frame lane: header and pixels."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A latent that is under way."""

    end: int
    """How many pictures of its generation have come when it has."""
    size: int
    at: float


@dataclass(slots=True)
class Outbox:
    """What waits for the window, and what is under way to it."""

    thins: bool = False
    """Whether to hold back and to leave out; else everything leaves at once."""
    dropped: int = 0
    """Pictures that were left out."""
    _waiting: deque[Latent] = field(default_factory=deque)
    _under_way: deque[Sent] = field(default_factory=deque)
    _keep: int = MOST
    """Pictures of a latent that leave."""
    _chunk: tuple[int, int] = (-1, -1)
    """Generation and chunk of the newest latent."""
    _quickest: float = math.inf
    _late: int = 0
    """Arrivals in a row that were late."""
    _calm: int = 0
    """Chunks in a row that were in time."""
    _patience: int = PATIENCE[0]
    _trial: bool = False
    """More pictures leave than did before, to see whether the network carries them."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, latent: Latent, now: float) -> None:
        """The pictures of one latent have come from the model."""
        if self.thins:
            header = unpack(latent[0], Frames)
            if header.generation != self._chunk[0]:
                self.clear()  # of a life of the world that is over
            if (header.generation, header.chunk) != self._chunk:
                self._chunk = header.generation, header.chunk
                self._begin_chunk(now)
            latent = self._thinned(latent, self._keep)
        self._waiting.append(latent)

    def next(self) -> Latent | None:
        """What is to leave now, if anything."""
        most, size = UNDER_WAY
        free = len(self._under_way) < most or sum(sent.size for sent in self._under_way) <= size
        return self._waiting[0] if self._waiting and free else None

    def sent(self, now: float) -> None:
        """It has left."""
        latent = self._waiting.popleft()
        if self.thins:
            header = unpack(latent[0], Frames)
            self._under_way.append(Sent(header.index + header.count, len(latent[1]), now))

    def arrived(self, control: Control, now: float) -> None:
        """The window has told what came."""
        slowest = -math.inf
        while self._under_way and control.generation == self._chunk[0] and control.arrived >= self._under_way[0].end:
            took = now - self._under_way.popleft().at
            self._quickest, slowest = min(self._quickest, took), max(slowest, took)
        if slowest > -math.inf:
            self._late = self._late + 1 if slowest - self._quickest > LATE else 0

    def clear(self) -> None:
        """The window has gone, or sees another life of the world: nothing is on its way to it."""
        self._waiting.clear()
        self._under_way.clear()

    def _begin_chunk(self, now: float) -> None:
        """Judge the network by what has arrived late, or has not arrived."""
        overdue = self._under_way and now - self._under_way[0].at - min(self._quickest, 1.0) > 2 * LATE
        if self._late > 1 or overdue:
            self._patience = min(2 * self._patience, PATIENCE[1]) if self._trial else self._patience
            self._keep, self._calm, self._trial = max(1, min(self._keep, USUAL) // 2), 0, False
            self._waiting = deque(self._thinned(latent, 1) for latent in self._waiting)
            return
        self._calm += 1
        if self._calm >= self._patience:
            self._calm, self._trial = 0, self._keep < MOST
            self._patience = self._patience if self._trial else PATIENCE[0]
            self._keep = 2 * self._keep if 2 * self._keep < USUAL else MOST

    def _thinned(self, latent: Latent, keep: int) -> Latent:
        """The latent's last picture and those evenly spaced before it, `keep` in all."""
        header = unpack(latent[0], Frames)
        if header.count <= keep:
            return latent
        stride, size = header.count // keep, header.height * header.width * 3
        kept = range(header.count - 1 - (keep - 1) * stride, header.count, stride)
        self.dropped += header.count - keep
        # what leaves ends where the latent ends, so that `index + count` tells how far the world has come
        few = msgspec.structs.replace(header, index=header.index + header.count - keep, count=keep)
        return [pack(few), b"".join(latent[1][picture * size : (picture + 1) * size] for picture in kept)]
