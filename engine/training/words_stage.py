"""`launch.py train repaint`, `train air`, `train visitor` and `train hero`: what is painted into pictures.

repaint   known places under an event, and without it again, from `data views`
air       what is in the air under one and moves by itself, from `data views --show air`
visitor   who comes along, from `data views --show guests`
hero      who walks ahead, from `data views --show heroes`
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from engine.air import AirPainter
from engine.hero import HeroPainter
from engine.repaint import Repainter, RepainterConfig
from engine.training import air as skies
from engine.training import heroes, visitors
from engine.training import repaint as repainting
from engine.training.loop import learn
from engine.visitors import VisitorPainter
from engine.weights import (
    AIR,
    HERO,
    POCKET_FOLDER,
    REPAINTER,
    VISITOR,
    load_air,
    load_hero,
    load_repainter,
    load_visitor,
)

M = TypeVar("M", bound=nn.Module)
S = TypeVar("S")
Say = Callable[[str], None]


def repaint(options: argparse.Namespace, say: Say) -> None:
    """Stage 3b: known places under words."""
    config = RepainterConfig(families=repainting.FAMILIES)
    sources, held_out = _loaded(options, lambda folder: repainting.load_scenes(folder, config.families))
    learn(
        options, say, Repainter(config), POCKET_FOLDER / REPAINTER, load_repainter, ("stem.", "head.", "read."),
        lambda model, rng, _generator: repainting.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda run, model: repainting.evaluate_repainter(run, model, held_out),
    )  # fmt: skip


def air(options: argparse.Namespace, say: Say) -> None:
    """Stage 3c: what is in the air."""
    sources, held_out = _loaded(options, skies.load_skies)
    painter, adam_only = AirPainter(held_out.config), ("stem.", "head.", "read.", "look.", "lit.")
    learn(
        options, say, painter, POCKET_FOLDER / AIR, load_air, adam_only,
        lambda model, rng, _generator: skies.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda run, model: skies.evaluate_air(run, model, held_out),
    )  # fmt: skip


def visitor(options: argparse.Namespace, say: Say) -> None:
    """Stage 3d: who comes along."""
    sources, held_out = _loaded(options, visitors.load_guests)
    painter, adam_only = VisitorPainter(held_out.config), ("stem.", "head.", "read.", "look.", "view.")
    learn(
        options, say, painter, POCKET_FOLDER / VISITOR, load_visitor, adam_only,
        lambda model, rng, _generator: visitors.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda run, model: visitors.evaluate_visitors(run, model, held_out),
    )  # fmt: skip


def hero(options: argparse.Namespace, say: Say) -> None:
    """Stage 3e: who walks ahead."""
    sources, held_out = _loaded(options, heroes.load_heroes)
    adam_only = tuple(f"painter.{name}." for name in ("stem", "head", "read", "look", "view")) + ("fine.", "worn.")
    learn(
        options, say, HeroPainter(held_out.config), POCKET_FOLDER / HERO, load_hero, adam_only,
        lambda model, rng, _generator: visitors.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda run, model: visitors.evaluate_visitors(run, model, held_out),
    )  # fmt: skip


def _loaded(options: argparse.Namespace, load: Callable[[Path], S]) -> tuple[list[S], S]:
    """What is loaded from each of --data, a folder that is named twice once, and from --heldout."""
    known = {folder: load(folder) for folder in options.data}
    return [known[folder] for folder in options.data], load((options.heldout or options.data)[0])
