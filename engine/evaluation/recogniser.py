"""What has happened between two pictures: an independent classifier of events that has seen true renders alone.

Logistic regression over frozen features of photographs (`engine.evaluation.features`) and plain statistics of colour,
of the later picture and of what is different in the earlier one: a dark picture is no nightfall if it was dark before.
The classes are the families and "nothing", balanced; the likeliest is what was recognised, but "nothing" is preferred
so far that in worlds kept aside for this hardly any calm walk is taken for an event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from engine.checkpoint import load_state, save_state
from engine.errors import WanderError
from engine.evaluation.features import features
from engine.evaluation.metrics import luma

Frames = NDArray[np.uint8]
Vectors = NDArray[np.float32]
NOTHING = "nothing"
BANDS = 3
"""Horizontal bands of a picture, described apart: sky, distance, ground."""
ITERATIONS = 200
ASIDE = 5
"""One world in so many is kept aside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A walk of a training world: the picture before, those after, and what has happened between them."""

    family: str
    frames: Frames
    """`[1 + n, H, W, 3]`; the first is the one before."""
    shows: NDArray[np.bool_]
    """`[n]`: which of the others show what has happened; nobody learns from those that don't."""


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Weights of the regression: `mean`, `scale` `[D]`, `weight` `[D, K]`, `bias` `[K]`."""

    classes: tuple[str, ...]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, before: Vectors, after: Vectors) -> NDArray[np.float64]:
        """`[K]` of the classes for a few pictures of one moment together, from `describe` of the picture before `[D']`
        and of them `[n, D']`."""
        inputs = (change(before, after) - self.mean) / self.scale
        logits = (inputs @ self.weight + self.bias).astype(np.float64).mean(0)
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()


def describe(frames: Frames) -> Vectors:
    """`[F, D']`: features averaged over each band and their maxima over the picture, and colours."""
    parts = [colours(frames)]
    for stage in features(frames):
        bands = F.adaptive_avg_pool2d(stage, (BANDS, 1)).flatten(1)
        parts += [bands.numpy(), stage.amax((2, 3)).numpy()]
    return np.concatenate(parts, 1).astype(np.float32)


def colours(frames: Frames) -> Vectors:
    """`[F, .]`: of each band the mean and spread of red, green and blue, of saturation and of brightness steps; of the
    picture a coarse histogram."""
    scaled, parts = frames.astype(np.float32) / 255, []
    for band in np.array_split(scaled, BANDS, axis=1):
        saturation = band.max(-1) - band.min(-1)
        steps = np.abs(np.diff(band.mean(-1), axis=2))
        parts += [band.mean((1, 2)), band.std((1, 2))]
        parts += [np.stack([each for x in (saturation, steps) for each in (x.mean((1, 2)), x.std((1, 2)))], 1)]
    cells = (frames // 64).astype(np.int64) @ np.array([16, 4, 1])
    counts = np.stack([np.bincount(cell.ravel(), minlength=64) / cell.size for cell in cells])
    dark = np.quantile(luma(frames).reshape(len(frames), -1) / 255, (0.05, 0.5, 0.95), axis=1).T
    return np.concatenate([*parts, np.sqrt(counts), dark], 1).astype(np.float32)


def change(before: Vectors, after: Vectors) -> Vectors:
    """`[n, 2 D']`: what the pictures after show, and how that differs from the one before."""
    return np.concatenate([after, after - before], 1)


def hazed(frames: Frames, rng: np.random.Generator) -> Frames:
    """Pictures `[F, H, W, 3]` with the faults that a model's have when nothing happens: softer, and in patches a smear
    of what is beside them, brighter or darker. They cover up to nine tenths, as much of each picture."""
    share, found = rng.uniform(0, 0.9), []
    for frame in frames:
        height, width = frame.shape[:2]
        moved = np.roll(frame, int(rng.integers(-width // 12, width // 12 + 1)), axis=1)
        smear = blurred(moved, rng.uniform(1, width / 20)) * rng.uniform(0.85, 1.15)
        field = uneven(rng, (4, 4), (width, height))
        inside = np.clip((field - np.quantile(field, 1 - share)) * 8 + 0.5, 0, 1)[..., None]
        found.append(blurred(frame, rng.uniform(0, width / 100)) * (1 - inside) + smear * inside)
    return np.clip(np.stack(found), 0, 255).astype(np.uint8)


def torn(frames: Frames, rng: np.random.Generator) -> Frames:
    """Pictures `[F, H, W, 3]` with scraps of what is elsewhere in them, as a model draws what it knows badly: small,
    ragged, on up to a twelfth, as much of each picture."""
    share, found = rng.uniform(0, 1 / 12), []
    for frame in frames:
        height, width = frame.shape[:2]
        field = uneven(rng, (7, 11), (width, height)) + 0.5 * uneven(rng, (24, 40), (width, height))
        way = int(rng.integers(-height // 4, height // 4 + 1)), int(rng.integers(width))
        scraps = np.roll(frame, way, axis=(0, 1)) * rng.uniform(0.8, 1.2)
        found.append(np.where((field > np.quantile(field, 1 - share))[..., None], scraps, frame))
    return np.clip(np.stack(found), 0, 255).astype(np.uint8)


def uneven(rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """Smooth noise of so many rows and columns of cells, as wide and high as `size`."""
    coarse = Image.fromarray(rng.random(cells).astype(np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def blurred(frame: NDArray[np.uint8], radius: float) -> NDArray[np.float32]:
    """A picture blurred by `radius` pixels."""
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(radius)), np.float32)


def learn(examples: Iterable[Example], families: Sequence[str], *, decay: float, false_alarms: float) -> Recogniser:
    """Learns from the examples, each of them as it is and once more with the faults of a model's pictures (`hazed`,
    `torn`).

    `decay` is the weight of the squared weights in its loss. Examples come world by world, the one in which nothing
    happens first; every `ASIDE`-th world is kept aside, and "nothing" is preferred until at most a share of
    `false_alarms` of the calm pictures there is taken for an event. The same examples give the same weights.

    Raises `WanderError` if a class has no example, or no world is kept aside.
    """
    classes, rng, worlds = (NOTHING, *families), np.random.default_rng(0), 0
    inputs, labels, kept_aside = [], [], []
    for example in examples:
        worlds += example.family == NOTHING
        count = int(example.shows.sum())
        for frames in (example.frames, torn(hazed(example.frames, rng), rng)):
            seen = describe(frames)
            inputs.append(change(seen[0], seen[1:][example.shows]))
            labels += [classes.index(example.family)] * count
            kept_aside += [worlds % ASIDE == 0] * count
    known, aside = np.array(labels, np.int64), np.array(kept_aside, np.bool_)
    counts = np.bincount(known[~aside], minlength=len(classes))
    if not counts.all():
        raise WanderError(
            f"the classifier has {counts.min()} examples of {classes[int(counts.argmin())]}, it needs at least 1; "
            "let it learn from more worlds"
        )
    if not aside.any():
        raise WanderError(f"the classifier has {worlds} worlds, it needs at least {ASIDE}; let it learn from more")
    every = np.concatenate(inputs)
    found = _fit(every[~aside], known[~aside], classes, decay)
    return _preferring_nothing(found, every[aside & (known == 0)], false_alarms)


def _preferring_nothing(recogniser: Recogniser, calm: Vectors, false_alarms: float) -> Recogniser:
    """The recogniser with "nothing" preferred so far that `false_alarms` of `calm` `[n, 2 D']` are left."""
    logits = (calm - recogniser.mean) / recogniser.scale @ recogniser.weight + recogniser.bias
    bias = recogniser.bias.copy()
    bias[0] += max(np.quantile(logits[:, 1:].max(1) - logits[:, 0], 1 - false_alarms), 0)
    return replace(recogniser, bias=bias)


def _fit(inputs: Vectors, labels: NDArray[np.int64], classes: tuple[str, ...], decay: float) -> Recogniser:
    """Minimises the balanced cross entropy plus `decay` times the squared weights, to the end."""
    mean, scale = inputs.mean(0), inputs.std(0) + 1e-3
    x, y = torch.from_numpy((inputs - mean) / scale), torch.from_numpy(labels)
    balance = 1 / torch.bincount(y, minlength=len(classes)).float()
    weight = torch.zeros(x.shape[1], len(classes), requires_grad=True)
    bias = torch.zeros(len(classes), requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = F.cross_entropy(x @ weight + bias, y, weight=balance) + decay * weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return Recogniser(classes, mean, scale, weight.detach().numpy(), bias.detach().numpy())


def save_recogniser(path: Path, recogniser: Recogniser, about: dict[str, Any]) -> None:
    """Keeps a recogniser; `about` says what it has learnt from."""
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(recogniser, name)))
        for name in ("mean", "scale", "weight", "bias")
    }
    save_state(path, tensors, about | {"classes": list(recogniser.classes)})


def load_recogniser(path: Path, about: dict[str, Any]) -> Recogniser | None:
    """The recogniser that is kept there, None if there is none or it has learnt from something else."""
    if not path.exists():
        return None
    tensors, facts = load_state(path)
    classes = tuple(facts.pop("classes"))
    return Recogniser(classes, **{name: t.numpy() for name, t in tensors.items()}) if facts == about else None
