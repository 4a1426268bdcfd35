"""The report of the events protocol: recall against the truth's, false alarms, what of the place and of the old words
is left, and the claims about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.events import KEPT, CaseResult, recognised
from engine.evaluation.events_protocol import EventsProtocol
from engine.evaluation.metrics import interval, nanmean, plain
from engine.evaluation.recogniser import NOTHING
from engine.evaluation.short import claim

Json = dict[str, Any]
Values = NDArray[np.float64]
_TOLD = {"recall": "prompted", "truth": "truth"}


def summarise(
    results: Sequence[CaseResult], classes: tuple[str, ...], protocol: EventsProtocol, *, seed: int, preset: str
) -> Json:
    """The report that DESIGN section 9 fixes: protocol, preset, clips, seed, scores, baselines, floors, claims."""
    by_family = {family: [r for r in results if r.family == family] for family in protocol.families}
    by_family = {family: found for family, found in by_family.items() if found}
    families = {family: family_scores(found, classes) for family, found in by_family.items()}
    measured = {family: each for family, each in families.items() if each["cases"] >= protocol.bounds.cases}
    residue, stopped = residues(results, protocol), stops(results, protocol)
    alarms = {side: false_alarms(results, side, classes) for side in ("unprompted", "truth_calm")}
    shown = [r for r in results if np.nansum(hits(r, "prompted", classes)) > 0]
    kept = {of: kept_of(results, of) for of in ("model", "truth", "mirror")}
    kept_shown = {of: kept_of(shown, of) for of in ("model", "truth")}
    reach = interval_of_share([by_family[family] for family in measured], classes, protocol)
    overall = {side: nanmean([each[side] for each in measured.values()]) for side in ("recall", "truth", "unprompted")}
    scores = {
        "recall": overall["recall"],
        "families": families,
        "languages": {language: recall_in(language, results, classes) for language in ("en", "zh")},
        "false_alarms": alarms["unprompted"],
        "kept": kept["model"],
        "kept_where_recognised": kept_shown["model"] | {"walks": len(shown)},
        "residue": residue,
        "stopped": stopped,
        "per_clip": [per_case(r, classes) for r in results],
    }
    return plain(
        {
            "protocol": "events",
            "preset": preset,
            "clips": len(results),
            "seed": seed,
            "scores": scores,
            "baselines": {"recall_unprompted": overall["unprompted"], "kept_by_the_mirror_image": kept["mirror"]},
            "floors": {"recall": overall["truth"], "false_alarms": alarms["truth_calm"], "kept": kept["truth"]},
            "claims": claims(measured, overall, reach, alarms, kept_shown, residue, stopped, protocol),
        }
    )


def hits(result: CaseResult, side: str, classes: tuple[str, ...]) -> Values:
    """`[judged chunks]`: 1 where the event was recognised, 0 where not, NaN where the truth does not show it."""
    return np.where(result.visible, recognised(result, side, classes), np.nan)


def family_scores(results: Sequence[CaseResult], classes: tuple[str, ...]) -> Json:
    """One family: recall on rollouts, on the truth and, for comparison, on rollouts that nobody told."""
    sides = _TOLD | {"unprompted": "unprompted"}
    known = classes.index(results[0].family)
    found = {name: nanmean(np.stack([hits(r, side, classes) for r in results])) for name, side in sides.items()}
    return found | {
        "share": found["recall"] / found["truth"] if found["truth"] else math.nan,
        "cases": int(sum(r.visible.any() for r in results)),
        "left_out": int(sum((~r.visible).sum() for r in results)),
        "probability": nanmean(
            np.stack([np.where(r.visible, r.probabilities["prompted"][:, known], np.nan) for r in results])
        ),
        "kept": {of: kept_of(results, of) for of in ("model", "truth")},
    }


def recall_in(language: str, results: Sequence[CaseResult], classes: tuple[str, ...]) -> Json:
    """Recall on rollouts that were told in a language, and on the truth of the same walks."""
    told = [r for r in results if r.language == language]
    found = {name: nanmean([nanmean(hits(r, side, classes)) for r in told]) for name, side in _TOLD.items()}
    return found | {"cases": sum(bool(r.visible.any()) for r in told)}


def kept_of(results: Sequence[CaseResult], of: str) -> Json:
    """Mean agreement of edges and layout."""
    return {name: nanmean([r.kept[of][name] for r in results]) for name in KEPT}


def false_alarms(results: Sequence[CaseResult], side: str, classes: tuple[str, ...]) -> Json:
    """Share of the judged chunks without an event in which one was recognised, and which ones."""
    calls = np.concatenate([r.probabilities[side].argmax(1) for r in results])
    wrong = calls[calls != classes.index(NOTHING)]
    return {
        "share": len(wrong) / len(calls),
        "chunks": len(calls),
        "taken_for": {classes[k]: int((wrong == k).sum()) for k in np.unique(wrong)},
    }


def per_case(result: CaseResult, classes: tuple[str, ...]) -> Json:
    """What is said of one walk."""
    return {
        "name": result.name,
        "family": result.family,
        "words": result.words,
        "biome": result.biome,
        "visible": result.visible.tolist(),
        **{
            side: [classes[k] for k in result.probabilities[side].argmax(1)]
            for side in ("truth", "prompted", "unprompted")
        },
        "kept": dict(result.kept["model"]),
    }


def interval_of_share(
    families: Sequence[Sequence[CaseResult]], classes: tuple[str, ...], protocol: EventsProtocol
) -> tuple[float, float]:
    """Bootstrap interval over walks of recall on rollouts over recall on the truth, all families alike."""
    pairs = [
        (nanmean(hits(r, "prompted", classes)), nanmean(hits(r, "truth", classes)), 1 / len(found))
        for found in families
        for r in found
    ]
    table = np.array([pair for pair in pairs if not math.isnan(pair[0])]).reshape(-1, 3)
    if len(table) < 2 or not table[:, 1].any():
        return math.nan, math.nan

    def share(drawn: Values) -> Values:
        picked = table[drawn.astype(np.intp)]
        weight = picked[..., 2]
        return (picked[..., 0] * weight).sum(-1) / np.maximum((picked[..., 1] * weight).sum(-1), 1e-9)

    return interval(np.arange(len(table)), protocol.bootstrap, share)[1:]


def residues(results: Sequence[CaseResult], protocol: EventsProtocol) -> Json:
    """What the recache is for, on the same walks with and without it.

    `delay`: how much of the event is missing in the chunks after the words for it; `residue`: how much of it is left
    in those after "it stops", of rollouts that had shown it. `gain` is without minus with.
    """
    delays = [{name: 1 - each.mean() for name, each in r.happening.items()} for r in results]
    left = [{name: each.mean() for name, each in r.residue.items()} for r in results if r.was_there]
    return {"delay": _paired(delays, protocol), "residue": _paired(left, protocol)}


def stops(results: Sequence[CaseResult], protocol: EventsProtocol) -> Json:
    """How much of the event is there in the chunks `with` and `without` the words "it stops" before them, of rollouts
    that had shown it."""
    pairs = [{"with": r.residue["with"].mean(), "without": r.going_on.mean()} for r in results if r.was_there]
    return _paired(pairs, protocol)


def _paired(pairs: Sequence[Mapping[str, float]], protocol: EventsProtocol) -> Json:
    gains = [pair["without"] - pair["with"] for pair in pairs]
    enough = len(gains) >= max(2, protocol.bounds.recache_cases)
    _, low, high = interval(gains, protocol.bootstrap) if enough else (math.nan, math.nan, math.nan)
    return {
        "cases": len(pairs),
        "with": nanmean([pair["with"] for pair in pairs]),
        "without": nanmean([pair["without"] for pair in pairs]),
        "gain": nanmean(gains),
        "interval": [low, high],
    }


def claims(
    measured: Mapping[str, Json],
    overall: Json,
    reach: tuple[float, float],
    alarms: Json,
    kept: Json,
    residue: Json,
    stopped: Json,
    protocol: EventsProtocol,
) -> list[Json]:
    """One entry per statement of the protocol; a family with too few cases makes no claim but `families_measured`."""
    bounds = protocol.bounds
    share = overall["recall"] / overall["truth"] if overall["truth"] else math.nan
    found = [
        at_least("families_measured", len(measured), len(protocol.families)),
        at_least("recall_on_truth", overall["truth"], bounds.recall_on_truth),
        at_least("recall_share", share, bounds.recall_share) | {"interval": list(reach)},
        *(at_least(f"recall_share_{family}", each["share"], bounds.recall_share) for family, each in measured.items()),
        claim("false_alarms", alarms["unprompted"]["share"], (0.0, bounds.false_alarms)),
        *(at_least(f"{name}_kept", kept["model"][name] / kept["truth"][name], bounds.kept) for name in KEPT),
    ]
    found += [above_nothing(f"{name}_less_with_recache", facts) for name, facts in residue.items()]
    return [*found, above_nothing("it_stops_ends_the_event", stopped)]


def above_nothing(name: str, facts: Json) -> Json:
    """The claim that a gain is above nothing: the low end of its interval is."""
    low = facts["interval"][0]
    return {"name": name, "value": low, "bound": 0, "holds": bool(low > 0), "mean": facts["gain"],
            "interval": facts["interval"]}  # fmt: skip


def at_least(name: str, value: float, low: float) -> Json:
    """A claim that has no upper end."""
    return claim(name, value, (low, math.inf))
