"""The part of the committed protocol that is about prompted events (supplement E.2).

A world walks for `event_chunk` chunks; then it is told what happens, in words that training never read; the chunks in
`judged_chunks` are looked at. At `stop_chunk` a copy of it is told that it stops, another one walks on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import WanderError
from engine.evaluation.metrics import Bootstrap
from engine.evaluation.protocol import PROTOCOL
from engine.vae import FRAMES_PER_LATENT

RESIDUE_CHUNKS = 2
"""Chunks after a change of text in which what is left of the old one is measured."""

STOPS = {"en": "it stops", "zh": "停了"}
"""Words that end the newest event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecogniserPlan:
    """What the classifier of events learns from: true renders of training worlds alone."""

    worlds: int
    seed: int
    latents: tuple[int, ...]
    """The first is shown before the event begins, the others while it lasts."""
    decay: float
    """Weight of the squared weights in its loss."""
    false_alarms: float
    """Share of the true pictures without an event, in worlds kept aside, that it may take for one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visible:
    """When a true picture shows its event: it differs from the picture without it."""

    step: int
    """By more than this, of 255, in some colour ..."""
    share: float
    """... in at least this share of the pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBounds:
    """What the claims are held against."""

    recall_share: float
    """Recall on rollouts over recall on the truth at the same time."""
    false_alarms: float
    """Share of the chunks of unprompted rollouts."""
    kept: float
    """Agreement of edges and layout with the rollout without the event, over that of the truth, where the event was
    recognised: a world in which nothing happens keeps everything."""
    recall_on_truth: float
    """A classifier that knows less than this is no judge."""
    cases: int
    """Pairs of a family with the event in view, at least; a family with fewer counts as not measured."""
    recache_cases: int
    """Walks, at least, for a statement about the recache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsProtocol:
    """One given frame, `latents` latents along the true cameras, with and without words at `event_chunk`."""

    pairs: int
    seed: int
    latents: int
    chunk: int
    event_chunk: int
    judged_chunks: tuple[int, ...]
    stop_chunk: int
    sampling_steps: int
    recogniser: RecogniserPlan
    visible: Visible
    bounds: EventBounds
    wordings: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Family -> language -> ways to say that it begins, with a place for its subject (`{thing}`, `{one}`)."""
    bootstrap: Bootstrap

    @property
    def families(self) -> tuple[str, ...]:
        """What can happen."""
        return tuple(self.wordings)

    @property
    def event_latent(self) -> int:
        """The first latent that reads the new words."""
        return self.event_chunk * self.chunk

    @property
    def start_frame(self) -> int:
        """The first frame of that latent."""
        return FRAMES_PER_LATENT * (self.event_latent - 1) + 1

    def shares(self, pairs: int) -> dict[str, int]:
        """`pairs` walks shared evenly among the families; the first get one more."""
        counts = {
            family: pairs // len(self.families) + (place < pairs % len(self.families))
            for place, family in enumerate(self.families)
        }
        return {family: count for family, count in counts.items() if count}

    def words(self, family: str, number: int, subject: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
        """Language and words for the `number`-th walk of a family: English and Chinese in turn."""
        language = ("en", "zh")[number % 2]
        options = self.wordings[family][language]
        return language, options[number // 2 % len(options)].format(**subject[language])


def events_protocol(path: Path = PROTOCOL) -> EventsProtocol:
    """Reads the protocol. Raises `WanderError` if the file is damaged."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        events: dict[str, Any] = found["events"]
        wordings = {
            family: {language: tuple(options) for language, options in languages.items()}
            for family, languages in events["wordings"].items()
        }
        plan = events["recogniser"] | {"latents": tuple(events["recogniser"]["latents"])}
        parts: dict[str, Any] = {
            "judged_chunks": tuple(events["judged_chunks"]),
            "recogniser": RecogniserPlan(**plan),
            "visible": Visible(**events["visible"]),
            "bounds": EventBounds(**events["bounds"]),
            "wordings": wordings,
            "bootstrap": Bootstrap(**found["bootstrap"]),
        }
        return EventsProtocol(**events | parts)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WanderError(
            f"the protocol {path} can't be read ({error}); "
            f"restore it with 'git checkout -- {path.name}' in {path.parent}"
        ) from None
