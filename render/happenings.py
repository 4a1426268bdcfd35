"""What events put into a place: flames with smoke, and visitors. Everything is a function of time."""

import math

import numpy as np

from render.characters import VISITORS, pose
from render.events import Event
from render.meshes import Part, Shape, blend, blob, frustum, move, part, rgb

_TONGUES, _PUFFS = 20, 12
_OWN_COLOUR = 2.0
_RED, _ORANGE, _YELLOW, _PALE = rgb("#e2381c"), rgb("#ff8a24"), rgb("#ffc63a"), rgb("#fff2b0")


def burning(event: Event, amount: float, time_s: float) -> list[Part]:
    """Flames over a thing of height `event.size`, lapping up its sides, and smoke that rises from it."""
    rng = np.random.default_rng(int(abs(event.x * 131 + event.z * 977)) + 1)
    size = amount * min(event.size, 2.2 * event.radius, 4.5)
    low, high = (0.42, 0.78) if event.subject == "tree" else (0.12, 0.85)
    parts = []
    for i in range(_TONGUES):
        angle, phase = i * 2.4, rng.uniform(0, 2 * math.pi)
        share = (i + 0.5) / _TONGUES
        out = event.radius * min(1.0, 1.6 * share)
        up = event.size * (high - (high - low) * max(0.0, share - 0.35) / 0.65)
        lick = 0.8 + 0.2 * math.sin(time_s * 11 + phase) + 0.12 * math.sin(time_s * 19 + 2 * phase)
        tall, broad = size * lick * rng.uniform(0.38, 0.62), size * rng.uniform(0.13, 0.19)
        lean = 0.35 * tall * math.sin(time_s * 7 + phase)
        x, z = event.x + out * math.cos(angle), event.z + out * math.sin(angle)
        parts.append(part(_tongue(broad, tall, lean) + (x, up, z), _ORANGE, top=_RED, glow=_OWN_COLOUR))
        core = _tongue(0.8 * broad, 0.62 * tall, 0.6 * lean) + (x * 0.94 + event.x * 0.06, up - 0.02, z)
        parts.append(part(core, _PALE, top=_YELLOW, glow=_OWN_COLOUR))
    return parts + _smoke(event, size, time_s)


def _tongue(radius: float, height: float, lean: float) -> Shape:
    """A flame: a drop that narrows to a leaning tip."""
    belly = frustum(0.55 * radius, radius, 0.3 * height, sides=6)[:12]
    tip = frustum(radius, 0.0, 0.7 * height, sides=6, base=0.3 * height)
    shape = np.concatenate([belly, tip])
    shape[..., 0] += lean * (shape[..., 1] / max(height, 1e-6)) ** 2
    return shape


def _smoke(event: Event, size: float, time_s: float) -> list[Part]:
    """Puffs that rise, grow, drift and thin out."""
    parts = []
    for i in range(_PUFFS):
        age = (time_s * 0.3 + i / _PUFFS) % 1.0
        radius = size * (0.12 + 0.32 * age) * min(1.0, 5 * (1 - age), 0.4 + 6 * age)
        sway = 0.22 * event.size * math.sin(i * 2.4)
        x, z = event.x + event.size * 0.8 * age * age + sway * age, event.z + sway * math.cos(i * 1.7)
        ball = move(blob(radius, flat=0.9), x=x, up=event.size * (0.85 + 2.0 * age), z=z)
        parts.append(part(ball, blend(rgb("#3f3a3f"), rgb("#95929a"), age), foot=0.75, smooth=0.6))
    return parts


def whereabouts(event: Event, time_s: float) -> tuple[float, float]:
    """Where a visitor is (x, z): it walks slowly along its heading."""
    gone = 0.75 * max(0.0, time_s - max(0.0, event.start))
    return event.x + gone * math.sin(event.heading), event.z + gone * math.cos(event.heading)


def visiting(event: Event, amount: float, time_s: float) -> list[Part]:
    """A visitor who appears and walks."""
    x, z = whereabouts(event, time_s)
    body = VISITORS[event.subject]()
    return [pose(body, x, z, heading=event.heading, phase=7.0 * time_s, stride=1.0, scale=max(amount, 0.01))]
