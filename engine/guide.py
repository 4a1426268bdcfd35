"""The geometric guide: what the surfaces that the context shows look like from the cameras of the next latents.

`pocket` is too small to learn from nothing how pictures move when a camera does. So the last frames of some context
latents are lifted to 3D with their depth, drawn from every camera of the chunk, and encoded: the network starts from
"the known part of the world, moved", and generates what is new, what changes, and what the depth got wrong. Which
frames are lifted is the memory's choice (paper §3.3): the recent ones, and those it retrieved for this view.

The guide is never state: it follows from latents and poses alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.actions import heading, turn
from engine.drawing import AROUND, SAME, SAME_AT_LEAST, SURROUNDED, draw
from engine.drawing import fill as fill_on_cpu
from engine.geometry import Lens, rigid_inverse
from engine.precision import autocast
from engine.sheets import cells_of, points_in
from engine.vae import FRAMES_PER_LATENT, SPATIAL_FACTOR, Vae

if TYPE_CHECKING:
    from engine.panorama import Backdrop

_NEAREST, _FARTHEST = 0.05, 1000.0
_REACH = 0.8
"""Pixels, across and down, that a source pixel covers around where it falls: half of its own width, and some."""
_MAGNIFIED = 2.0
"""How many times nearer a surface may come before its pixels reach no further: what is between them is filled where
they are of one surface, and what belongs to none stays small."""
_ENOUGH = 0.99
"""Share of the pixels that must be covered before older sources are left out: what is missing then are seams."""
_STEP = 0.02
"""Disparity between neighbouring pixels that may be an edge; the ground's own is less, even at the horizon."""
_RIM = 4
"""Pixels around what is current in which nothing stale is shown."""
_SPARSE = 4
"""Of so many pixels across and down one tells whether anything of a source is in view."""
_STRIDE = 4
"""One frame is lifted of so many latents of the context."""


@dataclass(frozen=True, slots=True)
class Surface:
    """What one frame shows: picture `[3, H, W]` in [-1, 1] (or one for each view that it is drawn in, `[V, 3, H, W]`),
    disparity `[H, W]` (0 in the sky), camera `[4, 4]`, which pixels belong to the place `[H, W]`, not to a character
    that walks along (None for all), and how sure their depth is, 0..1 `[H, W]` (None where nobody asks): what isn't at
    all isn't drawn."""

    picture: Tensor
    disparity: Tensor
    world_from_camera: NDArray[np.float64]
    stands: Tensor | None = None
    sure: Tensor | None = None
    kept: Tensor = field(init=False)
    """Pixels `[H, W]` that are drawn from other cameras."""

    def __post_init__(self) -> None:
        kept = ~flying(self.disparity)
        for known in (self.stands, self.sure):
            kept = kept if known is None else kept & (known > 0)
        object.__setattr__(self, "kept", kept)

    def showing(self, picture: Tensor) -> Surface:
        """The same surface with another picture."""
        other = copy(self)
        object.__setattr__(other, "picture", picture)
        return other


def lifted(context: Iterable[int]) -> list[int]:
    """Which latents of an ascending context are lifted, ascending: its newest, and every fourth before that."""
    return sorted([int(i) for i in context][::-1][::_STRIDE])


def cameras_between(before: NDArray[np.float64], latents_T44: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cameras `[T, 4, 4, 4]` of the four frames of each latent, from the one before the first and those of the latents.

    Position, yaw and pitch move evenly within a latent.
    """
    ends = np.concatenate([before[None], latents_T44])
    (yaw, pitch), place = heading(ends), ends[:, :3, 3]
    turns = (np.diff(yaw) + np.pi) % (2 * np.pi) - np.pi
    cameras = np.tile(np.eye(4), (len(latents_T44), FRAMES_PER_LATENT, 1, 1))
    for t in range(len(latents_T44)):
        for f in range(FRAMES_PER_LATENT):
            share = (f + 1) / FRAMES_PER_LATENT
            cameras[t, f, :3, :3] = turn(yaw[t] + share * turns[t], pitch[t] + share * (pitch[t + 1] - pitch[t]))
            cameras[t, f, :3, 3] = place[t] + share * (place[t + 1] - place[t])
    return cameras


def rays(H: int, W: int, lens: Lens, device: torch.device) -> Tensor:
    """Points at depth 1 through the pixel centres, `[H, W, 3]`."""
    x = ((torch.arange(W, device=device) + 0.5) / W - 0.5) / lens.fx
    y = ((torch.arange(H, device=device) + 0.5) / H - 0.5) / lens.fy
    return torch.stack([x.expand(H, W), y[:, None].expand(H, W), torch.ones(H, W, device=device)], -1)


def _move(points_P3: Tensor, target_from_source: NDArray[np.float64]) -> Tensor:
    m = torch.from_numpy(target_from_source.astype(np.float32)).to(points_P3.device)
    return points_P3 @ m[..., :3, :3].mT + m[..., None, :3, 3]


def _pixels(points: Tensor, H: int, W: int, lens: Lens) -> tuple[Tensor, Tensor, Tensor]:
    """Columns, rows (the centre of the first pixel is 0) and depths of points `[..., 3]` of a camera."""
    z = points[..., 2].clamp_min(_NEAREST)
    columns = (points[..., 0] / z * lens.fx + 0.5) * W - 0.5
    rows = (points[..., 1] / z * lens.fy + 0.5) * H - 0.5
    return columns, rows, points[..., 2]


def in_view(
    disparity_HW: Tensor, world_from_camera: NDArray[np.float64], views_V44: NDArray[np.float64], lens: Lens
) -> bool:
    """Whether other cameras see anything of a surface, as far as every `_SPARSE`th pixel across and down tells."""
    H, W = disparity_HW.shape
    depth = 1 / disparity_HW[::_SPARSE, ::_SPARSE].clamp_min(1 / _FARTHEST)
    points = rays(H, W, lens, depth.device)[::_SPARSE, ::_SPARSE] * depth[..., None]
    x, y, z = _pixels(_move(points.flatten(0, 1), rigid_inverse(views_V44) @ world_from_camera), H, W, lens)
    return bool(((z > _NEAREST) & (x > -1) & (x < W) & (y > -1) & (y < H)).any())


def flying(disparity_HW: Tensor) -> Tensor:
    """Pixels whose depth lies between those of two surfaces that meet there, and belongs to neither."""
    around = disparity_HW[None, None]
    most, least = F.max_pool2d(around, 3, 1, 1)[0, 0], -F.max_pool2d(-around, 3, 1, 1)[0, 0]
    step = (0.15 * most).clamp_min(_STEP)
    return ((most - disparity_HW) > step) & ((disparity_HW - least) > step)


def splat(source: Surface, views_V44: NDArray[np.float64], lens: Lens) -> Tensor:
    """Disparity `[V, H, W]` of a source's surfaces in other cameras, -1 where it shows nothing; the nearest wins.

    Each source pixel covers the pixels within `_REACH` of where it falls, and as much more as what it shows has come
    nearer, and what is between pixels of one surface is covered (engine/sheets.py), so that surfaces stay closed.
    """
    H, W = source.disparity.shape
    device = source.disparity.device
    kept = source.kept
    depth = 1 / source.disparity[kept].clamp_min(1 / _FARTHEST)
    points = rays(H, W, lens, device)[kept] * depth[:, None]
    x, y, z = _pixels(_move(points, rigid_inverse(views_V44) @ source.world_from_camera), H, W, lens)
    near = torch.where(source.disparity[kept] > 0, 1 / z.clamp_min(_NEAREST), 0.0)
    reach = _REACH + 0.5 * (depth / z.clamp_min(_NEAREST) - 1).clamp(0, _MAGNIFIED - 1)
    out = torch.full((len(views_V44), H * W + 1), -1.0, device=device)
    left, top = x.floor(), y.floor()
    seen = (z > _NEAREST) & (x > -reach) & (x < W - 1 + reach) & (y > -reach) & (y < H - 1 + reach)
    around = math.ceil(float(torch.where(seen, reach, _REACH).amax())) if reach.numel() else 0
    for right, down in product(range(1 - around, around + 1), repeat=2):
        column, row = left + right, top + down
        inside = seen & (column >= 0) & (column < W) & (row >= 0) & (row < H)
        inside &= ((x - column).abs() <= reach) & ((y - row).abs() <= reach)
        out.scatter_reduce_(1, torch.where(inside, row * W + column, float(H * W)).long(), near, "amax")
    places, cells = torch.full((len(views_V44), 3, H, W), -1.0, device=device), cells_of(source.disparity, kept)
    places[:, :, kept] = torch.stack([x, y, torch.where(z > _NEAREST, near, -1.0)], 1)
    for view, place in zip(out, places, strict=True):
        column, row, between = points_in(place, cells, (H, W))
        inside = (column > -0.5) & (column < W - 0.5) & (row > -0.5) & (row < H - 0.5)
        at = torch.where(inside, row.round() * W + column.round(), float(H * W)).long()
        view.scatter_reduce_(0, at, between, "amax")
    return close(out[:, :-1].unflatten(1, (H, W)))


def close(disparity_VHW: Tensor) -> Tensor:
    """Disparities whose pixels between those of a surface that came nearer (at least five of the eight neighbours stand
    before what they show, if that is anything) take the nearest neighbour's."""
    here = disparity_VHW[:, None]
    before = torch.where(here >= 0, here + SAME * here + SAME_AT_LEAST, 0.0)
    around = F.unfold(F.pad(here, (1, 1, 1, 1), value=-1.0), 3).unflatten(2, here.shape[-2:])
    count = (around >= before).sum(1, keepdim=True)
    return torch.where(count >= 5, around.amax(1, keepdim=True), here)[:, 0]


Seen = tuple[Tensor, Tensor, Tensor]
"""Pictures `[V, 3, H, W]`, which source each pixel is from, counted from the newest (-1 where none shows it), and the
disparity of what it shows, both `[V, H, W]`."""


def look_from(source: Surface, views_V44: NDArray[np.float64], lens: Lens) -> tuple[Tensor, Tensor, Tensor]:
    """One source from other cameras: pictures, where they are covered, and the disparity of what they show.

    Every pixel that has a disparity looks its colour up in the source, unless another surface stands before it there.
    """
    disparity = splat(source, views_V44, lens)
    V, H, W = disparity.shape
    through = rays(H, W, lens, disparity.device).flatten(0, 1)
    points = through / disparity.flatten(1).clamp_min(1 / _FARTHEST)[..., None]  # [V, P, 3]
    x, y, z = _pixels(_move(points, rigid_inverse(source.world_from_camera) @ views_V44), H, W, lens)
    at = torch.stack([(x + 0.5) * 2 / W - 1, (y + 0.5) * 2 / H - 1], -1).unflatten(1, (H, W))
    z = z.unflatten(1, (H, W))
    maps = torch.cat([source.picture.expand(V, 3, H, W), source.disparity.expand(V, 1, H, W)], 1)
    found = F.grid_sample(maps, at, mode="bilinear", padding_mode="border", align_corners=False)
    here = torch.where(disparity > 0, 1 / z.clamp_min(_NEAREST), 0.0)
    same = (here - found[:, 3]).abs() <= SAME * torch.maximum(here, found[:, 3]) + SAME_AT_LEAST
    return found[:, :3], same & (disparity >= 0) & (z > _NEAREST) & (at.abs().amax(-1) <= 1), disparity


def look(
    sources: Sequence[Surface],
    views_V44: NDArray[np.float64],
    lens: Lens,
    stale: int = 0,
    backdrop: Backdrop | None = None,
) -> Seen:
    """The sources from other cameras.

    Each source hides those before it, which only show what it doesn't, so what has moved since leaves no ghost. What
    none shows the backdrop does, which is before all of them; what that doesn't continues what is around it smoothly.
    The first `stale` sources show no seams and rims of the others, where they would stand out.
    """
    picture, origin, near = _look(sources, views_V44, lens)
    count = len(sources)
    if backdrop is not None and (bare := origin < 0).any():
        colours, disparity, known = backdrop.behind(bare, views_V44, lens)
        picture.movedim(1, -1)[bare], near[bare] = colours.T, disparity
        origin[bare] = torch.where(known, count, -1).to(origin.dtype)
    count += backdrop is not None
    if 0 < stale < count:
        old = origin >= count - stale
        current = (origin >= 0) & ~old
        beside = F.max_pool2d(current.float()[:, None], 2 * _RIM + 1, 1, _RIM)[:, 0] > 0
        origin = torch.where(old & beside, -1, origin)
    known = origin >= 0
    if picture.device.type != "cpu":
        return fill(picture, known[:, None].float()), origin, near
    fill_on_cpu(picture.numpy(), known.numpy())
    return picture, origin, near


def _look(sources: Sequence[Surface], views_V44: NDArray[np.float64], lens: Lens) -> Seen:
    drawn = look_on_cpu if sources[-1].picture.device.type == "cpu" else look_through
    return drawn(sources, views_V44, lens)


def look_on_cpu(sources: Sequence[Surface], views_V44: NDArray[np.float64], lens: Lens) -> Seen:
    """`look_through`, compiled, with sharper interpolation."""
    newest_first = sources[::-1]
    cameras = np.stack([source.world_from_camera for source in newest_first])[:, None]
    picture, origin, near = draw(
        [source.picture.expand(len(views_V44), -1, -1, -1).numpy() for source in newest_first],
        [source.disparity.numpy() for source in newest_first],
        [source.kept.numpy() for source in newest_first],
        rigid_inverse(views_V44) @ cameras,
        rigid_inverse(cameras) @ views_V44,
        (lens.fx, lens.fy),
        depths=(_NEAREST, _FARTHEST),
        reach=_REACH,
        magnified=_MAGNIFIED,
        enough=_ENOUGH,
    )
    return torch.from_numpy(picture), torch.from_numpy(origin), torch.from_numpy(near)


def look_through(sources: Sequence[Surface], views_V44: NDArray[np.float64], lens: Lens) -> Seen:
    """The sources alone, in plain tensor operations."""
    picture, covered, near = look_from(sources[-1], views_V44, lens)
    picture, origin, near = tidy(picture, covered.to(torch.int8) - 1, near)
    for number, source in enumerate(reversed(sources[:-1]), 1):
        covered = origin >= 0
        if covered.float().mean() > _ENOUGH:
            break
        older, visible, behind = look_from(source, views_V44, lens)
        picture, near = torch.where(covered[:, None], picture, older), torch.where(covered, near, behind)
        picture, origin, near = tidy(picture, torch.where(visible & ~covered, number, origin), near)
    return picture, origin, near


def tidy(picture: Tensor, origin: Tensor, near: Tensor) -> Seen:
    """Without specks: see `engine.drawing.AROUND`."""
    known = (origin >= 0)[:, None]
    r, side = AROUND, 2 * AROUND + 1
    both = torch.cat([picture, near[:, None], torch.ones_like(near)[:, None]], 1) * known
    total, density = 9 * F.avg_pool2d(both, 3, 1, 1), F.avg_pool2d(known.float(), side, 1, r, count_include_pad=False)
    count = total[:, 4:].round()
    filled, lost = ~known & (count >= SURROUNDED), known & (density < (r + 1) / side - 1e-4)
    newest = -F.max_pool2d(torch.where(known, -origin[:, None].float(), -127.0), 3, 1, 1)
    mean = total[:, :4] / count.clamp_min(1)
    origin = torch.where(filled, newest, torch.where(lost, -1, origin[:, None]))[:, 0].to(origin.dtype)
    return torch.where(filled, mean[:, :3], picture), origin, torch.where(filled[:, 0], mean[:, 3], near)


def fill(picture: Tensor, known: Tensor) -> Tensor:
    """Pictures `[V, 3, H, W]` whose unknown pixels (`known` `[V, 1, H, W]` is 0) continue the known ones smoothly."""
    H, W = picture.shape[-2:]
    if min(H, W) < 2:
        weight = known.sum((-2, -1), keepdim=True).clamp_min(1e-6)
        return torch.where(known > 0, picture, (picture * known).sum((-2, -1), keepdim=True) / weight)
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    small = F.avg_pool2d(picture * known, 2, ceil_mode=True) / share.clamp_min(1e-6)
    coarse = fill(small, (share > 0).float())
    wide = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., :H, :W]
    return torch.where(known > 0, picture, wide)


@dataclass(frozen=True, slots=True)
class Guide:
    """Of T latents: what the network sees `[T, C + 5, Y, X]`, and the frames it was encoded from, `[T, 4, 3, H, W]` in
    [-1, 1] with their coverage `[T, 4, H, W]`, which the compositor sees, and their disparity `[T, 4, H, W]`, 0 where
    nothing covers them.

    The first C channels are the encoded frames, the next four how much of each cell every frame has covered (0..1), the
    last how much of it is from sources older than the words in force.
    """

    latents: Tensor
    frames: Tensor
    covered: Tensor
    disparity: Tensor

    @classmethod
    def nothing(cls, latents: int, channels: int, grid: tuple[int, int], device: torch.device | None = None) -> Guide:
        """A guide of so many latents that covers nothing; `channels` are the network's."""
        (Y, X), frames = grid, (latents, FRAMES_PER_LATENT)
        H, W = Y * SPATIAL_FACTOR, X * SPATIAL_FACTOR
        return cls(
            torch.zeros(latents, channels, Y, X, device=device),
            torch.zeros(*frames, 3, H, W, device=device),
            torch.zeros(*frames, H, W, dtype=torch.bool, device=device),
            torch.zeros(*frames, H, W, device=device),
        )

    @classmethod
    def joined(cls, parts: Sequence[Guide]) -> Guide:
        """Guides of latents in a row."""
        return cls(*(torch.cat([getattr(part, each.name) for part in parts]) for each in fields(cls)))


@torch.inference_mode()
def make_guide(
    vae: Vae,
    sources: Sequence[Surface],
    before: NDArray[np.float64],
    latents_T44: NDArray[np.float64],
    lens: Lens,
    stale: int = 0,
    begun: Sequence[Surface] = (),
    backdrop: Backdrop | None = None,
) -> Guide:
    """Guide of latents with cameras `[T, 4, 4]`, the latent before them seen from `before`; `stale` of the sources, the
    oldest, are older than the words. What is `begun` as other pictures of the same sources becomes these, frame by
    frame. Where none of them shows anything the `backdrop` does, the oldest of all."""
    T, views = len(latents_T44), cameras_between(before, latents_T44).reshape(-1, 4, 4)
    if begun:
        share = torch.arange(1, len(views) + 1, device=sources[0].picture.device)[:, None, None, None] / len(views)
        sources = [
            last if first is last else last.showing(torch.lerp(first.picture, last.picture, share))
            for first, last in zip(begun, sources, strict=True)
        ]
    count = len(sources) + (backdrop is not None)
    seen = look(sources, views, lens, stale, backdrop)
    frames, origin, near = (x.unflatten(0, (T, FRAMES_PER_LATENT)) for x in seen)
    covered = origin >= 0
    share = F.avg_pool2d(covered.float(), SPATIAL_FACTOR)
    old = F.avg_pool2d((origin >= count - stale).float().mean(1, keepdim=True), SPATIAL_FACTOR)
    with autocast(frames.device):
        latents = vae.encode(frames.flatten(1, 2)[None])[0].float()
    return Guide(torch.cat([latents, share, old], 1), frames, covered, near * covered)
