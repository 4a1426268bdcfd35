"""Races: one thing differs, and the verdict depends on the true past alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from engine import train
from engine.actions import (
    KEY_RIGHT,
    KEY_W,
    POCKET,
    POCKET_LABELS,
    Step,
    actions_from_poses,
    frame_poses,
    latent_poses,
    turn,
)
from engine.errors import WanderError
from engine.kv_cache import CommitMixer
from engine.memory import pocket as pocket_memory
from engine.training.base import BaseTraining, GuidedClips, layout_for
from engine.training.latents import LatentClips, encode_shards
from engine.training.mixer import TrainingMixer
from engine.training.race import Racer, RecursiveMixer, one_chunk_ahead, racers
from engine.training.race_stage import _retrained, _start_from
from engine.training.vae import frame_shards
from engine.transformer import Pocket, PocketConfig, pocket_frustums
from engine.vae import Vae, VaeConfig
from engine.weights import latents_of, load_pocket, load_vae
from tests.engine.tiny import tiny_pocket

LATENTS = 20
POSES = latent_poses([Step(keys=KEY_W | KEY_RIGHT)] * (LATENTS - 1), POCKET)
ABOUT = {"captions": {"en": ["a village"], "zh": ["村庄"]}, "events": []}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """In float32 on every machine."""
    monkeypatch.setattr("engine.precision.compute_dtype", lambda device_type: torch.float32)


def clean_keys(mixer_of: type[TrainingMixer], latents: torch.Tensor) -> torch.Tensor:
    """What a network makes of the committed latents `[1, T, C, Y, X]` themselves."""
    model = tiny_pocket()
    layout = layout_for(POSES[None], 4, pocket_memory())
    mixer = mixer_of(model, layout, pocket_frustums(POSES[None], POSES[None, :1]), (2, 4))
    actions, words = (
        torch.zeros(1, 2 * LATENTS, dtype=torch.long),
        model.read_prompt(torch.zeros(1, 0, 512), torch.zeros(1)),
    )
    both = torch.cat([latents, torch.zeros_like(latents)], 1)
    return model(both, torch.zeros(1, 2 * LATENTS), actions, words, mixer)[:, :LATENTS]


def as_noisy(mixer_of: type[TrainingMixer]) -> list[bool]:
    """Which committed chunks are what the same latents would be as a noisy chunk without noise."""
    model, latents = tiny_pocket(), torch.randn(1, LATENTS, 4, 2, 4, generator=torch.Generator().manual_seed(0))
    layout = layout_for(POSES[None], 4, pocket_memory())
    mixer = mixer_of(model, layout, pocket_frustums(POSES[None], POSES[None, :1]), (2, 4))
    words = model.read_prompt(torch.zeros(1, 0, 512), torch.zeros(1))
    actions = torch.zeros(1, 2 * LATENTS, dtype=torch.long)
    found = model(torch.cat([latents, latents], 1), torch.zeros(1, 2 * LATENTS), actions, words, mixer)
    apart = (found[:, :LATENTS] - found[:, LATENTS:]).abs().amax((2, 3, 4)).unflatten(1, (-1, 4)).amax(2)[0]
    return (apart < 1e-5).tolist()


def test_recursive_commit_is_a_chunk_without_noise():
    """Self-only commit is that for the first chunk alone, which has no past."""
    assert as_noisy(TrainingMixer) == [True, False, False, False, False]
    assert all(as_noisy(RecursiveMixer))


def changed_by(mixer_of: type[TrainingMixer], latent: int) -> list[bool]:
    """Which chunks of committed latents change when one latent does."""
    latents = torch.randn(1, LATENTS, 4, 2, 4, generator=torch.Generator().manual_seed(0))
    other = latents.clone()
    other[:, latent] += 1.0
    change = (clean_keys(mixer_of, latents) - clean_keys(mixer_of, other)).abs().amax((2, 3, 4)).unflatten(1, (-1, 4))
    return (change.amax(2)[0] > 1e-6).tolist()


def test_self_only_commit_depends_on_its_own_chunk_and_recursive_commit_on_its_past():
    assert changed_by(TrainingMixer, 5) == [False, True, False, False, False]
    assert changed_by(RecursiveMixer, 5) == [False, True, True, True, True]


def test_racers_of_another_shape_are_as_large_as_what_ships():
    found = {name: sum(p.numel() for p in Pocket(racer.network).parameters()) for name, racer in racers(32).items()}
    for name in ("wide", "deep", "recursive"):
        assert found[name] == pytest.approx(found["shipped"], rel=0.04), name


def test_each_chunk_is_made_from_the_true_ones_before_it_alone():
    latents = torch.randn(1, LATENTS, 4, 2, 4, generator=torch.Generator().manual_seed(0)).half()
    actions = torch.from_numpy(actions_from_poses(POSES, POCKET_LABELS))[None]
    clips = LatentClips(latents, POSES[None], actions, [ABOUT])
    config = BaseTraining(latents=LATENTS)

    def made(latents: torch.Tensor) -> torch.Tensor:
        source = GuidedClips(replace(clips, latents=latents), None)
        return one_chunk_ahead(tiny_pocket(), source, config, Racer(network=PocketConfig()))

    other = latents.clone()
    other[:, 9] += 1.0
    before, after = made(latents), made(other)
    assert torch.equal(before[:, 0], latents[:, 0].float()) and torch.equal(before[:, :12], after[:, :12])
    assert not torch.allclose(before[:, 12:], after[:, 12:])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two clips of noise: frames, and their latents."""
    folder = tmp_path_factory.mktemp("race")
    frames, latents = folder / "frames", folder / "latents"
    frames.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 33, 96, 160, 3), dtype=np.uint8)
    poses = np.stack([frame_poses([Step(keys=KEY_W)] * 8, POCKET).astype(np.float32)] * 2)
    save_file({"frames": pictures, "poses": poses}, frames / "clips-00000.safetensors")
    (frames / "clips-00000.json").write_text(json.dumps({"clips": [ABOUT, ABOUT]}))
    encode_shards(load_vae(), latents_of(), frames, latents)
    return frames, latents


def run(stage: str, out: Path, folders: tuple[Path, Path], *more: str) -> list[str]:
    frames, latents = map(str, folders)
    said: list[str] = []
    common = ["--data", latents, "--frames", frames, "--heldout", latents, "--heldout-frames", frames]
    size = ["--minutes", "0.01", "--batch", "1", "--latents", "8", "--out", str(out)]
    train.main([stage, *common, *size, *more], said.append)
    return said


def test_a_test_of_channels_trains_an_autoencoder_and_a_transformer_and_judges_both(tmp_path, folders):
    said = run("channels", tmp_path, folders, "--channels", "16")
    verdict = json.loads(said[-1])["evaluation"]
    assert {"loss1", "loss2", "loss4", "made", "autoencoder"} == set(verdict)
    assert all(np.isfinite(list(verdict[name].values())).all() for name in ("made", "autoencoder"))
    assert list((tmp_path / "base").glob("step*.png")) and list((tmp_path / "vae").glob("step*.png"))


def test_an_autoencoder_is_the_shipped_one_but_for_layers_that_begin_anew(tmp_path, folders):
    frames, _ = folders
    torch.manual_seed(0)
    once = Vae(VaeConfig()).state_dict()
    shipped, options = (
        load_vae(),
        train.parser().parse_args(
            ["channels", "--data", "x", "--out", str(tmp_path), "--minutes", "0", "--channels", "32"]
        ),
    )
    pictures = np.concatenate(frame_shards(frames))
    found = _retrained(shipped, frames, pictures, options, lambda line: None).state_dict()
    for name, tensor in shipped.state_dict().items():
        if name.startswith(("encoder.layers.8.weight", "decoder.stem.weight")):
            assert not torch.allclose(found[name], tensor) and not torch.allclose(found[name], once[name])
        elif not name.startswith(("encoder.layers.8.", "decoder.stem.", "mean", "std")):
            assert torch.equal(found[name], tensor), name


def test_an_unknown_racer_is_a_sentence(tmp_path, folders):
    with pytest.raises(WanderError, match=r"there are 14 racers, and slow is none; give --racer shipped\|again"):
        run("race", tmp_path, folders, "--racer", "slow")


def velocity(network: Pocket, *, yaw: float, action: int) -> torch.Tensor:
    """Of noise whose second latent looks `yaw` degrees aside and is called `action`, with one recent latent in view."""
    turned = np.stack([np.eye(4)] * 2)
    turned[1, :3, :3] = turn(np.radians(yaw), 0.0)
    geometry = network.geometry(torch.arange(2).double(), (2, 4), pocket_frustums(turned, turned[0]))
    words = network.read_prompt(torch.zeros(1, 0, 512), torch.zeros(1))
    noise = torch.randn(1, 2, 4, 2, 4, generator=torch.Generator().manual_seed(0))
    actions = torch.tensor([[0, action]])
    return network(noise, torch.ones(1, 2), actions, words, CommitMixer(network.positions, geometry))


@pytest.mark.parametrize(
    ("told", "camera_matters", "class_matters"),
    [("both", True, True), ("discrete", False, True), ("continuous", True, False)],
)
def test_a_network_knows_of_an_action_what_its_configuration_says(told, camera_matters, class_matters):
    known = tiny_pocket()
    network = Pocket(replace(known.config, actions=told)).eval()
    network.load_state_dict(known.state_dict())
    still = velocity(network, yaw=0, action=0)
    assert torch.equal(velocity(network, yaw=20, action=0), still) is not camera_matters
    assert torch.equal(velocity(network, yaw=0, action=9), still) is not class_matters


def test_ablations_differ_from_the_whole_in_one_thing_and_start_from_the_same_weights(tmp_path, folders):
    run("race", tmp_path / "root", folders, "--racer", "root")
    said = run("race", tmp_path / "rope", folders, "--racer", "rope", "--start", str(tmp_path / "root"), "--lr", "0")
    assert str(tmp_path / "rope" / "weights") in said[-1]
    with pytest.raises(WanderError, match="of a network of other sizes"):
        _start_from(tmp_path / "root", tiny_pocket())
    root, rope = (load_pocket(tmp_path / name / "weights", size=(160, 96)) for name in ("root", "rope"))
    assert (root.memory, rope.memory) == (pocket_memory(), replace(pocket_memory(), reframes=False))
    assert not root.model.config.guided and root.depth is None
    for name, tensor in root.model.state_dict().items():
        assert torch.equal(tensor, rope.model.state_dict()[name]), name


def test_a_race_over_steps_shows_every_racer_the_same_batches_and_another_seed_others(tmp_path, folders):
    """Losses are those of the same network: it never learns."""

    def losses(name: str, out: str, *more: str) -> list[float]:
        said = run(
            "race", tmp_path / out, folders, "--racer", name, "--lr", "0", "--steps", "20", "--cooldown", "0", *more
        )
        return [json.loads(line)["loss"] for line in said if '"loss"' in line]

    run("race", tmp_path / "root", folders, "--racer", "root", "--steps", "1")
    start = ["--start", str(tmp_path / "root")]
    full = losses("full", "full", *start)
    assert full == losses("full", "once-more", *start) != losses("full-again", "again", *start)
    assert not losses("full", "full", "--resume", *start), "all steps are done"
