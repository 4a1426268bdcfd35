"""A distillation on disk: student, fake score and both optimisers, resumable at any second like every other stage.

One step is a rollout, an update of the fake score, and at every few steps one of the student. All that is random
follows from (seed, step, sample), so a resumed run goes on as if it had not been stopped, and several processes do
together what one does alone with the whole batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.checkpoint import Json, load_state, save_weights
from engine.errors import WanderError
from engine.memory import MemoryConfig
from engine.optim import Optimiser
from engine.training.base import Batch
from engine.training.distill import Chance, Distillation, Network, roll_out, rolled_batch
from engine.training.loop import LATEST, TRUNK, Meter, Run, RunConfig
from engine.training.matching import matching_loss, scene_of, score_loss, true_scene
from engine.training.replicas import Replicas
from engine.training.spans import samples_of

EVERYTHING = ("",)
"""Prefix of all parameters: fine-tuning leaves every one to AdamW."""
FULLY_GROWN = 1 << 40
"""A step at which history is as long as the clips allow."""
Draw = Callable[[int], Batch]
"""The whole batch of a step, the same in every process."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The three networks; `real` stays as it is."""

    student: Network
    real: Network
    fake: Network


class DistillRun(Run):
    """The run of the student, with the fake score beside it; see the module."""

    def __init__(
        self,
        cast: Cast,
        config: RunConfig,
        how: Distillation,
        memory: MemoryConfig,
        fake_lr: float,
        say: Callable[[str], None],
        replicas: Replicas | None = None,
    ) -> None:
        super().__init__(cast.student.module, replace(config, adam_only=EVERYTHING), say)
        self.cast, self.how, self.memory, self.replicas = cast, how, memory, replicas or Replicas()
        self.fake_optimiser = Optimiser(
            cast.fake.module, lr=fake_lr, weight_decay=config.weight_decay, exclude=EVERYTHING
        )
        for network in (cast.student, cast.real, cast.fake):
            self.replicas.alike(network.module)

    # -- on disk ------------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, by name."""
        found = super().tensors() | {f"fake.{name}": t for name, t in self.cast.fake.module.state_dict().items()}
        buffers = enumerate(self.fake_optimiser.state())
        return found | {f"fake_optimiser.{i}.{key}": t for i, kept in buffers for key, t in kept.items()}

    def resume(self) -> bool:
        """Takes up the newest state of the folder; False if there is none. Raises `WanderError` as `Run.resume`."""
        if not super().resume():
            return False
        found = [path for path in (self.config.out / TRUNK, self.config.out / LATEST) if path.is_file()]
        tensors, _ = load_state(max(found, key=lambda path: path.stat().st_mtime))
        fake = {name[5:]: t for name, t in tensors.items() if name.startswith("fake.")}
        if not fake:
            raise WanderError(
                f"the state in {self.config.out} has 1 network, distillation needs 2; choose another --out"
            )
        self.cast.fake.module.load_state_dict(fake)
        kept: list[dict[str, Tensor]] = [{} for _ in self.fake_optimiser.parameters]
        for name, tensor in tensors.items():
            if name.startswith("fake_optimiser."):
                _, index, key = name.split(".", 2)
                kept[int(index)][key] = tensor
        self.fake_optimiser.load(kept)
        self._to_device()
        return True

    def _to_device(self) -> None:
        """Moves what was read to where the networks are."""
        device = next(self.model.parameters()).device
        self.ema.shadow = {name: t.to(device) for name, t in self.ema.shadow.items()}
        for optimiser in (self.optimiser, self.fake_optimiser):
            for part in optimiser.parts:
                for p, buffers in part.state.items():
                    part.state[p] = {key: t.to(device) for key, t in buffers.items()}

    def save(self, name: str) -> None:
        """Writes the state, in the first process alone."""
        if self.replicas.rank == 0:
            super().save(name)

    def log(self, line: Json) -> None:
        """One line more, from the first process alone."""
        if self.replicas.rank == 0:
            super().log(line)

    # -- steps --------------------------------------------------------------------------------------------------------

    def advance(self, batch: Batch, rate: float) -> dict[str, float]:
        """One step on this process's part of a batch; returns what it measured.

        Raises `WanderError` when a loss is not finite, before anything has changed for it.
        """
        how, memory, samples = self.how, self.memory, self.replicas.part(len(batch.latents))
        mine, chance = samples_of(batch, slice(samples.start, samples.stop)), self._chance(samples)
        chunks = chance.shared.randint(0, how.longest_history(self.step, batch.latents.shape[1]))
        first, cast = chunks * how.chunk, self.cast
        if how.history == "rolled":
            mine = rolled_batch(cast.student, mine, first, how, memory, chance)
        moves = (self.step + 1) % how.student_every == 0
        rollout = roll_out(cast.student, mine, first, how, memory, chance, learns=moves)
        scene, numbers = scene_of(mine, rollout, how, memory), {}
        if moves:
            loss, numbers = matching_loss(cast.real, cast.fake, scene, how, chance)
            numbers["student_norm"] = self._move(cast.student.module, loss, self.optimiser, rate)
            self.ema.update(self.model)
        loss = score_loss(cast.fake, scene, how, chance)
        numbers["fake_loss"] = float(loss.detach())
        numbers["fake_norm"] = self._move(cast.fake.module, loss, self.fake_optimiser, rate)
        self.step += 1
        return numbers

    def _chance(self, samples: range) -> Chance:
        return Chance(self.config.seed, self.step, samples)

    def _move(self, module: nn.Module, loss: Tensor, optimiser: Optimiser, rate: float) -> float:
        if not torch.isfinite(loss):
            raise WanderError(
                f"a loss is {loss.item()} at step {self.step}; resume the last state with lower learning rates"
            )
        loss.backward()
        self.replicas.average(module)
        return optimiser.step(rate)

    def learn(self, draw: Draw, evaluate: Callable[[], Json], every_seconds: float) -> None:
        """Steps until the minutes of the first process are over; `evaluate` judges the averaged student at times."""
        if not self.config.minutes:
            return
        config, meters = self.config, (Meter(), Meter())
        start = saved = evaluated = time.monotonic()
        before, cooled = self.trained_seconds, config.cooldown == 0
        while (progress := self.replicas.said((time.monotonic() - start) / (60 * config.minutes))) < 1:
            if not cooled and progress >= 1 - config.cooldown:
                self.save(TRUNK)
                cooled = True
            numbers = self.advance(draw(self.step), self.rate(progress))
            self.trained_seconds = before + time.monotonic() - start
            meters["gradient" in numbers].add(numbers)
            if self.step % config.log_every == 0:
                measured = meters[0].flush() | meters[1].flush()
                self.log(
                    {"step": self.step, "seconds": round(self.trained_seconds)}
                    | {k: round(v, 5) for k, v in measured.items()}
                )
            if not (cooled and config.cooldown) and time.monotonic() - saved > config.save_seconds:
                self.save(LATEST)
                saved = time.monotonic()
            if time.monotonic() - evaluated > every_seconds:
                self.judge(evaluate)
                evaluated = time.monotonic()
        if not (cooled and config.cooldown):
            self.save(LATEST)

    def judge(self, evaluate: Callable[[], Json]) -> Json:
        """Evaluates in the first process and logs it."""
        found = evaluate() if self.replicas.rank == 0 else {}
        self.log({"step": self.step, "evaluation": found})
        return found


def tune_teacher(run: Run, teacher: Network, draw: Draw, how: Distillation, memory: MemoryConfig) -> None:
    """Flow matching of the teacher on true continuations in aligned memory; it ends with its averaged weights."""

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        batch = draw(run.step)
        chance = Chance(run.config.seed, run.step, range(len(batch.latents)))
        chunks = chance.shared.randint(0, how.longest_history(FULLY_GROWN, batch.latents.shape[1]))
        return score_loss(teacher, true_scene(batch, chunks * how.chunk, how, memory, chance), how, chance), {}

    run.train(loss, dict, 1e9)
    take_average(run, teacher.module)


def take_average(run: Run, module: nn.Module) -> None:
    """Gives a module the averaged weights of a run."""
    module.load_state_dict(module.state_dict() | run.ema.shadow)


def export_distilled(run: DistillRun, student: nn.Module, base: Json, evaluation: Json, path: Path) -> Json:
    """Writes the averaged weights as `student`, a new network of the same sizes, with the base model's manifest.

    Returns the manifest.
    """
    recipe = {
        "steps": run.step,
        "seconds": round(run.trained_seconds),
        "student_lr": run.config.lr,
        "fake_lr": run.fake_optimiser.lr,
        "ema": run.config.ema,
        "optimiser": "adamw",
        "distillation": asdict(run.how),
        "base_sha256": base.get("sha256"),
        "base_recipe": base.get("recipe"),
    }
    kept = {name: value for name, value in base.items() if name != "sha256"}
    manifest = kept | {"recipe": recipe, "evaluation": evaluation}
    save_weights(path, run.averaged(student).state_dict(), manifest)
    return manifest
