"""Walking stops at walls: which of the wanted places a camera may take, given the depth of what it sees.

What is drawn from a camera (engine/surfaces.py) becomes a plan of what stands on the ground: pixels that are not sky,
nor a character, and between knee and head height are gathered in small cells, and a cell is solid if enough surface is
seen in it. What is low (the ground) or thin (a blade of grass) stops nobody. Then the way is gone again in short steps:
a step that would come too near to something solid loses its part towards it, so that one slides along a wall and stops
before it.

One place alone is not enough: who stands before a wall sees nothing of what is beside it. So the plan is what is seen
from several places where the walk was, the newest of them that lie apart, however long one has stood there.

Where a character walks ahead of the camera, it is kept clear as well: what is solid is as near to it as it would be to
a camera in its place.

Only places change; where the camera looks is what was wanted. The model gets these poses, and so does the journal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import heading
from engine.geometry import POCKET_LENS, Lens
from engine.guide import Surface
from engine.sources import away

Plan = NDArray[np.float64]
"""Places on the ground `[N, 2]`: x and z."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WallRule:
    """What is solid, and how near one may come; lengths in units."""

    clearance: float = 1.2
    """Nearer than this a picture is magnified until it is a blur, and posts are walked into."""
    knee: float = 0.4
    """What is lower above the ground is stepped over."""
    head: float = 2.2
    """What is higher above the ground is passed under. Above the eye, or who looks up would see no wall."""
    nearest: float = 0.15
    """Depth that is not believed to be anything."""
    farthest: float = 6.0
    """Depth that is too far to be exact; also how far the places are that are looked from."""
    sure: float = 0.1
    """Least confidence of a pixel."""
    cell: float = 0.2
    """Side of a cell of the plan."""
    surface: float = 0.015
    """Least area, in square units, that is seen in a solid cell: a wall shows about 0.25, and of a post the depth
    network puts but a part where it is."""
    stride: float = 0.06
    """Longest short step."""
    slide: float = 0.3
    """Least share of a short step that must be left, or the walk stops there."""
    places: int = 8
    """Most pictures that the plan is drawn from."""
    character: float = 0.04
    """Least share of the middle of the picture that shows who walks ahead of the camera."""
    apart: float = 0.5
    """How far the places are from each other: units, and one for every radian that they look elsewhere."""


RULE = WallRule()


def obstacles(
    disparity: NDArray[np.floating],
    sure: NDArray[np.floating],
    world_from_camera: NDArray[np.float64],
    lens: Lens,
    rule: WallRule = RULE,
) -> Plan:
    """Where something solid stands, by a picture's disparity `[H, W]` (0 in the sky) and confidence `[H, W]` (0..1)."""
    H, W = disparity.shape
    rows, columns = np.nonzero((disparity > 1 / rule.farthest) & (disparity < 1 / rule.nearest) & (sure >= rule.sure))
    depth = 1 / disparity[rows, columns].astype(np.float64)
    x, y = ((columns + 0.5) / W - 0.5) / lens.fx * depth, ((rows + 0.5) / H - 0.5) / lens.fy * depth
    points = np.stack([x, y, depth], -1) @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
    standing = (-points[:, 1] > rule.knee) & (-points[:, 1] < rule.head)
    points, area = points[standing][:, [0, 2]], depth[standing] ** 2 / (lens.fx * W * lens.fy * H)
    _, cell = np.unique(np.floor(points / rule.cell).astype(np.int64), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    total = np.bincount(cell, area)
    middle = np.stack([np.bincount(cell, area * points[:, axis]) for axis in (0, 1)], -1) / total[:, None]
    return middle[total >= rule.surface]


def lookouts(path: NDArray[np.float64], among: NDArray[np.int64], rule: WallRule = RULE) -> list[int]:
    """Which of the cameras `[T, 4, 4]` of a walk, `among` those numbers, show what may stand in the way of the last
    one: newest first, those that lie apart and near enough."""
    found: list[int] = []
    left = np.zeros(len(path), dtype=bool)
    left[among] = np.linalg.norm((path[among] - path[-1])[:, [0, 2], 3], axis=1) <= rule.farthest
    while left.any() and len(found) < rule.places:
        found.append(int(np.flatnonzero(left)[-1]))
        left &= away(path, path[found[-1]]) >= rule.apart
    return found


def keep_clear(
    plan: Plan, poses: NDArray[np.float64], rule: WallRule = RULE, ahead: float = 0.0
) -> NDArray[np.float64]:
    """The wanted poses `[1 + T, 4, 4]` (the first is where the camera stands) with the places that are allowed to it,
    and to a character so many units `ahead` of it, if there is one.

    Who stands too near already may go anywhere but nearer.
    """
    allowed, place = poses.copy(), poses[0, [0, 2], 3]
    yaw = heading(poses)[0]
    for t, way in enumerate(np.diff(poses[:, [0, 2], 3], axis=0), 1):
        before_it = ahead * np.array([np.sin(yaw[t]), np.cos(yaw[t])])
        solid = np.concatenate([plan, plan - before_it]) if ahead else plan
        count = int(np.ceil(np.linalg.norm(way) / rule.stride))
        for _ in range(count):
            place = place + _slid(solid, place, way / count, rule)
        allowed[t, [0, 2], 3] = place
    return allowed


def _slid(plan: Plan, place: NDArray[np.float64], step: NDArray[np.float64], rule: WallRule) -> NDArray[np.float64]:
    """What is left of a short step `[2]` without its parts towards what is too near; nothing in a corner."""
    wanted = np.linalg.norm(step)
    for _ in range(3):
        ahead = plan - (place + step)
        distance = np.linalg.norm(ahead, axis=1)
        near = (distance < rule.clearance) & ((plan - place) @ step > 1e-9)
        if not near.any():
            return step if np.linalg.norm(step) >= rule.slide * wanted else np.zeros(2)
        directions = (plan[near] - place) / np.maximum(np.linalg.norm(plan[near] - place, axis=1), 1e-9)[:, None]
        towards = (rule.clearance - distance[near]) @ directions  # the nearest count most
        towards = towards / max(float(np.linalg.norm(towards)), 1e-9)
        step = step - towards * (towards @ step)
    return np.zeros(2)


def character_ahead(surface: Surface, rule: WallRule = RULE) -> float:
    """How far ahead of the camera a character walks by a lifted picture, in units; 0 if none does."""
    if surface.stands is None:
        return 0.0
    H, W = surface.disparity.shape
    middle = slice(H // 3, H), slice(W // 3, W - W // 3)
    near, stands = surface.disparity[middle].cpu().numpy(), surface.stands[middle].cpu().numpy()
    shown = ~stands & (near > 1 / rule.farthest)
    return float(1 / np.median(near[shown])) if shown.mean() >= rule.character else 0.0


def plan_of(disparity_HW: Tensor, world_from_camera: NDArray[np.float64]) -> Plan:
    """What a picture of this disparity, 0 where nothing is, shows to be solid."""
    disparity = disparity_HW.cpu().numpy()
    return obstacles(disparity, np.ones_like(disparity), world_from_camera, POCKET_LENS)
