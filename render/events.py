"""Events: weather and happenings with a time course, each a pure function of time.

An `Event` says what happens and when; `state_at` gives the amounts of everything at one moment; `look_under` is the
light of a place under those amounts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from render.meshes import Colour, blend, rgb
from render.moods import DAWN, DUSK, NIGHT, Look, mix

ONSET: dict[str, float] = {
    "rain": 1.0, "snow": 1.4, "fog": 1.4, "storm": 1.0, "nightfall": 1.8, "fire": 0.9, "flood": 1.8, "autumn": 1.2,
    "visitor": 0.35, "dusk": 1.6, "dawn": 1.6,
}  # fmt: skip
"""Families, and the seconds that each takes to be fully there."""

FAMILIES = tuple(ONSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class Falling:
    """Drops or flakes: points of a box around the eye, over and over; what leaves it comes in at the other side."""

    count: int
    """In the box."""
    room: tuple[float, float, float]
    """Size of the box, metres."""
    fall: tuple[float, float, float]
    """Velocity, metres a second."""
    flutter: float
    """How far they sway, metres; what flutters is round, other things are drawn out along their fall."""
    size: tuple[float, float]
    """Half width and half length, metres."""


DROPS = Falling(count=170, room=(14.0, 9.0, 14.0), fall=(1.2, 15.0, 0.4), flutter=0.0, size=(0.012, 0.42))
FLAKES = Falling(count=260, room=(13.0, 8.0, 13.0), fall=(0.5, 1.5, 0.3), flutter=0.35, size=(0.035, 0.035))
EVENTS, AIR, VISITS, HEROES, AROUND = SHOWN = ("events", "air", "guests", "heroes", "around")
"""What views of places show, see `render.views`."""
POINTS_OF = 1
"""Seed of the points: `default_rng(POINTS_OF).random((n, 4))`, a place in the box and a phase."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happens: it starts at `start` seconds and, unless `stop` is None, goes away from `stop` on."""

    family: str
    start: float
    stop: float | None = None
    subject: str = ""
    """Who appears (`visitor`) or what burns (`fire`: house or tree)."""
    x: float = 0.0
    z: float = 0.0
    size: float = 2.0
    """Height of the thing that burns, metres."""
    radius: float = 1.0
    """From the middle of the thing that burns to its outside, metres."""
    heading: float = 0.0
    """Of the visitor, radians."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventState:
    """Amounts in 0 to 1 at one moment, and the events behind those that have a place."""

    rain: float = 0.0
    snow: float = 0.0
    fog: float = 0.0
    storm: float = 0.0
    nightfall: float = 0.0
    fire: float = 0.0
    flood: float = 0.0
    autumn: float = 0.0
    visitor: float = 0.0
    dusk: float = 0.0
    dawn: float = 0.0
    places: tuple[Event, ...] = ()
    still_air: bool = False
    """Without what moves by itself in the air: drops, flakes and lightning, flames and their smoke."""

    @property
    def wet(self) -> float:
        """How much it rains, in rain or storm."""
        return max(self.rain, self.storm)

    @property
    def cover(self) -> float:
        """How far weather hides the sky."""
        return max(self.wet, self.snow, self.fog)


CALM = EventState()


def amount(event: Event, time_s: float) -> float:
    """How far the event is there: an S-curve over its onset, and the same backwards once it stops."""
    onset = ONSET[event.family]
    here = _smooth((time_s - event.start) / onset)
    return here if event.stop is None else here * (1 - _smooth((time_s - event.stop) / onset))


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)


def state_at(events: Sequence[Event], time_s: float) -> EventState:
    """The amounts of all events at `time_s`; of two of one family the stronger counts."""
    amounts: dict[str, float] = {}
    for event in events:
        amounts[event.family] = max(amounts.get(event.family, 0.0), amount(event, time_s))
    places = tuple(e for e in events if e.family in ("fire", "visitor") and amount(e, time_s) > 0)
    return EventState(**amounts, places=places)  # type: ignore[arg-type]


def flash(state: EventState, time_s: float) -> float:
    """Brightness of lightning, 0 to 1: a double flicker at a moment of its own in every 1.7 seconds."""
    if state.storm < 0.5 or state.still_air:
        return 0.0
    beat = math.floor(time_s / 1.7)
    t = time_s - 1.7 * beat - (0.15 + 0.9 * ((math.sin(beat * 12.9898) * 43758.5453) % 1.0))
    return max(math.exp(-16 * t) if t >= 0 else 0.0, 0.8 * math.exp(-16 * (t - 0.2)) if t >= 0.2 else 0.0)


def look_under(look: Look, state: EventState, time_s: float) -> Look:
    """The look of a place at the hour that came, under weather and lightning."""
    for hour, amount_of_it in ((DAWN, state.dawn), (DUSK, state.dusk), (NIGHT, state.nightfall)):
        look = mix(look, hour, amount_of_it)
    dim = min(1.0, max(0.42, 1.7 * sum(look.light) / 3 - 0.6))
    look = mix(look, _grey(look, dim, 0.80, haze=0.014), 0.85 * state.rain)
    look = mix(look, _grey(look, dim, 0.95, haze=0.018), 0.75 * state.snow)
    look = mix(look, _grey(look, dim, 0.42, haze=0.016), 0.92 * state.storm)
    look = mix(look, _grey(look, dim, 0.90, haze=0.075), state.fog)
    bolt = flash(state, time_s)
    return mix(look, replace(look, light=(1.25, 1.3, 1.45), shade=(0.95, 1.0, 1.2), horizon=rgb("#cdd6f2"),
                             zenith=rgb("#8f9cc9"), warm=rgb("#cdd6f2")), 0.8 * bolt)  # fmt: skip


_DARK_RAIN = (0.50, 0.66, 1.05)
"""What a closed sky tends to as the hour darkens: blue rather than black."""


def _grey(look: Look, dim: float, bright: float, *, haze: float) -> Look:
    """The look under a closed sky, keeping how dark its mood is."""
    level = max(0.3, bright * dim)

    def tinted(share: float, colour: Colour) -> Colour:
        return tuple(share * level * c for c in blend(_DARK_RAIN, colour, dim))  # type: ignore[return-value]

    sky = tinted(1.0, (0.80, 0.84, 0.90))
    return replace(
        look, light=tinted(1.0, (0.80, 0.83, 0.88)), shade=tinted(0.82, (0.80, 0.86, 0.97)),
        zenith=tinted(0.75, (0.80, 0.88, 1.0)), horizon=sky, warm=sky, disc=sky, haze=max(look.haze, haze),
        cloud=tinted(0.82, (0.80, 0.86, 0.96)), lamps=max(look.lamps, 0.9 * (1 - level)), stars=0.0,
    )  # fmt: skip
