"""What events put into a place: flames with smoke, and visitors. Everything is a function of time."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from render.characters import VISITORS, Body, pose
from render.events import Event
from render.meshes import STRIDE, Part, blob, frustum, part, rgb

_TONGUES, _PUFFS = 20, 12
_OWN_COLOUR = 2.0
_GOLDEN = 2.399963
"""The golden angle, radians: successive multiples spread evenly around a circle."""
WALKS, PACE = 0.75, 7.0
"""Of a visitor: metres a second, and how fast its step goes, radians a second."""


@cache
def _flame() -> Part:
    """A drop of flame one metre high and one in radius, pale at its foot and red at its tip."""
    belly = part(frustum(0.5, 1.0, 0.26, sides=6)[:12], rgb("#ffe79a"), top=rgb("#ffb136"), glow=_OWN_COLOUR)
    waist = part(
        frustum(1.0, 0.62, 0.26, sides=6, base=0.26)[:12], rgb("#ffb136"), top=rgb("#ff7a1f"), glow=_OWN_COLOUR
    )
    tip = part(frustum(0.62, 0.0, 0.48, sides=6, base=0.52), rgb("#ff7a1f"), top=rgb("#d92f1a"), glow=_OWN_COLOUR)
    return np.concatenate([belly, waist, tip])


@cache
def _puff() -> Part:
    """A ball of smoke one metre in radius."""
    return part(blob(1.0, flat=0.9), rgb("#ffffff"), foot=0.75, smooth=0.6)


def burning(event: Event, amount: float, time_s: float) -> list[Part]:
    """Flames over a thing of height `event.size`, lapping up its sides, and smoke that rises from it."""
    rng = np.random.default_rng(int(abs(event.x * 131 + event.z * 977)) + 1)
    i = np.arange(_TONGUES)
    share, phase = (i + 0.5) / _TONGUES, rng.uniform(0, 2 * math.pi, _TONGUES)
    low, high = (0.42, 0.78) if event.subject == "tree" else (0.12, 0.85)
    size = amount * min(event.size, 2.2 * event.radius, 4.5) * np.where(share < 0.2, 1.35, 1.0)
    lick = 0.8 + 0.2 * np.sin(time_s * 11 + phase) + 0.12 * np.sin(time_s * 19 + 2 * phase)
    tall = size * lick * rng.uniform(0.5, 0.85, _TONGUES)
    broad = size * rng.uniform(0.14, 0.21, _TONGUES)
    lean = 0.35 * tall * np.sin(time_s * 7 + phase)
    out = event.radius * np.minimum(1.0, 1.6 * share)
    up = event.size * (high - (high - low) * np.maximum(0.0, share - 0.35) / 0.65)
    flames = _copies(_flame(), np.stack([broad, tall, broad], -1))
    flames[..., 0] += (event.x + out * np.cos(i * _GOLDEN))[:, None] + lean[:, None] * _flame()[:, 1] ** 2
    flames[..., 1] -= up[:, None]
    flames[..., 2] += (event.z + out * np.sin(i * _GOLDEN))[:, None]
    return [flames.reshape(-1, STRIDE), _smoke(event, amount, time_s)]


def _smoke(event: Event, amount: float, time_s: float) -> Part:
    """Puffs that rise, grow, drift and thin out."""
    i = np.arange(_PUFFS)
    age = (time_s * 0.3 + i / _PUFFS) % 1.0
    radius = amount * event.size * (0.12 + 0.32 * age) * np.minimum(np.minimum(1.0, 5 * (1 - age)), 0.4 + 6 * age)
    sway = 0.22 * event.size * np.sin(i * _GOLDEN)
    puffs = _copies(_puff(), np.repeat(radius[:, None], 3, 1))
    puffs[..., 0] += (event.x + event.size * 0.8 * age * age + sway * age)[:, None]
    puffs[..., 1] -= (event.size * (0.85 + 2.0 * age))[:, None]
    puffs[..., 2] += (event.z + sway * np.cos(i * 1.7))[:, None]
    dark, pale = np.array(rgb("#3f3a3f")), np.array(rgb("#95929a"))
    puffs[..., 6:9] *= (dark + (pale - dark) * age[:, None])[:, None]
    return puffs.reshape(-1, STRIDE)


def _copies(template: Part, scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """[N, V, 11]: the template scaled by each row of [N, 3]."""
    out = np.repeat(template[None], len(scale), 0)
    out[..., :3] *= scale[:, None]
    return out


def whereabouts(event: Event, time_s: float) -> tuple[float, float]:
    """Where a visitor is (x, z): it walks slowly along its heading."""
    gone = WALKS * max(0.0, time_s - max(0.0, event.start))
    return event.x + gone * math.sin(event.heading), event.z + gone * math.cos(event.heading)


@cache
def _body(subject: str) -> Body:
    return VISITORS[subject]()


def visiting(event: Event, amount: float, time_s: float) -> list[Part]:
    """A visitor who appears and walks."""
    x, z = whereabouts(event, time_s)
    scale = max(amount, 0.01)
    return [pose(_body(event.subject), x, z, heading=event.heading, phase=PACE * time_s, stride=1.0, scale=scale)]
