"""`evaluate --protocol events` (supplement E.2): what is said happens, and happens to the same place.

Each held-out walk is rendered with and without an event and dreamt with and without the words for it. A classifier that
has seen true renders alone judges truth and dream at the same moments; moments at which the truth does not show its
event are left out. `events_claims.py` makes the report of the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.events_protocol import RESIDUE_CHUNKS, EventsProtocol
from engine.evaluation.events_rollout import Case, Frames, Rollouts, rollouts
from engine.evaluation.metrics import nanmean
from engine.evaluation.recogniser import Recogniser, Vectors, describe
from engine.evaluation.short import strip
from engine.evaluation.structure import EDGES, LAYOUT, agreement, changed
from engine.weights import PocketWeights

SIDES = ("truth", "truth_calm", "prompted", "unprompted")
"""The truth with and without its event, the rollout with and without the words."""
KEPT = {"edges": EDGES, "layout": LAYOUT}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CaseResult:
    """One walk, judged."""

    name: str
    family: str
    language: str
    words: str
    biome: str
    visible: NDArray[np.bool_]
    """`[judged chunks]`: whether the truth shows its event."""
    probabilities: Mapping[str, NDArray[np.float64]]
    """Side -> `[judged chunks, classes]`."""
    happening: Mapping[str, NDArray[np.float64]]
    """Probability `[RESIDUE_CHUNKS]` of the event in the chunks after the words, `with` recache and `without`."""
    residue: Mapping[str, NDArray[np.float64]]
    """The same after "it stops"."""
    going_on: NDArray[np.float64]
    """The same in those chunks of the rollout in which nobody said that."""
    was_there: bool
    """Whether the rollout showed its event, to the classifier, before it was stopped."""
    kept: Mapping[str, Mapping[str, float]]
    """`truth`, `model` -> `edges`, `layout`: agreement of the pictures with and without the event; `mirror`: that of
    the latter with their mirror images, another place of the same style."""
    strip: Frames
    """Rows truth, truth without, prompted, unprompted: `[4 H, columns W, 3]`."""


def run_events(
    weights: PocketWeights,
    cases: Iterable[Case],
    recogniser: Recogniser,
    protocol: EventsProtocol,
    *,
    seed: int,
    done: Callable[[], None] = lambda: None,
) -> list[CaseResult]:
    """Dreams and judges every case; `done` is called after each."""
    results = []
    for index, case in enumerate(cases):
        made = rollouts(weights, case, protocol, seed=seed + index)
        results.append(judge(case, made, recogniser, protocol))
        done()
    return results


def judge(case: Case, made: Rollouts, recogniser: Recogniser, protocol: EventsProtocol) -> CaseResult:
    """One case: what the classifier makes of truth and rollouts, and whether the place is still the same."""
    sides = {
        "truth": case.event.frames,
        "truth_calm": case.control.frames,
        "prompted": made.prompted,
        "unprompted": made.unprompted,
    }
    known = recogniser.classes.index(case.family)
    first = protocol.event_latent
    before = {name: describe(frames[first - 1 : first])[0] for name, frames in sides.items()}
    judged = np.concatenate([latents_of(chunk, protocol) for chunk in protocol.judged_chunks])

    def over(frames: Frames, earlier: Vectors) -> NDArray[np.float64]:
        """`[chunks, classes]` of frames that are whole chunks."""
        chunks = np.split(describe(frames), len(frames) // protocol.chunk)
        return np.stack([recogniser.probabilities(earlier, chunk) for chunk in chunks])

    def event_in(fresh: Frames, stale: Frames) -> dict[str, NDArray[np.float64]]:
        pair = {"with": fresh, "without": stale}
        return {name: over(frames, before["prompted"])[:, known] for name, frames in pair.items()}

    def chunks_from(latent: int) -> Frames:
        return made.prompted[latent : latent + RESIDUE_CHUNKS * protocol.chunk]

    last = over(made.prompted[latents_of(protocol.stop_chunk - 1, protocol)], before["prompted"])[0]
    seen = changed(case.event.frames[judged], case.control.frames[judged], protocol.visible.step)
    return CaseResult(
        name=case.name,
        family=case.family,
        language=case.language,
        words=case.words,
        biome=str(case.control.about["biome"]),
        visible=seen.reshape(len(protocol.judged_chunks), -1).mean(1) >= protocol.visible.share,
        probabilities={name: over(frames[judged], before[name]) for name, frames in sides.items()},
        happening=event_in(chunks_from(first), made.prompted_stale),
        residue=event_in(made.ended, made.ended_stale),
        going_on=over(chunks_from(protocol.stop_chunk * protocol.chunk), before["prompted"])[:, known],
        was_there=bool(last.argmax() == known),
        kept={
            "truth": kept(case.control.frames[judged], case.event.frames[judged]),
            "model": kept(made.unprompted[judged], made.prompted[judged]),
            "mirror": kept(made.unprompted[judged], made.unprompted[judged][:, :, ::-1]),
        },
        strip=strip(*sides.values()),
    )


def latents_of(chunk: int, protocol: EventsProtocol) -> NDArray[np.intp]:
    """The latents of a chunk."""
    return np.arange(chunk * protocol.chunk, (chunk + 1) * protocol.chunk)


def kept(calm: Frames, happening: Frames) -> dict[str, float]:
    """How far the edges and the layout of the place without the event are there with it."""
    return {name: nanmean(agreement(calm, happening, sigma)) for name, sigma in KEPT.items()}


def recognised(result: CaseResult, side: str, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """`[judged chunks]`: whether the likeliest class is the case's family."""
    return result.probabilities[side].argmax(1) == classes.index(result.family)
