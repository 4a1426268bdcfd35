"""Low-poly solids and the vertex format of the procedural worlds.

Shapes are built with *height up*: float64 [T, 3, 3] triangles of (x, height, z). `part` paints a shape and gives the
vertex format of `render.renderer`: float32 [V, 11] = x y z | normal | r g b | leaf | glow, with y down as everywhere
else in Wander. `leaf` marks foliage (it turns in autumn), `glow` light of its own (windows and lamps at night).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Shape = NDArray[np.float64]
Part = NDArray[np.float32]
Colour = tuple[float, float, float]

STRIDE = 11


def rgb(code: str) -> Colour:
    """`"#rrggbb"` as three floats in [0, 1]."""
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def blend(a: Colour, b: Colour, amount: float) -> Colour:
    """The colour `amount` of the way from `a` to `b`."""
    return tuple(x + (y - x) * amount for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def box(width: float, height: float, depth: float, *, taper: float = 1.0) -> Shape:
    """A box standing on height 0, centred on the origin; its top is `taper` times as wide."""
    x, z = width / 2, depth / 2
    corners = [(-x, -z), (x, -z), (x, z), (-x, z)]
    return _lathe(np.array(corners), 0.0, np.array(corners) * taper, height)


def frustum(radius: float, top: float, height: float, *, sides: int = 7, base: float = 0.0, turn: float = 0.0) -> Shape:
    """A round tower, trunk or (with top 0) cone, standing on height `base`."""
    angles = turn + np.arange(sides) * 2 * math.pi / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    return _lathe(ring * radius, base, ring * top, base + height)


def _lathe(lower: NDArray, low: float, upper: NDArray, high: float) -> Shape:
    """Side walls and a cap between two rings [K, 2] of (x, z); the bottom, never seen, stays open."""
    count = len(lower)
    pointed = np.abs(upper).max() <= 1e-6
    shape = np.empty((count if pointed else 3 * count, 3, 3))
    rings = np.empty((2, count + 1, 3))
    rings[0, :-1, ::2], rings[1, :-1, ::2] = lower, upper
    rings[0, :, 1], rings[1, :, 1] = low, high
    rings[:, -1] = rings[:, 0]
    a, b = rings
    shape[:count, 0], shape[:count, 1], shape[:count, 2] = a[:-1], a[1:], b[1:]
    if not pointed:
        shape[count : 2 * count, 0], shape[count : 2 * count, 1], shape[count : 2 * count, 2] = a[:-1], b[1:], b[:-1]
        shape[2 * count :, 0], shape[2 * count :, 1], shape[2 * count :, 2] = b[:-1], b[1:], b[:-1].mean(0)
    return shape


def gable(width: float, height: float, depth: float, *, base: float, overhang: float = 0.35) -> Shape:
    """A pitched roof with its ridge along z."""
    x, z = width / 2 + overhang, depth / 2 + overhang
    a, b, c, d = (-x, base, -z), (x, base, -z), (x, base, z), (-x, base, z)
    e, f = (0.0, base + height, -z), (0.0, base + height, z)
    return np.array([[a, e, f], [a, f, d], [b, c, f], [b, f, e], [a, b, e], [d, f, c], [a, d, c], [a, c, b]])


def hip(width: float, height: float, depth: float, *, base: float, overhang: float = 0.3) -> Shape:
    """A four-sided pointed roof."""
    shape = box(width + 2 * overhang, height, depth + 2 * overhang, taper=1e-9)
    return move(shape, up=base)


def blob(radius: float, *, flat: float = 1.0, rough: float = 0.0, rng: np.random.Generator | None = None) -> Shape:
    """A faceted ball (20 faces) about the origin, `flat` times as high as wide, its corners moved by `rough`."""
    corners = _ICOSAHEDRON.copy()
    if rng is not None:
        corners *= 1 + rng.uniform(-rough, rough, (len(corners), 1))
    return (corners * (radius, radius * flat, radius))[_ICOSAHEDRON_FACES]


def _icosahedron() -> tuple[NDArray, NDArray]:
    golden = (1 + 5**0.5) / 2
    corners = []
    for a in (-1, 1):
        for b in (-golden, golden):
            corners += [(0, a, b), (a, b, 0), (b, 0, a)]
    points = np.array(corners, float) / math.hypot(1, golden)
    edge = min(np.linalg.norm(points[0] - p) for p in points[1:])
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) < edge * 1.01
    faces = [
        (i, j, k) for i in range(12) for j in range(i + 1, 12) for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]  # fmt: skip
    return points, np.array(faces)


_ICOSAHEDRON, _ICOSAHEDRON_FACES = _icosahedron()


def move(shape: Shape, *, x: float = 0.0, up: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Shape:
    """The shape turned by `yaw` about the vertical, then shifted."""
    return turned(shape, yaw) + (x, up, z)


def turned(points: NDArray, yaw: float) -> NDArray:
    """Points [..., 3] turned about the vertical; local +z comes to point along heading `yaw`."""
    c, s = math.cos(yaw), math.sin(yaw)
    return points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def part(
    shape: Shape,
    colour: Colour,
    *,
    foot: float = 1.0,
    smooth: float = 0.0,
    leaf: float = 0.0,
    glow: float = 0.0,
    top: Colour | None = None,
) -> Part:
    """Paints a convex shape: `colour` times `foot` at its lowest point, grading to `top` at its highest.

    `smooth` mixes the flat face normals with normals from the shape's centre (1 = as round as a ball).
    """
    points = shape.reshape(-1, 3)
    low, high = points.min(0), points.max(0)
    centre = (low + high) / 2
    out = np.empty((len(points), STRIDE), np.float32)
    out[:, :3] = points
    out[:, 3:6] = np.repeat(_outward(shape, centre), 3, 0)
    if smooth:
        radial = points - centre
        radial /= np.maximum(np.sqrt((radial * radial).sum(-1, keepdims=True)), 1e-9)
        out[:, 3:6] += (radial - out[:, 3:6]) * smooth
    rise = (points[:, 1:2] - low[1]) / max(high[1] - low[1], 1e-6)
    bottom = np.array(colour) * foot
    out[:, 6:9] = bottom + (np.array(top or colour) - bottom) * rise
    out[:, 9], out[:, 10] = leaf, glow
    out[:, (1, 4)] *= -1
    return out


def _outward(shape: Shape, centre: NDArray) -> NDArray:
    """Unit normals [T, 3] of the faces of a convex shape, away from its centre."""
    u, v = shape[:, 1] - shape[:, 0], shape[:, 2] - shape[:, 0]
    normal = u[:, (1, 2, 0)] * v[:, (2, 0, 1)] - u[:, (2, 0, 1)] * v[:, (1, 2, 0)]
    inward = (normal * (shape[:, 0] - centre)).sum(-1, keepdims=True) < 0
    length = np.maximum(np.sqrt((normal * normal).sum(-1, keepdims=True)), 1e-9)
    return normal / np.where(inward, -length, length)


def panes(
    spots: NDArray, *, width: float, height: float, colour: Colour, foot: float = 1.0, glow: NDArray | float = 0.0
) -> Part:
    """Upright rectangles, one per row of `spots` [N, 4]: along the wall, sill height, out from the middle, yaw."""
    count = len(spots)
    corners = np.array([(-0.5, 0), (0.5, 0), (0.5, 1), (-0.5, 0), (0.5, 1), (-0.5, 1)])
    c, s = np.cos(spots[:, 3:4]), np.sin(spots[:, 3:4])
    along, out_ = spots[:, 0:1] + corners[:, 0] * width, spots[:, 2:3]
    out = np.zeros((count, 6, STRIDE), np.float32)
    out[..., 0], out[..., 2] = along * c + out_ * s, out_ * c - along * s
    out[..., 1] = -(spots[:, 1:2] + corners[:, 1] * height)
    out[..., 3], out[..., 5] = s, c
    out[..., 6:9] = np.array(colour) * (foot + (1 - foot) * corners[:, 1:2])
    out[..., 10] = np.broadcast_to(np.asarray(glow).reshape(-1, 1), (count, 6))
    return out.reshape(-1, STRIDE)


def place(parts: Sequence[Part], x: float, z: float, *, yaw: float = 0.0, scale: float = 1.0, up: float = 0.0) -> Part:
    """Parts joined into one, scaled, turned about the vertical and put at (x, z), `up` above the ground."""
    joined = np.concatenate(parts)
    out = joined.copy()
    out[:, :3] = turned(joined[:, :3] * scale, yaw) + np.array([x, -up, z])
    out[:, 3:6] = turned(joined[:, 3:6], yaw)
    return out
