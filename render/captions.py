"""Words for worlds and events, in English and Chinese, with many wordings of each.

Held-out wordings are kept apart: training never reads them, evaluation asks with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from render.events import Event
from render.vocabulary import EVENTS, HEROES_ZH, HOUSE_ZH, LANDMARKS_ZH, MOODS, PLACES, TREE_ZH, VISITORS_ZH

if TYPE_CHECKING:
    from render.scene import Scene

LANGUAGES = ("en", "zh")

_WORLD_EN = (
    "{place} {mood}{things}.",
    "{mood}, {place}{things}.",
    "a view of {place} {mood}{things}.",
    "low-poly {place} {mood}{things}.",
    "{place}{things}, {mood}.",
    "walking through {place} {mood}{things}.",
)
_WORLD_EN_HELDOUT = ("we are in {place}, {mood}{things}.", "a quiet scene: {place} {mood}{things}.")
_WORLD_ZH = (
    "{mood}的{place}{things}。",
    "{place},{mood}{things}。",
    "{mood},{place}{things}。",
    "漫步在{mood}的{place}{things}。",
)
_WORLD_ZH_HELDOUT = ("这里是{mood}的{place}{things}。", "一幅画面:{mood},{place}{things}。")


def _choose(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def world_caption(scene: Scene, rng: np.random.Generator, language: str = "en", *, heldout: bool = False) -> str:
    """One wording of what the place is: its kind, its mood, often its landmark and who walks in it.

    Raises:
        ValueError: a language other than `en` and `zh`.
    """
    _check_language(language)
    things = [name for name, _, _ in scene.landmarks[: int(rng.integers(0, 3))]]
    if language == "en":
        frames = _WORLD_EN_HELDOUT if heldout else _WORLD_EN
        listed = " with " + " and ".join(_article(t) for t in things) if things else ""
        hero = f", {_article(scene.hero)} walks ahead" if scene.hero else ""
    else:
        frames = _WORLD_ZH_HELDOUT if heldout else _WORLD_ZH
        listed = ",有" + "和".join(LANDMARKS_ZH[t] for t in things) if things else ""
        hero = f",{HEROES_ZH[scene.hero]}走在前面" if scene.hero else ""
    place, mood = _choose(rng, PLACES[scene.biome][language]), _choose(rng, MOODS[scene.mood][language])
    return _choose(rng, frames).format(place=place, mood=mood, things=listed + hero)


def event_caption(
    event: Event, rng: np.random.Generator, language: str = "en", *, stops: bool = False, heldout: bool = False
) -> str:
    """One wording of what begins, or with `stops` of its end, such as "it starts to rain" or "the rain stops".

    Raises:
        ValueError: a language other than `en` and `zh`.
    """
    _check_language(language)
    wordings = EVENTS[event.family][language]
    options = wordings.ends if stops else wordings.heldout if heldout else wordings.begins
    return _choose(rng, options).format(**subject(event, language))


def subject(event: Event, language: str) -> dict[str, str]:
    """Words for who appears (`one`, `the`) or what burns (`thing`), to be put into a wording; empty for weather."""
    if event.family == "visitor":
        name = event.subject if language == "en" else VISITORS_ZH[event.subject]
        return {"one": _article(name) if language == "en" else name, "the": f"the {name}"}
    if event.family == "fire":
        return {"thing": event.subject if language == "en" else {"house": HOUSE_ZH, "tree": TREE_ZH}[event.subject]}
    return {}


def _check_language(language: str) -> None:
    if language not in LANGUAGES:
        raise ValueError(f"there are no captions in '{language}'; choose one of {', '.join(LANGUAGES)}")
