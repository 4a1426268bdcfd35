"""Stage 3d, visitors: places without and with somebody who comes along (`data views --show guests`)."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json
from engine.depth import signed
from engine.errors import WanderError
from engine.geometry import POCKET_LENS
from engine.hero import HeroPainter
from engine.precision import autocast
from engine.text import encode
from engine.training.depth import blurred
from engine.training.loop import Run
from engine.vae import to_uint8
from engine.visitors import Cards, Stance, VisitorConfig, VisitorPainter, cards_of

Painter = VisitorPainter | HeroPainter
BLUR = 0.5
"""Share of the samples whose place is blurred, as in play."""
PIXELS, FAR = 1000, 0.2
"""Of a card, about so many at most are looked at in a step; and how much rarer those are not near the guest."""
COUNTS = 4.0
"""How much more the pixels weigh that show the guest."""


class Sitters(Protocol):
    """Views with somebody there."""

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What a sidecar says of each."""
        ...

    def of(self, rows: list[int], rng: random.Random) -> Batch:
        """The views of these rows."""
        ...


@dataclass(frozen=True, slots=True)
class Guests:
    """Pictures uint8 `[n, 2, H, W, 3]` without and with a guest, depth half `[n, 2, H, W]`, cameras `[n, 4, 4]`, what a
    sidecar says of each, and how guests walk."""

    pictures: Tensor
    depth: Tensor
    cameras: NDArray[np.float64]
    facts: list[dict[str, Any]]
    config: VisitorConfig

    def of(self, rows: list[int], rng: random.Random) -> Batch:
        """The views of these rows."""
        still, with_guest = (signed(self.pictures[rows, end]) for end in (0, 1))
        stances = [Stance(**self.facts[row]["guest"]) for row in rows]
        H, W = still.shape[2:]
        cards = cards_of(stances, self.cameras[rows], H, W, POCKET_LENS)
        without, depth = self.depth[rows].float().unbind(1)
        events = [self.facts[row]["events"][0] for row in rows]
        said = [encode(("", event[rng.choice(("caption_en", "caption_zh"))])) for event in events]
        shown = cards.where(~cards.behind(1 / without))
        return Batch(still, with_guest, depth < without, shown, torch.from_numpy(np.concatenate(said)))


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures without and with a guest `[B, 3, H, W]` in [-1, 1], the pixels that it covers `[B, H, W]`, and what
    `VisitorPainter` reads."""

    still: Tensor
    with_guest: Tensor
    covered: Tensor
    cards: Cards
    said: Tensor
    """Sentences about who it is `[B, 512]`, or its portraits `[B, 3, h, w]`."""


def load_guests(folder: Path) -> Guests:
    """All views of a folder. Raises `WanderError` if nobody comes along in them."""
    pictures, depth, cameras, facts, walk = read_views(folder, "guests", "0 of them are without and with a guest")
    return Guests(pictures, depth, cameras[:, 0], facts, VisitorConfig(**walk))


def read_views(
    folder: Path, show: str, lacking: str
) -> tuple[Tensor, Tensor, NDArray[np.float64], list[dict[str, Any]], dict[str, Any]]:
    """Of the views of a folder that show somebody, `data views --show` as named: pictures uint8 `[n, F, H, W, 3]`,
    depth half `[n, F, H, W]`, cameras `[n, F, 4, 4]`, what a sidecar says of each, and how they walk.

    Raises `WanderError` if there are none, which says what is lacking.
    """
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    facts: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for path in sorted(folder.glob("clips-*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        facts += about["clips"]
        if show in about:
            with safe_open(path.with_suffix(".safetensors"), framework="pt") as file:
                parts.append((file.get_tensor("frames"), file.get_tensor("depth"), file.get_tensor("poses")))
    if not parts:
        raise WanderError(
            f"there are {len(facts)} views in {folder}, and {lacking}; make some with "
            f"'launch.py data views --show {show}'"
        )
    pictures, depth, cameras = (torch.cat(part) for part in zip(*parts, strict=True))
    return pictures, depth, cameras.double().numpy(), facts, about[show]


def loss_of(model: Painter, guests: Sitters, rng: random.Random, batch: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch: what some pixels of the cards show, and which the guests cover."""
    rows = [rng.randrange(len(guests.facts)) for _ in range(batch)]
    drawn = guests.of(rows, rng)
    near = F.max_pool2d(drawn.covered.float()[:, None], 9, 1, 4)[:, 0]
    likely = drawn.cards.shown * (FAR + (1 - FAR) * near)
    share = PIXELS / likely.flatten(1).sum(1).clamp_min(PIXELS)
    cards = drawn.cards.where(torch.rand(likely.shape) < likely * share[:, None, None])
    soft = torch.tensor([rng.random() < BLUR for _ in rows])[:, None, None, None]
    given = torch.where(soft, blurred(drawn.still), drawn.still)
    wanted = torch.where(drawn.covered[:, None], drawn.with_guest, given + drawn.with_guest - drawn.still)
    with autocast(given.device):
        made, covers = model(given, cards, drawn.said)
    shown = cards.shown
    weight = (1 + COUNTS * drawn.covered) * shown
    error = (((made.float() - wanted).abs().mean(1)) * weight).sum() / weight.sum().clamp_min(1)
    outline = F.binary_cross_entropy(covers[shown].clamp(1e-4, 1 - 1e-4), drawn.covered[shown].float())
    found, truth = (covers > 0.5) & shown, drawn.covered & shown
    overlap = (found & truth).sum() / (found | truth).sum().clamp_min(1)
    return error + 0.1 * outline, {"error": float(error.detach()), "overlap": float(overlap)}


@torch.inference_mode()
def evaluate_visitors(run: Run, model: Painter, held_out: Sitters) -> Json:
    """Root mean square error as a share of the change that guests make, and the overlap of what they cover; a PNG:
    made above truth."""
    averaged, rng = run.averaged(type(model)(model.config)), random.Random(0)  # type: ignore[arg-type]
    errors, changes, both, either, rows = 0.0, 0.0, 0, 0, []
    for first in range(0, len(held_out.facts), 16):
        drawn = held_out.of(list(range(first, min(first + 16, len(held_out.facts)))), rng)
        made, covers = averaged(drawn.still, drawn.cards, drawn.said)
        made, inside = made.clamp(-1, 1), drawn.cards.shown[:, None]
        errors += float(((made - drawn.with_guest) ** 2 * inside).sum())
        changes += float(((drawn.still - drawn.with_guest) ** 2 * inside).sum())
        found, truth = (covers > 0.5) & drawn.cards.shown, drawn.covered & drawn.cards.shown
        both, either = both + int((found & truth).sum()), either + int((found | truth).sum())
        if len(rows) < 3 and len(made) == 16:
            rows += [torch.cat([x[k] for k in range(0, 16, 3)], 2) for x in (made, drawn.with_guest)]
    Image.fromarray(to_uint8(torch.cat(rows, 1)).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    return {"left": round((errors / max(changes, 1e-9)) ** 0.5, 3), "overlap": round(both / max(either, 1), 3)}
