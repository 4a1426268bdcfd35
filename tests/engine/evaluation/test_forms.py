"""Table 6: the same clips by several forms of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.actions import KEY_W, POCKET, POCKET_LABELS, Step, actions_from_poses, latent_poses
from engine.evaluation.forms import Form, compare_forms, made_at_once, scene, table_6
from engine.memory import MemoryConfig
from engine.training.distill import Distillation
from engine.training.distill_pocket import PocketNetwork
from engine.training.latents import LatentClips
from tests.engine.tiny import tiny_weights

EVENT = {"start_frame": 12, "stop_frame": None, "caption_en": "it rains", "caption_zh": "下雨"}
ABOUT = {"captions": {"en": ["a village"], "zh": ["村庄"]}, "events": [EVENT]}
HOW = Distillation(chunks=2, steps=2)
MEMORY = MemoryConfig(temporal_latents=4, spatial_latents=4, points=64)


def clips(latents: int, samples: int = 2) -> LatentClips:
    poses = np.stack([latent_poses([Step(keys=KEY_W)] * (latents - 1), POCKET)] * samples)
    generator = torch.Generator().manual_seed(0)
    actions = torch.from_numpy(np.stack([actions_from_poses(each, POCKET_LABELS) for each in poses]))
    return LatentClips(
        torch.randn(samples, latents, 4, 2, 4, generator=generator).half(), poses, actions, [ABOUT] * samples
    )


def test_a_form_that_is_the_truth_has_every_score_at_its_best():
    rng = np.random.default_rng(0)
    truth = [rng.integers(0, 256, (13, 32, 64, 3), dtype=np.uint8) for _ in range(3)]
    worse = [np.clip(each.astype(int) + 40, 0, 255).astype(np.uint8) for each in truth]
    forms = {"truth": Form(1, truth.__getitem__), "worse": Form(2, worse.__getitem__)}
    report, shown = compare_forms(forms, truth, ("truth", "worse"))
    best = report["forms"]["truth"]
    assert (best["psnr"], best["dfd"], best["gradient_energy_ratio"]) == (60, 0, 1) and best["ssim"] == pytest.approx(1)
    assert report["dfd_gain"]["holds"] and report["dfd_gain"]["mean"] == report["forms"]["worse"]["dfd"]
    assert shown["worse"] == worse


def test_a_clip_is_read_with_the_text_before_and_after_its_change():
    batch = scene(clips(8), 0, 8)
    assert batch.versions.tolist() == [[0, 0, 0, 1, 1, 1, 1, 1]]
    assert batch.lengths.tolist()[0][0] < batch.lengths.tolist()[0][1]


def test_the_teacher_goes_on_from_what_it_has_made():
    teacher, batch = PocketNetwork(tiny_weights().model, torch.float32), scene(clips(12), 0, 12)
    made, shorter = (
        made_at_once(teacher, scene(clips(12), 0, latents), 2, HOW, MEMORY) for latents in (12, 8)
    )  # eight, then four
    assert made.shape == batch.latents.shape and torch.equal(made[:, 0], batch.latents[:, 0])
    torch.testing.assert_close(made[:, :8], shorter, atol=1e-5, rtol=0)


def test_the_table_has_the_papers_rows_and_a_paired_difference():
    weights = tiny_weights()
    teacher = PocketNetwork(weights.model, torch.float32)
    report, shown, truth = table_6(weights, weights, teacher, clips(8), HOW, MEMORY, count=2, steps=3)
    names = ["base, 3 steps", "teacher, 3 steps", "base, 2 steps", "distilled, 2 steps", "distilled, 1 steps"]
    assert list(report["forms"]) == names and report["clips"] == 2
    assert all(len(made) == len(truth) == 2 and made[0].shape == truth[0].shape for made in shown.values())
    gain = report["dfd_gain"]  # the same weights: no difference
    assert (gain["of"], gain["over"], gain["mean"], gain["holds"]) == (names[3], names[2], 0, False)
