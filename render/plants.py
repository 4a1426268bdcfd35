"""Plants. Every maker takes a random stream and a leaf colour and returns parts about the origin, in metres."""

import math
from collections.abc import Callable

import numpy as np

from render.meshes import Colour, Part, blend, blob, box, frustum, move, part, rgb

Rng = np.random.Generator

TRUNK = rgb("#6b4a35")
BIRCH = rgb("#d9d4c6")
_NIGHT = (0.06, 0.15, 0.22)


def pine(rng: Rng, leaf: Colour) -> list[Part]:
    """A conifer of three skirts, about 5 m."""
    high = rng.uniform(0.85, 1.3)
    dark = blend(leaf, _NIGHT, 0.45)
    parts = [part(frustum(0.2, 0.16, 1.3, sides=5), TRUNK, foot=0.6)]
    for radius, height, base in ((1.55, 2.1, 0.9), (1.2, 1.9, 2.0), (0.8, 1.8, 3.1)):
        shape = frustum(radius, 0, height * high, sides=7, base=base * high, turn=rng.uniform(0, 1))
        parts.append(part(shape, dark, top=leaf, smooth=0.3, leaf=0.25))
    return parts


def snowy_pine(rng: Rng, leaf: Colour) -> list[Part]:
    """A conifer whose skirts end in snow."""
    white = rgb("#eef3f8")
    parts = [part(frustum(0.2, 0.16, 1.3, sides=5), TRUNK, foot=0.6)]
    for radius, height, base in ((1.55, 2.1, 0.9), (1.2, 1.9, 2.0), (0.8, 1.8, 3.1)):
        shape = frustum(radius, 0, height, sides=7, base=base, turn=rng.uniform(0, 1))
        parts.append(part(shape, blend(leaf, _NIGHT, 0.2), top=white, smooth=0.3))
        cap = frustum(radius * 0.55, 0, height * 0.56, sides=7, base=base + height * 0.46, turn=rng.uniform(0, 1))
        parts.append(part(cap, blend(white, leaf, 0.12), top=white, smooth=0.3))
    return parts


def round_tree(rng: Rng, leaf: Colour) -> list[Part]:
    """A broad-leaved tree of two or three crowns, about 4 m."""
    parts = [part(frustum(0.24, 0.15, 1.9, sides=6), TRUNK, foot=0.6)]
    dark = blend(leaf, _NIGHT, 0.5)
    for i in range(rng.integers(2, 4)):
        radius = rng.uniform(0.95, 1.35) * (1 - 0.12 * i)
        ball = blob(radius, flat=0.85, rough=0.1, rng=rng)
        ball = move(ball, x=rng.uniform(-0.5, 0.5) * i, up=2.2 + 0.65 * i, z=rng.uniform(-0.5, 0.5) * i)
        parts.append(part(ball, dark, top=blend(leaf, (1, 1, 0.7), 0.12), smooth=0.55, leaf=1.0))
    return parts


def poplar(rng: Rng, leaf: Colour) -> list[Part]:
    """A tall narrow tree, about 6 m."""
    crown = move(blob(0.85, flat=2.9, rough=0.06, rng=rng), up=3.4)
    dark = blend(leaf, _NIGHT, 0.5)
    return [part(frustum(0.18, 0.14, 1.4, sides=5), TRUNK, foot=0.6), part(crown, dark, top=leaf, smooth=0.5, leaf=0.9)]


def birch(rng: Rng, leaf: Colour) -> list[Part]:
    """A pale slender trunk under an airy crown."""
    trunk = part(frustum(0.15, 0.1, 3.4, sides=6), BIRCH, foot=0.75)
    parts = [trunk, part(frustum(0.152, 0.14, 0.25, sides=6, base=1.1), rgb("#4b4744"))]
    for up, radius in ((3.0, 1.0), (3.9, 0.8)):
        ball = move(blob(radius, flat=1.05, rough=0.12, rng=rng), x=rng.uniform(-0.3, 0.3), up=up)
        parts.append(part(ball, blend(leaf, _NIGHT, 0.35), top=blend(leaf, (1, 1, 0.6), 0.2), smooth=0.5, leaf=1.0))
    return parts


def palm(rng: Rng, leaf: Colour) -> list[Part]:
    """A leaning palm, about 5 m."""
    lean, tall = rng.uniform(0.2, 0.9), rng.uniform(3.6, 5.0)
    parts = []
    for i in range(4):
        piece = move(
            frustum(0.2 - 0.02 * i, 0.17 - 0.02 * i, tall / 4 + 0.03, sides=6), x=lean * (i / 4) ** 2, up=tall * i / 4
        )
        parts.append(part(piece, blend(rgb("#a07a52"), TRUNK, 0.3 * (i % 2)), foot=0.85))
    for angle in np.arange(7) * 2 * math.pi / 7 + rng.uniform(0, 1):
        frond = _frond(1.9)
        parts.append(part(move(frond, yaw=angle) + (lean, tall, 0), blend(leaf, _NIGHT, 0.3), top=leaf, leaf=0.2))
    return parts


def _frond(length: float) -> np.ndarray:
    """A leaf along +z that rises and droops, with a folded middle."""
    spine = np.array([(0, 0.0, 0), (0, 0.38, 0.35 * length), (0, 0.2, 0.7 * length), (0, -0.55, length)])
    width = np.array([0.1, 0.34, 0.28, 0.0])
    triangles = []
    for side in (-1, 1):
        edge = spine + np.stack([side * width, -0.16 * (width > 0), 0 * width], -1)
        for i in range(3):
            triangles += [(spine[i], spine[i + 1], edge[i + 1]), (spine[i], edge[i + 1], edge[i])]
    return np.array(triangles)


def cactus(rng: Rng, leaf: Colour) -> list[Part]:
    """A columnar cactus with one or two arms."""
    tall = rng.uniform(1.8, 3.0)
    parts = [part(frustum(0.3, 0.22, tall, sides=8), leaf, foot=0.6, smooth=0.6)]
    for side in (-1, 1)[: rng.integers(1, 3)]:
        up = tall * rng.uniform(0.35, 0.55)
        parts.append(part(move(box(0.55, 0.24, 0.24), x=side * 0.45, up=up), leaf, foot=0.75, smooth=0.3))
        parts.append(
            part(move(frustum(0.16, 0.13, tall * 0.38, sides=7), x=side * 0.7, up=up), leaf, foot=0.8, smooth=0.6)
        )
    return parts


def dead_tree(rng: Rng, leaf: Colour) -> list[Part]:
    """A bare trunk with a few branches."""
    bark = blend(rgb("#7a6657"), leaf, 0.1)
    parts = [part(frustum(0.22, 0.09, 3.2, sides=6), bark, foot=0.6)]
    for i in range(4):
        branch = frustum(0.09, 0.02, rng.uniform(1.0, 1.6), sides=4)
        tilt = rng.uniform(0.7, 1.1)
        c, s = math.cos(tilt), math.sin(tilt)
        branch = branch @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
        parts.append(part(move(branch, yaw=i * 1.7 + rng.uniform(0, 1)) + (0, 1.6 + 0.4 * i, 0), bark))
    return parts


def bush(rng: Rng, leaf: Colour) -> list[Part]:
    """A low round bush."""
    ball = move(blob(rng.uniform(0.45, 0.75), flat=0.75, rough=0.12, rng=rng), up=0.3)
    return [part(ball, leaf, foot=0.5, smooth=0.5, leaf=0.8)]


TREES: dict[str, Callable[[Rng, Colour], list[Part]]] = {
    "pine": pine, "snowy pine": snowy_pine, "round": round_tree, "poplar": poplar, "birch": birch, "palm": palm,
    "cactus": cactus, "dead": dead_tree, "bush": bush,
}  # fmt: skip
"""Makers by name."""
