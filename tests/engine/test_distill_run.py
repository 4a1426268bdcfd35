"""A distillation on disk and over several processes; real gloo ranks on the loopback device."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from argparse import Namespace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from engine.checkpoint import read_manifest
from engine.errors import WanderError
from engine.parallel import join
from engine.train import parser
from engine.training.distill import Distillation
from engine.training.distill_run import Cast, DistillRun, export_distilled, take_average, tune_teacher
from engine.training.distill_stage import distil, distillation_of
from engine.training.loop import LATEST, TRUNK, Run, RunConfig
from engine.training.replicas import Replicas
from engine.transformer import Pocket
from tests.engine.test_distill import MEMORY, clips, pocket

ROOT = Path(__file__).resolve().parents[2]
HOW = Distillation(chunks=2, steps=2, student_every=2, growth=1)
BATCH = 4


class Recording(Replicas):
    """Keeps every averaged gradient."""

    def average(self, module: nn.Module) -> None:
        super().average(module)
        kept = [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in module.parameters()]
        SEEN.append(torch.cat(kept))


SEEN: list[Tensor] = []


def started(out: Path, replicas: Replicas | None = None, **changes: float) -> DistillRun:
    """A student, a teacher that differs, a fake score that differs from both."""
    cast = Cast(pocket(), pocket(), pocket())
    for network, scale in ((cast.real, 1.2), (cast.fake, 0.9)):
        with torch.no_grad():
            network.module.patch_out.weight.mul_(scale)
            if replicas is not None and replicas.rank:  # only the first one's weights count
                network.module.patch_out.weight.add_(1.0)
    settings = {"minutes": 0.05, "lr": 1e-3, "warmup": 1, "save_seconds": 0.0, "log_every": 2} | changes
    config = RunConfig(out=out, **settings)  # type: ignore[arg-type]
    return DistillRun(cast, config, HOW, MEMORY, config.lr, lambda line: None, replicas)


def advance(run: DistillRun, steps: int) -> None:
    for _ in range(steps):
        run.advance(clips(BATCH, 16), 1.0)


# -- on disk ----------------------------------------------------------------------------------------------------------


def test_a_resumed_distillation_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    whole, first = started(tmp_path / "whole"), started(tmp_path / "parts")
    advance(whole, 5)
    advance(first, 3)
    first.save(LATEST)
    second = started(tmp_path / "parts")
    assert second.resume() and second.step == 3
    advance(second, 2)
    expected, found = whole.tensors(), second.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_only_the_student_is_averaged_and_the_teacher_never_moves(tmp_path):
    run = started(tmp_path)
    before = {name: t.clone() for name, t in run.cast.real.module.state_dict().items()}
    student = run.cast.student.module.patch_out.weight.clone()
    fake = run.cast.fake.module.patch_out.weight.clone()
    advance(run, 1)
    assert torch.equal(run.cast.student.module.patch_out.weight, student)  # its turn is every second step
    assert not torch.equal(run.cast.fake.module.patch_out.weight, fake)
    advance(run, 1)
    assert not torch.equal(run.cast.student.module.patch_out.weight, student) and run.ema.steps == 1
    assert all(torch.equal(t, before[name]) for name, t in run.cast.real.module.state_dict().items())


def test_a_run_lasts_its_minutes_and_keeps_log_and_trunk(tmp_path, monkeypatch):
    ticks = count()
    monkeypatch.setattr("engine.training.distill_run.time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
    run = started(tmp_path)
    run.learn(lambda step: clips(BATCH, 16), dict, 1e9)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["step"] == 2 and {"fake_loss", "gradient", "student_norm"} <= lines[0].keys()
    assert (tmp_path / TRUNK).is_file() and run.step > 4


def test_no_minutes_are_no_steps(tmp_path):
    run = started(tmp_path, minutes=0.0)
    run.learn(lambda step: clips(BATCH, 16), dict, 1e9)
    assert run.step == 0


def test_the_state_of_another_stage_is_refused(tmp_path):
    Run(pocket().module, RunConfig(out=tmp_path, minutes=1, lr=1e-3, adam_only=("",)), lambda line: None).save(LATEST)
    with pytest.raises(WanderError, match="has 1 network, distillation needs 2"):
        started(tmp_path).resume()


def test_a_tuned_teacher_ends_with_the_average_of_its_run(tmp_path, monkeypatch):
    ticks = count()
    monkeypatch.setattr("engine.training.loop.time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
    teacher, again = pocket(), pocket()
    run = Run(teacher.module, RunConfig(out=tmp_path, minutes=0.05, lr=1e-3, cooldown=0.0, adam_only=("",)), print)
    tune_teacher(run, teacher, lambda step: clips(2, 16), HOW, MEMORY)
    assert run.step > 0 and not torch.equal(teacher.module.patch_out.weight, again.module.patch_out.weight)
    resumed = Run(again.module, run.config, print)
    resumed.resume()
    take_average(resumed, again.module)
    assert torch.equal(teacher.module.patch_out.weight, again.module.patch_out.weight)


# -- what leaves it ---------------------------------------------------------------------------------------------------


def test_weights_are_written_where_they_are_asked_for_with_the_base_models_manifest(tmp_path):
    run = started(tmp_path)
    advance(run, 2)
    base = {"kind": "pocket-transformer", "sizes": [[64, 32]], "vae_sha256": "v", "sha256": "b", "recipe": {"steps": 9}}
    target = tmp_path / "elsewhere" / "transformer.safetensors"
    export_distilled(run, Pocket(run.model.config), base, {"clips": 3}, target)  # type: ignore[arg-type]
    manifest = read_manifest(target, "pocket-transformer")
    assert manifest["sizes"] == [[64, 32]] and manifest["evaluation"] == {"clips": 3}
    assert manifest["recipe"]["base_sha256"] == "b" and manifest["recipe"]["distillation"]["chunks"] == 2


def test_the_stage_never_writes_to_the_shipped_weights_by_itself(tmp_path):
    with pytest.raises(WanderError, match="--export-to FILE"):
        distil(Namespace(export=True), print)
    options = parser().parse_args(["distill", "--data", "d", "--out", str(tmp_path)])
    assert options.export_to is None and distillation_of(options) == Distillation()


def test_figure_8_is_two_options():
    given = ["distill", "--data", "d", "--out", "o", "--teacher-memory", "latents", "--history", "rolled"]
    how = distillation_of(parser().parse_args(given))
    assert (how.teacher_memory, how.history) == ("latents", "rolled")


# -- several processes ------------------------------------------------------------------------------------------------


def work(replicas: Replicas) -> list[list[float]]:
    """Averaged gradients of a few steps, then all weights that have moved."""
    SEEN.clear()
    with tempfile.TemporaryDirectory() as folder:
        run = started(Path(folder), replicas, lr=3e-5)  # Adam makes steps of noise where a gradient is all but zero
        advance(run, 4)
    networks = (run.cast.student, run.cast.fake)
    moved = [torch.cat([p.detach().flatten() for p in network.module.parameters()]) for network in networks]
    return [x.tolist() for x in (*SEEN, *moved)]


def start(size: int) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    base = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    command = [sys.executable, "-m", "tests.engine.test_distill_run"]
    return [
        subprocess.Popen(
            command, cwd=ROOT, env=base | {"RANK": str(rank), "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )
        for rank in range(size)
    ]


def test_two_processes_do_together_what_one_does_with_the_whole_batch():
    ranks = start(2)
    try:
        found = [json.loads(each.communicate(timeout=240)[0]) for each in ranks]
    finally:
        for each in ranks:
            each.kill()
    alone = work(Recording())
    assert len(alone) == 4 + 2 + 2  # the fake score moves four times, the student twice
    for result in found:
        for i, (ours, theirs) in enumerate(zip(result, alone, strict=True)):
            bound = 1e-6 if i < 6 else 1e-5
            torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), atol=bound, rtol=0)


def test_a_batch_that_the_processes_cannot_share_is_refused():
    assert [list(Replicas(rank, 2).part(4)) for rank in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(WanderError, match="a batch of 5 can't be shared by 2 processes"):
        Replicas(0, 2).part(5)


def main() -> None:
    """One rank's part, for the processes that `start` makes."""
    ranks = join(timeout=600.0, backend="gloo")
    sys.stdout.write(json.dumps(work(Recording(ranks.rank, ranks.size))))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
