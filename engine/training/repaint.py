"""Stage 3b, the repainter: a place as it was, and the same view once an event is fully there (`data views`), both ways.

What play repaints are a model's pictures, so both are blurred alike in a share of the samples; and an event may be
there in part already.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from engine.checkpoint import Json
from engine.errors import WanderError
from engine.precision import autocast
from engine.repaint import Repainter
from engine.text import encode
from engine.training.depth import blurred
from engine.training.loop import Run
from engine.vae import to_uint8

FAMILIES = ("rain", "snow", "fog", "storm", "nightfall", "flood", "dusk", "dawn")
"""What is painted. Who comes along is left to the transformer; flames are in the air (engine/air.py)."""
BLUR = 0.5
"""Share of the samples that are blurred."""
MIRROR = 0.5
"""Share that are mirrored."""
AWAY = 0.4
"""Share in which what happens is to be painted away."""
PARTLY = 0.3
"""Share in which a part of the way is gone already, at most `MOST`."""
MOST = 0.6
SHOWS = 0.5
"""Least difference, the mean in grey levels of 255, of pairs that are learnt from: autumn changes nothing in a desert,
and a family of which half the pairs are like that is learnt as nothing."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Pictures uint8 `[n, H, W, 3]` of calm places, and of those with an event, each with the place that it is of and
    the sentences that say it; and which of these are of a family."""

    calm: Tensor
    happening: Tensor
    place: list[int]
    said: list[tuple[str, ...]]
    of_family: dict[str, list[int]]

    def of(self, rows: Sequence[int], rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
        """Calm pictures and those with an event `[B, 3, H, W]` in [-1, 1], and a sentence for each `[B, 512]`."""
        before = self.calm[[self.place[row] for row in rows]]
        pictures = (x.permute(0, 3, 1, 2).float() / 127.5 - 1 for x in (before, self.happening[[*rows]]))
        said = [encode(("", rng.choice(self.said[row])))[0] for row in rows]
        calm, happening = pictures
        return calm, happening, torch.from_numpy(np.stack(said))


def load_scenes(
    folder: Path, families: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None
) -> Scenes:
    """All pictures of a folder of `data views` in which an event of `families` shows. Raises `WanderError` if there are
    none."""
    calm: list[Tensor] = []
    happening: list[Tensor] = []
    place: list[int] = []
    said: list[tuple[str, ...]] = []
    of_family: dict[str, list[int]] = {}
    shards = sorted(folder.glob("clips-*.safetensors"))
    for done, path in enumerate(shards):
        clips = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["clips"]
        with safe_open(path, framework="pt") as file:
            frames = file.get_tensor("frames")
        base = 0
        for clip, facts in zip(frames, clips, strict=True):
            events = facts["events"]
            if not events:
                base = len(calm)
                calm += clip
            if not events or events[0]["family"] not in families:
                continue
            for where, picture in enumerate(clip, base):
                if float((picture.float() - calm[where].float()).abs().mean()) >= SHOWS:
                    of_family.setdefault(events[0]["family"], []).append(len(happening))
                    happening.append(picture)
                    place.append(where)
                    said.append((events[0]["caption_en"], events[0]["caption_zh"]))
        progress(done + 1, len(shards))
    if not happening:
        raise WanderError(f"there are 0 pictures with an event in {folder}; make some with 'launch.py data views'")
    return Scenes(torch.stack(calm), torch.stack(happening), place, said, of_family)


def paint_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Distance of colours, of the means of 8x8 pixels, and of steps to the next pixel, `[B, 3, H, W]` each."""
    parts = [F.l1_loss(made, truth), F.l1_loss(F.avg_pool2d(made, 8), F.avg_pool2d(truth, 8))]
    parts += [F.l1_loss(made.diff(dim=axis), truth.diff(dim=axis)) for axis in (2, 3)]
    return torch.stack(parts).sum()


def loss_of(model: Repainter, scenes: Scenes, rng: random.Random, batch: int) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch: every family as often as any other."""
    rows = [rng.choice(scenes.of_family[rng.choice([*scenes.of_family])]) for _ in range(batch)]
    given, wanted, said = scenes.of(rows, rng)
    for row in range(batch):
        both = torch.stack([given[row], wanted[row]])
        both = both.flip(3) if rng.random() < MIRROR else both
        both = blurred(both) if rng.random() < BLUR else both
        if rng.random() < AWAY:
            both, said[row] = both.flip(0), -said[row]
        gone = MOST * rng.random() if rng.random() < PARTLY else 0.0
        given[row], wanted[row] = torch.lerp(both[0], both[1], gone), both[1]
    with autocast(given.device):
        made = model(given.contiguous(memory_format=torch.channels_last), said).float()
    error, before = float(F.l1_loss(made.detach(), wanted)), float(F.l1_loss(given, wanted))
    return paint_loss(made, wanted), {"error": error, "of_given": error / before}


@torch.inference_mode()
def evaluate_repainter(run: Run, model: Repainter, held_out: Scenes) -> Json:
    """For each family the error left, as a share of the difference that the event makes, both root mean squares, where
    it is painted and where it is painted away; a PNG: before, made, truth, made without it again."""
    averaged, rng, left, away = run.averaged(Repainter(model.config)), random.Random(0), {}, {}
    rows: list[Tensor] = []

    def painted(pictures: Tensor, said: Tensor) -> Tensor:
        parts = zip(pictures.split(16), said.split(16), strict=True)
        return torch.cat([averaged(*part) for part in parts]).clamp(-1, 1)

    for family, chosen in held_out.of_family.items():
        calm, happening, said = held_out.of(chosen, rng)
        made, cleared = painted(calm, said), painted(happening, -said)
        change = F.mse_loss(calm, happening)
        left[family] = round(float((F.mse_loss(made, happening) / change).sqrt()), 3)
        away[family] = round(float((F.mse_loss(cleared, calm) / change).sqrt()), 3)
        picks = [len(chosen) * k // 3 for k in range(3)]
        rows.append(torch.cat([torch.cat([x[k] for x in (calm, made, happening, cleared)], 2) for k in picks], 2))
    Image.fromarray(to_uint8(torch.cat(rows, 1)).numpy()).save(run.config.out / f"step{run.step:06d}.png")
    left_away = round(float(np.mean([*away.values()])), 3)
    return {"left": round(float(np.mean([*left.values()])), 3), "left_away": left_away, "families": left, "away": away}
