"""Parity of what is exact or nearly so: actions, schedules, memory choices, tensor names."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from engine import actions, memory
from engine.errors import WanderError
from engine.flow import euler, schedule
from engine.geometry import lens_from_pixels, rigid_inverse
from engine.rollout import worldplay_5b as recipe_5b
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.worldplay_5b import WorldPlay5B
from engine.worldplay_8b import WorldPlay8B, released_name
from tests.parity.fixture import Fixture, Outcome
from tests.parity.networks import config_5b, config_8b

Json = dict[str, Any]


def _labels_differ(poses: np.ndarray, case: Json) -> int:
    """How many labels of a trajectory are wrong."""
    wrong = 0
    for key, rule in (("labels", actions.LabelRule()), ("labels_third_person", actions.LabelRule(third_person=True))):
        if key in case:
            wrong += int(np.sum(actions.actions_from_poses(poses, rule) != np.array(case[key])))
    return wrong


def _pose_error(world_from_camera: np.ndarray, expected: Any) -> float:
    made, expected = rigid_inverse(world_from_camera), np.array(expected)
    return float(np.abs(made - expected).max()) if made.shape == expected.shape else float("inf")


def check_actions(fixture: Fixture) -> Iterator[Outcome]:
    """Pose strings, refusals, key combinations, motion lists and trajectories."""
    header, poses_within = fixture.header, fixture.tolerance("w2c")
    for case in header.get("pose_strings", []):
        poses = actions.latent_poses(actions.parse_pose_string(case["pose"]), actions.WORLDPLAY)
        yield Outcome(f"poses {case['pose']!r}", _pose_error(poses, case["w2c"]), poses_within)
        yield Outcome(f"labels {case['pose']!r}", _labels_differ(poses, case), 0)
    for text in header.get("pose_string_errors", []):
        yield Outcome(f"refused {text!r}", float(not _refuses(text)), 0)
    for case in header.get("compounds", []):
        step = actions.Step(actions.keys_from_names(case["keys"]))
        poses = actions.poses_from_steps([step] * case["steps"], actions.WORLDPLAY)
        name = "+".join(case["keys"]) or "no keys"
        yield Outcome(f"pose of {name}", _pose_error(poses[-1:], [case["w2c_last"]]), poses_within)
        yield Outcome(f"label of {name}", float(actions.action_from_poses(poses[-2], poses[-1]) != case["label"]), 0)
    for case in header.get("motion_lists", []):
        poses = _fly(case["motions"])
        yield Outcome(f"motions {case['name']}", _pose_error(poses, case["w2c"]), poses_within)
        yield Outcome(f"labels {case['name']}", _labels_differ(poses, case), 0)
    for case in header.get("c2w_trajectories", []):
        poses, lens = np.array(case["c2w"]), lens_from_pixels(case["K_pixels"])
        yield Outcome(f"cameras {case['name']}", _pose_error(poses, case["w2c"]), poses_within)
        lens_error = float(np.abs(np.diag(case["K"])[:2] - [lens.fx, lens.fy]).max())
        yield Outcome(f"lens {case['name']}", lens_error, fixture.tolerance("K"))
        yield Outcome(f"labels {case['name']}", _labels_differ(poses, case), 0)


def _refuses(text: str) -> bool:
    try:
        actions.parse_pose_string(text)
    except WanderError:
        return True
    return False


def _fly(motions: list[dict[str, float]]) -> np.ndarray:
    poses = [np.eye(4)]
    for motion in motions:
        named = {"orbit" if name == "third_yaw" else name: value for name, value in motion.items()}
        poses.append(actions.fly(poses[-1], actions.Motion(**named)))
    return np.stack(poses)


def check_schedules(fixture: Fixture) -> Iterator[Outcome]:
    """Levels, timesteps and a walk of Euler steps for every schedule."""
    header = fixture.header
    cases = [(f"shift {case['shift']:g}, {case['steps']} steps", schedule(case["steps"], case["shift"]), case)
             for case in header.get("schedules_8b", [])]
    if "schedule_wan" in header:
        cases.append(("wan", torch.tensor(recipe_5b().levels), header["schedule_wan"]))
    for name, levels, case in cases:
        made_of = {"sigmas": levels, "timesteps": 1000 * levels[: len(case["timesteps"])],
                   "samples": _euler_walk(levels, case["euler_example"])}
        for key, made in made_of.items():
            expected = torch.tensor(case["euler_example"][key] if key == "samples" else case[key])
            error = (made - expected).abs().max().item() if made.shape == expected.shape else float("inf")
            yield Outcome(f"{key}, {name}", error, fixture.tolerance(key))


def _euler_walk(levels: torch.Tensor, example: Json) -> torch.Tensor:
    x, walk = torch.tensor(example["start"]), []
    for i, velocity in enumerate(example["velocities"]):
        x = euler(x, torch.tensor(velocity), levels[i], levels[i + 1])
        walk.append(x)
    return torch.stack(walk)


def check_memory(fixture: Fixture) -> Iterator[Outcome]:
    """Every memory query; the error is the number of latents that differ."""
    tensors = fixture.tensors(fixture.header["file"])
    for path in fixture.header["paths"]:
        for query in path["queries"]:
            config = memory.worldplay_5b() if query["rule"] == "wan" else memory.worldplay_8b()
            cameras = tensors[path["w2c"]].numpy()
            points = memory.points_in_field(tensors["points"][: query["n_points"]].numpy(), config)
            if query["rule"].endswith("bi16"):
                chosen = memory.aligned_context(cameras, query["cur"], 16, config, points=points)
            else:
                chosen = memory.select_context(cameras, query["cur"], 4, config, points=points)
            wrong = len(set(chosen.tolist()) ^ set(query["selected"])) + int(len(chosen) != len(query["selected"]))
            yield Outcome(f"{path['name']} {query['rule']} at {query['cur']}", wrong, 0)


def check_names(fixture: Fixture) -> Iterator[Outcome]:
    """Names and shapes of the full-size networks, built without memory; the error is the number that differ."""
    header = fixture.header
    config: Json = header.get("config", {})
    with torch.device("meta"):
        if "rope_dims" in config:
            network: torch.nn.Module = WorldPlay8B(config_8b(config))
        elif "ffn_dim" in config:
            network = WorldPlay5B(config_5b(config))
        else:
            network = HunyuanVae(HunyuanVaeConfig())
    rename = released_name if isinstance(network, WorldPlay8B) else str
    own = {rename(name): list(tensor.shape) for name, tensor in network.state_dict().items()}
    expected = {name: list(shape) for name, shape in header["tensors"].items()}
    wrong = sum(own.get(name) != expected.get(name) for name in own.keys() | expected.keys())
    yield Outcome("names and shapes", wrong, 0)
