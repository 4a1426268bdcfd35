"""Statements of a protocol: a value, what it is held against, and whether it holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from engine.evaluation.metrics import Bootstrap, interval

Json = dict[str, Any]


def claim(name: str, value: float, bound: tuple[float, float]) -> Json:
    """A value and the range it must be in; a range that is open at one end is given by its other."""
    low, high = bound
    return {
        "name": name,
        "value": value,
        "bound": low if math.isinf(high) else high if math.isinf(low) else [low, high],
        "holds": bool(low <= value <= high),
    }


def at_least(name: str, value: float, bound: float) -> Json:
    """A value that must reach a bound."""
    return claim(name, value, (bound, math.inf))


def at_most(name: str, value: float, bound: float) -> Json:
    """A value that must not exceed a bound."""
    return claim(name, value, (-math.inf, bound))


def lead(name: str, gains: ArrayLike, bootstrap: Bootstrap) -> Json:
    """One method is better than another on the same clips: by how much, at least.

    `gains` are differences per clip, positive where it is better; the value is the lower bound of their mean's
    interval. Fewer than two clips prove nothing.
    """
    enough = np.count_nonzero(~np.isnan(np.asarray(gains, dtype=np.float64))) > 1
    mean, low, high = interval(gains, bootstrap) if enough else (math.nan,) * 3
    return {"name": name, "value": low, "bound": 0, "holds": low > 0, "mean": mean, "interval": [low, high]}
