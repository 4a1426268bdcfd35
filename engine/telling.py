"""What words have changed, and since when: all of it follows from the texts that the chunks were made under.

An event comes by degrees, fully there `ONSET` latents after it was said, and goes as it came. A picture of the past may
lack some of the events in force, or have some that are over; what it lacks can be painted, and what it has too much
painted away (engine/repaint.py), where the repainter knows it.
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
from engine.sources import AS_TOLD, BEFORE, CHANGING, CLEARED, MENDED
from engine.text import lines_of

T = TypeVar("T")

NEWS = 12
"""Latents after a change of text in which the picture may change everywhere: two seconds, what the slowest event takes.
"""
ONSET = 8
"""Latents after which an event is fully there, or fully gone."""
Levels = dict[str, float]
"""How far events are there, 0..1. What a world began with is there from its beginning."""


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

    `paints` says whether known pictures can be painted under an event, and without it; `spares` whether it leaves the
    place as it is, and so its pictures: of such a one nothing is news.
    """

    stretches: tuple[Stretch, ...]
    caption: str
    events: tuple[str, ...]
    paints: Callable[[str], bool]
    spares: Callable[[str], bool] = lambda event: False

    @property
    def latents(self) -> int:
        """Latents made so far."""
        return self.stretches[-1].end if self.stretches else 0

    @cached_property
    def told(self) -> int:
        """The first latent under the text in force, made or to come; 0 where all were made under it."""
        lasting = sum(1 for _ in takewhile(self._is_told, reversed(self.stretches)))
        return [0, *(stretch.end for stretch in self.stretches)][len(self.stretches) - lasting]

    @cached_property
    def _old(self) -> int | None:
        if not self.told or self.latents - self.told >= NEWS:
            return None
        return next(place for place, stretch in enumerate(self.stretches) if stretch.end == self.told)

    @cached_property
    def old(self) -> Stretch | None:
        """What was made last under another text, if one of the last `NEWS` latents was."""
        return None if self._old is None else self.stretches[self._old]

    @cached_property
    def untold(self) -> Stretch | None:
        """The same, unless pictures can be painted under all that is new, and without all that is over."""
        return None if self._old is None or self._lacks(self._old, self.there(self.latents)) is not None else self.old

    def lacks(self, latents: int) -> list[Paint | None]:
        """What the picture of each latent lacks of the events once there are so many latents, and has too much of them;
        None where that can't be painted. A picture in which a part of an event is there lacks the rest."""
        there = self.there(latents)
        return self._each([self._lacks(place, there) for place in range(len(self.stretches))])

    def worth(self, lacks: Sequence[Paint | None]) -> NDArray[np.int64]:
        """What the pictures of latents `[T]` are worth that lack this, see `engine.sources`."""
        told = self._each([self._is_told(stretch) for stretch in self.stretches])
        found = [AS_TOLD if t else _worth(each) for t, each in zip(told, lacks, strict=True)]
        if self.old is not None:
            found[self.told :] = [MENDED if self.untold is None else CHANGING] * (len(found) - self.told)
        return np.array(found, dtype=np.int64)

    def _is_told(self, stretch: Stretch) -> bool:
        return stretch.caption == self.caption and self._changing(stretch.events) == self._changing(self.events)

    def _changing(self, events: Sequence[str]) -> list[str]:
        """Those of the events that don't leave the place as it is."""
        return [event for event in events if not self.spares(event)]

    @cached_property
    def _shown(self) -> list[Levels]:
        """How far each stretch shows each event at its end."""
        found: list[Levels] = []
        for stretch in self.stretches:
            past = stretch.end - self.stretches[len(found) - 1].end
            found.append(_moved(found[-1], stretch.events, past) if found else dict.fromkeys(stretch.events, 1.0))
        return found

    def since(self, event: str) -> int:
        """How many latents there were when the event was told last."""
        past = [event in stretch.events for stretch in self.stretches]
        if event not in self.events:
            past = past[: len(past) - past[::-1].index(True)] if True in past else []
        lasting = sum(1 for _ in takewhile(bool, reversed(past)))
        return [0, *(stretch.end for stretch in self.stretches)][len(past) - lasting]

    def there(self, latents: int) -> Levels:
        """How far each event is there once there are so many latents, what was made already included."""
        if not self.stretches:
            return dict.fromkeys(self.events, 1.0)
        return _moved(self._shown[-1], self.events, max(0, latents - self.latents))

    def _lacks(self, place: int, there: Levels) -> Paint | None:
        """What the stretch at a place lacks where the events are `there`."""
        stretch, shown = self.stretches[place], self._shown[place]
        changed = self._changing(tuple({*stretch.events} ^ {*self.events}))
        if stretch.caption != self.caption or not all(map(self.paints, changed)):
            return None
        found: Paint = ()
        for event in filter(self.paints, dict.fromkeys((*shown, *there))):
            before, after = shown.get(event, 0.0), there.get(event, 0.0)
            if before < after:
                found += ((event, (after - before) / (1 - before)),)
            elif after < before:
                found = ((event, (after - before) / before), *found)
        return found

    def _each(self, found: Sequence[T]) -> list[T]:
        """What was found of the stretches, for each of their latents."""
        ends = [0, *(stretch.end for stretch in self.stretches)]
        return [each for each, first, end in zip(found, ends, ends[1:], strict=False) for _ in range(first, end)]


def _moved(levels: Levels, events: Sequence[str], latents: int) -> Levels:
    """Levels after so many latents under `events`; what is gone is left out."""
    step = latents / ONSET
    going = {event: level - step for event, level in levels.items() if event not in events and level > step}
    return going | {event: min(1.0, levels.get(event, 0.0) + step) for event in events}


def _worth(lacks: Paint | None) -> int:
    """Of a picture from before the words in force."""
    if lacks is None:
        return BEFORE
    return AS_TOLD if all(amount > 0 for _, amount in lacks) else CLEARED
