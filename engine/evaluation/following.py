"""Key following: per chunk and axis, did the picture move as commanded, and as far? Scored against the estimator's
floor on truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.metrics import nanmean
from engine.evaluation.motion import AXES, RATES, Motions
from engine.evaluation.protocol import Following

LATENTS_PER_CHUNK = 4
CLASSES = ("forward", "back", "strafe", "yaw", "pitch", "none")


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How well commanded motion is found again in pictures."""

    recall: dict[str, float]
    """Of chunks in which a class was commanded, the share in which it was seen; "none" is an axis at rest. NaN if never
    commanded."""
    gain: dict[str, float]
    """Seen motion over commanded motion along each axis (least squares over chunks)."""
    counts: dict[str, int]

    @property
    def accuracy(self) -> float:
        """Mean recall over the classes that occur: chance is a third, whatever the mix of classes."""
        return nanmean(list(self.recall.values()))


def chunk_motions(motions: Motions) -> Motions:
    """Motion per chunk in units of what a key does in it, `[chunks, 4]`, from motions `[T - 1, 4]` between a clip's
    latents.

    Chunk 0 has 3 motions, every later one 4; an incomplete last chunk is left out.
    """
    ends = np.arange(LATENTS_PER_CHUNK - 1, len(motions) + 1, LATENTS_PER_CHUNK)
    parts = np.split(motions, ends)[: len(ends)]
    return np.array([part.mean(0) / RATES for part in parts]).reshape(-1, len(AXES))


def score(commanded: Sequence[Motions], seen: Sequence[Motions], rule: Following) -> Scorecard:
    """Compares motions per latent `[T - 1, 4]` of clips; see `Scorecard`."""
    asked = np.concatenate([chunk_motions(each) for each in commanded])
    found = np.concatenate([chunk_motions(each) for each in seen])
    sign = np.sign(found) * (np.abs(found) > rule.threshold)
    agrees = sign == np.sign(asked) * (np.abs(asked) >= rule.still_below)
    cases = {name: case & _decided(asked, rule) for name, case in _cases(asked, rule).items()}
    energy = np.square(asked).sum(0)
    gain = np.divide((asked * found).sum(0), energy, out=np.full(len(AXES), np.nan), where=energy > 0)
    return Scorecard(
        recall={name: nanmean(agrees[case].astype(float)) for name, case in cases.items()},
        gain={name: float(value) for name, value in zip(AXES, gain, strict=True)},
        counts={name: int(case.sum()) for name, case in cases.items()},
    )


def _decided(asked: Motions, rule: Following) -> NDArray[np.bool_]:
    return (np.abs(asked) < rule.still_below) | (np.abs(asked) >= rule.moved_above)


def _cases(asked: Motions, rule: Following) -> dict[str, NDArray[np.bool_]]:
    """Class -> which (chunk, axis) entries `[chunks, 4]` belong to it."""
    on = [np.arange(len(AXES)) == axis for axis in range(len(AXES))]
    moving = np.abs(asked) >= rule.moved_above
    return {
        "forward": on[0] & moving & (asked > 0),
        "back": on[0] & moving & (asked < 0),
        "strafe": on[1] & moving,
        "yaw": on[2] & moving,
        "pitch": on[3] & moving,
        "none": np.abs(asked) < rule.still_below,
    }
