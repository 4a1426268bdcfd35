"""Ranks that meet in a file and make worlds together: real gloo processes on the loopback device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch

from engine import meeting, precision
from engine.actions import KEY_RIGHT, KEY_W, Step
from engine.continuation import ContinuedWorld
from engine.errors import WanderError
from engine.hero import PORTRAIT, Hero, HeroConfig, HeroPainter
from engine.parallel import LOOPBACK, Ranks
from engine.released_world import ReleasedWorld
from engine.streamer import PocketWorld
from engine.world import ChunkRecord, WorldSpec
from tests.engine.tiny import one_thread, tiny_weights
from tests.engine.tiny_released import PRESETS, tiny_released

ROOT = Path(__file__).resolve().parents[2]
RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (50, 70, 3), dtype=np.uint8)
CLIP = RANDOM.integers(0, 256, (13, 32, 64, 3), dtype=np.uint8)
KINDS = ("clip", "led", *PRESETS)


def met(ranks: Ranks) -> tuple[Hero, torch.Tensor]:
    """Somebody who walks ahead of grey; rank 0 alone looks."""
    assert ranks.leads
    return Hero(4.0, torch.zeros(1, 512), torch.zeros(1, 12, *PORTRAIT)), torch.zeros(3, 32, 64)


def begun(kind: str, ranks: Ranks, records: Sequence[ChunkRecord] = ()) -> ContinuedWorld | PocketWorld | ReleasedWorld:
    """A world of this kind, rebuilt from its records if there are any."""
    if kind == "clip":
        return ContinuedWorld(tiny_weights(), WorldSpec(video=CLIP, chunk=2), records, ranks)
    if kind == "led":
        weights = replace(tiny_weights(), hero=HeroPainter(HeroConfig()).eval())
        spec = WorldSpec(seed=7, prompt="a village at dusk, a fox walks ahead", image=PICTURE, chunk=2)
        with patch("engine.surfaces.meet", lambda *_: met(ranks)):
            return PocketWorld(weights, spec, records, ranks=ranks)
    spec = WorldSpec(seed=7, prompt="a village at dusk", image=PICTURE)
    return ReleasedWorld(tiny_released(kind), spec, records, ranks=ranks)


def step(world: ContinuedWorld | PocketWorld | ReleasedWorld) -> tuple[ChunkRecord, int]:
    """The next chunk's record, and how many pictures of it there were here."""
    pictures = sum(len(frames) for frames in world.step([Step(keys=KEY_W | KEY_RIGHT)] * world.chunk))
    return world.commit(), pictures


def walk(kind: str, ranks: Ranks) -> dict[str, object]:
    """What a walk with words and an undo made, and its next chunk once it was rebuilt from rank 0's records alone."""
    world, made = begun(kind, ranks), []
    for number in range(4):
        if number == 3:
            world.prompt("it starts to rain")
        made.append(step(world)[0])
    world.rewind(3)
    own = made[:3] if ranks.leads else ()
    record, pictures = step(begun(kind, ranks, meeting.say_records(ranks, own)))
    made.append(record)
    return {
        "latents": [value for each in made for value in each.latents.astype(np.float32).ravel().tolist()],
        "prompts": [each.prompt for each in made],
        "pictures": pictures,
    }


def settle(ranks: Ranks) -> tuple[str, list[float]]:
    """The sentence with which weights that differ are refused, and the rates that hold here from then on."""
    weights = replace(tiny_weights(), checksum=f"sum {ranks.rank}")
    try:
        meeting.settled(ranks, lambda: weights)
    except WanderError as error:
        return str(error), precision.measured().tolist()
    return "", precision.measured().tolist()


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> list[dict]:
    """What each of two ranks tells."""
    command = [sys.executable, "-m", "tests.engine.test_meeting", str(tmp_path_factory.mktemp("ranks") / "meeting")]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    ranks = [subprocess.Popen([*command, str(rank)], cwd=ROOT, env=alone, stdout=subprocess.PIPE) for rank in (0, 1)]
    try:
        return [json.loads(each.communicate(timeout=240)[0]) for each in ranks]
    finally:
        for each in ranks:
            each.kill()
            each.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_make_what_one_makes_and_only_the_first_makes_pictures(kind, both):
    with one_thread():
        alone = walk(kind, Ranks())
    for told in both:
        made, expected = (torch.tensor(each["latents"]) for each in (told[kind], alone))
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)
        assert told[kind]["prompts"] == alone["prompts"]
    assert [told[kind]["pictures"] for told in both] == [alone["pictures"], 0]


def test_ranks_with_other_weights_are_refused_and_all_compute_as_suits_the_first(both):
    (first, rates), (second, other_rates) = (told["settled"] for told in both)
    assert first == second == "rank 1 of 2: the weights have checksum sum 1, those of rank 0 sum 0; copy them"
    assert rates == other_rates


def test_a_world_without_chunks_is_said_as_one_without(both):
    assert [told["none"] for told in both] == [0, 0]


def main(path: str, rank: int) -> None:
    """One rank's part, for the processes that `both` starts."""
    ranks = meeting.in_file(Path(path), rank, 2, interface=LOOPBACK)
    told: dict[str, object] = {kind: walk(kind, ranks) for kind in KINDS}
    told |= {"settled": settle(ranks), "none": len(meeting.say_records(ranks, ()))}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
