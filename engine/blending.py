"""How two panoramas become one: in one light, along the seam where they are most alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.guide import fill
from engine.panorama import DOWN, FAR, UP, Panorama, falls, kinds

_NEAR = 5.0
"""Disparities are compared up to about one over so many."""
_ENOUGH = 0.01
"""Share of what is seen from which colours of a kind are known."""
_GAIN = (0.75, 1.25)
"""Least and most by which contrast is changed."""
Shares = Sequence[tuple[float, float]]
"""Of sky, of ground and of what stands: the share of a change of hue that is taken on, and most of any change."""
WHOLLY: Shares = ((1.0, 2.0),) * 3
_LIGHT = 25.0
"""Degrees from a seam over which its light is lost in the picture behind."""
_BLUR = 0.03
"""Rows of a picture over which that light is even."""
_HASTE = 0.5
"""Cost of each further degree in front: what is mirrored is soon known again."""


def relit(panorama: Panorama, here: Panorama, there: Panorama, shares: Shares = WHOLLY) -> Panorama:
    """A panorama in which sky, ground and what stands change as their mean colours and contrasts do from what is known
    of one panorama to what is known of another: by a share of each change's hue, and by so much at most."""
    picture = panorama.picture.clone()
    for mine, old, new, (hue, most) in zip(kinds(panorama), kinds(here), kinds(there), shares, strict=True):
        old, new = (_enough(kind, whole.known) for kind, whole in ((old, here), (new, there)))
        before, after = here.picture[:, old], there.picture[:, new]
        gain = (after.std(1) / before.std(1).clamp_min(1e-3)).clamp(*_GAIN)[:, None]
        change, centre = (after.mean(1) - before.mean(1))[:, None], before.mean(1, keepdim=True)
        change = (change.mean(0) + hue * (change - change.mean(0))).clamp(-most, most)
        picture[:, mine] = ((panorama.picture[:, mine] - centre) * gain + centre + change).clamp(-1, 1)
    return Panorama(picture, panorama.disparity, panorama.known)


def _enough(kind: Tensor, known: Tensor) -> Tensor:
    """Where a kind is known, or everything that is where there is little of it."""
    seen = kind & known
    return seen if seen.sum() >= _ENOUGH * known.sum() else known


def seam_of(front: Panorama, back: Panorama, begin: int, end: int) -> NDArray[np.int64]:
    """The way from top to bottom, between two columns, along which a panorama in front and one behind are most alike,
    `[H]`."""
    between = slice(begin, end)
    apart = (front.picture[..., between] - back.picture[..., between]).abs().sum(0)
    near, far = ((_NEAR * x.disparity[..., between]).tanh() for x in (front, back))
    degrees = torch.arange(end - begin, device=apart.device) * (360 / front.disparity.shape[1])
    cost = apart + 3 * (near - far).abs() + 9.0 * ~front.known[..., between] + _HASTE * degrees / 10
    return begin + seam(cost.cpu().numpy().astype(np.float64))


def joined(front: Panorama, back: Panorama, seam_H: NDArray[np.int64]) -> Panorama:
    """The panorama in front as far as a seam, and right of it the one behind, in the light of the other there."""
    H, W = front.disparity.shape
    column = torch.from_numpy(seam_H).to(front.disparity.device)[:, None]
    off = torch.arange(W, device=column.device) - column
    rows, at = torch.arange(H, device=column.device)[:, None], column + torch.arange(-3, 1, device=column.device)
    alike = front.known[rows, at]
    change = torch.where(alike, front.picture[:, rows, at] - back.picture[:, rows, at], 0.0)
    spread = torch.exp(-0.5 * ((rows - rows.T) / (_BLUR * H)) ** 2)
    fades = torch.where(off >= 0, torch.exp(-off / (_LIGHT / 360 * W)), 0.0)
    picture = back.picture.clone()
    for here, there in zip(kinds(front), kinds(back), strict=True):
        same = (here[rows, at] & there[rows, at] & alike).float()
        weight = spread @ same.sum(1)
        light = (change * same).sum(-1) @ spread / weight.clamp_min(0.5)
        picture = torch.where(there, picture + light[..., None] * fades, picture)
    behind = Panorama(picture.clamp(-1, 1), back.disparity, back.known)
    return Panorama(front.picture, front.disparity, front.known & (off < 0)).over(behind)


def seam(cost_HW: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column of each row of the cheapest way from top to bottom that moves at most a column a row, `[H]`."""
    H, total = len(cost_HW), cost_HW.copy()
    for row in range(1, H):
        before = np.pad(total[row - 1], 1, constant_values=np.inf)
        total[row] += np.minimum.reduce([before[:-2], before[1:-1], before[2:]])
    way = np.empty(H, np.int64)
    way[-1] = total[-1].argmin()
    for row in range(H - 2, -1, -1):
        low = max(0, way[row + 1] - 1)
        way[row] = low + total[row, low : way[row + 1] + 2].argmin()
    return way


def patched(front: Panorama, back: Panorama) -> Panorama:
    """The panorama in front, and where it isn't known the one behind, in the light that is around there: how both show
    sky tells how its sky is lit, and so with ground and what stands."""
    picture, known = back.picture.clone(), front.known & back.known
    for here, there in zip(kinds(front), kinds(back), strict=True):
        if (alike := here & there & known).any():
            change = fill(torch.where(alike, front.picture - back.picture, 0.0)[None], alike[None, None].float())[0]
            picture[:, there] += change[:, there]
    return front.over(Panorama(picture.clamp(-1, 1), back.disparity, back.known))


def extended(panorama: Panorama, slope: float) -> Panorama:
    """A panorama that goes on above and below what is known of it: what stands near by so much more, and level ground
    to the bottom."""
    known, H = panorama.known, len(panorama.known)
    rows, fall = torch.arange(H, device=known.device)[:, None], falls(H).to(known.device)
    top, bottom = known.int().argmax(0)[None], H - 1 - known.flip(0).int().argmax(0)[None]
    source = rows.clamp(top, bottom)
    _, ground, stands = (kind.gather(0, source) for kind in kinds(panorama))
    disparity = panorama.disparity.gather(0, source)
    above = (rows < top) & (rows >= top - round(slope / (UP + DOWN) * H)) & stands & (disparity > 1 / FAR)
    below = (rows > bottom) & ground
    more = known.any(0) & (above | below)
    level = disparity * torch.where(below, fall / fall[source, 0], 1.0)
    picture = panorama.picture.gather(1, source.expand_as(panorama.picture))
    return Panorama(
        torch.where(more, picture, panorama.picture), torch.where(more, level, panorama.disparity), known | more
    )
