"""A page on which people choose blindly between two rollouts of the same walk (paper, supplement D).

Two moving pictures in random order, a choice by key or click, and a tally to download as JSON. The page is static:
nothing leaves it but that file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import WanderError
from engine.evaluation.long import WITHOUT, LongResult, rivals
from engine.evaluation.markup import webp_uri

TEMPLATE = Path(__file__).with_name("choices.html")
MARK = "/*DATA*/"
WHICH_REMEMBERS = "The camera goes away and comes back. Which one finds the same place again?"
WHICH_IS_BETTER = "Which one is the better walk: sharper, steadier, the same place on the way back?"


def choices_page(report: Mapping[str, Any], results: Sequence[LongResult]) -> str:
    """The page for the clips with moving pictures: the model against the first other one, or itself without memory.

    Raises `WanderError` if no clip has any."""
    shown = [result for result in results if result.films]
    if not shown:
        raise WanderError(f"0 of {len(results)} clips have moving pictures to choose between; evaluate at least 1 clip")
    rival = next(iter(rivals(shown[0].films)), WITHOUT)
    pairs = [
        {"clip": result.name, "films": {method: webp_uri(result.films[method]) for method in ("model", rival)}}
        for result in shown
    ]
    title = f"{report['preset']}, {report['protocol']}, seed {report['seed']}"
    data = json.dumps(
        {"title": title, "question": WHICH_REMEMBERS if rival == WITHOUT else WHICH_IS_BETTER, "pairs": pairs}
    )
    return TEMPLATE.read_text(encoding="utf-8").replace(MARK, data.replace("</", "<\\/"))
