"""Surfaces of past latents: pictures with depth, from which the guide of the next chunk is drawn.

The picture of a chunk's last latent is the one that was shown, which its record keeps; that of any other latent is
decoded anew (a frame of the decoder depends on its own latent and the two before it, nothing else). Both come back
exactly from the journal, and so does the guide.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.consistency import consistent, earlier_than
from engine.depth import Depth, confidence, estimate, estimate_twice, ground_disparity, signed
from engine.geometry import POCKET_LENS
from engine.guide import Guide, Surface, look, make_guide
from engine.hero import Hero, meet
from engine.imagining import Surroundings
from engine.panorama import Backdrop
from engine.precision import autocast
from engine.recent import recent
from engine.repaint import Paint, Painted
from engine.settling import settled
from engine.squares import visited
from engine.vae import DecoderState, to_uint8
from engine.walls import Plan, lookouts, plan_of
from engine.weights import PocketWeights

CAPACITY = 64
"""Surfaces kept: more than any context lifts."""
_REACH = 2
"""Latents before its own that a frame depends on."""


def surfaces_of(depth: Depth, pictures_V3HW: Tensor, cameras: NDArray[np.float64]) -> list[Surface]:
    """The surfaces of pictures in [-1, 1] whose depth was estimated, settled."""
    H, W = pictures_V3HW.shape[2:]
    ground = ground_disparity(cameras, H, W, POCKET_LENS).to(pictures_V3HW.device)
    depth = settled(depth, pictures_V3HW, ground)
    disparity, stands, sure = depth.seen(), depth.stands(), confidence(depth)
    pictures = pictures_V3HW.contiguous()
    return [Surface(pictures[i], disparity[i], cameras[i], stands[i], sure[i]) for i in range(len(cameras))]


class Surfaces:
    """Least recently used surfaces by latent.

    `latent(i)` gives latent i of the world, `[C, Y, X]`; `picture(i)` what was shown there, or None if it isn't kept;
    `first` is the latent whose picture the world was begun with. What is imagined stops who walks if it `imagines`.
    """

    def __init__(
        self,
        weights: PocketWeights,
        latent: Callable[[int], Tensor],
        picture: Callable[[int], NDArray[np.uint8] | None],
        first: int = 0,
        imagines: bool = True,
    ) -> None:
        self.weights, self._latent, self._picture = weights, latent, picture
        self.first, self.imagines = first, imagines
        self._kept: OrderedDict[int, Surface] = OrderedDict()
        self._alone: OrderedDict[int, Surface] = OrderedDict()
        self._plans: OrderedDict[int, Plan] = OrderedDict()
        self._painted = Painted(weights.repainter) if weights.repainter else None
        self._around: Surroundings | None = None

    def forget_from(self, index: int) -> None:
        """Drops this latent and all later ones (rewind)."""
        for surfaces in (self._kept, self._alone, self._plans):
            for i in [i for i in surfaces if i >= index]:
                del surfaces[i]
        self._around = self._around if index > self.first else None
        if self._painted is not None:
            self._painted.forget_from(index)

    def get(self, index: int, path: NDArray[np.float64]) -> Surface:
        """The surface of latent `index` of a walk along cameras `[T, 4, 4]`, of those up to it, consistent with what
        was seen before it (engine/consistency.py)."""

        def make() -> Surface:
            earlier = sorted({self._kept_before(i) for i in earlier_than(index)})
            others = [self._seen_alone(i, path) for i in earlier]
            return consistent(self._seen_alone(index, path), others, POCKET_LENS)

        return recent(self._kept, index, make, CAPACITY)

    def _begun(self, path: NDArray[np.float64]) -> Surface:
        """The surface of the picture that the world was begun with, or of the newest before it."""
        return self.get(min(self.first, len(path) - 1), path)

    def _kept_before(self, index: int) -> int:
        """The newest latent up to one whose picture is kept, so that none is decoded anew for this."""
        return next((i for i in range(index, 0, -1) if self._picture(i) is not None), 0)

    def _seen_alone(self, index: int, path: NDArray[np.float64]) -> Surface:
        return recent(self._alone, index, lambda: self._lift(index, path), CAPACITY)

    def walls(self, path: NDArray[np.float64], ends: NDArray[np.int64]) -> Plan:
        """What is solid around the last camera of a walk `[T, 4, 4]`, as far as the latents `ends` see it in what is
        drawn (engine/walls.py)."""

        def plan(index: int) -> Plan:
            return recent(self._plans, index, lambda: self._plan(path[: index + 1]), CAPACITY)

        return np.concatenate([plan(i) for i in lookouts(path, ends)])

    def _plan(self, path: NDArray[np.float64]) -> Plan:
        """What the last camera of a walk sees to be solid of the first picture, and of what is imagined around it."""
        nothing: tuple[Paint, Paint] = ((), ())
        around = [view for view, _ in self._imagined(nothing, path, len(path) - 1)[0]] if self.imagines else []
        _, origin, near = look([*around, self._begun(path)], path[-1:], POCKET_LENS)
        return plan_of(near[0] * (origin[0] >= 0), path[-1])

    def meet(self, camera: NDArray[np.float64]) -> tuple[Hero, NDArray[np.uint8]] | None:
        """Who walks ahead in the picture of latent 0, of this camera, and that picture `[H, W, 3]` without; None if
        nobody does. What is lifted later is lifted from what is then the picture."""
        painter, depth = self.weights.hero, self.weights.depth
        met = meet(painter, self.get(0, camera[None]), POCKET_LENS) if painter and depth else None
        self.forget_from(0)
        return None if met is None else (met[0], to_uint8(met[1]).cpu().numpy())

    @torch.inference_mode()
    def guide(
        self,
        path: NDArray[np.float64],
        chosen: Sequence[int],
        current: int,
        stale: int = 0,
        lacks: Callable[[int], tuple[Paint, Paint]] = lambda index: ((), ()),
        imagine: bool = True,
    ) -> Guide:
        """Guide of the latents `current ..` of `path` `[current + T, 4, 4]`, drawn from the `chosen` ones: what
        the later of them show hides what the earlier do, of which the first `stale` are; under the events that a
        picture `lacks`, before the first and at the last of them. What none shows is to `imagine` from the world's
        first (engine/imagining.py).

        The first latent of a world, which is given, has none (zeros); the rest of its chunk is lifted from it.
        """
        first = max(current, 1)
        weights = self.weights
        nothing = Guide.nothing(first - current, weights.model.guide_channels, weights.grid, weights.vae.mean.device)
        if first == len(path):
            return nothing
        pairs, backdrop = [self._under(lacks(i), i, path) for i in chosen], None
        if imagine:
            behind, backdrop = self._imagined(lacks(self.first if current else 0), path, first - 1)
            pairs, stale = [*behind, *pairs], stale and stale + len(behind) + (backdrop is not None)
        begun, sources = ([pair[end] for pair in pairs] for end in (0, 1))
        changing = any(first is not last for first, last in pairs)
        shown = make_guide(
            weights.vae, sources, path[first - 1], path[first:], POCKET_LENS, stale, begun if changing else (), backdrop
        )
        return Guide.joined([nothing, shown])

    def _imagined(
        self, lacks: tuple[Paint, Paint], path: NDArray[np.float64], since: int
    ) -> tuple[list[tuple[Surface, Surface]], Backdrop | None]:
        """What cameras of a walk, from one on, see of what is imagined, while the first picture lacks something at two
        moments; and what is behind all of it at the second."""
        if self._around is None:
            first_surface, painter = self._begun(path), self.weights.repainter
            self._around = Surroundings(self.weights.album, first_surface, POCKET_LENS, painter)
        been = visited(path[: since + 1])
        last, backdrop = self._around.drawn(path[since:], lacks[1], been)
        first = last if lacks[0] == lacks[1] else self._around.drawn(path[since:], lacks[0], been)[0]
        return [*zip(first, last, strict=True)], backdrop

    def _under(self, lacks: tuple[Paint, Paint], index: int, path: NDArray[np.float64]) -> tuple[Surface, Surface]:
        """The surface of a latent under what it lacks at two moments; one and the same where that is one."""
        surface, painted = self.get(index, path), self._painted
        if painted is None:
            return surface, surface
        new = {*lacks} - {()}
        found = {paint: surface.showing(painted.get(index, surface.picture, paint)) for paint in new}
        found[()] = surface
        return found[lacks[0]], found[lacks[1]]

    @torch.inference_mode()
    def _lift(self, index: int, path: NDArray[np.float64]) -> Surface:
        assert self.weights.depth is not None, "a guided transformer comes with a depth network"
        latents = self._latent(index)[None]
        pictures = torch.from_numpy(self._shown(index)[None].copy()).to(latents.device)
        seen = self.weights.depth, latents, path[[index]], pictures
        # Before the first step there is time for a second look.
        depth = estimate(*seen) if index > self.first else estimate_twice(self.weights.vae, *seen)
        return surfaces_of(depth, signed(pictures), path[[index]])[0]

    def _shown(self, index: int) -> NDArray[np.uint8]:
        shown = self._picture(index)
        return self._decode(index) if shown is None else shown

    def _decode(self, index: int) -> NDArray[np.uint8]:
        state: DecoderState | None = None
        frames = None
        for i in range(max(0, index - _REACH), index + 1):
            latent = self._latent(i)
            with autocast(latent.device):
                frames, state = self.weights.vae.decode(latent[None], state)
        assert frames is not None
        return to_uint8(frames[0, -1].float()).cpu().numpy()
