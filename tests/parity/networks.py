"""Parity of the released transformers, call by call, and of whole rollouts."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from engine import memory, rollout
from engine.released import Clip, ContextCache, PlainKeys, branch_keys, branch_values
from engine.rope import RopeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B, released_name
from engine.worldplay_8b_text import Prompt8B
from tests.parity.fixture import Fixture, Outcome, intrinsics, largest_error

Json = dict[str, Any]
Tensors = dict[str, Tensor]
Pairs = Iterator[tuple[Tensor, Tensor]]


def config_5b(config: Json) -> Config5B:
    """The 5B's sizes from a fixture's config."""
    return Config5B(width=config["hidden_size"], heads=config["num_heads"], depth=config["num_layers"],
                    feed_forward=config["ffn_dim"], latent_channels=config["latent_channels"],
                    text_width=config["text_dim"], theta=config.get("rope_theta", 10_000.0))


def config_8b(config: Json) -> Config8B:
    """The 8B's sizes from a fixture's config."""
    time, row, column = config["rope_dims"]
    return Config8B(width=config["hidden_size"], heads=config["num_heads"], depth=config["num_layers"],
                    rope=RopeConfig(time=time, row=row, column=column, theta=config["rope_theta"]),
                    latent_channels=config["latent_channels"], text_width=config["text_dim"],
                    image_width=config["vision_dim"], byt5_width=config["byt5_dim"], byt5_inner=config["byt5_hidden"],
                    mlp_ratio=config["mlp_ratio"], refiner_depth=config["refiner_layers"])


def build(fixture: Fixture) -> WorldPlay5B | WorldPlay8B:
    """The network of a transformer fixture with its weights, every tensor or none."""
    config, state = fixture.header["config"], fixture.weights()
    if "rope_dims" not in config:
        model = WorldPlay5B(config_5b(config))
        model.load_state_dict(state)
        return model.eval().requires_grad_(False)
    model = WorldPlay8B(config_8b(config))
    model.load_state_dict({name: state.pop(released_name(name)) for name in model.state_dict()})
    if state:
        raise ValueError(f"{fixture.name} holds unknown tensors: {', '.join(sorted(state))}")
    return model.eval().requires_grad_(False)


def prompts_8b(tensors: Tensors) -> list[Prompt8B]:
    """One prompt for each row, padding dropped; an image that is exactly zero is no image."""
    prompts = []
    for row in range(len(tensors["in.text_states"])):
        text, quoted = (tensors[f"in.{kind}_states"][row][tensors[f"in.{kind}_mask"][row] > 0][None]
                        for kind in ("text", "byt5"))
        image = tensors["in.vision_states"][row][None]
        prompts.append(Prompt8B(text, quoted, image if image.any() else image[:, :0]))
    return prompts


def _clip(model: WorldPlay5B | WorldPlay8B, tensors: Tensors, part: str, first_time: int, row: int = 0) -> Clip:
    latents = tensors[f"in.{part}.latents"][row : row + 1]
    grid = (latents.shape[-2], latents.shape[-1])
    if isinstance(model, WorldPlay8B):
        latents = torch.cat([latents, tensors[f"in.{part}.cond"][row : row + 1]], 1)
    times = range(first_time, first_time + latents.shape[2])
    geometry = model.geometry(times, grid, tensors[f"in.{part}.w2c"], intrinsics(tensors[f"in.{part}.K"]))
    return Clip(latents.transpose(1, 2), tensors[f"in.{part}.actions"], geometry)


def _text_pairs(text: list[PlainKeys], tensors: Tensors, kind: str) -> Pairs:
    for index, block in enumerate(text):
        yield block.keys.transpose(1, 2), tensors[f"out.{kind}_k.{index}"]
        yield block.values.transpose(1, 2), tensors[f"out.{kind}_v.{index}"]


def _context_pairs(context: ContextCache, tensors: Tensors) -> Pairs:
    for index, (keys, values) in enumerate(zip(context.keys, context.values, strict=True)):
        yield branch_keys(keys, context.geometry).transpose(1, 2), tensors[f"out.ctx_k.{index}"]
        yield branch_values(values, context.geometry).transpose(1, 2), tensors[f"out.ctx_v.{index}"]


def _call_pairs(model: WorldPlay5B | WorldPlay8B, case: Json, tensors: Tensors) -> dict[str, Pairs]:
    """Text, context and velocity of one autoregressive case: made beside expected."""
    if isinstance(model, WorldPlay8B):
        text, kind = model.read_prompt(prompts_8b(tensors)[0]), "text"
    else:
        text, kind = model.read_prompt(tensors["in.text_states"]), "cross"
    checks = {"text": _text_pairs(text, tensors, kind)}
    context = None
    if case["context_latents"]:
        context = model.remember(_clip(model, tensors, "ctx", case["rope_start_context"]), text)
        checks["context"] = _context_pairs(context, tensors)
    chunk = _clip(model, tensors, "chunk", case["rope_start_chunk"])
    velocity = model.velocity(chunk, tensors["in.chunk.timesteps"], text, context)
    checks["velocity"] = iter([(velocity.transpose(1, 2), tensors["out.velocity"])])
    return checks


def check_transformer(fixture: Fixture) -> Iterator[Outcome]:
    """Text cache, context cache and velocity of every case."""
    model = build(fixture)
    for case in fixture.header["cases"]:
        tensors = fixture.tensors(case["file"])
        if case.get("kind") == "bi":
            assert isinstance(model, WorldPlay8B)
            made = [model.joint_velocity(_clip(model, tensors, "bi", case["rope_start_context"], row),
                                         tensors["in.bi.timesteps"], prompt, tensors["in.bi.text_timestep"])
                    for row, prompt in enumerate(prompts_8b(tensors))]
            checks = {"velocity": iter([(torch.cat(made).transpose(1, 2), tensors["out.velocity"])])}
        else:
            checks = _call_pairs(model, case, tensors)
        for name, pairs in checks.items():
            yield Outcome(f"{case['name']} {name}", largest_error(pairs), fixture.tolerance())


def _recipe(case: Json) -> rollout.Recipe:
    if case["model"] == "wan":
        levels = tuple(time / 1000 for time in case["timesteps"])
        return rollout.Recipe(memory=memory.worldplay_5b(), levels=levels, chunk=case["chunk_latents"])
    make = rollout.worldplay_8b_bidirectional if case["kind"] == "bi" else rollout.worldplay_8b
    return make(case["steps"], case["guidance"], case["shift"])


def _track(case: Json, tensors: Tensors) -> rollout.Track:
    """The whole video as noise; the 5B's loop works on float32 cameras."""
    noise, cameras, given = tensors["in.noise"].transpose(1, 2).clone(), tensors["in.w2c"], 0
    if "in.image_latent" in tensors:
        noise[:, :1], given = tensors["in.image_latent"].transpose(1, 2), 1
    if case["model"] == "wan":
        cameras = cameras.float()
    conditions = tensors["in.cond"].transpose(1, 2) if "in.cond" in tensors else None
    return rollout.Track(noise, tensors["in.actions"], cameras.double().numpy(), intrinsics(tensors["in.K"]).numpy(),
                         conditions, given)


def check_rollouts(fixture: Fixture, transformers: dict[str, Fixture]) -> Iterator[Outcome]:
    """Chosen contexts, and latents after every step, of every loop."""
    for case in fixture.header["cases"]:
        model, tensors = build(transformers[case["weights_of"]]), fixture.tensors(case["file"])
        recipe, track = _recipe(case), _track(case, tensors)
        points = memory.points_in_field(tensors["in.points"].numpy(), recipe.memory)
        wrong, made = 0, []
        prompts = prompts_8b(tensors) if isinstance(model, WorldPlay8B) else []
        texts = _read(model, prompts, tensors)
        for index in range(case["chunks"]):
            current = index * recipe.chunk
            chosen = rollout.choose_context(track, current, recipe, points)
            wrong += len(set(chosen.tolist()) ^ set(case["selected"][index]))
            if case.get("kind") == "bi" and isinstance(model, WorldPlay8B):
                steps = list(rollout.next_joint_chunk(model, track, current, recipe, prompts, points))
            else:
                steps = list(rollout.next_chunk(model, track, current, recipe, texts, points))
            track.latents[:, current : current + recipe.chunk] = steps[-1]
            made.append(torch.stack([step[0].transpose(0, 1) for step in steps]))
        pairs = [(torch.stack(made), tensors["out.steps"]), (track.latents.transpose(1, 2), tensors["out.latents"])]
        yield Outcome(f"{case['name']} context", wrong, 0)
        yield Outcome(f"{case['name']} latents", largest_error(iter(pairs)), fixture.tolerance())


def _read(model: WorldPlay5B | WorldPlay8B, prompts: list[Prompt8B], tensors: Tensors) -> list[list[PlainKeys]]:
    if isinstance(model, WorldPlay8B):
        return [model.read_prompt(prompt) for prompt in prompts]
    return [model.read_prompt(tensors["in.text_states"])]
