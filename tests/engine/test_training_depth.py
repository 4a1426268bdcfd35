"""Training of depth: from shards with everything that is known of them, on one view or on several."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine.actions import KEY_D, POCKET, Step, frame_poses, start_pose
from engine.depth import DepthConfig, DepthHead, level_camera
from engine.errors import WanderError
from engine.sweep import Sweep, SweepConfig
from engine.training import depth, sweep
from engine.training.loop import Run, RunConfig
from engine.vae import stills, to_uint8
from engine.weights import load_sweep
from tests.engine.tiny import tiny_weights, wake

H, W, T = 48, 80, 7
POSES = frame_poses([Step(keys=KEY_D)] * (T - 1), POCKET, start_pose(POCKET))[::4]


def samples(clips: int = 3) -> depth.DepthSamples:
    generator = torch.Generator().manual_seed(0)
    away = torch.rand(clips, T, H, W, generator=generator) * 20 + 2
    away[:, :, :8] = math.inf
    return depth.DepthSamples(
        torch.randn(clips, T, 4, 3, 5, generator=generator).half(),
        away.half(),
        torch.rand(clips, T, H, W, generator=generator) < 0.1,
        torch.randint(0, 256, (clips, T, H, W, 3), generator=generator, dtype=torch.uint8),
        np.stack([POSES] * clips),
    )


def head() -> DepthHead:
    torch.manual_seed(0)
    found = DepthHead(DepthConfig(latent_channels=4, widths=(8, 8, 8, 8)))
    wake(found)
    return found


def test_a_moment_that_is_not_told_its_camera_stands_level_and_the_others_where_they_are():
    now = samples().at([0, 1], [2, 3], [True, False])
    assert np.array_equal(now.cameras, np.stack([POSES[2], level_camera()]))
    assert torch.equal(now.passing, samples().passing[[0, 1], [2, 3]])


@pytest.mark.parametrize("seed", range(4))
def test_one_view_and_several_learn_from_a_batch(seed):
    network, correction = head(), Sweep(SweepConfig(widths=(8, 8, 8)))
    vae = tiny_weights().vae
    for module, loss_of in (
        (network, lambda *rest: depth.loss_of(vae, network, *rest)),
        (correction, lambda *rest: sweep.loss_of(vae, head(), correction, *rest)),
    ):
        loss, numbers = loss_of(samples(), random.Random(seed), 4, torch.Generator().manual_seed(seed))
        loss.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
        assert 0 < numbers["absrel"] < 10 and 0 <= numbers["moving"] <= 1


def test_a_mirrored_moment_is_that_of_a_mirrored_world():
    now, vae = samples().at([0, 1], [2, 3], [True, True]), tiny_weights().vae
    there = now.mirrored(vae)
    for name in ("ground", "pictures", "depth", "passing"):
        assert torch.equal(getattr(there, name), getattr(now, name).flip(-1))
    assert np.array_equal(there.cameras[:, :3, 3], now.cameras[:, :3, 3] * [-1, 1, 1])
    again = there.mirrored(vae)
    assert np.array_equal(again.cameras, now.cameras)
    assert torch.equal(again.latents, stills(vae, to_uint8(now.pictures)))
    assert not torch.allclose(there.latents, again.latents.flip(-1), atol=1e-2), "latents know left from right"


def test_some_batches_are_mirrored(monkeypatch):
    def loss(share: float) -> float:
        monkeypatch.setattr(depth, "MIRRORED", share)
        drawn = random.Random(0), 4, torch.Generator().manual_seed(0)
        return float(depth.loss_of(tiny_weights().vae, head(), samples(), *drawn)[0].detach())

    assert 0 < depth.MIRRORED < 1
    assert loss(0.0) != loss(1.0)


def test_a_correction_is_judged_as_scans_use_it_settled(tmp_path, monkeypatch):
    correction, judged = Sweep(SweepConfig(widths=(8, 8, 8))), []

    def settled(found, pictures, ground):
        judged.append(found.disparity)
        return replace(found, disparity=ground.clamp_min(1e-3))

    monkeypatch.setattr(sweep, "settled", settled)
    run = Run(correction, RunConfig(out=tmp_path, minutes=1, lr=1e-3), lambda line: None)
    found = sweep.evaluate_sweep(run, tiny_weights().vae, head(), correction, samples())
    assert len(judged) == 2 * 3 and found["absrel"] == found["absrel_one_view"]


def test_an_untrained_correction_is_judged_as_good_as_one_view_alone(tmp_path):
    correction = Sweep(SweepConfig(widths=(8, 8, 8)))
    run = Run(correction, RunConfig(out=tmp_path, minutes=1, lr=1e-3), lambda line: None)
    found = sweep.evaluate_sweep(run, tiny_weights().vae, head(), correction, samples())
    assert found["absrel_30"] == pytest.approx(found["absrel_30_one_view"], abs=1e-3) and len(found) == 2 * 10
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_shards_without_all_that_is_needed_are_refused_in_a_sentence(tmp_path: Path):
    frames = np.zeros((1, 5, H, W, 3), np.uint8)
    save_file({"frames": frames, "depth": frames[..., 0].astype(np.float16)}, tmp_path / "clips-00000.safetensors")
    (tmp_path / "latents-00000.safetensors").touch()
    with pytest.raises(WanderError, match=r"holds no passing; make the clips anew with 'launch\.py data make --depth'"):
        depth.load_samples(tmp_path, tmp_path)
    with pytest.raises(WanderError, match="0 latent shards"):
        depth.load_samples(tmp_path, tmp_path / "none")


def test_what_is_exported_is_loaded_with_its_sizes_and_names_the_network_it_corrects(tmp_path):
    config = SweepConfig(widths=(8, 8, 16))
    run = Run(Sweep(config), RunConfig(out=tmp_path, minutes=1, lr=1e-3), lambda line: None)
    run.export("sweep", Sweep(config), {"depth_sha256": "ab"}, {"absrel": 0.1}, tmp_path / "sweep.safetensors")
    found, manifest = load_sweep(tmp_path / "sweep.safetensors")
    assert found.config == config and manifest["depth_sha256"] == "ab" and manifest["evaluation"] == {"absrel": 0.1}
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor.bfloat16().float()), name
