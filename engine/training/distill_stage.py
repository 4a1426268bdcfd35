"""`launch.py train distill`: context forcing of `pocket` from its base weights; under torchrun in several processes."""

from __future__ import annotations

import argparse
import copy
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.checkpoint import Json
from engine.errors import WanderError
from engine.evaluation.forms import table_6
from engine.evaluation.short import strip
from engine.memory import pocket as pocket_memory
from engine.training.base import BaseTraining, Batch, BatchSampler, GuidedClips, clips_for
from engine.training.distill import Distillation
from engine.training.distill_pocket import PocketNetwork
from engine.training.distill_run import Cast, DistillRun, export_distilled, take_average, tune_teacher
from engine.training.latents import LatentClips, load_latents
from engine.training.loop import Run, RunConfig
from engine.training.replicas import Replicas, gathered
from engine.training.spans import on_device
from engine.transformer import Pocket
from engine.vae import SPATIAL_FACTOR
from engine.weights import POCKET_FOLDER, PocketWeights, latents_of, load_depth, load_transformer, load_vae

Say = Callable[[str], None]
OUTER = ("patch_in.", "patch_out.", "place_in.", "guide_in.")
"""First and last layers, which Muon leaves to AdamW when the teacher is tuned, as in base training."""
TRANSFORMER_FILE = POCKET_FOLDER / "transformer.safetensors"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this stage alone."""
    group, how = parser.add_argument_group("distill"), Distillation()
    group.add_argument("--student-lr", type=float, default=2e-5, help="learning rate of the student")
    group.add_argument("--fake-lr", type=float, default=2e-5, help="learning rate of the fake score")
    group.add_argument(
        "--student-every", type=int, default=how.student_every, help="updates of the fake score for one of the student"
    )
    group.add_argument("--growth", type=int, default=how.growth, help="steps until history may be a chunk longer")
    group.add_argument(
        "--teacher-minutes", type=float, default=0.0, help="tune the teacher for so long on true clips first"
    )
    group.add_argument("--teacher-lr", type=float, default=5e-4, help="learning rate of that tuning")
    group.add_argument(
        "--teacher-memory",
        choices=("aligned", "latents"),
        default=how.teacher_memory,
        help="'latents': figure 8a, a memory that is not the student's",
    )
    group.add_argument(
        "--history", choices=("true", "rolled"), default=how.history, help="'rolled': figure 8b, self-made history"
    )
    group.add_argument("--guided-teacher", action="store_true", help="show guides to teacher and fake score as well")
    group.add_argument("--forms", type=int, default=6, help="held-out clips of table 6 at the end; 0 for none")
    group.add_argument("--export-to", type=Path, metavar="FILE", help="where the distilled weights are written")


def distillation_of(options: argparse.Namespace) -> Distillation:
    """The options as a configuration."""
    return Distillation(
        student_every=options.student_every,
        growth=options.growth,
        teacher_memory=options.teacher_memory,
        history=options.history,
        teacher_guided=options.guided_teacher,
    )


def distil(options: argparse.Namespace, say: Say) -> None:
    """The stage. Raises `WanderError` for what the user can mend."""
    if options.export:
        raise WanderError(
            "distill has 1 place to write to, given by --export-to FILE, and 0 of its own; leave out --export, so that "
            "the shipped weights are never replaced by accident"
        )
    replicas, how, memory = gathered(), distillation_of(options), pocket_memory()
    checksum = latents_of()
    base, manifest = load_transformer(TRANSFORMER_FILE)
    base.to(replicas.device)
    folders = list(dict.fromkeys(options.data if isinstance(options.data, list) else [options.data]))
    sources = [replace(clips_for(base.config, folder, checksum), calm=None) for folder in folders]
    batches = BaseTraining(batch=options.batch, latents=options.latents)
    draw = drawing(sources, batches, options.seed, replicas.device)
    teacher = PocketNetwork(copy.deepcopy(base))
    config = RunConfig(
        out=options.out,
        minutes=options.minutes,
        lr=options.student_lr,
        cooldown=options.cooldown,
        ema=0.99,
        save_seconds=240.0,
        log_every=10,
        seed=options.seed,
    )
    _prepare(teacher, config, options, how, draw, say, replicas)
    student, fake = (PocketNetwork(copy.deepcopy(model).requires_grad_(True)) for model in (base, teacher.module))
    run = DistillRun(Cast(student, teacher, fake), config, how, memory, options.fake_lr, say, replicas)
    if options.resume:
        run.resume()
    held_out = _held_out(options, checksum)
    run.learn(draw, dict, float("inf"))

    def export(evaluation: Json) -> None:
        if options.export_to and replicas.rank == 0:
            say(str(export_distilled(run, Pocket(base.config), manifest, evaluation, options.export_to)))

    export({})
    if options.forms:
        export(run.judge(lambda: _table(run, base, teacher, held_out, how, options.forms)))


def _held_out(options: argparse.Namespace, checksum: str) -> LatentClips:
    found = options.heldout or options.data
    return load_latents(found[0] if isinstance(found, list) else found, checksum)


def drawing(
    sources: list[GuidedClips], config: BaseTraining, seed: int, device: torch.device
) -> Callable[[int], Batch]:
    """The whole batch of a step: clips of one size, which follow from (seed, step) alone."""
    samplers = [BatchSampler(source, config) for source in sources]

    def draw(step: int) -> Batch:
        rng = random.Random(f"batch {seed} {step}")
        return on_device(rng.choice(samplers).draw(rng), device)

    return draw


def _prepare(
    teacher: PocketNetwork,
    config: RunConfig,
    options: argparse.Namespace,
    how: Distillation,
    draw: Callable[[int], Batch],
    say: Say,
    replicas: Replicas,
) -> None:
    """The teacher: the base weights, or what tuning has made of them in this run's folder."""
    folder = options.out / "teacher"
    minutes = options.teacher_minutes
    if not minutes and not folder.is_dir():
        return
    if minutes and replicas.size > 1:
        raise WanderError(
            f"the teacher is tuned in 1 process, there are {replicas.size}; tune it first with --minutes 0, then start "
            "the others with --teacher-minutes 0"
        )
    tuned = replace(config, out=folder, minutes=minutes, lr=options.teacher_lr, cooldown=0.0, adam_only=OUTER)
    run = Run(teacher.module.requires_grad_(True), tuned, say)
    run.resume()
    if minutes:
        tune_teacher(run, teacher, draw, how, pocket_memory())
    else:
        take_average(run, teacher.module)
    teacher.module.requires_grad_(False)


def _table(
    run: DistillRun, base: Pocket, teacher: PocketNetwork, held_out: LatentClips, how: Distillation, count: int
) -> Json:
    """Table 6 on held-out clips, and a picture of every clip: truth, then the forms in the table's order."""
    device, (Y, X) = run.replicas.device, held_out.latents.shape[-2:]
    averaged = run.averaged(Pocket(base.config).to(device))
    vae, head = load_vae().to(device), load_depth()[0].to(device)
    before, after = (
        PocketWeights(vae, head, None, model, X * SPATIAL_FACTOR, Y * SPATIAL_FACTOR, "training")
        for model in (base, averaged)
    )
    report, shown, truth = table_6(before, after, teacher, held_out, how, run.memory, count=count)
    rows = [strip(true, *(made[i] for made in shown.values())) for i, true in enumerate(truth)]
    Image.fromarray(np.concatenate(rows)).save(run.config.out / f"forms-step{run.step:06d}.png")
    return report
