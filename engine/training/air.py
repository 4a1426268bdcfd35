"""Stage 3c, the air: views of places without and with what moves by itself in the air (`data views --show air`).

Under most events that is nothing, and pictures must be left as they are.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.air import AirConfig, AirPainter, maps_of
from engine.checkpoint import Json
from engine.depth import signed
from engine.errors import WanderError
from engine.falling import Falling
from engine.fire import Site
from engine.precision import autocast
from engine.text import encode
from engine.training.depth import blurred
from engine.training.loop import Run
from engine.vae import to_uint8

FAMILIES = AirConfig(falling=()).families
"""Events under which something is in the air."""
SHARE = 0.7
"""Of the samples, those of such an event."""
FLASH = 0.5
"""Share of those without lightning to which some is given, which must change nothing."""
BLUR = 0.5
"""Share of the samples whose place is blurred, as in play."""
COUNTS = 8.0
"""How much more the pixels weigh that change."""
_CHANGED = 4 / 127.5


@dataclass(frozen=True, slots=True)
class Skies:
    """Pictures uint8 `[n, 2, H, W, 3]` without and with what is in the air, what a sidecar says of each, which of them
    are of a family ("" where nothing happens), and what falls."""

    pictures: Tensor
    facts: list[dict[str, Any]]
    cameras: NDArray[np.float64]
    of_family: dict[str, list[int]]
    config: AirConfig
    seeds: NDArray[np.float64]

    def maps(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `maps_of`."""
        facts, (height, width) = self.facts[row], self.pictures.shape[2:4]
        site = Site.read(facts["site"]) if facts["site"] else None
        return maps_of(self.config, self.seeds, self.cameras[row], facts["time_s"], 1.0, (height, width), site)

    def of(self, rows: list[int], rng: random.Random) -> Batch:
        """The views of these rows."""
        still, moving = (signed(self.pictures[rows, end]) for end in (0, 1))
        events = [self.facts[row]["events"] for row in rows]
        said = [encode(("", rng.choice((e[0]["caption_en"], e[0]["caption_zh"])) if e else "nothing")) for e in events]
        covers, glow = zip(*map(self.maps, rows), strict=True)
        flash = [self._flash(row, rng) * np.ones_like(light) for row, light in zip(rows, glow, strict=True)]
        light = torch.from_numpy(np.stack([np.stack(flash), np.stack(glow)], 1).astype(np.float32))
        return Batch(still, moving, torch.from_numpy(np.stack(covers)), light, torch.from_numpy(np.concatenate(said)))

    def _flash(self, row: int, rng: random.Random) -> float:
        """How bright lightning is, which where there is none must change nothing."""
        events = self.facts[row]["events"]
        if events and events[0]["family"] == "storm":
            return self.facts[row]["flash"]
        return rng.random() if rng.random() < FLASH else 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures without and with what is in the air `[B, 3, H, W]` in [-1, 1], and what `AirPainter` reads."""

    still: Tensor
    moving: Tensor
    covers: Tensor
    light: Tensor
    said: Tensor


def load_skies(folder: Path) -> Skies:
    """All views of a folder. Raises `WanderError` if there are none, or none with what is in the air."""
    pictures: list[Tensor] = []
    cameras: list[NDArray[np.float64]] = []
    facts: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for path in sorted(folder.glob("clips-*.json")):
        about = json.loads(path.read_text(encoding="utf-8"))
        with safe_open(path.with_suffix(".safetensors"), framework="pt") as file:
            pictures.append(file.get_tensor("frames"))
            cameras.append(file.get_tensor("poses")[:, 0].double().numpy())
        facts += about["clips"]
    if "falling" not in about:
        raise WanderError(
            f"there are {len(facts)} views in {folder}, and what is in the air is in 0 of them; make some with "
            "'launch.py data views --show air'"
        )
    of_family: dict[str, list[int]] = {}
    for row, each in enumerate(facts):
        of_family.setdefault(each["events"][0]["family"] if each["events"] else "", []).append(row)
    config = AirConfig(falling=tuple(map(Falling.read, about["falling"])))
    most = max(kind.count for kind in config.falling)
    seeds = np.random.default_rng(about["points_of"]).random((most, 4), np.float32).astype(np.float64)
    return Skies(torch.cat(pictures), facts, np.concatenate(cameras), of_family, config, seeds)


def loss_of(model: AirPainter, skies: Skies, rng: random.Random, batch: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch: most of it of events under which something is in the air, each as often as any other."""
    moves, rest = (sorted({*skies.of_family} & {*FAMILIES}), sorted({*skies.of_family} - {*FAMILIES}))
    rows = [rng.choice(skies.of_family[rng.choice(moves if rng.random() < SHARE else rest)]) for _ in range(batch)]
    drawn = skies.of(rows, rng)
    change = drawn.moving - drawn.still
    soft = torch.tensor([rng.random() < BLUR for _ in rows])[:, None, None, None]
    given = torch.where(soft, blurred(drawn.still), drawn.still)
    with autocast(given.device):
        made = model(given, drawn.covers, drawn.light, drawn.said).float()
    weight = 1 + COUNTS * (change.abs().amax(1, keepdim=True) > _CHANGED).float()
    wanted = given + change
    loss = ((made - wanted).abs() * weight).mean()
    return loss, {"error": float((made.detach() - wanted).abs().mean()), "change": float(change.abs().mean())}


@torch.inference_mode()
def evaluate_air(run: Run, model: AirPainter, held_out: Skies) -> Json:
    """Root mean square error, as a share of the change, under each event; where nothing is in the air, the mean change
    in grey levels; a PNG: without, made, truth."""
    averaged, rng, found, rows = run.averaged(AirPainter(model.config)), random.Random(0), {}, []
    for family, chosen in sorted(held_out.of_family.items()):
        drawn = held_out.of(chosen, rng)
        inputs = (drawn.still, drawn.covers, drawn.light, drawn.said)
        parts = zip(*(x.split(16) for x in inputs), strict=True)
        made = torch.cat([averaged(*part) for part in parts]).clamp(-1, 1)
        if family in FAMILIES:
            change = F.mse_loss(drawn.still, drawn.moving)
            found[family] = round(float((F.mse_loss(made, drawn.moving) / change).sqrt()), 3)
            picks = [len(chosen) * k // 3 for k in range(3)]
            rows.append(torch.cat([torch.cat([x[k] for x in (drawn.still, made, drawn.moving)], 2) for k in picks], 2))
        else:
            found[family or "calm"] = round(float((made - drawn.still).abs().mean()) * 127.5, 3)
    Image.fromarray(to_uint8(torch.cat(rows, 1)).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    left = [found[family] for family in FAMILIES if family in found]
    return {"left": round(float(np.mean(left)), 3), "families": found}
