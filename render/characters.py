"""Characters: the one who walks ahead of the camera and the visitors that an event brings.

A character is a set of limbs: parts that swing about a hip or shoulder. `pose` puts it somewhere in mid step.
"""

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from render.meshes import Colour, Part, blend, blob, box, frustum, move, part, place, rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Limb:
    """Parts that swing about the point (x, up, z) of the body by `swing` radians, legs in opposite phase by sign."""

    parts: tuple[Part, ...]
    x: float = 0.0
    up: float = 0.0
    z: float = 0.0
    swing: float = 0.0


Body = tuple[Limb, ...]


def pose(body: Body, x: float, z: float, *, heading: float, phase: float, stride: float, scale: float = 1.0) -> Part:
    """The body at (x, z) facing `heading`, at `phase` of its step, `stride` 0 (standing) to 1 (walking)."""
    pieces = []
    for limb in body:
        angle = limb.swing * stride * math.sin(phase)
        c, s = math.cos(angle), math.sin(angle)
        swing = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
        joined = np.concatenate(limb.parts).copy()
        joined[:, :3] = joined[:, :3] @ swing + (limb.x, -limb.up, limb.z)
        joined[:, 3:6] = joined[:, 3:6] @ swing
        pieces.append(joined)
    bounce = 0.03 * stride * abs(math.cos(phase))
    return place(pieces, x, z, yaw=heading, scale=scale, up=bounce)


def person(coat: Colour, hair: Colour, hat: Colour | None = None) -> Body:
    """A small person, 1.3 m, in a coat."""
    skin, dark = rgb("#f0c8a4"), blend(coat, (0.1, 0.1, 0.2), 0.6)
    leg = (part(move(box(0.17, 0.45, 0.2), up=-0.45), dark, foot=0.7),)
    arm = (part(move(box(0.12, 0.42, 0.14), up=-0.42), coat, foot=0.75),)
    trunk = [
        part(frustum(0.34, 0.2, 0.62, sides=8, base=0.36), coat, foot=0.75, smooth=0.4),
        part(move(blob(0.22), up=1.14), skin, smooth=0.5),
        part(move(blob(0.245, flat=0.8), up=1.21, z=-0.05), hair, smooth=0.4),
        part(move(box(0.34, 0.36, 0.16), up=0.56, z=-0.3), blend(dark, (0.8, 0.5, 0.3), 0.4)),
    ]
    if hat is not None:
        trunk.append(part(frustum(0.3, 0.0, 0.34, sides=8, base=1.26), hat, foot=0.8))
    return (
        Limb(parts=tuple(trunk)),
        Limb(parts=leg, x=-0.12, up=0.45, swing=0.75),
        Limb(parts=leg, x=0.12, up=0.45, swing=-0.75),
        Limb(parts=arm, x=-0.31, up=0.95, swing=-0.6),
        Limb(parts=arm, x=0.31, up=0.95, swing=0.6),
    )


def beast(coat: Colour, belly: Colour, *, long: float = 0.8, high: float = 0.5, ears: float = 0.2, tail: float = 0.3,
          horns: bool = False) -> Body:  # fmt: skip
    """A four-legged animal: `long` its body, `high` its legs, in metres."""
    dark = blend(coat, (0.1, 0.08, 0.1), 0.45)
    girth = long * 0.5
    neck = high + girth * 1.05
    trunk = [
        part(move(box(girth, girth * 0.9, long, taper=0.85), up=high), blend(coat, belly, 0.6), top=coat, smooth=0.3),
        part(move(box(girth * 0.55, girth * 0.8, girth * 0.55), up=neck - 0.1, z=long * 0.45), coat),
        part(move(box(girth * 0.62, girth * 0.55, girth * 0.95), up=neck + girth * 0.45, z=long * 0.6), coat, foot=0.9),
        part(move(box(0.11, tail, 0.12, taper=0.6), up=high + girth * 0.6, z=-long * 0.52), coat, top=belly),
        part(
            move(box(girth * 0.3, girth * 0.25, girth * 0.4), up=neck + girth * 0.48, z=long * 0.6 + girth * 0.6), belly
        ),
    ]
    for x in (-0.22 * girth, 0.22 * girth):
        top = neck + girth * 0.95
        trunk.append(part(move(box(0.09, ears, 0.07, taper=0.4), x=x, up=top, z=long * 0.5), dark))
        if horns:
            trunk.append(part(move(box(0.05, 0.55, 0.05), x=2.4 * x, up=top, z=long * 0.45), rgb("#d9c7a5")))
            trunk.append(part(move(box(0.05, 0.05, 0.3), x=2.4 * x, up=top + 0.25, z=long * 0.55), rgb("#d9c7a5")))
    leg = (part(move(box(0.13, high + 0.05, 0.15, taper=0.9), up=-high), dark, foot=0.75),)
    legs = [
        Limb(parts=leg, x=x * girth * 0.33, up=high, z=z * long * 0.38, swing=0.55 * x * z)
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    return (Limb(parts=tuple(trunk)), *legs)


HEROES: dict[str, Callable[[], Body]] = {
    "traveller in a red coat": lambda: person(rgb("#d2453f"), rgb("#4a3328")),
    "child in a yellow raincoat": lambda: person(rgb("#f2c230"), rgb("#f2c230"), rgb("#e0ad1f")),
    "wizard in a blue robe": lambda: person(rgb("#3d5fc4"), rgb("#e8e6e0"), rgb("#2f4aa0")),
    "hiker in a green jacket": lambda: person(rgb("#3f9a68"), rgb("#b5652f")),
    "fox": lambda: beast(rgb("#e07b39"), rgb("#f7ead8"), long=0.75, high=0.32, tail=0.4),
    "white dog": lambda: beast(rgb("#f4f1ea"), rgb("#dcd6ca"), long=0.75, high=0.36, ears=0.16),
    "black cat": lambda: beast(rgb("#35343d"), rgb("#4a4953"), long=0.6, high=0.26, ears=0.14, tail=0.42),
}
"""Who can walk ahead of the camera."""

VISITORS: dict[str, Callable[[], Body]] = {
    "deer": lambda: beast(rgb("#b9804e"), rgb("#e6cfae"), long=1.25, high=0.85, ears=0.22, tail=0.2, horns=True),
    "sheep": lambda: beast(rgb("#f6f2e8"), rgb("#e3ddcf"), long=1.1, high=0.4, ears=0.12, tail=0.15),
    "horse": lambda: beast(rgb("#8a5635"), rgb("#9d6a45"), long=1.8, high=1.0, ears=0.2, tail=0.7),
    "fox": HEROES["fox"],
    "child in a red coat": lambda: person(rgb("#dc4a42"), rgb("#5a3b2a"), rgb("#a8302c")),
    "farmer in a straw hat": lambda: person(rgb("#5f86b5"), rgb("#8a5f3c"), rgb("#ecd07a")),
}
"""Who can appear in an event."""


def anybody(rng: np.random.Generator) -> Body:
    """Somebody who may walk ahead: one of those above, or a person or an animal of any build and any colours."""
    known = [*HEROES.values(), *VISITORS.values()]
    if rng.random() < 0.3:
        return known[rng.integers(len(known))]()
    if rng.random() < 0.6:
        coat, hair, hat = (_any_colour(rng) for _ in range(3))
        return person(coat, hair, hat if rng.random() < 0.5 else None)
    long, high, ears, tail = (
        float(rng.uniform(*most)) for most in ((0.55, 1.3), (0.24, 0.8), (0.1, 0.24), (0.15, 0.6))
    )
    horns = bool(rng.random() < 0.15)
    return beast(_any_colour(rng), _any_colour(rng), long=long, high=high, ears=ears, tail=tail, horns=horns)


def _any_colour(rng: np.random.Generator) -> Colour:
    hue, grey, value = rng.random(3)
    return colorsys.hsv_to_rgb(hue, 0.85 * grey, 0.2 + 0.75 * value)
