"""What a person says, in words that the network has read (supplement E.2).

A small network hardly understands sentences that it never read; a sentence encoder knows what they are near to. So the
words of an event are read as the nearest learnt ones, in the language they were said in, where any are near enough;
words that are near to nothing are read as they are. The phrasebook lies beside the weights: it is what they learnt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import WanderError
from engine.text import encode, is_stop, lines_of, revise, vectors

KIND = "pocket-phrases"
STOP = "stop"
"""The family of the words that end whatever is newest."""
STOPS = ("it stops", "stop", "it is over", "停了", "停下来", "结束了")
QUOTED = 80
"""Most characters of a person's words that a sentence about them repeats."""
SAME = 0.98
"""Cosine from which two sentences are one."""
NEAR_END = 0.7
"""Cosine to the end of an event from which words with a word for an end mean that."""
_ENDS = re.compile(
    r"\b(no more|no longer|any ?more|stop(s|ped)?|end(s|ed)?|over|gone|away|(put|go|goes) out|disappear(s|ed)?|lifts?"
    r"|lifted|clear(s|ed)?|recede(s|d)?|leaves|melt(s|ed)?|dr(ies|y)|pass(es|ed)?|finish(es|ed)?)\b"
    r"|不再|不\w*了|停|散|退|没了|过去|消失|灭|化了|走了|干了|结束",
    re.IGNORECASE,
)
_CHINESE = re.compile(r"[\u3400-\u9fff]")
LEARNT, ALSO, ENDS, OTHER = "learnt", "also", "ends", "other"


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way to say something."""

    words: str
    family: str
    role: str
    """`learnt`: training read it for the event; `also`: it means the same; `ends`: it ends the event; `other`: it is no
    event of any family."""


@dataclass(frozen=True)
class Phrasebook:
    """Phrases of all families, and how near (cosine) words must be to one to mean it."""

    phrases: tuple[Phrase, ...]
    nearest: float
    checksum: str = ""

    def load(self) -> None:
        """Reads all phrases now (about a second), so that a walk's first prompt does not stop it."""
        _ = self._vectors

    def revise(self, lines: tuple[str, ...], text: str) -> tuple[str, ...]:
        """The lines (caption, events ...) after the user typed `text`, as `engine.text.revise`: an event is read in
        learnt words, and takes the place of an older one that is read the same; words that end an active event end
        the newest of its kind, and words that end what isn't there change nothing."""
        caption, *events = lines or ("",)
        if "\n" in text:
            first, *others = lines_of(text)
            return (first, *(self.read(event) for event in others))
        if not text.strip():
            return lines
        families = [self.family(event) for event in events]
        over = self._ended(text.strip(), families)
        if over is None:
            words = self.read(text)
            return revise((caption, *(event for event in events if event != words)), words)
        places = [place for place, family in enumerate(families) if over in (STOP, family)]
        return tuple(line for place, line in enumerate(lines) if place != places[-1] + 1) if places else lines

    def read(self, words: str) -> str:
        """The words of an event as the network reads them."""
        words = words.strip()
        best, how_near = self._nearest(words, self._of(LEARNT, ALSO, OTHER))
        meant = self.phrases[best]
        if how_near < self.nearest or meant.role == OTHER:
            return words
        chinese = bool(_CHINESE.search(words))
        learnt = [k for k in self._of(LEARNT) if self.phrases[k].family == meant.family]
        tongue = [k for k in learnt if bool(_CHINESE.search(self.phrases[k].words)) == chinese] or learnt
        return self.phrases[self._nearest(words, tongue)[0]].words

    def remark(self, events: Sequence[str]) -> str:
        """The sentence for a person whose events the network has never read; empty if it has read all of them."""
        unknown = ", ".join(f'"{event[:QUOTED]}"' for event in events if self.family(event) is None)
        known = ", ".join(dict.fromkeys(self._families.values()))
        return f"The model never read anything like {unknown}: little may happen. It knows {known}." if unknown else ""

    def family(self, words: str) -> str | None:
        """What a learnt phrase is about; None for other words."""
        return self._families.get(words)

    def _of(self, *roles: str) -> list[int]:
        return [k for k, phrase in enumerate(self.phrases) if phrase.role in roles]

    def _ended(self, words: str, families: Sequence[str | None]) -> str | None:
        """The family that the words end, `STOP` for whatever is newest; None if they end nothing.

        Sentences that say the opposite are near to one another, so an end needs a word for it, or to be a phrase of the
        book. Ends of the active `families` come first among equals.
        """
        stops, ends = is_stop(words), self._of(ENDS)
        lasting = [k for k in ends if self.phrases[k].family in (*families, STOP)]
        best, how_near = self._nearest(words, lasting if stops else [*lasting, *ends])
        family = self.phrases[best].family
        if stops:
            return family if how_near >= self.nearest else STOP
        begins = self._nearest(words, self._of(LEARNT, ALSO))[1]
        if how_near >= SAME and (begins < SAME or family in families):
            return family
        return family if _ENDS.search(words) and how_near >= max(begins, NEAR_END) else None

    def _nearest(self, words: str, among: Sequence[int]) -> tuple[int, float]:
        near = self._vectors[among] @ encode(("", words))[0]
        return among[int(near.argmax())], float(near.max())

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return vectors([phrase.words for phrase in self.phrases])

    @cached_property
    def _families(self) -> dict[str, str]:
        return {phrase.words: phrase.family for phrase in self.phrases if phrase.role == LEARNT}


@lru_cache(maxsize=2)
def load_phrases(path: Path) -> Phrasebook | None:
    """The phrasebook in a file, None if there is none. Raises `WanderError` if it is damaged."""
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        if found["kind"] != KIND:
            raise ValueError(f"it is a {found['kind']}")
        phrases = [
            Phrase(words, family, role)
            for family, languages in found["families"].items()
            for roles in languages.values()
            for role in (LEARNT, ALSO, ENDS)
            for words in roles[role]
        ]
        stops = [Phrase(words, STOP, ENDS) for words in STOPS]
        others = [Phrase(words, OTHER, OTHER) for words in found["other"]]
        return Phrasebook((*phrases, *stops, *others), float(found["nearest"]), sha256(text.encode()).hexdigest())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WanderError(
            f"the phrasebook {path} can't be read ({error}); restore it with 'git checkout -- {path}'"
        ) from None
