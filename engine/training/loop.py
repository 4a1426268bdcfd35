"""One training run: a clock, a schedule, a log, and a state on disk that survives a kill at any second.

The learning rate warms up, stays, and falls to zero over the last `cooldown` share of the run's minutes or steps. The
state written when the cool-down begins (`trunk`) is the one a later run resumes, so training can go on for ever in
pieces; the cooled average is what is shipped, and kept in the run's folder as well (`cooled`).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from engine.checkpoint import Json, load_state, save_state, save_weights
from engine.errors import WanderError
from engine.optim import Ema, Optimiser

M = TypeVar("M", bound=nn.Module)
TRUNK, LATEST, COOLED = "trunk.safetensors", "latest.safetensors", "cooled.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """How long, how fast, how often; the same for every stage."""

    out: Path
    minutes: float
    steps: int = 0
    """Steps in all, those before a resumption included; `minutes` says how long where there are none."""
    lr: float
    warmup: int = 20
    cooldown: float = 0.2
    """Share of the minutes or steps, at the end, over which the learning rate falls to zero."""
    ema: float = 0.998
    weight_decay: float = 0.01
    save_seconds: float = 120.0
    log_every: int = 20
    seed: int = 0
    adam_only: tuple[str, ...] = ()
    """Prefixes of parameters that Muon leaves to AdamW: the first and last layers."""

    @classmethod
    def of(cls, options: argparse.Namespace, ema: float, adam_only: tuple[str, ...]) -> RunConfig:
        """As the command line says."""
        return cls(
            out=options.out,
            minutes=options.minutes,
            lr=options.lr,
            cooldown=options.cooldown,
            ema=ema,
            seed=options.seed,
            adam_only=adam_only,
        )


@dataclass(slots=True)
class Meter:
    """Means of named numbers since the last line of the log, each over the steps that gave it."""

    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        """Counts one step's numbers."""
        for name, value in values.items():
            self.found.setdefault(name, []).append(value)

    def flush(self) -> dict[str, float]:
        """The means, and a new beginning."""
        means = {name: sum(values) / len(values) for name, values in self.found.items()}
        self.found.clear()
        return means


class Run:
    """A model, its optimiser and average, and where they are on disk."""

    def __init__(self, model: nn.Module, config: RunConfig, say: Callable[[str], None]) -> None:
        self.model, self.config, self.say = model, config, say
        self.optimiser = Optimiser(model, lr=config.lr, weight_decay=config.weight_decay, exclude=config.adam_only)
        self.ema = Ema(model, config.ema)
        self.step, self.trained_seconds = 0, 0.0
        config.out.mkdir(parents=True, exist_ok=True)

    def tensors(self) -> dict[str, Tensor]:
        """Everything a resumed run needs, by name."""
        found = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        found |= {f"ema.{name}": t for name, t in self.ema.shadow.items()}
        return found | {
            f"optimiser.{i}.{key}": t for i, buffers in enumerate(self.optimiser.state()) for key, t in buffers.items()
        }

    def save(self, name: str) -> None:
        """Writes the state into the run's folder under `name`."""
        facts = {"step": self.step, "ema_steps": self.ema.steps, "trained_seconds": self.trained_seconds}
        save_state(self.config.out / name, self.tensors(), facts)

    def averaged(self, copy: M) -> M:
        """`copy`, a new model of the same sizes, with the averaged weights, for evaluation."""
        copy.load_state_dict(self.model.state_dict() | self.ema.shadow)
        return copy.eval().requires_grad_(False)

    def export(self, kind: str, copy: nn.Module, learnt_on: Json, evaluation: Json, path: Path) -> Json:
        """Writes the averaged weights as `copy`, a new model of the same sizes with a `config`, and their manifest,
        which is returned; `learnt_on` names the networks that it needs by their checksums."""
        manifest = {
            "kind": f"pocket-{kind}",
            "config": asdict(copy.config),  # type: ignore[arg-type]
            **learnt_on,
            "recipe": {"steps": self.step, "seconds": round(self.trained_seconds), "lr": self.config.lr},
            "evaluation": evaluation,
        }
        save_weights(path, self.averaged(copy).state_dict(), manifest)
        return manifest

    def start_from(self, other: nn.Module) -> None:
        """Takes over the weights of a network of the same sizes, into model and average."""
        self.model.load_state_dict(other.state_dict())
        self.ema = Ema(self.model, self.config.ema)

    def resume(self) -> bool:
        """Takes up the newest state of the folder; False if there is none.

        Raises `WanderError` for a state of another model.
        """
        found = [path for path in (self.config.out / TRUNK, self.config.out / LATEST) if path.is_file()]
        if not found:
            return False
        tensors, facts = load_state(max(found, key=lambda path: path.stat().st_mtime))
        groups: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".", 2)
                groups.setdefault(int(index), {})[key] = tensor
        try:
            self.model.load_state_dict({name[6:]: t for name, t in tensors.items() if name.startswith("model.")})
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise WanderError(
                f"the training state in {self.config.out} is of a model of other sizes ({reason}); choose another --out"
            ) from None
        self.ema.shadow = {name[4:]: t.clone() for name, t in tensors.items() if name.startswith("ema.")}
        self.optimiser.load([groups.get(i, {}) for i in range(len(self.optimiser.parameters))])
        self.step, self.ema.steps, self.trained_seconds = facts["step"], facts["ema_steps"], facts["trained_seconds"]
        return True

    def rate(self, progress: float) -> float:
        """Learning-rate factor at `progress` 0..1 of this run."""
        warm = min(1.0, (self.step + 1) / self.config.warmup)
        tail = self.config.cooldown
        return warm * (1.0 if progress < 1 - tail or tail == 0 else max(0.0, (1 - progress) / tail))

    def progress(self, elapsed: float) -> float:
        """How much of the run is done, 0..1, `elapsed` seconds after it was begun or taken up."""
        return self.step / self.config.steps if self.config.steps else elapsed / max(60 * self.config.minutes, 1e-9)

    def train(
        self,
        loss_of: Callable[[torch.Generator], tuple[Tensor, dict[str, float]]],
        evaluate: Callable[[], Json],
        every_seconds: float,
    ) -> Json:
        """Steps until the minutes or steps are over; `loss_of` draws a batch, `evaluate` judges the averaged weights at
        times, and at the end: that verdict is returned.

        Raises `WanderError` when the loss is not finite.
        """
        config, meter = self.config, Meter()
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        start = saved = evaluated = time.monotonic()
        before, cooled = self.trained_seconds, config.cooldown == 0
        while (progress := self.progress(time.monotonic() - start)) < 1:
            if not cooled and progress >= 1 - config.cooldown:
                self.save(TRUNK)
                cooled = True
            loss, numbers = loss_of(generator)
            if not torch.isfinite(loss):
                raise WanderError(
                    f"the loss is {loss.item()} at step {self.step}; resume the last state with a lower learning rate"
                )
            loss.backward()
            norm = self.optimiser.step(self.rate(progress))
            self.ema.update(self.model)
            self.step, self.trained_seconds = self.step + 1, before + time.monotonic() - start
            meter.add({"loss": float(loss.detach()), "norm": norm} | numbers)
            if self.step % config.log_every == 0:
                self.log(
                    {"step": self.step, "seconds": round(self.trained_seconds)}
                    | {k: round(v, 4) for k, v in meter.flush().items()}
                )
            if not (cooled and config.cooldown) and time.monotonic() - saved > config.save_seconds:
                self.save(LATEST)
                saved = time.monotonic()
            if time.monotonic() - evaluated > every_seconds:
                self.log({"step": self.step, "evaluation": evaluate()})
                evaluated = time.monotonic()
        self.save(COOLED if cooled and config.cooldown else LATEST)
        verdict = evaluate()
        self.log({"step": self.step, "evaluation": verdict})
        return verdict

    def log(self, line: Json) -> None:
        """One line more in `log.jsonl`, said as well."""
        text = json.dumps(line)
        with (self.config.out / "log.jsonl").open("a") as file:
            file.write(text + "\n")
        self.say(text)


def learn(
    options: argparse.Namespace,
    say: Callable[[str], None],
    model: M,
    shipped: Path,
    load: Callable[[Path], M],
    adam_only: tuple[str, ...],
    loss_of: Callable[[M, random.Random, torch.Generator], tuple[Tensor, dict[str, float]]],
    evaluate: Callable[[Run, M], Json],
    *,
    ema: float = 0.998,
    learnt_on: Json | None = None,
) -> None:
    """Trains a model as asked, on from the newest state or from what is `shipped`, and writes it there if asked to;
    `learnt_on` as in `Run.export`."""
    run = Run(model, RunConfig.of(options, ema, adam_only), say)
    if options.resume and not run.resume() and shipped.is_file():
        run.start_from(load(shipped))
    rng = random.Random(options.seed + run.step)
    verdict = run.train(lambda generator: loss_of(model, rng, generator), lambda: evaluate(run, model), 300)
    if options.export:
        say(str(run.export(shipped.stem, type(model)(model.config), learnt_on or {}, verdict, shipped)))
