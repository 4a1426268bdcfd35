"""Moods: the light of a place, from the sun to the colour of the haze.

A `Look` holds every colour that the renderer multiplies or mixes with, so that weather and nightfall are plain mixtures
of looks (`mix`). Surfaces are shaded as albedo * mix(shade, light, lit): shadows are tinted, never grey.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from render.meshes import Colour, blend, rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """Light and air. Colours are RGB in display space."""

    light: Colour
    """Multiplies surfaces that face the sun."""
    shade: Colour
    """Multiplies surfaces in shadow."""
    zenith: Colour
    horizon: Colour
    """Sky at eye height, and the colour that haze fades to."""
    warm: Colour
    """Sky and haze in the direction of the sun."""
    disc: Colour
    """The sun or moon itself."""
    haze: float
    """Haze per metre."""
    cloud: Colour
    lamps: float
    """How far windows and lamps are lit, 0 to 1."""
    stars: float
    elevation: float
    """Of the sun or moon, radians."""
    azimuth: float = 0.0
    """Heading of the sun, radians."""

    @property
    def sun(self) -> tuple[float, float, float]:
        """Unit vector towards the sun in world axes (y down)."""
        flat = math.cos(self.elevation)
        return (flat * math.sin(self.azimuth), -math.sin(self.elevation), flat * math.cos(self.azimuth))


def mix(a: Look, b: Look, amount: float) -> Look:
    """The look `amount` of the way from `a` to `b`; the sun stays where `a` has it."""
    if amount <= 0:
        return a
    values: dict[str, Any] = {f.name: _between(getattr(a, f.name), getattr(b, f.name), amount) for f in fields(Look)}
    values.update(azimuth=a.azimuth, elevation=a.elevation)
    return Look(**values)


def _between(a: Any, b: Any, amount: float) -> Any:
    return blend(a, b, amount) if isinstance(a, tuple) else a + (b - a) * amount


NOON = Look(
    light=(1.12, 1.08, 0.98), shade=(0.60, 0.66, 0.82), zenith=rgb("#3f86d8"), horizon=rgb("#c4e2f2"),
    warm=rgb("#e8f1ee"), disc=rgb("#fffbe8"), haze=0.0045, cloud=rgb("#ffffff"), lamps=0.0, stars=0.0, elevation=0.95,
)  # fmt: skip
DAWN = Look(
    light=(1.14, 0.98, 0.86), shade=(0.56, 0.58, 0.78), zenith=rgb("#6f95cf"), horizon=rgb("#f2d3cd"),
    warm=rgb("#ffdca6"), disc=rgb("#fff3d6"), haze=0.0085, cloud=rgb("#ffe9e2"), lamps=0.15, stars=0.0, elevation=0.30,
)  # fmt: skip
DUSK = Look(
    light=(1.10, 0.83, 0.68), shade=(0.50, 0.44, 0.64), zenith=rgb("#3d4a8c"), horizon=rgb("#e58f7c"),
    warm=rgb("#ffb35e"), disc=rgb("#ffe2a6"), haze=0.0065, cloud=rgb("#f2a58e"), lamps=0.75, stars=0.0, elevation=0.17,
)  # fmt: skip
OVERCAST = Look(
    light=(0.88, 0.89, 0.90), shade=(0.70, 0.73, 0.79), zenith=rgb("#8d9caa"), horizon=rgb("#c9d0d4"),
    warm=rgb("#d3d7d7"), disc=rgb("#d6dad9"), haze=0.010, cloud=rgb("#b4bec6"), lamps=0.1, stars=0.0, elevation=0.9,
)  # fmt: skip
NIGHT = Look(
    light=(0.46, 0.54, 0.78), shade=(0.22, 0.27, 0.46), zenith=rgb("#0e1638"), horizon=rgb("#2b3f70"),
    warm=rgb("#3c5286"), disc=rgb("#eef0dc"), haze=0.0060, cloud=rgb("#27345f"), lamps=1.0, stars=1.0, elevation=0.55,
)  # fmt: skip

MOODS: dict[str, Look] = {"noon": NOON, "dawn": DAWN, "dusk": DUSK, "overcast": OVERCAST, "night": NIGHT}


def make_look(rng: np.random.Generator, mood: str) -> Look:
    """The mood with the sun somewhere of its own and the air a little clearer or thicker."""
    look = MOODS[mood]
    return replace(
        look,
        azimuth=float(rng.uniform(-math.pi, math.pi)),
        elevation=look.elevation * float(rng.uniform(0.8, 1.15)),
        haze=look.haze * float(rng.uniform(0.75, 1.35)),
    )
