"""Ranks that share the heads of one world: real gloo processes on the loopback device."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import WanderError
from engine.geometry import WORLDPLAY_LENS, image_from_camera
from engine.kv_cache import CommitMixer, Committed, DenoiseMixer, read_context
from engine.memory import MemoryConfig, select_context
from engine.parallel import HeadParallel, Ranks, join
from engine.prope import frustums
from engine.transformer import Pocket, PocketConfig
from tests.engine.test_cost import TINY_5B, TINY_8B, clip, read
from tests.engine.test_cost import network as tiny_network
from tests.engine.tiny import wake

ROOT = Path(__file__).resolve().parents[2]
GRID = (4, 6)
SAID = torch.tensor([[0.125, -0.5, 1e-9], [7.0, float(1 << 53), -0.0]], dtype=torch.float64)
TEXT = "下雪的村庄, then rain"


def network(camera: str) -> Pocket:
    """Three heads: two ranks do not divide them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Pocket(PocketConfig(width=48, heads=3, depth=2, latent_channels=4, text_width=8, camera=camera))
    wake(model, 1.0)
    return model.eval().requires_grad_(False)


def places(first: int, count: int):
    cameras = torch.eye(4).repeat(1, count, 1, 1)
    cameras[0, :, 2, 3] = -0.3 * torch.arange(first, first + count)
    return frustums(cameras, torch.from_numpy(image_from_camera(WORLDPLAY_LENS)))


RELEASED = ("5b", "8b")


@torch.inference_mode()
def released(ranks: Ranks, name: str) -> dict[str, object]:
    """The velocity of a released network beside a context, with three heads."""
    torch.manual_seed(0)
    works = {"5b": replace(TINY_5B, config=replace(TINY_5B.config, width=72, heads=3)),
             "8b": replace(TINY_8B, config=replace(TINY_8B.config, width=48, heads=3))}  # fmt: skip
    shape = works[name]
    model = tiny_network(shape).eval()
    model.ranks = ranks
    text = read(model, shape)
    seen, new = clip(model, shape, 0, 5), clip(model, shape, 5, 4)
    context = model.remember(seen, text)
    velocity = model.velocity(new, 500.0, text, context)
    return {"velocity": velocity.flatten().tolist(), "heads_kept": context.keys[0].shape[2]}


@torch.inference_mode()
def work(ranks: Ranks, camera: str, *, lose: bool = False) -> dict[str, object]:
    """Commit four latents, make two beside them; what came out, and what was exchanged and kept for it."""
    model = network(camera)
    generator = torch.Generator().manual_seed(5)
    clean, noisy = (torch.randn(1, count, 4, *GRID, generator=generator) for count in (4, 2))
    text = model.read_prompt(torch.randn(1, 3, 8, generator=generator), torch.tensor([3]))
    geometry = model.geometry(torch.arange(4.0), GRID, places(0, 4))
    commit = CommitMixer(model.positions, geometry)
    model(clean, torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int64), text, HeadParallel(commit, ranks))
    if lose and ranks.rank == 1:
        os._exit(9)
    kept = Committed(commit.keys, commit.values, 4, 0)
    context = read_context(model.positions, [(kept, latent) for latent in range(4)], geometry)
    beside = model.geometry(torch.arange(4.0, 6.0), GRID, places(4, 2))
    mixer = HeadParallel(DenoiseMixer(model.positions, beside, context), ranks)
    velocity = model(noisy, torch.full((1, 2), 0.5), torch.full((1, 2), 9), text, mixer)
    exchanged = replace(ranks.traffic)
    said = ranks.lead(lambda: SAID)
    poses = np.tile(np.eye(4), (40, 1, 1))
    poses[:, 2, 3] = -0.3 * np.arange(40) * said[1, 0].item()
    return {
        "velocity": velocity.flatten().tolist(),
        "heads_kept": commit.keys[0].shape[2],
        "collectives": exchanged.collectives,
        "received": exchanged.received,
        "moved": exchanged.moved,
        "agreed": torch.equal(said, SAID) and said.dtype == SAID.dtype,
        "text": ranks.lead_bytes(TEXT.encode).decode(),
        "nothing": len(ranks.lead_bytes(bytes)),
        "refused": refusal(ranks, lambda: ranks.lead(lambda: complain("no such picture"))),
        "one_fails": refusal(ranks, lambda: ranks.together(lambda: complain("no weights") if ranks.rank else 1)),
        "none_fails": ranks.together(lambda: ranks.rank),
        "memory": select_context(poses, 36, 4, MemoryConfig()).tolist(),
    }


def complain(sentence: str) -> torch.Tensor:
    raise WanderError(sentence)


def refusal(ranks: Ranks, work: Callable[[], object]) -> str:
    """The sentence with which something fails on this rank."""
    try:
        work()
    except WanderError as error:
        return str(error)
    return ""


def start(size: int, camera: str, *, lose: bool = False) -> list[subprocess.Popen[bytes]]:
    """`size` ranks that do the work."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    base = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    command = [sys.executable, "-m", "tests.engine.test_parallel", camera, "lose" if lose else "stay"]
    return [subprocess.Popen(command, cwd=ROOT, env=base | {"RANK": str(rank), "PYTHONPATH": str(ROOT)},
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in range(size)]  # fmt: skip


def finish(ranks: list[subprocess.Popen[bytes]]) -> list[tuple[int, bytes, bytes]]:
    """Status, output and errors of each; none is left behind."""
    try:
        return [(each.wait(), out, err) for each in ranks for out, err in [each.communicate(timeout=240)]]
    finally:
        for each in ranks:
            each.kill()


@pytest.fixture(scope="module")
def pair() -> list[dict[str, object]]:
    """What two ranks tell of their work."""
    return [json.loads(out) for _, out, _ in finish(start(2, "split"))]


@pytest.mark.parametrize(("size", "camera"), [(2, "split"), (3, "branch")])
def test_ranks_that_share_the_heads_make_what_one_makes_and_choose_the_same_memory(size, camera, pair):
    alone = work(Ranks(), camera)
    results = pair if size == 2 else [json.loads(out) for _, out, _ in finish(start(size, camera))]
    assert len(results) == size
    for result in results:
        torch.testing.assert_close(torch.tensor(result["velocity"]), torch.tensor(alone["velocity"]), atol=1e-5, rtol=0)
        assert result["memory"] == alone["memory"]
        assert (result["agreed"], result["text"], result["nothing"]) == (True, TEXT, 0)
    assert sum(result["heads_kept"] for result in results) == 3


@pytest.mark.parametrize(("size", "name"), [(2, "5b"), (3, "8b")])
def test_ranks_share_the_heads_of_the_released_networks_too(size, name):
    alone = released(Ranks(), name)
    results = [json.loads(out) for _, out, _ in finish(start(size, name))]
    assert len(results) == size
    for result in results:
        torch.testing.assert_close(torch.tensor(result["velocity"]), torch.tensor(alone["velocity"]), atol=1e-5, rtol=0)
    assert sum(result["heads_kept"] for result in results) == 3


def test_a_call_costs_one_exchange_a_block(pair):
    first, second = pair
    tokens, most_heads, width = 2 * 3 * (4 + 2), 2, 16
    assert first["collectives"] == second["collectives"] == 2 * 2
    assert first["received"] == 2 * tokens * most_heads * width * 4
    assert first["moved"] == second["moved"] == first["received"] + second["received"]


def test_what_fails_on_one_rank_fails_on_all_with_its_sentence_and_they_go_on_together(pair):
    first, second = pair
    assert first["refused"] == second["refused"] == "no such picture"
    assert first["one_fails"] == second["one_fails"] == "rank 1 of 2: no weights"
    assert (first["none_fails"], second["none_fails"]) == (0, 1)


def test_a_rank_that_dies_in_the_middle_fails_the_others_with_a_sentence():
    (survivor, _, errors), (dead, _, _) = finish(start(2, "split", lose=True))
    assert dead == 9
    assert survivor == 70
    assert b"one of 2 ranks does not answer rank 0" in errors


@pytest.mark.parametrize(("heads", "size"), [(3, 2), (16, 3), (24, 5), (4, 4), (7, 1)])
def test_heads_are_dealt_out_whole_in_order_and_evenly(heads, size):
    parts = [Ranks(rank, size).heads(heads) for rank in range(size)]
    assert [head for part in parts for head in range(part.start, part.stop)] == list(range(heads))
    lengths = [part.stop - part.start for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_more_ranks_than_heads_are_refused():
    with pytest.raises(WanderError, match="5 ranks cannot share 4 heads"):
        Ranks(0, 5).heads(4)


def test_alone_nothing_is_exchanged():
    alone = Ranks()
    assert alone.lead(lambda: SAID) is SAID and alone.say(SAID) is SAID
    assert alone.lead_bytes(TEXT.encode).decode() == TEXT
    assert alone.together(lambda: 7) == 7
    assert alone.traffic.collectives == 0


def main(camera: str, how: str) -> int:
    """One rank's part, for the processes that `start` makes."""
    try:
        ranks = join(timeout=60.0, backend="gloo")
        result = released(ranks, camera) if camera in RELEASED else work(ranks, camera, lose=how == "lose")
        sys.stdout.write(json.dumps(result))
    except WanderError as error:
        sys.stderr.write(str(error))
        return 70
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
