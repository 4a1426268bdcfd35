"""What events put into a place: flames with smoke, and visitors. Everything is a function of time."""

import math

import numpy as np

from render.characters import VISITORS, pose
from render.events import Event
from render.meshes import Part, blend, blob, frustum, move, part, rgb

_FLAMES, _PUFFS = 14, 11
_OWN_COLOUR = 2.0


def burning(event: Event, amount: float, time_s: float) -> list[Part]:
    """Flames over a thing of height `event.size` and smoke that rises from it."""
    rng = np.random.default_rng(int(abs(event.x * 131 + event.z * 977)) + 1)
    reach = 0.34 * event.size if event.subject == "tree" else 0.42 * event.size
    parts = []
    for _ in range(_FLAMES):
        angle, r, phase = rng.uniform(0, 6.28), reach * math.sqrt(rng.random()), rng.uniform(0, 6.28)
        foot = event.size * rng.uniform(0.15, 0.8)
        flicker = 0.75 + 0.25 * math.sin(time_s * 13 + phase) + 0.15 * math.sin(time_s * 23 + 2 * phase)
        high = amount * flicker * event.size * rng.uniform(0.28, 0.5)
        wide = amount * event.size * rng.uniform(0.08, 0.14)
        x, z = event.x + r * math.cos(angle), event.z + r * math.sin(angle)
        outer = move(frustum(wide, 0, high, sides=5, turn=phase), x=x, up=foot, z=z)
        parts.append(part(outer, rgb("#ffc93f"), top=rgb("#e8451f"), glow=_OWN_COLOUR))
        core = move(frustum(wide * 1.08, 0, high * 0.45, sides=5, turn=phase), x=x, up=foot, z=z)
        parts.append(part(core, rgb("#fff0a8"), top=rgb("#ffb52e"), glow=_OWN_COLOUR))
    for i in range(_PUFFS):
        age = (time_s * 0.32 + i / _PUFFS) % 1.0
        size = amount * event.size * (0.13 + 0.34 * age) * min(1.0, 6 * (1 - age))
        drift = event.size * 0.9 * age * age
        sway = 0.25 * event.size * math.sin(i * 2.4)
        ball = move(blob(size, flat=0.9), x=event.x + drift + sway * age, up=event.size * (0.9 + 1.9 * age),
                    z=event.z + 0.4 * sway)  # fmt: skip
        colour = blend(rgb("#4a4448"), rgb("#8d8a90"), age)
        parts.append(part(ball, colour, foot=0.75, smooth=0.6))
    return parts


def visiting(event: Event, amount: float, time_s: float) -> list[Part]:
    """A visitor who appears and walks slowly along its heading."""
    gone = max(0.0, time_s - event.start)
    far = 0.75 * gone
    x, z = event.x + far * math.sin(event.heading), event.z + far * math.cos(event.heading)
    body = VISITORS[event.subject]()
    return [pose(body, x, z, heading=event.heading, phase=7.0 * gone, stride=1.0, scale=max(amount, 0.01))]
