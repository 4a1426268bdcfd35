"""`launch.py train repaint` and `train air`: what pictures look like under words.

repaint   known places under an event, and without it again, from `data views`
air       what is in the air under one and moves by itself, from `data views --air`
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

from engine.air import AirPainter
from engine.repaint import Repainter, RepainterConfig
from engine.training import air as skies
from engine.training import repaint as repainting
from engine.training.loop import Run, RunConfig
from engine.weights import AIR, POCKET_FOLDER, REPAINTER, load_air, load_repainter

Say = Callable[[str], None]
EMA = 0.998


def repaint(options: argparse.Namespace, say: Say) -> None:
    """Stage 3b: known places under words."""
    config, shipped = RepainterConfig(families=repainting.FAMILIES), POCKET_FOLDER / REPAINTER
    known = {folder: repainting.load_scenes(folder, config.families) for folder in options.data}
    held_out = repainting.load_scenes((options.heldout or options.data)[0], config.families)
    model, sources = Repainter(config), [known[folder] for folder in options.data]
    run = Run(model, RunConfig.of(options, EMA, ("stem.", "head.", "read.")), say)
    if options.resume and not run.resume() and shipped.is_file():
        run.start_from(load_repainter(shipped))
    rng = random.Random(options.seed + run.step)
    verdict = run.train(
        lambda _generator: repainting.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda: repainting.evaluate_repainter(run, model, held_out),
        300,
    )
    if options.export:
        say(str(run.export("repainter", Repainter(config), {}, verdict, shipped)))


def air(options: argparse.Namespace, say: Say) -> None:
    """Stage 3c: what is in the air."""
    known, shipped = {folder: skies.load_skies(folder) for folder in options.data}, POCKET_FOLDER / AIR
    held_out, sources = skies.load_skies((options.heldout or options.data)[0]), [known[each] for each in options.data]
    model = AirPainter(held_out.config)
    run = Run(model, RunConfig.of(options, EMA, ("stem.", "head.", "read.", "look.", "lit.")), say)
    if options.resume and not run.resume() and shipped.is_file():
        run.start_from(load_air(shipped))
    rng = random.Random(options.seed + run.step)
    verdict = run.train(
        lambda _generator: skies.loss_of(model, rng.choice(sources), rng, options.batch),
        lambda: skies.evaluate_air(run, model, held_out),
        300,
    )
    if options.export:
        say(str(run.export("air", AirPainter(model.config), {}, verdict, shipped)))
