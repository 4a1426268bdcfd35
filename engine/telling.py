"""What words have changed, and since when: all of it follows from the texts that the chunks were made under.

An event is there by degrees, fully `ONSET` latents after it was said. A picture of the past may lack some of the events
in force, or have some that are over; what it lacks can be painted (engine/repaint.py) where the repainter knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.repaint import Paint
from engine.sources import AS_TOLD, BEFORE, CHANGING, MENDED
from engine.text import lines_of

T = TypeVar("T")

NEWS = 12
"""Latents after a change of text in which the picture may change everywhere: two seconds, what the slowest event takes.
"""
ONSET = 8
"""Latents after which an event is fully there."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some latents in a row that were made together, up to and without `end`, under a caption and events."""

    end: int
    caption: str
    events: tuple[str, ...]

    @classmethod
    def under(cls, text: str, end: int) -> Stretch:
        """A stretch up to `end` under a full text."""
        caption, *events = lines_of(text)
        return cls(end, caption, tuple(events))


@dataclass(frozen=True)
class Telling:
    """The past of a world as its texts tell it, `stretches`, and the text in force, `caption` and `events`.

    `paints` says whether known pictures can be painted under an event.
    """

    stretches: tuple[Stretch, ...]
    caption: str
    events: tuple[str, ...]
    paints: Callable[[str], bool]

    @property
    def latents(self) -> int:
        """Latents made so far."""
        return self.stretches[-1].end if self.stretches else 0

    @cached_property
    def told(self) -> int:
        """The first latent under the text in force, made or to come; 0 where all were made under it."""
        return self._since(self._is_told)

    @cached_property
    def old(self) -> Stretch | None:
        """What was made last under another text, if one of the last `NEWS` latents was."""
        if not self.told or self.latents - self.told >= NEWS:
            return None
        return next(stretch for stretch in self.stretches if stretch.end == self.told)

    @cached_property
    def untold(self) -> Stretch | None:
        """The same, unless pictures can be painted under all that is new."""
        return None if self.old is None or self._lacks(self.old, self.latents + ONSET) is not None else self.old

    def lacks(self, latents: int) -> list[Paint | None]:
        """What the picture of each latent lacks of the events once there are so many latents; None where it has too
        much, or what it lacks can't be painted. A picture in which a part of an event is there lacks the rest."""
        return self._each([self._lacks(stretch, latents) for stretch in self.stretches])

    def worth(self, lacks: Sequence[Paint | None]) -> NDArray[np.int64]:
        """What the pictures of latents `[T]` are worth that lack this, see `engine.sources`."""
        told = self._each([self._is_told(stretch) for stretch in self.stretches])
        found = [AS_TOLD if t or each is not None else BEFORE for t, each in zip(told, lacks, strict=True)]
        if self.old is not None:
            found[self.told :] = [MENDED if self.untold is None else CHANGING] * (len(found) - self.told)
        return np.array(found, dtype=np.int64)

    def _is_told(self, stretch: Stretch) -> bool:
        return (stretch.caption, stretch.events) == (self.caption, self.events)

    def _since(self, so: Callable[[Stretch], bool]) -> int:
        """The first latent of those up to now that are all `so`."""
        lasting = sum(1 for _ in takewhile(so, reversed(self.stretches)))
        return [0, *(stretch.end for stretch in self.stretches)][len(self.stretches) - lasting]

    @cached_property
    def _begun(self) -> dict[str, int]:
        """Since when each event is in force."""
        return {event: self._since(lambda stretch, event=event: event in stretch.events) for event in self.events}

    def _there(self, event: str, latents: int) -> float:
        """How far an event is there once there are so many latents. One that the world began with is there from its
        beginning."""
        return min(1.0, (latents - self._begun[event]) / ONSET) if self._begun[event] else 1.0

    def _shown(self, event: str, stretch: Stretch) -> float:
        """How far a stretch shows it; all of it, if it was in force once before."""
        if event not in stretch.events:
            return 0.0
        return self._there(event, stretch.end) if stretch.end > self._begun[event] else 1.0

    def _lacks(self, stretch: Stretch, latents: int) -> Paint | None:
        if stretch.caption != self.caption or not {*stretch.events} <= {*self.events}:
            return None
        if not all(event in stretch.events or self.paints(event) for event in self.events):
            return None
        found: Paint = ()
        for event in filter(self.paints, self.events):
            before, after = self._shown(event, stretch), self._there(event, latents)
            if before < after:
                found += ((event, (after - before) / (1 - before)),)
        return found

    def _each(self, found: Sequence[T]) -> list[T]:
        """What was found of the stretches, for each of their latents."""
        ends = [0, *(stretch.end for stretch in self.stretches)]
        return [each for each, first, end in zip(found, ends, ends[1:], strict=False) for _ in range(first, end)]
